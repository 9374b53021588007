//! Why a grid cannot be run.

use std::path::PathBuf;

use lethe_engine::{EngineError, Failure, SubmitError};
use lethe_model::{ChatPromptError, LoadError, TemplateError, TokenizerError};
use lethe_policy::PolicyError;

/// A grid that cannot be run, or a folder of results that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GridError {
    /// Not a budget.
    #[error(
        "`{text}` is no budget: give slots beyond the prompt, such as 96, or a share of what full holds there, such as 25%"
    )]
    BadBudget {
        /// What was given.
        text: String,
    },
    /// Neither on nor off.
    #[error("`{text}` is no protection of the prompt: give on, off, or on,off")]
    BadProtection {
        /// What was given.
        text: String,
    },
    /// A seed too large to number its problems.
    #[error("seed {seed} is too large: problem i of a seed has seed * 1000000 + i, so give {most} at most")]
    BadSeed {
        /// What was given.
        seed: u64,
        /// The largest.
        most: u64,
    },
    /// No problems, or more than a seed has.
    #[error("{asked} problems were asked for; choose 1 to {most}")]
    TooMany {
        /// What was asked for.
        asked: usize,
        /// Most there are.
        most: usize,
    },
    /// Hardly a problem of a level has the length asked for.
    #[error(
        "{task}: only {found} problems of level {level} with right answers of {least} to {most} slots were found; change \
         the level or the length"
    )]
    TooRare {
        /// The task.
        task: String,
        /// The level.
        level: f64,
        /// Fewest slots.
        least: usize,
        /// Most slots.
        most: usize,
        /// How many were found.
        found: usize,
    },
    /// No questions, policies, budgets or protections.
    #[error("there is nothing to run: the grid has no {0}")]
    Nothing(&'static str),
    /// Two questions with one name.
    #[error("task {task} has two questions with the id {id}: rows could not be told apart")]
    SameId {
        /// The task.
        task: String,
        /// The id.
        id: String,
    },
    /// A policy that cannot be given a budget.
    #[error("policy {policy}: {source}")]
    Unfit {
        /// As it was asked for.
        policy: String,
        /// Why.
        source: PolicyError,
    },
    /// A policy that there is not.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A model that takes ids only.
    #[error("{model} has no tokenizer or no chat template, so it cannot be asked in words: take another model")]
    NoTemplate {
        /// The model.
        model: String,
    },
    /// A template that does not print replies as they are.
    #[error(
        "the chat template of this model does not print each reply once, so that later turns cannot be appended: ask questions of one turn"
    )]
    NoLaterTurns,
    /// The template refuses the question.
    #[error("{task} {id}: {source}")]
    Prompt {
        /// The task.
        task: String,
        /// The question.
        id: String,
        /// Why.
        source: ChatPromptError,
    },
    /// The tokenizer refuses a text.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The template refuses a later turn.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// No compute pool.
    #[error("{0}")]
    Cpu(String),
    /// The embedded model does not load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// No engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The engine refused a request.
    #[error("{what}: {source}")]
    Submit {
        /// Question and setting.
        what: String,
        /// Why.
        source: SubmitError,
    },
    /// The engine failed in a way that says nothing about the policy.
    #[error("{what}: {failure}")]
    Failed {
        /// Question and setting.
        what: String,
        /// Why.
        failure: Failure,
    },
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that says something else than it should.
    #[error("{}, line {line}: {source}; mend it, or name another folder", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A file in another encoding, or damaged.
    #[error("{}, line {line}: not UTF-8; mend it, or name another folder", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The first such line.
        line: usize,
    },
    /// Results of another grid.
    #[error(
        "{} holds results of another run: {field} was {was} and is {now} now; run with the same options to go on, or name \
         another folder", path.display()
    )]
    Differs {
        /// Its manifest.
        path: PathBuf,
        /// What differs.
        field: String,
        /// There.
        was: String,
        /// Here.
        now: String,
    },
    /// Another process writes there.
    #[error("{}: another process is writing results there: wait for it, or name another folder", path.display())]
    Busy {
        /// The journal.
        path: PathBuf,
    },
    /// A folder without results.
    #[error("{}: there are no finished results (results.jsonl) there: run `lethe eval --out` with it first", path.display())]
    NoResults {
        /// The folder.
        path: PathBuf,
    },
}
