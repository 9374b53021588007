//! The options that the baselines share: one budget per layer, and when it is enforced.

use crate::budget::Budget;
use crate::error::PolicyError;
use crate::option::Options;
use crate::policy::ProtectPrompt;
use crate::schema::{INTERVAL, PROTECT_PROMPT, SINKS};

/// A budget per layer, sinks, interval and which prompts are pinned.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    pub(crate) budget: Budget,
    pub(crate) sinks: usize,
    pub(crate) interval: usize,
    pub(crate) protect: ProtectPrompt,
}

impl Quota {
    /// Reads `cap` or `budget`, `sinks`, `interval` and `protect_prompt`.
    ///
    /// # Errors
    /// [`PolicyError::Conflict`] where cap and budget are given, [`PolicyError::Missing`] where neither is.
    pub fn from_options(options: &Options<'_>) -> Result<Self, PolicyError> {
        let budget = Budget::from_options(options)?.ok_or(PolicyError::Missing {
            policy: options.policy(),
            what: "it",
            needs: "`cap` (all slots of a layer) or `budget` (slots beyond the pinned ones), such as budget=256",
        })?;
        Ok(Quota {
            budget,
            sinks: options.number(SINKS.key)?,
            interval: options.number(INTERVAL.key)?,
            protect: ProtectPrompt::from_word(options.word(PROTECT_PROMPT.key)),
        })
    }

    /// The options of the quota, for reports.
    pub(crate) fn report(&self) -> Vec<(&'static str, String)> {
        vec![
            self.budget.report(),
            (SINKS.key, self.sinks.to_string()),
            (INTERVAL.key, self.interval.to_string()),
            (PROTECT_PROMPT.key, self.protect.word().to_owned()),
        ]
    }
}
