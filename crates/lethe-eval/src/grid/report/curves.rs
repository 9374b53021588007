//! Values over the tokens of an answer, as SVG, in the colours of the other charts.

use std::fmt::Write as _;

use super::frame::{Frame, LEFT, RIGHT, WIDTH};
use crate::grid::EVERY;
use crate::grid::summary::table::escaped;

/// One value after every [`EVERY`]th token.
pub(super) struct Curve {
    /// Name of the policy.
    pub(super) name: String,
    /// Its place among all policies: what its colour follows from.
    pub(super) place: usize,
    /// The readings.
    pub(super) values: Vec<f64>,
}

/// A chart of them.
pub(super) struct Curves {
    pub(super) frame: Frame,
    /// That of the full cache.
    pub(super) full: Vec<f64>,
    pub(super) curves: Vec<Curve>,
}

/// Names below the chart, at most.
const NAMES: usize = 6;

impl Curves {
    /// The chart as a figure.
    pub(super) fn svg(&self) -> String {
        let readings = self.readings();
        let step = readings.div_ceil(NAMES).next_power_of_two();
        let names = (0..readings).step_by(step).map(|at| (self.x(at), (at * EVERY).to_string()));
        self.frame.figure(names, |out| self.draw(out))
    }

    fn readings(&self) -> usize {
        self.curves.iter().map(|curve| curve.values.len()).fold(self.full.len(), usize::max)
    }

    fn x(&self, reading: usize) -> f64 {
        let last = self.readings().saturating_sub(1).max(1);
        LEFT + (WIDTH - LEFT - RIGHT) * reading as f64 / last as f64
    }

    fn draw(&self, out: &mut String) -> std::fmt::Result {
        if !self.full.is_empty() {
            writeln!(out, "<path class=\"full\" d=\"{}\"><title>full</title></path>", self.path(&self.full))?;
        }
        for Curve { name, place, values } in &self.curves {
            let (name, path) = (escaped(name), self.path(values));
            write!(out, "<g class=\"line p{place}\" data-policy=\"{name}\">")?;
            writeln!(out, "<path d=\"{path}\"><title>{name}</title></path></g>")?;
        }
        Ok(())
    }

    fn path(&self, values: &[f64]) -> String {
        let points = values.iter().enumerate().map(|(at, &value)| {
            format!("{}{:.1} {:.1}", if at == 0 { 'M' } else { 'L' }, self.x(at), self.frame.y(value))
        });
        points.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_share_their_scales() {
        let frame = Frame { title: "held".into(), top: 10.0, label: |value| format!("{value}") };
        let curve = Curve { name: "a<b".into(), place: 2, values: vec![10.0, 5.0] };
        let svg = Curves { frame, full: vec![0.0, 5.0, 10.0], curves: vec![curve] }.svg();
        // full takes the whole width, the other stops half way
        for part in
            ["M54.0 220.0L231.0 116.0L408.0 12.0", "M54.0 12.0L231.0 116.0\"", ">64</text>", "data-policy=\"a&lt;b\""]
        {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        assert_eq!(svg.matches("<g ").count(), svg.matches("</g>").count());
    }

    #[test]
    fn one_reading_is_no_trouble() {
        let frame = Frame { title: String::new(), top: 1.0, label: |value| format!("{value}") };
        let svg = Curves { frame, full: Vec::new(), curves: Vec::new() }.svg();
        assert!(!svg.contains("NaN") && !svg.contains("class=\"full\""), "{svg}");
    }
}
