//! The page around the charts.

use super::chart::{Chart, Line, Point};
use super::curves::{Curve, Curves};
use super::frame::Frame;
use crate::grid::summary::markdown::{DRAWN, FAMILIES, RIGHT, RISK};
use crate::grid::summary::table::{Table, escaped};
use crate::grid::{Cell, FamilyOfCells, Protection, Summary};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("legend.js");

/// The whole page.
pub(in crate::grid) fn page(summary: &Summary) -> String {
    let title = escaped(&summary.title());
    let mut body = format!("<h1>{title}</h1>\n<p>{}</p>\n", escaped(&summary.source()));
    body += &legend(summary);
    body += &charts(summary, "Right answers against the budget", &right_chart);
    body += &charts(summary, "Memory: most bytes held", &memory_chart);
    body += &memory_over_time(summary);
    body += &charts(summary, "Length of the answers over that of full", &length_chart);
    let whole = summary.whole_table();
    body += &format!("<h2>{}</h2>\n{}", escaped(&whole.title), whole.html());
    let open =
        |table: &Table| format!("<details><summary>{}</summary>\n{}</details>\n", escaped(&table.title), table.html());
    let right = summary.right_tables();
    if !right.is_empty() {
        body += &format!("<h2>Right answers</h2>\n<p>{}</p>\n", prose(RIGHT));
        if summary.manifest.draws.is_some() {
            body += &format!("<p>{}</p>\n", prose(DRAWN));
        }
        body += &right.iter().map(open).collect::<String>();
        body += &format!("<h2>Family by family</h2>\n<p>{}</p>\n", prose(FAMILIES));
        body += &summary.family_tables().iter().map(open).collect::<String>();
    }
    if let Some(risk) = summary.risk_table() {
        body += &format!("<h2>{}</h2>\n<p>{}</p>\n{}", escaped(&risk.title), prose(RISK), risk.html());
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style></head>\n<body><main>\n{body}</main>\n<script>\n{SCRIPT}</script></body></html>\n"
    )
}

/// Text of the summary: a mark between backquotes is code.
fn prose(text: &str) -> String {
    let parts = escaped(text);
    let parts = parts.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() }).collect()
}

/// The policies with their colours; pressed, one disappears from the charts.
fn legend(summary: &Summary) -> String {
    let policies = summary.manifest.policies.iter().enumerate();
    let button = |(place, policy): (usize, &String)| {
        let (policy, place) = (escaped(policy), colour(policy, place));
        format!(
            "<button type=\"button\" aria-pressed=\"true\" class=\"p{place}\" data-policy=\"{policy}\"><i></i>{policy}</button>\n"
        )
    };
    let buttons: String = policies.map(button).collect();
    if buttons.is_empty() {
        return String::new();
    }
    format!("<nav aria-label=\"Policies\">\n{buttons}<span class=\"whole\"><i></i>full</span></nav>\n")
}

/// Colours there are; further policies begin anew, with another dash.
const COLOURS: usize = 16;

/// The nulls are grey, whatever else there is.
fn colour(policy: &str, place: usize) -> usize {
    match policy {
        "recency" => COLOURS,
        "random" => COLOURS + 1,
        _ => place % COLOURS,
    }
}

fn place(summary: &Summary, policy: &str) -> usize {
    let place = summary.manifest.policies.iter().position(|name| name == policy);
    colour(policy, place.unwrap_or_default())
}

type MakeChart = dyn Fn(&Cell, &[&FamilyOfCells]) -> Chart;

/// A chart for each task and protection.
fn charts(summary: &Summary, heading: &str, make: &MakeChart) -> String {
    let mut figures = String::new();
    for (task, whole) in &summary.whole {
        for protect in [Protection::On, Protection::Off] {
            let families = summary.families_of(task, protect);
            if families.is_empty() {
                continue;
            }
            let mut chart = make(whole, &families);
            chart.frame.title = format!("{task}, protection {protect}");
            chart.lines.iter_mut().for_each(|line| line.place = place(summary, &line.name));
            figures += &chart.svg();
        }
    }
    if figures.is_empty() { figures } else { format!("<h2>{heading}</h2>\n<div class=\"charts\">\n{figures}</div>\n") }
}

fn right_chart(whole: &Cell, families: &[&FamilyOfCells]) -> Chart {
    let point = |cell: &Cell| {
        let (right, problems) = (cell.right, cell.problems);
        (cell.rate(), Some([cell.interval.low, cell.interval.high]), format!("{right} of {problems} right"))
    };
    Chart {
        full: whole.rate(),
        full_range: Some([whole.interval.low, whole.interval.high]),
        ..lines(families, &point, |value| format!("{:.0} %", 100.0 * value))
    }
}

fn memory_chart(whole: &Cell, families: &[&FamilyOfCells]) -> Chart {
    let kib = |bytes: f64| bytes / 1024.0;
    let point = |cell: &Cell| {
        let told = format!("peak {:.0} KiB, mean {:.0} KiB", kib(cell.peak_bytes), kib(cell.mean_bytes));
        (kib(cell.peak_bytes), None, told)
    };
    let mut chart = Chart { full: kib(whole.peak_bytes), ..lines(families, &point, size) };
    chart.frame.top = top_of_sizes(largest(&chart).max(chart.full));
    chart
}

