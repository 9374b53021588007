//! `reasoner-s`, the model that comes with Lethe: 4.3 million parameters that think through long bookkeeping problems,
//! and nothing else. The card (`model/README.md`) says how it was trained and what it can and cannot do.
#![forbid(unsafe_code)]

use lethe_model::ModelBytes;

/// Name of the model.
pub const NAME: &str = "reasoner-s";

/// The model card, Markdown.
pub const CARD: &str = include_str!("../model/README.md");

/// 100 problems that it never saw in training, one JSON object a line: `family, level, question, thinking, answer,
/// prompt_ids, gold_ids, greedy_ids` (by `transformers` in float32) and whether that answer is `right`.
pub const PROBLEMS: &str = include_str!("../model/problems.jsonl");

/// Its files.
pub const FILES: ModelBytes = ModelBytes {
    config: include_bytes!("../model/config.json"),
    generation_config: include_bytes!("../model/generation_config.json"),
    tokenizer: include_bytes!("../model/tokenizer.json"),
    tokenizer_config: include_bytes!("../model/tokenizer_config.json"),
    weights: include_bytes!("../model/model.safetensors"),
};
