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

const POLICY: &str = "lethe+:budget=160,interval=16";

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
    let steps = full.first().map_or(0, Vec::len);
    println!("{path}: {steps} tokens, at most {} and {} slots on average over layers", most(&full), most(&lethe));
    Ok(())
}

/// Slots of a layer after every step, from the prompt on: `(position, slots)`.
type Line = Vec<(f64, f64)>;

/// The line of each layer.
fn slots(model: &Arc<Model<CpuBackend>>, prompt: &[u32], policy: PolicySpec) -> Result<Vec<Line>, Fault> {
    let layers = model.config.n_layers;
    let held = Arc::new(Mutex::new((vec![0usize; layers], vec![Line::new(); layers])));
    let mut core = Core::new(Arc::clone(model), EngineOptions::default())?;
    let seen = Arc::clone(&held);
    let mut position = 0;
    core.submit(1, Request { policy, ..Request::new(prompt.to_vec()) }, move |event| {
        let Ok(mut held) = seen.lock() else { return };
        let (slots, lines) = &mut *held;
        match event {
            Event::Prefill { done, .. } => {
                position = done;
                slots.fill(done);
            }
            Event::Token { .. } => {
                for (line, held) in lines.iter_mut().zip(&mut *slots) {
                    line.push((position as f64, *held as f64));
                    *held += 1;
                }
                position += 1;
            }
            // told after the token whose step made the layer due; its slot is counted already
            Event::Round(round) => slots[round.layer] = round.after + 1,
            _ => {}
        }
    })?;
    while core.step() {}
    let lines = held.lock().map_err(|_| "the sink panicked")?.1.clone();
    Ok(lines)
}

/// The most slots that were held at one time, the mean over layers.
fn most(lines: &[Line]) -> f64 {
    let steps = lines.iter().map(Vec::len).min().unwrap_or(0);
    let mean = |step: usize| lines.iter().map(|line| line[step].1).sum::<f64>() / lines.len() as f64;
    (0..steps).map(mean).fold(0.0, f64::max).round()
}

const FULL: RGBColor = RGBColor(150, 150, 160);
const LETHE: RGBColor = RGBColor(20, 110, 180);

/// One line for the full cache, whose layers hold the same, and one for each layer of the other.
fn draw(path: &str, full: &[Line], lethe: &[Line]) -> Result<(), Fault> {
    let full = full.first().ok_or("no layers")?;
    let last = full.last().ok_or("no steps")?.0;
    let area = SVGBackend::new(path, (860, 340)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(14)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..last * 1.16, 0.0..last * 1.08)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .label_style(("sans-serif", 14))
        .x_desc("tokens so far")
        .y_desc("slots of a layer")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;
    chart.draw_series(LineSeries::new(full.iter().copied(), FULL.stroke_width(2)))?;
    for line in lethe {
        chart.draw_series(LineSeries::new(line.iter().copied(), LETHE.stroke_width(1)))?;
    }
    let mut say = |text: String, at: (f64, f64), colour: &RGBColor| {
        let style = ("sans-serif", 16).into_font().color(colour);
        chart.draw_series(std::iter::once(Text::new(text, at, style))).map(|_| ())
    };
    say(format!("full {last:.0}"), (last * 1.01, last * 1.02), &FULL)?;
    let ends = || lethe.iter().filter_map(|line| line.last());
    let top = ends().map(|end| end.1).fold(0.0, f64::max);
    let mean = ends().map(|end| end.1).sum::<f64>() / lethe.len() as f64;
    say(format!("lethe+ {mean:.0}"), (last * 1.01, mean + last * 0.02), &LETHE)?;
    say("a line for each layer".to_owned(), (last * 0.72, top + last * 0.07), &LETHE)?;
    area.present()?;
    Ok(())
}
