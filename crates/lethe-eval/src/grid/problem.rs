//! Generated problems as questions.

use std::sync::Arc;

use lethe_model::{Message, Tokenizer};

use super::GridError;
use crate::problems::Problem;
use crate::question::{Grade, Grader, Question};

/// Tokens of the right reply to each turn. `[turns]`
pub(super) fn gold_tokens(problem: &Problem, tokenizer: &Tokenizer) -> Result<Vec<usize>, GridError> {
    problem.turns.iter().map(|turn| Ok(tokenizer.encode(&turn.reply(), false)?.len())).collect()
}

/// A problem as a question. An answer may be a quarter longer than the right one and 32 tokens: room for another wording, an
/// end for loops.
pub(super) fn question(problem: Problem, gold_tokens: &[usize]) -> Question {
    Question {
        task: problem.family.name().to_owned(),
        id: problem.seed.to_string(),
        turns: problem.turns.iter().map(|turn| vec![Message::new("user", &turn.question)]).collect(),
        max_tokens: gold_tokens.iter().map(|gold| gold * 5 / 4 + 32).collect(),
        grader: Arc::new(problem),
    }
}

/// Right or wrong by [`Problem::check`].
impl Grader for Problem {
    fn grade(&self, turn: usize, text: &str) -> Grade {
        let said = text.rsplit_once("</think>").map(|(_, said)| said.trim().to_owned());
        Grade { right: vec![self.check(turn, text)], found: said.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problems::{Family, generate};

    #[test]
    fn the_gold_reply_is_right_and_others_are_not() {
        for family in Family::ALL {
            let problem = generate(family, 0.4, 3);
            for (at, turn) in problem.turns.iter().enumerate() {
                let grade = problem.grade(at, &format!("{}<|im_end|>", turn.reply()));
                assert!(grade.all(), "{family}");
                assert_eq!(grade.found, [format!("{}<|im_end|>", turn.answer)]);
                let cut = problem.grade(at, "<think>\nDay 1");
                assert_eq!((cut.right, cut.found.len()), (vec![false], 0));
            }
        }
    }
}
