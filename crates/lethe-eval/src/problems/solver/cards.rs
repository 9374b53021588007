//! Solves cards. The table outlives a turn: holdings stay, cards do not.

use super::{Reader, Solution, SolveError, join, senseless};

/// Who holds what, in the order in which the first question named them.
#[derive(Default)]
pub(super) struct Table<'a> {
    holdings: Vec<(&'a str, i64)>,
}

struct Card<'a> {
    text: &'a str,
    number: i64,
    giver: &'a str,
    taker: &'a str,
    amount: i64,
    watched: &'a str,
    if_even: i64,
    if_odd: i64,
}

impl<'a> Table<'a> {
    /// Reads the question of turn `turn`, from 0, and plays it.
    pub(super) fn play(&mut self, mut reader: Reader<'a>, turn: usize) -> Result<Solution, SolveError> {
        if turn == 0 {
            self.read_holdings(&mut reader)?;
        } else {
            reader.expect("Now use these cards instead: ")?;
        }
        let mut cards = Vec::new();
        while !reader.eat("Start at card ") {
            cards.push(read_card(&mut reader)?);
            reader.expect(" ")?;
        }
        let mut next = reader.number()?;
        reader.expect(", play ")?;
        let moves = reader.number()?;
        reader.expect(" moves. Who has what?")?;
        reader.end()?;

        let mut thinking = Vec::new();
        for i in 1..=moves {
            let Some(card) = cards.iter().find(|card| card.number == next) else {
                return senseless(format!("there is no card {next}"));
            };
            let given = self.change(card.giver, -card.amount)?;
            let taken = self.change(card.taker, card.amount)?;
            let watched = self.change(card.watched, 0)?;
            let odd = watched.after % 2 == 1;
            next = if odd { card.if_odd } else { card.if_even };
            let parity = if odd { "odd" } else { "even" };
            thinking.push(format!(
                "Move {i} of {moves}. {} {given}, {taken}. {} {} is {parity}, so card {next}.",
                card.text, watched.name, watched.after
            ));
        }
        let answer = join(self.holdings.iter().map(|(name, n)| format!("{name} has {n}")), ", ") + ".";
        Ok(Solution { thinking, answer })
    }

    fn read_holdings(&mut self, reader: &mut Reader<'a>) -> Result<(), SolveError> {
        loop {
            let name = reader.word()?;
            reader.expect(" ")?;
            self.holdings.push((name, reader.number()?));
            if !reader.eat(", ") {
                return reader.expect(". ");
            }
        }
    }

    fn change(&mut self, name: &'a str, by: i64) -> Result<Change<'a>, SolveError> {
        let Some((_, held)) = self.holdings.iter_mut().find(|(holder, _)| *holder == name) else {
            return senseless(format!("nobody is called {name}"));
        };
        let before = *held;
        *held += by;
        match *held {
            after @ 0..=99 => Ok(Change { name, before, by, after }),
            after => senseless(format!("{name} comes to {after}, outside 0 to 99")),
        }
    }
}

/// What a move does to one person's holding.
struct Change<'a> {
    name: &'a str,
    before: i64,
    by: i64,
    after: i64,
}

impl std::fmt::Display for Change<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.by < 0 { '-' } else { '+' };
        write!(f, "{} {} {sign} {} = {}", self.name, self.before, self.by.abs(), self.after)
    }
}

/// Reads a card. A chain of thought quotes its text as it stands.
fn read_card<'a>(reader: &mut Reader<'a>) -> Result<Card<'a>, SolveError> {
    let begin = reader.clone();
    reader.expect("Card ")?;
    let number = reader.number()?;
    reader.expect(": ")?;
    let giver = reader.word()?;
    reader.expect(" gives ")?;
    let taker = reader.word()?;
    reader.expect(" ")?;
    let amount = reader.number()?;
    reader.expect("; if ")?;
    let watched = reader.word()?;
    reader.expect(" even ")?;
    let if_even = reader.number()?;
    reader.expect(" else ")?;
    let if_odd = reader.number()?;
    reader.expect(".")?;
    Ok(Card { text: reader.since(&begin), number, giver, taker, amount, watched, if_even, if_odd })
}
