//! What is asked of a model, whoever wrote it, and who says what an answer is worth.

use std::fmt::Debug;
use std::sync::Arc;

use lethe_model::Message;

/// A question of one or more turns.
#[derive(Clone, Debug)]
pub struct Question {
    /// The family or dataset that it belongs to: results are told apart by it.
    pub task: String,
    /// Its name, one of a kind within the task.
    pub id: String,
    /// What each turn adds to the conversation before the model answers; later turns come after its answers. `[turns]`
    pub turns: Vec<Vec<Message>>,
    /// Most new tokens of each turn. `[turns]`
    pub max_tokens: Vec<usize>,
    /// Who marks the answers.
    pub grader: Arc<dyn Grader>,
}

/// Marks answers.
pub trait Grader: Debug + Send + Sync {
    /// What the text of a whole answer to turn `turn`, thinking included, is worth.
    ///
    /// A pure function: the same text gets the same mark.
    fn grade(&self, turn: usize, text: &str) -> Grade;
}

/// The mark of one answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grade {
    /// Whether each thing that was asked for is right. Never empty; most turns ask for one.
    pub right: Vec<bool>,
    /// What was taken for the answers, where any were found.
    pub found: Vec<String>,
}

impl Grade {
    /// Whether everything is right.
    pub fn all(&self) -> bool {
        !self.right.is_empty() && self.right.iter().all(|&right| right)
    }
}
