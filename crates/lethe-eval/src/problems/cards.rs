//! Cards: people give each other things, and a parity names the card that comes next.

use std::collections::HashSet;

use super::{Family, Problem, ProblemError, Turn, fits, in_range, rng, rounded};
use crate::rng::Rng;

const NAMES: [&str; 16] =
    ["Ana", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gia", "Hugo", "Ida", "Jan", "Kim", "Leo", "Mia", "Ned", "Ola", "Pia"];
/// The highest card number, the most moves, and the most that anybody may hold: the world has numbers of two digits.
const TOP: usize = 99;
/// Draws before a size counts as out of reach. At 100 moves, about one draw in 250 succeeds.
const TRIES: usize = 20_000;

/// Problems of [`Family::Cards`] and [`Family::TwoTurn`]. A size that is not set is drawn by level, as in training:
/// 3 to 6 people, 3 to 8 cards, up to 28 moves (two turns: up to 14 each).
#[derive(Clone, Debug, PartialEq)]
pub struct Cards {
    level: f64,
    turns: usize,
    people: Option<usize>,
    cards: Option<usize>,
    moves: Option<usize>,
}

impl Cards {
    /// Problems of one turn.
    pub fn at(level: f64) -> Self {
        Cards { level: in_range(level), turns: 1, people: None, cards: None, moves: None }
    }

    /// Problems of two turns: the second deals new cards.
    pub fn two_turn(level: f64) -> Self {
        Cards { turns: 2, ..Cards::at(level) }
    }

    /// Exactly so many people, 2 to 16.
    #[must_use]
    pub fn people(self, people: usize) -> Self {
        Cards { people: Some(people), ..self }
    }

    /// Exactly so many cards a turn, 3 to 99 (two turns: 49).
    #[must_use]
    pub fn cards(self, cards: usize) -> Self {
        Cards { cards: Some(cards), ..self }
    }

    /// Exactly so many moves a turn, 1 to 99. This is the length of the chain of thought, line for line.
    ///
    /// A run of exact length never goes in circles. Left to chance, 12 % of the runs of 28 moves do, and 81 % of those
    /// of 100: what stays within 0 to 99 for long is mostly two cards that undo each other, line for line the same.
    #[must_use]
    pub fn moves(self, moves: usize) -> Self {
        Cards { moves: Some(moves), ..self }
    }

    /// The problem of `seed`.
    ///
    /// # Errors
    /// [`ProblemError::Size`] for a size out of range, [`ProblemError::Unlucky`] if there are so many moves that
    /// every run leaves 0 to 99 or goes in circles: as with two turns of 80 moves and more.
    pub fn generate(&self, seed: u64) -> Result<Problem, ProblemError> {
        let family = if self.turns == 1 { Family::Cards } else { Family::TwoTurn };
        fits(family, "people", self.people, 2, NAMES.len())?;
        fits(family, "cards", self.cards, 3, TOP / self.turns)?;
        fits(family, "moves", self.moves, 1, TOP)?;
        let mut rng = rng(family, seed);
        match (0..TRIES).find_map(|_| self.attempt(&mut rng)) {
            Some(turns) => Ok(Problem { family, level: self.level, seed, turns }),
            None => Err(ProblemError::Unlucky { family, moves: self.moves.unwrap_or(self.most_moves()), tries: TRIES }),
        }
    }

    /// The turns with every size drawn by level: more than one attempt in ten succeeds, so this ends.
    pub(super) fn draw(&self, rng: &mut Rng) -> Vec<Turn> {
        loop {
            if let Some(turns) = self.attempt(rng) {
                return turns;
            }
        }
    }

    /// One draw of everything, or `None` if the run was no good. An attempt draws its sizes afresh, so long runs are
    /// rarer than short ones, as in training.
    fn attempt(&self, rng: &mut Rng) -> Option<Vec<Turn>> {
        let people = self.people.unwrap_or_else(|| self.size(3.0, rng));
        let cards = self.cards.unwrap_or_else(|| self.size(5.0, rng));
        let names = rng.sample(&NAMES, people);
        let mut have: Vec<usize> = names.iter().map(|_| rng.between(20, 60)).collect(); // [people]
        let numbers = rng.sample(&(1..=TOP).collect::<Vec<_>>(), cards * self.turns);
        let mut turns = Vec::with_capacity(self.turns);
        for (i, numbers) in numbers.chunks(cards).enumerate() {
            let moves = self.moves.unwrap_or_else(|| {
                let most = self.most_moves();
                let least = if rng.unit() < 0.6 { (most / 2).max(1) } else { 1 };
                rng.between(least, most)
            });
            let game = Game { names: &names, cards: deal(numbers, people, rng) };
            let shown = game.shuffled(rng);
            let start = rng.below(cards);
            let head = if i == 0 { format!("{}.", listed(&names, &have, " ")) } else { AGAIN.to_owned() };
            let first = numbers[start];
            let question = format!("{head} {shown} Start at card {first}, play {moves} moves. Who has what?");
            let thinking = game.play(start, moves, self.moves.is_none(), &mut have)?;
            let answer = format!("{}.", listed(&names, &have, " has "));
            turns.push(Turn { question, thinking, answer });
        }
        Some(turns)
    }

    /// A size of 3 or more, by level.
    fn size(&self, spread: f64, rng: &mut Rng) -> usize {
        let most = 3 + rounded(spread * self.level * rng.unit());
        rng.between(3, most)
    }

    fn most_moves(&self) -> usize {
        if self.turns == 1 { 3 + rounded(25.0 * self.level) } else { 2 + rounded(12.0 * self.level) }
    }
}

/// How a later turn begins.
const AGAIN: &str = "Now use these cards instead:";

/// One card. People and following cards are indices into their lists.
struct Card {
    number: usize,
    giver: usize,
    taker: usize,
    amount: usize,
    watched: usize,
    even: usize,
    odd: usize,
}

/// One card for each number; no card is followed by itself.
fn deal(numbers: &[usize], people: usize, rng: &mut Rng) -> Vec<Card> {
    let everybody: Vec<usize> = (0..people).collect();
    let card = |at: usize| {
        let (giver, taker) = rng.pair(&everybody);
        let watched = rng.choose(&everybody);
        let amount = rng.between(1, 9);
        let others: Vec<usize> = (0..numbers.len()).filter(|&other| other != at).collect();
        let (even, odd) = rng.pair(&others);
        Card { number: numbers[at], giver, taker, amount, watched, even, odd }
    };
    (0..numbers.len()).map(card).collect()
}

/// The cards of one turn and who plays them.
struct Game<'a> {
    names: &'a [&'a str],
    cards: Vec<Card>,
}

