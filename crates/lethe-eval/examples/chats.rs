//! Whether the chat template of a model gives the prompts that transformers renders with it.
//!
//! `cargo run --release -p lethe-eval --example chats -- MODEL REF.jsonl`, with the file that
//! `evidence/reference_chats.py` writes. What transformers refuses must be refused here. Fails unless all are equal.

mod common;

use std::process::ExitCode;

use common::{Fault, arguments, lines, open};
use lethe_model::Message;

#[derive(serde::Deserialize)]
struct Line {
    messages: Vec<Said>,
    /// `None` where transformers refused.
    rendered: Option<String>,
}

#[derive(serde::Deserialize)]
struct Said {
    role: String,
    content: String,
}

fn main() -> Result<ExitCode, Fault> {
    let [model, reference] = arguments("MODEL REF.jsonl")?;
    let template = open(&model, false)?.chat_template.ok_or("the model has no chat template")?;
    let lines: Vec<Line> = lines(&reference)?;
    let mut equal = 0;
    for (at, line) in lines.iter().enumerate() {
        let messages: Vec<Message> = line.messages.iter().map(|m| Message::new(&m.role, &m.content)).collect();
        let ours = template.render(&messages, true, &serde_json::Map::new());
        match (&ours, &line.rendered) {
            (Ok(ours), Some(theirs)) if ours == theirs => equal += 1,
            (Err(_), None) => equal += 1,
            _ => println!("conversation {}: {ours:?}\n    transformers {:?}", at + 1, line.rendered),
        }
    }
    println!("equal: {equal} of {}", lines.len());
    Ok(if equal == lines.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
