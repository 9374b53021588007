//! Solves cards. The table outlives a turn: holdings stay, cards do not.

use super::{Reader, SolveError, between, senseless};
use crate::reads::{Fact, Pen};

/// Who holds what, in the order in which the first question named them.
#[derive(Default)]
pub(super) struct Table<'a> {
    holdings: Vec<(Fact<&'a str>, Fact<i64>)>,
}

struct Card<'a> {
    number: i64,
    giver: Fact<&'a str>,
    taker: Fact<&'a str>,
    amount: Fact<i64>,
    watched: Fact<&'a str>,
    if_even: Fact<i64>,
    if_odd: Fact<i64>,
}

impl<'a> Table<'a> {
    /// Reads the question of turn `turn`, from 0, and plays it.
    pub(super) fn play(&mut self, mut reader: Reader<'a>, turn: usize, pen: &mut Pen) -> Result<(), SolveError> {
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
        let mut moves = reader.number()?;
        reader.expect(" moves. Who has what?")?;
        reader.end()?;

        let mut before = None;
        for i in 1..=moves.value {
            let Some(card) = cards.iter_mut().find(|card| card.number == next.value) else {
                return senseless(format!("there is no card {}", next.value));
            };
            pen.line();
            pen.put("Move ");
            before.iter().for_each(|before| pen.heed(before));
            before = Some(pen.write(i));
            pen.put(" of ");
            pen.recall(&mut moves);
            pen.put(". Card ");
            pen.recall(&mut next);
            card.quote(pen);
            pen.put(" ");
            self.change(pen, card.giver.value, '-', card.amount.value)?;
            pen.put(", ");
            self.change(pen, card.taker.value, '+', card.amount.value)?;
            pen.put(format_args!(". {} ", card.watched.value));
            let watched = self.holding(card.watched.value)?;
            pen.recall(watched);
            let odd = watched.value % 2 == 1;
            pen.put(format_args!(" is {}, so card ", if odd { "odd" } else { "even" }));
            next = pen.write(if odd { card.if_odd.value } else { card.if_even.value });
            pen.put(".");
        }
        pen.answer();
        between(pen, ", ", &mut self.holdings, |pen, (name, held)| {
            pen.recall(name);
            pen.put(" has ");
            pen.recall(held);
        });
        pen.put(".");
        Ok(())
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

    fn holding(&mut self, name: &str) -> Result<&mut Fact<i64>, SolveError> {
        match self.holdings.iter_mut().find(|(holder, _)| holder.value == name) {
            Some((_, held)) => Ok(held),
            None => senseless(format!("nobody is called {name}")),
        }
    }

    /// Writes what a move does to one person's holding.
    fn change(&mut self, pen: &mut Pen, name: &str, sign: char, by: i64) -> Result<(), SolveError> {
        let held = self.holding(name)?;
        let after = if sign == '-' { held.value - by } else { held.value + by };
        if !(0..=99).contains(&after) {
            return senseless(format!("{name} comes to {after}, outside 0 to 99"));
        }
        pen.put(format_args!("{name} "));
        pen.recall(held);
        pen.put(format_args!(" {sign} {by} = "));
        *held = pen.write(after);
        Ok(())
    }
}

impl Card<'_> {
    /// Writes the card as it stands, from its number on.
    fn quote(&mut self, pen: &mut Pen) {
        pen.put(": ");
        pen.recall(&mut self.giver);
        pen.put(" gives ");
        pen.recall(&mut self.taker);
        pen.put(" ");
        pen.recall(&mut self.amount);
        pen.put("; if ");
        pen.recall(&mut self.watched);
        pen.put(" even ");
        pen.recall(&mut self.if_even);
        pen.put(" else ");
        pen.recall(&mut self.if_odd);
        pen.put(".");
    }
}

fn read_card<'a>(reader: &mut Reader<'a>) -> Result<Card<'a>, SolveError> {
    reader.expect("Card ")?;
    let number = reader.number()?.value;
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
    Ok(Card { number, giver, taker, amount, watched, if_even, if_odd })
}
