//! Two charts over time as SVG: slots of each layer, and how sparse each layer's scores are.
//!
//! Text and axes have the colour of their surroundings: black in a paper, light on a dark page. The root element says where the
//! plot is (`data-left`, `data-right`, `data-last`), so that a page can lay a cursor over it.

use std::fmt::Write;

use super::colour::colour;
use super::{By, Trace};

/// Units of the picture; it is scaled as a whole.
const WIDTH: f64 = 860.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = WIDTH - 84.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 46.0;

/// The plot of a chart: time to the right, in tokens.
struct Plot {
    svg: String,
    height: f64, // of the plot
    last: usize, // tokens
}

impl Plot {
    fn new(trace: &Trace, height: f64, name: &str) -> Plot {
        let last = trace.tokens().max(1);
        let full = TOP + height + BOTTOM;
        let mut plot = Plot { svg: String::new(), height, last };
        plot.put(format_args!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {full}" role="img" font-family="sans-serif" font-size="13" color="black" data-left="{LEFT}" data-right="{RIGHT}" data-last="{last}"><title>{name}</title>"#,
        ));
        plot
    }

    fn put(&mut self, part: std::fmt::Arguments<'_>) {
        let _ = self.svg.write_fmt(part); // a string takes anything
    }

    fn x(&self, tokens: f64) -> f64 {
        tenth(LEFT + tokens / self.last as f64 * (RIGHT - LEFT))
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, text: &str) {
        self.put(format_args!(r#"<text x="{x}" y="{y}" text-anchor="{anchor}" fill="currentColor">{text}</text>"#));
    }

    /// The axis of time, and a line where each answer begins.
    fn time(&mut self, trace: &Trace) {
        let base = TOP + self.height;
        self.put(format_args!(
            r#"<path d="M{LEFT} {TOP}V{base}H{RIGHT}" fill="none" stroke="currentColor" stroke-width="1"/>"#
        ));
        for tick in ticks(self.last as f64, 8) {
            let x = self.x(tick);
            self.put(format_args!(r#"<path d="M{x} {base}v5" stroke="currentColor"/>"#));
            self.text(x, base + 19.0, "middle", &tick.to_string());
        }
        self.text((LEFT + RIGHT) / 2.0, base + 38.0, "middle", "tokens so far");
        let mut at = 0;
        for segment in &trace.segments {
            if segment.by == By::Model {
                let x = self.x(at as f64);
                self.put(format_args!(
                    r#"<path d="M{x} {TOP}V{base}" stroke="currentColor" stroke-dasharray="1 3" stroke-opacity=".7"/>"#
                ));
            }
            at += segment.ids.len();
        }
    }

    /// A key at the right: colours from `low` at the bottom to `high` at the top, and what they mean.
    fn key(&mut self, low: &str, high: &str, what: &str) {
        let (x, steps) = (RIGHT + 14.0, 16);
        let step = self.height / f64::from(steps);
        for i in 0..steps {
            let y = tenth(TOP + self.height - step * f64::from(i + 1));
            let fill = colour(f64::from(i) / f64::from(steps - 1));
            self.put(format_args!(
                r#"<rect x="{x}" y="{y}" width="10" height="{}" fill="{fill}"/>"#,
                tenth(step + 0.3)
            ));
        }
        self.text(x + 15.0, TOP + 10.0, "start", high);
        self.text(x + 15.0, TOP + self.height, "start", low);
        let (x, y) = (x + 24.0, TOP + self.height / 2.0);
        self.put(format_args!(
            r#"<text x="{x}" y="{y}" text-anchor="middle" fill="currentColor" transform="rotate(90 {x} {y})">{what}</text>"#
        ));
    }

    fn upright(&mut self, what: &str) {
        let (x, y) = (16.0, TOP + self.height / 2.0);
        self.put(format_args!(
            r#"<text x="{x}" y="{y}" text-anchor="middle" fill="currentColor" transform="rotate(-90 {x} {y})">{what}</text>"#
        ));
    }

    fn done(mut self) -> String {
        self.svg.push_str("</svg>\n");
        self.svg
    }
}

/// Slots of each layer over time, a line each; the dashed one is what a cache holds that forgets nothing.
pub fn slots(trace: &Trace) -> String {
    let mut plot = Plot::new(trace, 250.0, "slots per layer over time");
    let most = trace.rounds.iter().map(|round| round.before).max().unwrap_or(0).max(1);
    let most = if trace.rounds.is_empty() { plot.last } else { most.max(plot.last.min(most.saturating_mul(2))) };
    let height = plot.height;
    let y = |slots: f64| tenth(TOP + height * (1.0 - slots / (most as f64 * 1.04)));
    for tick in ticks(most as f64, 5) {
        let at = y(tick);
        plot.put(format_args!(r#"<path d="M{LEFT} {at}H{RIGHT}" stroke="currentColor" stroke-opacity=".12"/>"#));
        plot.text(LEFT - 7.0, at + 4.0, "end", &tick.to_string());
    }
    let (x, top) = (plot.x(most as f64), y(most as f64));
    let start = y(0.0);
    plot.put(format_args!(
        r#"<path d="M{LEFT} {start}L{x} {top}" stroke="currentColor" stroke-dasharray="5 4" stroke-opacity=".5"/>"#
    ));
    for layer in 0..trace.header.layers {
        let stroke = layer_colour(layer, trace.header.layers);
        let mut path = format!("M{LEFT} {start}");
        let (mut at, mut held) = (0, 0);
        for round in trace.rounds.iter().filter(|round| round.layer == layer && round.before > round.after) {
            let x = plot.x(f64::from(round.position));
            let _ = write!(path, "L{x} {}V{}", y(round.before as f64), y(round.after as f64));
            (at, held) = (round.position as usize, round.after);
        }
        let fed = plot.last.saturating_sub(1).max(at);
        let _ = write!(path, "L{} {}", plot.x(fed as f64), y(held as f64 + (fed - at) as f64));
        plot.put(format_args!(
            r#"<path d="{path}" fill="none" stroke="{stroke}" stroke-width="1.3"><title>layer {layer}</title></path>"#
        ));
    }
    plot.time(trace);
    plot.upright("slots");
    plot.key("0", &(trace.header.layers - 1).to_string(), "layer");
    plot.done()
}

/// Sparsity of each layer's scores over time (Hoyer): `None` for policies without scores.
pub fn heatmap(trace: &Trace) -> Option<String> {
    let layers = trace.header.layers;
    let levels: Vec<_> = trace.levels.iter().filter(|level| level.hoyer.len() == layers).collect();
    let most = levels.iter().flat_map(|level| &level.hoyer).copied().fold(0.0, f64::max);
    if levels.is_empty() || most <= 0.0 {
        return None;
    }
    let most = (most * 10.0).ceil() / 10.0;
    let row = (250.0 / layers as f64).clamp(6.0, 34.0);
    let mut plot = Plot::new(trace, row * layers as f64, "sparsity of scores, layer by time");
    let mut bins = vec![String::new(); BINS + 1]; // a path for each colour
    for (i, level) in levels.iter().enumerate() {
        let next = levels.get(i + 1).map_or(plot.last as u32, |next| next.position);
        let (from, to) = (plot.x(f64::from(level.position)), plot.x(f64::from(next)));
        for (layer, hoyer) in level.hoyer.iter().enumerate() {
            let bin = (hoyer.clamp(0.0, most) / most * BINS as f64).round() as usize;
            let (y, width) = (tenth(TOP + row * layer as f64), tenth(to - from + 0.2));
            let _ = write!(bins[bin], "M{from} {y}h{width}v{}h-{width}z", tenth(row + 0.2));
        }
    }
    for (bin, path) in bins.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
        let fill = colour(bin as f64 / BINS as f64);
        plot.put(format_args!(r#"<path d="{path}" fill="{fill}" shape-rendering="crispEdges"/>"#));
    }
    let every = (layers as f64 / (plot.height / 16.0)).ceil().max(1.0) as usize;
    for layer in (0..layers).step_by(every) {
        let y = tenth(TOP + row * (layer as f64 + 0.5) + 4.5);
        plot.text(LEFT - 7.0, y, "end", &layer.to_string());
    }
    plot.time(trace);
    plot.upright("layer");
    plot.key("0", &most.to_string(), "sparsity");
    Some(plot.done())
}

/// Shades of a heatmap.
const BINS: usize = 24;

/// The colour of a layer's line.
fn layer_colour(layer: usize, layers: usize) -> String {
    colour(layer as f64 / (layers.max(2) - 1) as f64)
}

/// Round numbers from 0 to at most `last`, about `count` of them.
fn ticks(last: f64, count: usize) -> impl Iterator<Item = f64> {
    let rough = (last / count as f64).max(1.0);
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|x| x * power).into_iter().find(|step| *step >= rough).unwrap_or(rough);
    (0..).map(move |i| f64::from(i) * step).take_while(move |tick| *tick <= last)
}

/// To a tenth of a unit: nobody sees more.
fn tenth(x: f64) -> f64 {
    (x * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks(811.0, 8).collect::<Vec<_>>(), [0.0, 200.0, 400.0, 600.0, 800.0]);
        assert_eq!(ticks(3.0, 8).collect::<Vec<_>>(), [0.0, 1.0, 2.0, 3.0]);
    }
}
