//! Fields of other servers: which change nothing here, and which cannot be honoured.

use serde_json::Value;

/// Fields that say something about the request and nothing about the answer.
pub(crate) const HARMLESS: [&str; 8] = [
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "cache_prompt",
];

/// Whether a field may be passed over: it says nothing about the answer, or asks for what happens anyway.
pub(crate) fn harmless(key: &str, value: &Value) -> bool {
    HARMLESS.contains(&key) || neutral().iter().any(|(name, usual)| *name == key && usual == value)
}

/// Fields that are accepted only with the value that they have here in any case.
pub(crate) fn neutral() -> [(&'static str, Value); 7] {
    [
        ("modalities", Value::from(vec!["text"])),
        ("skip_special_tokens", true.into()),
        ("spaces_between_special_tokens", true.into()),
        ("add_generation_prompt", true.into()),
        ("continue_final_message", false.into()),
        ("include_reasoning", true.into()),
        ("use_beam_search", false.into()),
    ]
}

/// What to do instead of a known field that is not supported; empty where there is nothing.
pub(crate) fn hint(key: &str) -> Option<&'static str> {
    HINTS.iter().find(|(name, _)| *name == key).map(|(_, hint)| *hint)
}

const TOOLS: &str = "use `tools` and `tool_choice`";
const FORMAT: &str = "use `response_format`";

const HINTS: [(&str, &str); 40] = [
    ("functions", TOOLS),
    ("function_call", TOOLS),
    ("audio", "this server generates text only"),
    ("modalities", "this server generates text only"),
    ("prediction", ""),
    ("web_search_options", ""),
    ("verbosity", ""),
    ("suffix", ""),
    ("best_of", "use `n`"),
    ("guided_json", FORMAT),
    ("guided_regex", FORMAT),
    ("guided_choice", FORMAT),
    ("guided_grammar", FORMAT),
    ("structured_outputs", FORMAT),
    ("grammar", FORMAT),
    ("json_schema", FORMAT),
    ("use_beam_search", ""),
    ("length_penalty", ""),
    ("early_stopping", ""),
    ("logits_processors", "use `logit_bias`"),
    ("prompt_logprobs", "use `echo` with `logprobs` on /v1/completions"),
    ("truncate_prompt_tokens", "shorten the prompt"),
    ("skip_special_tokens", "special tokens are never shown"),
    ("spaces_between_special_tokens", ""),
    ("add_generation_prompt", "an answer is always begun"),
    ("continue_final_message", "use /v1/completions with the rendered prompt"),
    ("chat_template", "the model's own template is used; see `chat_template_kwargs`"),
    ("documents", ""),
    ("include_reasoning", ""),
    ("bad_words", "use `logit_bias`"),
    ("allowed_token_ids", "use `logit_bias`"),
    ("include_stop_str_in_output", ""),
    ("include_stop_token", ""),
    ("typical_p", ""),
    ("tfs_z", ""),
    ("mirostat", ""),
    ("dynatemp_range", ""),
    ("dry_multiplier", "use `repetition_penalty`"),
    ("samplers", ""),
    ("prompt_embeds", ""),
];
