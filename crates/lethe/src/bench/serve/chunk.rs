//! One event of a completion as it streams: text, the reason for its end, counts, or an error.

use serde::Deserialize;
use serde_json::Value;

/// A chunk of either endpoint; what is not needed is passed over.
#[derive(Debug, Deserialize)]
pub(super) struct Chunk {
    choices: Option<Vec<Choice>>,
    pub(super) usage: Option<Usage>,
    error: Option<Value>,
    object: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    text: Option<String>,
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Delta {
    content: Option<String>,
    reasoning: Option<String>,
    reasoning_content: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Value>,
}

/// Counts as the server makes them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(super) struct Usage {
    pub(super) prompt_tokens: Option<u64>,
    pub(super) completion_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    /// What the cache held; only Lethe says it.
    pub(super) kv: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl Chunk {
    /// Reads the data of an event.
    pub(super) fn read(data: &str) -> Result<Chunk, serde_json::Error> {
        serde_json::from_str(data)
    }

    /// The error that the server reports in place of more text.
    pub(super) fn error(&self, data: &str) -> Option<String> {
        let reported = self.error.as_ref().is_some_and(|error| !error.is_null());
        (reported || self.object.as_deref() == Some("error")).then(|| {
            serde_json::from_str(data).map_or_else(|_| data.to_owned(), |object| crate::remote::message(&object))
        })
    }

    /// True for a chunk of a completion, with or without text.
    pub(super) fn is_completion(&self) -> bool {
        self.choices.is_some()
    }

    /// True when it brings something generated: text, thinking or a part of a call. The chunk that only names the role
    /// does not.
    pub(super) fn has_text(&self) -> bool {
        let some = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        self.choices.iter().flatten().any(|choice| {
            some(&choice.text)
                || choice.delta.as_ref().is_some_and(|delta| {
                    [&delta.content, &delta.reasoning, &delta.reasoning_content, &delta.refusal].into_iter().any(some)
                        || delta.tool_calls.as_ref().and_then(Value::as_array).is_some_and(|calls| !calls.is_empty())
                })
        })
    }

    /// Why a choice ended, if one did.
    pub(super) fn finish_reason(&self) -> Option<&str> {
        self.choices.iter().flatten().find_map(|choice| choice.finish_reason.as_deref())
    }
}

impl Usage {
    /// Prompt tokens that were not computed again.
    pub(super) fn cached_tokens(&self) -> u64 {
        self.prompt_tokens_details.as_ref().and_then(|details| details.cached_tokens).unwrap_or(0)
    }

    /// Generated tokens that are thinking.
    pub(super) fn reasoning_tokens(&self) -> u64 {
        self.completion_tokens_details.as_ref().and_then(|details| details.reasoning_tokens).unwrap_or(0)
    }

    /// A number of `kv`; the mean where there is one for every layer.
    pub(super) fn kv_mean(&self, key: &str) -> Option<f64> {
        let layers = self.kv_numbers(key);
        (!layers.is_empty()).then(|| layers.iter().sum::<f64>() / layers.len() as f64)
    }

    /// A number of `kv`; the sum where there is one for every layer.
    pub(super) fn kv_sum(&self, key: &str) -> Option<f64> {
        let layers = self.kv_numbers(key);
        (!layers.is_empty()).then(|| layers.iter().sum())
    }

    /// How many warnings the server gives about what was forgotten.
    pub(super) fn warnings(&self) -> usize {
        self.kv.as_ref().and_then(|kv| kv.get("warnings")).and_then(Value::as_array).map_or(0, Vec::len)
    }

    fn kv_numbers(&self, key: &str) -> Vec<f64> {
        let value = self.kv.as_ref().and_then(|kv| kv.get(key));
        let layers = value.and_then(Value::as_array).map(Vec::as_slice);
        layers.or(value.map(std::slice::from_ref)).unwrap_or_default().iter().filter_map(Value::as_f64).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(data: &str) -> Chunk {
        Chunk::read(data).expect("a chunk")
    }

    #[test]
    fn text_is_told_from_what_stands_around_it() {
        for (data, text) in [
            (r#"{"choices": [{"text": "a", "index": 0}]}"#, true),
            (r#"{"choices": [{"text": "", "finish_reason": "stop"}]}"#, false),
            (r#"{"choices": [{"delta": {"role": "assistant", "content": ""}}]}"#, false),
            (r#"{"choices": [{"delta": {"role": "assistant", "content": null}}]}"#, false),
            (r#"{"choices": [{"delta": {"content": "a"}}]}"#, true),
            (r#"{"choices": [{"delta": {"reasoning_content": "a"}}]}"#, true),
            (r#"{"choices": [{"delta": {"reasoning": "a", "reasoning_content": "a"}}]}"#, true),
            (r#"{"choices": [{"delta": {"tool_calls": [{"index": 0}]}}]}"#, true),
            (r#"{"choices": [{"delta": {"tool_calls": []}}]}"#, false),
            (r#"{"choices": [], "usage": {"prompt_tokens": 3}}"#, false),
            (r#"{"choices": [{"delta": {}}, {"delta": {"content": "b"}}]}"#, true),
        ] {
            assert_eq!(read(data).has_text(), text, "{data}");
            assert!(read(data).is_completion(), "{data}");
        }
        assert_eq!(read(r#"{"choices": [{"delta": {}, "finish_reason": "length"}]}"#).finish_reason(), Some("length"));
        assert!(!read(r#"{"content": "llama.cpp's own", "stop": false}"#).is_completion());
    }

    #[test]
    fn usage_has_details_where_the_server_gives_them() {
        let usage = read(
            r#"{"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12,
                "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 2},
                "kv": {"peak_slots": [3, 5], "evicted": 9, "warnings": ["loop"]}}}"#,
        )
        .usage
        .expect("usage");
        assert_eq!((usage.prompt_tokens, usage.completion_tokens), (Some(7), Some(5)));
        assert_eq!((usage.cached_tokens(), usage.reasoning_tokens()), (4, 2));
        assert_eq!((usage.kv_mean("peak_slots"), usage.kv_sum("peak_slots")), (Some(4.0), Some(8.0)));
        assert_eq!((usage.kv_sum("evicted"), usage.kv_sum("rounds"), usage.warnings()), (Some(9.0), None, 1));
        let bare = read(r#"{"usage": {"prompt_tokens": 7, "prompt_tokens_details": null}}"#).usage.expect("usage");
        assert_eq!((bare.cached_tokens(), bare.completion_tokens, bare.kv_mean("evicted")), (0, None, None));
        assert_eq!(read(r#"{"choices": [], "usage": null}"#).usage, None);
    }

    #[test]
    fn errors_are_reported_in_several_shapes() {
        let said = |data: &str| read(data).error(data);
        assert_eq!(said(r#"{"error": {"message": "out of pages", "code": 500}}"#).as_deref(), Some("out of pages"));
        assert_eq!(said(r#"{"error": "gone"}"#).as_deref(), Some("gone"));
        assert_eq!(said(r#"{"object": "error", "message": "bad"}"#).as_deref(), Some("bad"));
        assert_eq!(said(r#"{"object": "text_completion", "choices": [], "error": null}"#), None);
    }
}