impl Game<'_> {
    /// The text of card `at`.
    fn card(&self, at: usize) -> String {
        let Card { number, giver, taker, amount, watched, even, odd } = self.cards[at];
        let [giver, taker, watched] = [giver, taker, watched].map(|person| self.names[person]);
        let [even, odd] = [even, odd].map(|card| self.cards[card].number);
        format!("Card {number}: {giver} gives {taker} {amount}; if {watched} even {even} else {odd}.")
    }

    /// All cards, in random order.
    fn shuffled(&self, rng: &mut Rng) -> String {
        let mut order: Vec<usize> = (0..self.cards.len()).collect();
        rng.shuffle(&mut order);
        order.into_iter().map(|at| self.card(at)).collect::<Vec<_>>().join(" ")
    }

    /// Plays `moves` moves from card `start` and leaves the outcome in `have`; a line per move. `None` if somebody left
    /// 0 to 99, or without `circles` if a card met the same holdings again: from there on everything repeats.
    fn play(&self, start: usize, moves: usize, circles: bool, have: &mut [usize]) -> Option<String> {
        let mut lines = Vec::with_capacity(moves);
        let mut met = HashSet::new();
        let mut at = start;
        for i in 1..=moves {
            if !circles && !met.insert((at, have.to_vec())) {
                return None;
            }
            let Card { giver, taker, amount, watched, even, odd, .. } = self.cards[at];
            let (gave, took) = (have[giver], have[taker]);
            if gave < amount || took + amount > TOP {
                return None;
            }
            have[giver] = gave - amount;
            have[taker] = took + amount;
            let seen = have[watched];
            let (parity, next) = if seen.is_multiple_of(2) { ("even", even) } else { ("odd", odd) };
            lines.push(format!(
                "Move {i} of {moves}. {} {} {gave} - {amount} = {}, {} {took} + {amount} = {}. {} {seen} is {parity}, so card {}.",
                self.card(at), self.names[giver], have[giver], self.names[taker], have[taker], self.names[watched],
                self.cards[next].number,
            ));
            at = next;
        }
        Some(lines.join("\n"))
    }
}

/// Who holds what: `Ana 20, Ben 31`.
fn listed(names: &[&str], have: &[usize], between: &str) -> String {
    names.iter().zip(have).map(|(name, n)| format!("{name}{between}{n}")).collect::<Vec<_>>().join(", ")
}
