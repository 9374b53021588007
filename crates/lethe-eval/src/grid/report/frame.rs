//! The frame of a chart: a scale from 0 upwards, drawn as SVG.

use std::fmt::Write as _;

use crate::grid::summary::table::escaped;

pub(super) const WIDTH: f64 = 420.0;
pub(super) const HEIGHT: f64 = 250.0;
pub(super) const LEFT: f64 = 54.0;
pub(super) const RIGHT: f64 = 12.0;
const ABOVE: f64 = 12.0;
const BELOW: f64 = 30.0;
/// Steps of the scale.
const STEPS: usize = 4;

/// What charts have in common.
pub(super) struct Frame {
    pub(super) title: String,
    /// The top of the scale; the bottom is 0.
    pub(super) top: f64,
    /// How a value is written on the scale.
    pub(super) label: fn(f64) -> String,
}

impl Frame {
    /// Where a value lies; beyond the scale, at its end.
    pub(super) fn y(&self, value: f64) -> f64 {
        let share = (value / self.top).clamp(0.0, 1.0);
        ABOVE + (1.0 - share) * (HEIGHT - ABOVE - BELOW)
    }

    /// The figure with its scale, names below it at their x, and what `draw` adds.
    pub(super) fn figure(
        &self,
        below: impl Iterator<Item = (f64, String)>,
        draw: impl FnOnce(&mut String) -> std::fmt::Result,
    ) -> String {
        let mut out = String::new();
        self.write(&mut out, below, draw).expect("a text takes everything");
        out
    }

    fn write(
        &self,
        out: &mut String,
        below: impl Iterator<Item = (f64, String)>,
        draw: impl FnOnce(&mut String) -> std::fmt::Result,
    ) -> std::fmt::Result {
        let title = escaped(&self.title);
        write!(out, "<figure><figcaption>{title}</figcaption>")?;
        writeln!(out, "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">")?;
        for step in 0..=STEPS {
            let value = self.top * step as f64 / STEPS as f64;
            let (y, right) = (self.y(value), WIDTH - RIGHT);
            writeln!(out, "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>")?;
            let (x, y, text) = (LEFT - 6.0, y + 3.5, (self.label)(value));
            writeln!(out, "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{text}</text>")?;
        }
        for (x, name) in below {
            let (y, name) = (HEIGHT - 12.0, escaped(&name));
            writeln!(out, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{name}</text>")?;
        }
        draw(out)?;
        writeln!(out, "</svg></figure>")
    }
}
