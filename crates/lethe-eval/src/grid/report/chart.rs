//! Lines over budgets, as SVG. Colours are classes of the page, so that they follow light and dark.

use std::fmt::Write as _;

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
    pub(super) title: String,
    /// Names of the budgets, evenly spaced.
    pub(super) budgets: Vec<String>,
    /// The value of the full cache, with its interval where there is one.
    pub(super) full: f64,
    pub(super) full_range: Option<[f64; 2]>,
    pub(super) lines: Vec<Line>,
    /// The top of the scale; the bottom is 0.
    pub(super) top: f64,
    /// How a value is written on the scale.
    pub(super) label: fn(f64) -> String,
}

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 54.0;
const RIGHT: f64 = 12.0;
const ABOVE: f64 = 12.0;
const BELOW: f64 = 30.0;
/// Steps of the scale.
const STEPS: usize = 4;
/// How far apart the points of one budget lie, so that their intervals can be told apart.
const DODGE: f64 = 4.0;

impl Chart {
    /// The chart as a figure.
    pub(super) fn svg(&self) -> String {
        let mut out = String::new();
        self.write(&mut out).expect("a text takes everything");
        out
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value / self.top).clamp(0.0, 1.0);
        ABOVE + (1.0 - share) * (HEIGHT - ABOVE - BELOW)
    }

    fn x(&self, budget: usize, line: usize) -> f64 {
        let step = (WIDTH - LEFT - RIGHT) / self.budgets.len().max(1) as f64;
        let aside = (line as f64 - (self.lines.len().max(1) - 1) as f64 / 2.0) * DODGE;
        let most = 0.42 * step;
        LEFT + (budget as f64 + 0.5) * step + aside.clamp(-most, most)
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
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
        let middle = (self.lines.len().max(1) - 1) / 2;
        for (at, budget) in self.budgets.iter().enumerate() {
            let (x, y, budget) = (self.x(at, middle), HEIGHT - 12.0, escaped(budget));
            writeln!(out, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{budget}</text>")?;
        }
        if let Some([low, high]) = self.full_range {
            let (y, height) = (self.y(high), self.y(low) - self.y(high));
            let width = WIDTH - RIGHT - LEFT;
            writeln!(out, "<rect class=\"band\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{width}\" height=\"{height:.1}\"/>")?;
        }
        let (y, right) = (self.y(self.full), WIDTH - RIGHT);
        writeln!(out, "<path class=\"full\" d=\"M{LEFT} {y:.1}H{right}\"><title>full</title></path>")?;
        for (at, line) in self.lines.iter().enumerate() {
            self.line(out, at, line)?;
        }
        writeln!(out, "</svg></figure>")
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
            title: "a < b".into(),
            budgets: vec!["48".into(), "25%".into()],
            full: 1.0,
            full_range: Some([0.5, 1.0]),
            lines: vec![Line { name: "lethe".into(), place: 3, points }],
            top: 1.0,
            label: |value| format!("{value}"),
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
