//! What a grammar may cost: it comes from whoever sends requests, and everybody waits for its masks.

use llguidance::api::ParserLimits;
use serde_json::Value;

use crate::GrammarError;

/// Most bytes of a grammar as it is given; a schema counts as its JSON.
pub const MAX_BYTES: usize = 256 << 10;

/// Most levels of lists and objects within each other in a schema.
pub const MAX_DEPTH: usize = 64;

/// Bounds on compiling and on every mask. Real schemas need a few percent of each; what does not fit fails by name.
pub(crate) fn parser() -> ParserLimits {
    ParserLimits {
        max_items_in_row: 2000,
        // tens of milliseconds of compiling
        initial_lexer_fuel: 1_000_000,
        max_grammar_size: 200_000,
        // some ten milliseconds a mask, which others in the batch wait for
        step_lexer_fuel: 100_000,
        step_max_items: 50_000,
        // up to 2 kB each
        max_lexer_states: 20_000,
        // an error goes to whoever sent the request, who knows the grammar and not the parser
        verbose_errors: false,
        ..ParserLimits::default()
    }
}

/// Refuses what is too large to begin with.
pub(crate) fn check_text(text: &str) -> Result<(), GrammarError> {
    if text.len() > MAX_BYTES { Err(GrammarError::TooLarge { bytes: text.len() }) } else { Ok(()) }
}

/// [`check_text`] for a schema, and a bound on its depth: compilers recurse.
pub(crate) fn check_schema(schema: &Value) -> Result<(), GrammarError> {
    let mut level: Vec<&Value> = vec![schema];
    for _ in 0..MAX_DEPTH {
        level = level.into_iter().flat_map(children).collect();
        if level.is_empty() {
            return check_text(&schema.to_string());
        }
    }
    Err(GrammarError::TooDeep)
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => Vec::new(),
    }
}
