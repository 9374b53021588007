//! What is to be run.

use std::collections::HashSet;

use lethe_engine::EngineOptions;
use lethe_policy::{PolicySpec, registry};
use serde_json::{Map, Value};

use super::setting::FULL;
use super::{Budget, Draws, GridError, Protection, Setting, Suite};

/// Questions, and under what they are answered. `full` always answers too.
#[derive(Clone, Debug)]
pub struct Grid {
    /// What is asked.
    pub suites: Vec<Suite>,
    /// The policies, without budgets. `full` among them changes nothing.
    pub policies: Vec<PolicySpec>,
    /// What they may hold.
    pub budgets: Vec<Budget>,
    /// Whether prompts are protected.
    pub protections: Vec<Protection>,
    /// How answers are drawn; `None` is greedily, once.
    pub draws: Option<Draws>,
    /// Seed of the problems, the draws and the bootstrap: the suites are drawn already.
    pub seed: u64,
    /// Variables of the chat template.
    pub template_args: Map<String, Value>,
    /// The engine; how many run at once changes no row.
    pub engine: EngineOptions,
}

/// Policies whose limit follows from memory, not from a budget.
const UNBUDGETED: [&str; 2] = [FULL, "auto"];

impl Grid {
    /// All questions with protected prompts: policies and budgets are still to be named.
    pub fn new(suites: Vec<Suite>) -> Grid {
        Grid {
            suites,
            policies: Vec::new(),
            budgets: Vec::new(),
            protections: vec![Protection::On],
            draws: None,
            seed: 0,
            template_args: Map::new(),
            engine: EngineOptions { kv_memory: 512 << 20, max_num_seqs: 48, ..EngineOptions::default() },
        }
    }

    /// The policies of a list such as `recency; lethe:half_life=16`; `all` stands for every one in the registry that takes
    /// a budget. None is run twice.
    ///
    /// # Errors
    /// [`GridError::Policy`].
    pub fn policies(mut self, list: &str) -> Result<Grid, GridError> {
        for text in list.split(';').map(str::trim).filter(|text| !text.is_empty()) {
            let mut add = |policy: PolicySpec| {
                if policy.name() != FULL && !self.policies.contains(&policy) {
                    self.policies.push(policy);
                }
            };
            if text == "all" {
                for info in registry().into_iter().filter(|info| !UNBUDGETED.contains(&info.name)) {
                    add(PolicySpec::new(info.name)?);
                }
            } else {
                add(PolicySpec::parse(text)?);
            }
        }
        Ok(self)
    }

    /// The budgets of a list such as `48,96,25%`. None is run twice.
    ///
    /// # Errors
    /// [`GridError::BadBudget`].
    pub fn budgets(mut self, list: &str) -> Result<Grid, GridError> {
        for text in list.split(',') {
            let budget = text.parse()?;
            if !self.budgets.contains(&budget) {
                self.budgets.push(budget);
            }
        }
        Ok(self)
    }

    /// The protections of a list: `on`, `off` or `on,off`.
    ///
    /// # Errors
    /// [`GridError::BadProtection`].
    pub fn protect(mut self, list: &str) -> Result<Grid, GridError> {
        self.protections = list.split(',').map(str::parse).collect::<Result<_, _>>()?;
        self.protections.sort_unstable();
        self.protections.dedup();
        Ok(self)
    }

    /// Every setting but `full`, in the order of the rows of a question.
    pub fn settings(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        for policy in &self.policies {
            for &budget in &self.budgets {
                for &protection in &self.protections {
                    settings.push(Setting { policy: policy.clone(), limit: Some((budget, protection)) });
                }
            }
        }
        settings
    }

    /// Rows of a whole run.
    pub fn len(&self) -> usize {
        let questions: usize = self.suites.iter().map(|suite| suite.questions.len()).sum();
        questions * self.draws.map_or(1, |draws| draws.samples) * (1 + self.settings().len())
    }

    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Finds out whether there is something to run, and rows can be told apart.
    pub(super) fn check(&self) -> Result<(), GridError> {
        for (nothing, what) in [
            (self.suites.iter().all(|suite| suite.questions.is_empty()), "questions"),
            (self.draws.is_some_and(|draws| draws.samples == 0), "samples"),
            (!self.policies.is_empty() && self.budgets.is_empty(), "budgets"),
            (!self.policies.is_empty() && self.protections.is_empty(), "protections"),
        ] {
            if nothing {
                return Err(GridError::Nothing(what));
            }
        }
        let mut seen = HashSet::new();
        for question in self.suites.iter().flat_map(|suite| &suite.questions) {
            if !seen.insert((&question.task, &question.id)) {
                return Err(GridError::SameId { task: question.task.clone(), id: question.id.clone() });
            }
        }
        Ok(())
    }

    /// Every setting in the order of the rows of a question, `full` first.
    pub(super) fn all_settings(&self) -> Result<Vec<Setting>, GridError> {
        Ok(std::iter::once(Setting::full()?).chain(self.settings()).collect())
    }
}
