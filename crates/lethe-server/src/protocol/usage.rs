//! What a request cost.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Tokens, and what the cache did.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct Usage {
    /// Of all prompts, each counted once.
    pub(crate) prompt_tokens: u64,
    /// Generated, in all choices.
    pub(crate) completion_tokens: u64,
    /// Both.
    pub(crate) total_tokens: u64,
    /// More about the prompts.
    pub(crate) prompt_tokens_details: PromptTokensDetails,
    /// More about the answers.
    pub(crate) completion_tokens_details: CompletionTokensDetails,
    /// The cache.
    pub(crate) kv: KvUsage,
}

/// More about prompts.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct PromptTokensDetails {
    /// Tokens that were in the cache already.
    pub(crate) cached_tokens: u64,
}

/// More about answers.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct CompletionTokensDetails {
    /// Tokens of thinking and its tags.
    pub(crate) reasoning_tokens: u64,
}

/// What the cache held and forgot. With several choices: sums, the largest peak, means over choices.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct KvUsage {
    /// Name of the policy.
    pub(crate) policy: String,
    /// Its options, resolved.
    #[schema(value_type = Object)]
    pub(crate) options: Map<String, Value>,
    /// Most slots of any layer.
    pub(crate) peak_slots: u64,
    /// Mean over steps and layers.
    pub(crate) mean_slots: f64,
    /// Slots forgotten, over all layers.
    pub(crate) evicted: u64,
    /// Prunings, over all layers.
    pub(crate) rounds: u64,
    /// Most bytes held.
    pub(crate) bytes: u64,
    /// Score that rounds dropped, as a share of the score before.
    pub(crate) dropped_mass: DroppedMass,
    /// Times the cap was tightened because memory ran short.
    pub(crate) tightened: u64,
    /// What the reader of the answer should know.
    pub(crate) warnings: Vec<String>,
}

/// Dropped mass over rounds.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub(crate) struct DroppedMass {
    /// Mean.
    pub(crate) mean: f64,
    /// Largest.
    pub(crate) max: f64,
}
