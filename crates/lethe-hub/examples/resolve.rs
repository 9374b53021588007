//! Finds the models named on the command line, or lists the cache: `cargo run -p lethe-hub --example resolve -- org/name:Q8_0`

use lethe_hub::{Bytes, Event, Hub, HubOptions, ModelRef};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hub = Hub::new(HubOptions::from_env()?)?;
    let names: Vec<String> = std::env::args().skip(1).collect();
    for name in &names {
        let model: ModelRef = name.parse()?;
        let found = hub.resolve(&model, &mut |event| {
            if !matches!(event, Event::Bytes { .. }) {
                eprintln!("{event:?}");
            }
        })?;
        println!("{}", found.path.display());
    }
    if names.is_empty() {
        for model in hub.cached()? {
            println!("{} ({})", model.repo, Bytes(model.bytes));
            for runnable in model.revisions.iter().flat_map(|revision| &revision.runnable) {
                println!("  {} ({})", runnable.reference, Bytes(runnable.bytes));
            }
        }
    }
    Ok(())
}
