//! The fields that every generating endpoint reads.

use std::collections::BTreeMap;

use serde::Deserialize;
use utoipa::ToSchema;

use crate::protocol::body::fields;
use crate::protocol::format::ResponseFormat;
use crate::protocol::kv_policy::KvPolicy;

/// How to generate.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub(crate) struct GenerationFields {
    /// Name of the model; the one served when absent.
    pub(crate) model: Option<String>,
    /// Most new tokens.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub(crate) max_tokens: Option<u32>,
    /// Fewest new tokens before the answer may end.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub(crate) min_tokens: Option<u32>,
    /// 0 is greedy; the default is the model's own.
    #[schema(minimum = 0, maximum = 100)]
    pub(crate) temperature: Option<f64>,
    /// Fewest tokens that reach this probability.
    #[schema(exclusive_minimum = 0, maximum = 1)]
    pub(crate) top_p: Option<f64>,
    /// Only so many likeliest tokens; 0 and -1 are all.
    #[schema(minimum = -1, maximum = 1_000_000)]
    pub(crate) top_k: Option<i64>,
    /// Only tokens at least this fraction of the likeliest.
    #[schema(minimum = 0, maximum = 1)]
    pub(crate) min_p: Option<f64>,
    /// Subtracted from tokens already generated.
    #[schema(minimum = -2, maximum = 2)]
    pub(crate) presence_penalty: Option<f64>,
    /// Subtracted for each time a token was generated.
    #[schema(minimum = -2, maximum = 2)]
    pub(crate) frequency_penalty: Option<f64>,
    /// Divides the logits of tokens already seen; 1 is off.
    #[schema(minimum = 0.01, maximum = 100)]
    pub(crate) repetition_penalty: Option<f64>,
    /// Token ids, as text, and what is added to their logits.
    pub(crate) logit_bias: Option<BTreeMap<String, f64>>,
    /// Seed of every draw; choice `i` of `n` adds `i`. A random one when absent.
    pub(crate) seed: Option<i64>,
    /// Answers to the same prompt.
    #[schema(minimum = 1, maximum = 128)]
    pub(crate) n: Option<u32>,
    /// Texts that end the answer and are not part of it.
    pub(crate) stop: Option<Stop>,
    /// Ids that end the answer.
    #[schema(max_items = 64)]
    pub(crate) stop_token_ids: Option<Vec<u32>>,
    /// Go on past the model's end.
    pub(crate) ignore_eos: Option<bool>,
    /// Send the answer as it grows.
    pub(crate) stream: Option<bool>,
    /// How to stream.
    pub(crate) stream_options: Option<StreamOptions>,
    /// What the answer must look like.
    pub(crate) response_format: Option<ResponseFormat>,
    /// What the cache may forget.
    pub(crate) kv_policy: Option<KvPolicy>,
    /// What counts as a loop; off when absent.
    pub(crate) repetition_detection: Option<RepetitionFields>,
}

fields!(GenerationFields);

/// One text or several.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
pub(crate) enum Stop {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// Options of a stream.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamOptions {
    /// Send a last chunk with the usage.
    pub(crate) include_usage: Option<bool>,
    /// Without meaning here: nothing is obfuscated.
    #[allow(dead_code)] // accepted, for clients that always send it
    pub(crate) include_obfuscation: Option<bool>,
}

/// A loop is a pattern of `min_pattern_size` to `max_pattern_size` tokens, `min_count` times in a row. In thinking it
/// closes the thinking, elsewhere it ends the answer.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RepetitionFields {
    /// Longest pattern, in tokens; 0 is off.
    #[schema(minimum = 0, maximum = 1024)]
    pub(crate) max_pattern_size: u32,
    /// Shortest pattern.
    #[schema(minimum = 0, maximum = 1024)]
    #[serde(default)]
    pub(crate) min_pattern_size: u32,
    /// Times in a row.
    #[schema(minimum = 2, maximum = 1024)]
    pub(crate) min_count: u32,
}
