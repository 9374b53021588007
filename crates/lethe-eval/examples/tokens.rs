//! Whether the tokenizer of a model gives the ids that other implementations give.
//!
//! `cargo run --release -p lethe-eval --example tokens -- MODEL REF.jsonl`, with the file that
//! `evidence/reference_tokens.py` writes: `text` and the ids of each reference. Fails unless every line equals one of
//! them.

mod common;

use std::collections::BTreeMap;
use std::process::ExitCode;

use common::{Fault, arguments, lines, open};

const SHOWN: usize = 10;

#[derive(serde::Deserialize)]
struct Line {
    text: String,
    /// By name of the reference.
    #[serde(flatten)]
    ids: BTreeMap<String, Vec<u32>>,
}

fn main() -> Result<ExitCode, Fault> {
    let [model, reference] = arguments("MODEL REF.jsonl")?;
    let tokenizer = open(&model, false)?.tokenizer.ok_or("the model has no tokenizer")?;
    let lines: Vec<Line> = lines(&reference)?;
    let mut equal: BTreeMap<&str, usize> = BTreeMap::new();
    let mut equal_any = 0;
    for (before, line) in lines.iter().enumerate() {
        let ids = tokenizer.encode(&line.text, false)?;
        let same: Vec<&str> = line.ids.iter().filter(|(_, theirs)| **theirs == ids).map(|(name, _)| &**name).collect();
        for name in line.ids.keys() {
            *equal.entry(name).or_default() += usize::from(same.contains(&name.as_str()));
        }
        if !same.is_empty() {
            equal_any += 1;
        } else if before - equal_any < SHOWN {
            show(&line.text, &ids, &line.ids);
        }
    }
    for (name, count) in &equal {
        println!("equal to {name}: {count} of {}", lines.len());
    }
    println!("equal to any: {equal_any} of {}", lines.len());
    Ok(if equal_any == lines.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One line on which nobody agrees, from the first id on that differs from each reference.
fn show(text: &str, ids: &[u32], references: &BTreeMap<String, Vec<u32>>) {
    println!("{text:?}");
    for (name, theirs) in references {
        let at = ids.iter().zip(theirs).take_while(|(a, b)| a == b).count();
        let some = |ids: &[u32]| ids[at..].iter().take(6).copied().collect::<Vec<_>>();
        println!("    from token {at}: {:?}, {name} {:?}", some(ids), some(theirs));
    }
}