/// For each budget, a chart for each task and protection.
fn memory_over_time(summary: &Summary) -> String {
    let mut body = String::new();
    for budget in &summary.manifest.budgets {
        let mut figures = String::new();
        for family in summary.families.iter().filter(|family| family.budget == *budget) {
            let whole = summary.whole.iter().find(|(task, _)| *task == family.task);
            let full = whole.map_or(&[][..], |(_, cell)| &cell.held_bytes);
            if family.cells.iter().any(|cell| !cell.held_bytes.is_empty()) {
                figures += &held_curves(summary, family, full).svg();
            }
        }
        if !figures.is_empty() {
            let open = if body.is_empty() { " open" } else { "" };
            let budget = escaped(budget);
            body += &format!(
                "<details{open}><summary>Budget {budget}</summary>\n<div class=\"charts\">\n{figures}</div></details>\n"
            );
        }
    }
    if body.is_empty() { body } else { format!("<h2>Memory over time</h2>\n<p>{OVER_TIME}</p>\n{body}") }
}

const OVER_TIME: &str = "Bytes held against tokens generated, mean over the answers that got so far; a line ends where fewer than half did.";

fn held_curves(summary: &Summary, family: &FamilyOfCells, full: &[f64]) -> Curves {
    let kib = |bytes: &[f64]| bytes.iter().map(|bytes| bytes / 1024.0).collect::<Vec<f64>>();
    let curve = |cell: &Cell| Curve {
        name: cell.policy.clone(),
        place: place(summary, &cell.policy),
        values: kib(&cell.held_bytes),
    };
    let (full, curves) = (kib(full), family.cells.iter().map(curve).collect::<Vec<Curve>>());
    let most =
        curves.iter().flat_map(|curve| &curve.values).chain(&full).fold(0.0, |most, &value| f64::max(most, value));
    let title = format!("{}, protection {}", family.task, family.protect);
    Curves { frame: Frame { title, top: top_of_sizes(most), label: size }, full, curves }
}

/// The top of a scale of KiB, round in the unit that it shows.
fn top_of_sizes(kib: f64) -> f64 {
    let unit = if kib < 1024.0 { 1.0 } else { 1024.0 };
    unit * round_top(kib / unit)
}

/// KiB in few letters.
fn size(kib: f64) -> String {
    match kib / 1024.0 {
        mib @ 10.0.. => format!("{mib:.0} MiB"),
        mib @ 0.9.. => format!("{mib:.1} MiB"),
        0.0 => "0".to_owned(),
        _ => format!("{kib:.0} KiB"),
    }
}

fn length_chart(_: &Cell, families: &[&FamilyOfCells]) -> Chart {
    let point = |cell: &Cell| (cell.inflation, None, format!("{:.2} times full's length", cell.inflation));
    let mut chart = Chart { full: 1.0, ..lines(families, &point, |value| format!("{value:.1}")) };
    chart.frame.top = round_top(largest(&chart).max(1.5));
    chart
}

/// Value, interval, and what the point says.
type Told = (f64, Option<[f64; 2]>, String);

/// A line for each policy of the families, its values and what they say by `point`, on a scale from 0 to 1.
fn lines(families: &[&FamilyOfCells], point: &dyn Fn(&Cell) -> Told, label: fn(f64) -> String) -> Chart {
    let policies = families.first().map_or(&[][..], |family| &family.cells);
    let line = |Cell { policy, .. }: &Cell| {
        let points = families.iter().map(|family| {
            let cell = family.cells.iter().find(|cell| cell.policy == *policy)?;
            let (value, range, told) = point(cell);
            let held = format!(
                "held {:.0} % on average, {:.0} % at most, of full's slots beyond the prompt",
                100.0 * cell.mean_share,
                100.0 * cell.peak_share
            );
            Some(Point { value, range, told: format!("{policy} at {}: {told}; {held}", family.budget) })
        });
        Line { name: policy.clone(), place: 0, points: points.collect() }
    };
    Chart {
        frame: Frame { title: String::new(), top: 1.0, label },
        budgets: families.iter().map(|family| family.budget.clone()).collect(),
        full: 0.0,
        full_range: None,
        lines: policies.iter().map(line).collect(),
    }
}

fn largest(chart: &Chart) -> f64 {
    chart.lines.iter().flat_map(|line| &line.points).flatten().map(|point| point.value).fold(0.0, f64::max)
}

/// The next number of one digit and a half, so that a quarter of the scale reads well.
fn round_top(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    [1.0, 1.2, 1.6, 2.0, 2.4, 3.2, 4.0, 6.0, 8.0, 10.0, 12.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|top| *top >= value * 1.02)
        .unwrap_or(20.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_above_their_values() {
        for (value, top) in [(0.0, 1.0), (1.5, 1.6), (1900.0, 2000.0), (998.0, 1200.0), (7.0, 8.0)] {
            assert!((round_top(value) - top).abs() < 1e-9, "{value}: {}", round_top(value));
        }
        for i in 1..2000 {
            assert!(round_top(f64::from(i)) >= f64::from(i));
        }
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!([size(500.0), size(1536.0), size(20480.0)], ["500 KiB", "1.5 MiB", "20 MiB"]);
    }

    #[test]
    fn marks_are_code() {
        assert_eq!(prose("a `~` & b"), "a <code>~</code> &amp; b");
    }
}
