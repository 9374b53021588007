//! Lines over budgets, as SVG. Colours are classes of the page, so that they follow light and dark.

use std::fmt::Write as _;

use super::frame::{Frame, LEFT, RIGHT, WIDTH};
use crate::grid::summary::table::escaped;

/// Values of one policy, one for each budget.
pub(super) struct Line {
    /// Name of the policy.
    pub(super) name: String,
    /// Its place among all policies: what its colour follows from.
    pub(super) place: usize,
    /// `[budgets]`, with an interval where there is one; `None` where the policy has no value.
    pub(super) points: Vec<Option<Point>>,
}

/// One value.
pub(super) struct Point {
    pub(super) value: f64,
    pub(super) range: Option<[f64; 2]>,
    /// What it says when somebody points at it.
    pub(super) told: String,
}

/// A chart.
pub(super) struct Chart {
    pub(super) frame: Frame,
    /// Names of the budgets, evenly spaced.
    pub(super) budgets: Vec<String>,
    /// The value of the full cache, with its interval where there is one.
    pub(super) full: f64,
    pub(super) full_range: Option<[f64; 2]>,
    pub(super) lines: Vec<Line>,
}

/// How far apart the points of one budget lie, so that their intervals can be told apart.
const DODGE: f64 = 4.0;

impl Chart {
    /// The chart as a figure.
    pub(super) fn svg(&self) -> String {
        let middle = (self.lines.len().max(1) - 1) / 2;
        let names = self.budgets.iter().enumerate().map(|(at, budget)| (self.x(at, middle), budget.clone()));
        self.frame.figure(names, |out| self.draw(out))
    }

    fn y(&self, value: f64) -> f64 {
        self.frame.y(value)
    }

    fn x(&self, budget: usize, line: usize) -> f64 {
        let step = (WIDTH - LEFT - RIGHT) / self.budgets.len().max(1) as f64;
        let aside = (line as f64 - (self.lines.len().max(1) - 1) as f64 / 2.0) * DODGE;
        let most = 0.42 * step;
        LEFT + (budget as f64 + 0.5) * step + aside.clamp(-most, most)
    }

    fn draw(&self, out: &mut String) -> std::fmt::Result {
        if let Some([low, high]) = self.full_range {
            let (y, height) = (self.y(high), self.y(low) - self.y(high));
            let width = WIDTH - RIGHT - LEFT;
            writeln!(out, "<rect class=\"band\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{width}\" height=\"{height:.1}\"/>")?;
        }
        let (y, right) = (self.y(self.full), WIDTH - RIGHT);
        writeln!(out, "<path class=\"full\" d=\"M{LEFT} {y:.1}H{right}\"><title>full</title></path>")?;
        self.lines.iter().enumerate().try_for_each(|(at, line)| self.line(out, at, line))
    }

    fn line(&self, out: &mut String, at: usize, line: &Line) -> std::fmt::Result {
        writeln!(out, "<g class=\"line p{}\" data-policy=\"{}\">", line.place, escaped(&line.name))?;
        let mut path = String::new();
        for (budget, point) in line.points.iter().enumerate() {
            let Some(point) = point else { continue };
            let (x, y) = (self.x(budget, at), self.y(point.value));
            write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { "M" } else { "L" })?;
        }
        writeln!(out, "<path d=\"{path}\"/>")?;
        for (budget, point) in line.points.iter().enumerate() {
            let Some(Point { value, range, told }) = point else { continue };
            let (x, y) = (self.x(budget, at), self.y(*value));
            if let Some([low, high]) = range {
                writeln!(out, "<path class=\"range\" d=\"M{x:.1} {:.1}V{:.1}\"/>", self.y(*low), self.y(*high))?;
            }
            writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"><title>{}</title></circle>", escaped(told))?;
        }
        writeln!(out, "</g>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<Option<Point>>) -> Chart {
        Chart {
            frame: Frame { title: "a < b".into(), top: 1.0, label: |value| format!("{value}") },
            budgets: vec!["48".into(), "25%".into()],
            full: 1.0,
            full_range: Some([0.5, 1.0]),
            lines: vec![Line { name: "lethe".into(), place: 3, points }],
        }
    }

    #[test]
    fn values_lie_where_the_scale_says() {
        let point = |value| Some(Point { value, range: Some([0.0, 2.0]), told: format!("{value}") });
        let svg = chart(vec![point(0.5), point(0.0)]).svg();
        // half of the scale lies half way between 12 and 220, and nothing leaves it
        for part in ["cy=\"116.0\"", "cy=\"220.0\"", "V12.0\"", "a &lt; b", "class=\"line p3\"", "height=\"104.0\""] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        assert_eq!(svg.matches("<g ").count(), svg.matches("</g>").count());
    }

    #[test]
    fn what_is_not_there_leaves_a_gap() {
        let svg = chart(vec![None, Some(Point { value: 1.0, range: None, told: "x".into() })]).svg();
        assert_eq!(svg.matches("<circle").count(), 1);
        assert!(svg.contains("d=\"M319.5 12.0\""), "{svg}");
    }
}
