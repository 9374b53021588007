//! What a model generates, taken apart: thinking, answer, calls; probabilities and usage beside them.

pub(crate) mod choice;
pub(crate) mod forced_call;
pub(crate) mod json_calls;
pub(crate) mod scored;
pub(crate) mod splitter;
pub(crate) mod tagged_calls;
pub(crate) mod tool_calls;
pub(crate) mod trace;
pub(crate) mod usage;
