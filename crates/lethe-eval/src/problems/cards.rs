//! Cards: people give each other things, and each card names the next one by a parity.

use super::{Family, Problem, ProblemError, Turn, fits, in_range, rng, rounded};
use crate::rng::Rng;

const NAMES: [&str; 16] = [
    "Ana", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gia", "Hugo", "Ida", "Jan", "Kim", "Leo", "Mia", "Ned", "Ola", "Pia",
];
/// The highest card number, and the most that anybody may hold: the world has two-digit numbers only.
const TOP: usize = 99;
/// Draws before an exact size counts as out of reach. One in a thousand succeeds at 100 moves of 16 people.
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

    /// Exactly so many moves a turn, 1 to 999: the length of the chain, about 31 tokens a move.
    #[must_use]
    pub fn moves(self, moves: usize) -> Self {
        Cards { moves: Some(moves), ..self }
    }

    /// The problem of `seed`.
    ///
    /// # Errors
    /// [`ProblemError::Size`] for a size out of range, [`ProblemError::Unlucky`] if the moves are so many that nobody
    /// stays within 0 to 99.
    pub fn generate(&self, seed: u64) -> Result<Problem, ProblemError> {
        let family = self.family();
        fits(family, "people", self.people, 2, NAMES.len())?;
        fits(family, "cards", self.cards, 3, TOP / self.turns)?;
        fits(family, "moves", self.moves, 1, 999)?;
        let mut rng = rng(family, seed);
        let turns = (0..TRIES).find_map(|_| self.attempt(&mut rng)).ok_or(ProblemError::Unlucky {
            family,
            moves: self.moves.unwrap_or(self.most_moves()),
            tries: TRIES,
        })?;
        Ok(Problem { family, level: self.level, seed, turns })
    }

    /// Turns with all sizes drawn by level: more than one attempt in ten succeeds, so this ends.
    pub(super) fn draw(&self, rng: &mut Rng) -> Vec<Turn> {
        loop {
            if let Some(turns) = self.attempt(rng) {
                return turns;
            }
        }
    }

    fn family(&self) -> Family {
        if self.turns == 1 { Family::Cards } else { Family::TwoTurn }
    }

    fn most_moves(&self) -> usize {
        if self.turns == 1 { 3 + rounded(25.0 * self.level) } else { 2 + rounded(12.0 * self.level) }
    }

    /// One draw of everything, or `None` if somebody left 0 to 99. Sizes are drawn afresh with each attempt, so that
    /// long runs are a little rarer than short ones, as in training.
    fn attempt(&self, rng: &mut Rng) -> Option<Vec<Turn>> {
        let mut size = |spread: f64| rng.between(3, 3 + rounded(spread * self.level * rng.clone().unit()));
        let people = self.people.unwrap_or_else(|| size(3.0));
        let cards = self.cards.unwrap_or_else(|| size(5.0));
        let names = rng.sample(&NAMES, people);
        let mut have: Vec<usize> = names.iter().map(|_| rng.between(20, 60)).collect(); // [people]
        let numbers = rng.sample(&(1..=TOP).collect::<Vec<_>>(), cards * self.turns);
        let mut turns = Vec::with_capacity(self.turns);
        for numbers in numbers.chunks(cards) {
            let head = if turns.is_empty() {
                let held: Vec<_> = names.iter().zip(&have).map(|(name, n)| format!("{name} {n}")).collect();
                format!("{}. ", held.join(", "))
            } else {
                "Now use these cards instead: ".to_owned()
            };
            turns.push(self.turn(&head, &names, &mut have, numbers, rng)?);
        }
        Some(turns)
    }

    /// One turn: deals the cards, plays them and leaves the outcome in `have`.
    fn turn(
        &self,
        head: &str,
        names: &[&str],
        have: &mut [usize],
        numbers: &[usize],
        rng: &mut Rng,
    ) -> Option<Turn> {
        let moves = self.moves.unwrap_or_else(|| {
            let most = self.most_moves();
            let least = if rng.unit() < 0.6 { (most / 2).max(1) } else { 1 };
            rng.between(least, most)
        });
        let deck: Vec<Card> = (0..numbers.len()).map(|at| Card::draw(at, numbers, names.len(), rng)).collect();
        let lines: Vec<String> = deck.iter().map(|card| card.line(names, numbers)).collect();
        let mut shown = lines.clone();
        rng.shuffle(&mut shown);
        let start = rng.below(deck.len());
        let question = format!(
            "{head}{} Start at card {}, play {moves} moves. Who has what?",
            shown.join(" "),
            numbers[start]
        );

        let mut steps = Vec::with_capacity(moves);
        let mut at = start;
        for i in 1..=moves {
            let Card { giver, taker, amount, watched, even, odd } = deck[at];
            let (gave, took) = (have[giver], have[taker]);
            if gave < amount || took + amount > TOP {
                return None;
            }
            have[giver] = gave - amount;
            have[taker] = took + amount;
            let is_even = have[watched].is_multiple_of(2);
            let next = if is_even { even } else { odd };
            steps.push(format!(
                "Move {i} of {moves}. {} {} {gave} - {amount} = {}, {} {took} + {amount} = {}. {} {} is {}, so card {}.",
                lines[at],
                names[giver],
                have[giver],
                names[taker],
                have[taker],
                names[watched],
                have[watched],
                if is_even { "even" } else { "odd" },
                numbers[next],
            ));
            at = next;
        }
        let held: Vec<_> = names.iter().zip(have).map(|(name, n)| format!("{name} has {n}")).collect();
        Some(Turn { question, thinking: steps.join("\n"), answer: format!("{}.", held.join(", ")) })
    }
}

/// One card. People and cards are indices; `even` and `odd` are the card that follows.
#[derive(Clone, Copy)]
struct Card {
    number: usize,
    giver: usize,
    taker: usize,
    amount: usize,
    watched: usize,
    even: usize,
    odd: usize,
}
