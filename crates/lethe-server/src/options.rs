//! How a server behaves, whatever model it serves.

use std::time::Duration;

use lethe_policy::PolicySpec;

/// Settings of a server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names under which the model is asked for; at least one, the first is the one that answers give.
    pub names: Vec<String>,
    /// What the cache forgets where a request does not say.
    pub policy: PolicySpec,
    /// Whether a request may let its prompt be forgotten.
    pub allow_unprotected_prompt: bool,
    /// Dropped mass of a round, from 0 to 1, past which the usage has a warning.
    pub risk_mass: f64,
    /// Keys of which a client must have one; none lets everybody in.
    pub api_keys: Vec<String>,
    /// What becomes of thinking.
    pub reasoning: Reasoning,
    /// Longest time from a request to its last token.
    pub request_timeout: Option<Duration>,
    /// Most bytes of a body.
    pub body_limit: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            names: vec!["lethe".to_owned()],
            policy: PolicySpec::default(),
            allow_unprotected_prompt: false,
            risk_mass: 0.1,
            api_keys: Vec::new(),
            reasoning: Reasoning::Split,
            request_timeout: None,
            body_limit: 8 << 20,
        }
    }
}

/// What becomes of the thinking in a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reasoning {
    /// It goes into `reasoning` and `reasoning_content`.
    Split,
    /// It stays in the text, with its tags.
    Verbatim,
}
