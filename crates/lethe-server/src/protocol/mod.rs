//! The bodies of requests and responses, as the OpenAI API and its servers write them.

pub(crate) mod body;
pub(crate) mod chat;
pub(crate) mod completion;
pub(crate) mod format;
pub(crate) mod generation;
pub(crate) mod kv_policy;
pub(crate) mod loads;
pub(crate) mod logprobs;
pub(crate) mod message;
pub(crate) mod models;
pub(crate) mod tokens;
pub(crate) mod tool;
pub(crate) mod unsupported;
pub(crate) mod usage;
