//! Draws the README's picture: slots per layer while one problem is thought through, full cache and Lethe.
//!
//! `cargo run --release -p lethe-eval --example picture -- docs/forgetting.svg`

use std::sync::{Arc, Mutex};

use lethe_engine::{Core, EngineOptions, Event, Request};
use lethe_eval::problems::Cards;
use lethe_kernels::{Cpu, CpuOptions};
use lethe_model::{CpuBackend, Message, Model};
use lethe_policy::PolicySpec;
use plotters::prelude::*;

const POLICY: &str = "lethe:budget=350,trigger=cap,interval=16,half_life=16,recent_ratio=0.6";

type Fault = Box<dyn std::error::Error>;

fn main() -> Result<(), Fault> {
    let path = std::env::args().nth(1).ok_or("give the SVG file to write")?;
    let cpu = Cpu::new(CpuOptions::default())?;
    let model = Arc::new(Model::from_bytes(lethe_reasoner::FILES, CpuBackend::new(cpu))?);
    let problem = Cards::at(0.6).moves(20).generate(2000)?;
    let (Some(tokenizer), Some(template)) = (&model.tokenizer, &model.chat_template) else {
        return Err("the embedded model has a tokenizer and a template".into());
    };
    let question = Message::new("user", &problem.turns[0].question);
    let prompt = tokenizer.encode(&template.render(&[question], true, &serde_json::Map::new())?, false)?;
    let full = slots(&model, &prompt, PolicySpec::new("full")?)?;
    let lethe = slots(&model, &prompt, PolicySpec::parse(POLICY)?)?;
    draw(&path, &full, &lethe).map_err(|e| format!("{path}: {e}"))?;
    println!("{path}: {} tokens, at most {:?} and {:?} slots", full.len(), max(&full), max(&lethe));
    Ok(())
}

/// Slots of the longest layer after every step, from the prompt on: `(position, slots)`.
fn slots(model: &Arc<Model<CpuBackend>>, prompt: &[u32], policy: PolicySpec) -> Result<Vec<(f64, f64)>, Fault> {
    let layers = model.config.n_layers;
    let held = Arc::new(Mutex::new((vec![0usize; layers], Vec::new())));
    let mut core = Core::new(Arc::clone(model), EngineOptions::default())?;
    let seen = Arc::clone(&held);
    let mut position = 0;
    core.submit(1, Request { policy, ..Request::new(prompt.to_vec()) }, move |event| {
        let Ok(mut held) = seen.lock() else { return };
        let (slots, line) = &mut *held;
        match event {
            Event::Prefill { done, .. } => {
                position = done;
                slots.fill(done);
            }
            Event::Token { .. } => {
                let most = slots.iter().copied().max().unwrap_or(0);
                line.push((position as f64, most as f64));
                position += 1;
                slots.iter_mut().for_each(|n| *n += 1);
            }
            // told after the token whose step made the layer due; its slot is counted already
            Event::Round(round) => slots[round.layer] = round.after + 1,
            _ => {}
        }
    })?;
    while core.step() {}
    let line = held.lock().map_err(|_| "the sink panicked")?.1.clone();
    Ok(line)
}

fn max(line: &[(f64, f64)]) -> f64 {
    line.iter().map(|p| p.1).fold(0.0, f64::max)
}

fn draw(path: &str, full: &[(f64, f64)], lethe: &[(f64, f64)]) -> Result<(), Fault> {
    let area = SVGBackend::new(path, (860, 340)).into_drawing_area();
    area.fill(&WHITE)?;
    let last = full.last().map_or(1.0, |p| p.0);
    let mut chart = ChartBuilder::on(&area)
        .margin(14)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..last * 1.12, 0.0..max(full) * 1.08)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .label_style(("sans-serif", 14))
        .x_desc("tokens so far")
        .y_desc("slots per layer")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;
    for (line, name, colour) in [(full, "full", RGBColor(150, 150, 160)), (lethe, "lethe", RGBColor(20, 110, 180))] {
        chart.draw_series(LineSeries::new(line.iter().copied(), colour.stroke_width(2)))?;
        let &(x, y) = line.last().ok_or("no steps")?;
        let style = ("sans-serif", 16).into_font().color(&colour);
        chart.draw_series(std::iter::once(Text::new(format!("{name} {y:.0}"), (x + last * 0.01, y * 1.02), style)))?;
    }
    area.present()?;
    Ok(())
}
