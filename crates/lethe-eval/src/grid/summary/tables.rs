//! The tables of a summary.

use super::table::Table;
use super::{Cell, FamilyOfCells, PREDICTORS, Summary};
use crate::grid::Protection;
use crate::statistics::Interval;

impl Summary {
    /// The tasks in order, all of them together last.
    pub(in crate::grid) fn tasks(&self) -> impl Iterator<Item = &str> {
        self.whole.iter().map(|(task, _)| task.as_str())
    }

    /// The families of a task under one protection, by budget.
    pub(in crate::grid) fn families_of(&self, task: &str, protect: Protection) -> Vec<&FamilyOfCells> {
        self.families.iter().filter(move |family| family.task == task && family.protect == protect).collect()
    }

    /// `full` on each task.
    pub(in crate::grid) fn whole_table(&self) -> Table {
        let columns =
            ["task", "level", "problems", "right", "95 %", "prompt tokens", "answer tokens", "slots at the end"];
        let mut table = Table::new("The full cache", columns);
        for (name, cell) in &self.whole {
            let task = self.manifest.tasks.iter().find(|task| task.task == *name);
            let [prompt, answer] = cell.tokens;
            table.rows.push(vec![
                name.clone(),
                task.and_then(|task| task.level).map_or(String::new(), |level| level.to_string()),
                cell.problems.to_string(),
                format!("{} %", percent(cell.rate())),
                range(cell.interval),
                format!("{prompt:.0}"),
                format!("{answer:.0}"),
                format!("{:.0}", cell.slots),
            ]);
        }
        table
    }

    /// Right answers by policy and budget, a table for each task and protection.
    pub(in crate::grid) fn right_tables(&self) -> Vec<Table> {
        let mut tables = Vec::new();
        for task in self.tasks() {
            for protect in [Protection::On, Protection::Off] {
                let families = self.families_of(task, protect);
                let Some(first) = families.first() else { continue };
                let columns = std::iter::once("policy").chain(families.iter().map(|family| family.budget.as_str()));
                let mut table = Table::new(format!("{task}, protection {protect}"), columns);
                for Cell { policy, .. } in &first.cells {
                    let cell = |family: &&FamilyOfCells| {
                        let cell = family.cells.iter().find(|cell| cell.policy == *policy);
                        cell.map_or(String::new(), |cell| {
                            format!("{}{} ({})", percent(cell.rate()), marks(cell), range(cell.interval))
                        })
                    };
                    table.rows.push(std::iter::once(policy.clone()).chain(families.iter().map(cell)).collect());
                }
                tables.push(table);
            }
        }
        tables
    }

    /// Everything about each family.
    pub(in crate::grid) fn family_tables(&self) -> Vec<Table> {
        self.families.iter().map(family_table).collect()
    }

    /// What foretells wrong answers; `None` where nothing can be said.
    pub(in crate::grid) fn risk_table(&self) -> Option<Table> {
        let names = PREDICTORS.map(|(name, _)| name);
        let columns = ["policy", "budget", "protection", "wrong"].into_iter().chain(names);
        let mut table = Table::new("What foretells a wrong answer", columns);
        for risk in self.risks.iter().filter(|risk| risk.auc.iter().any(Option::is_some)) {
            let wrong = format!("{}/{}", risk.wrong, risk.answers);
            let mut row = vec![risk.policy.clone(), risk.budget.clone(), risk.protect.to_string(), wrong];
            row.extend(risk.auc.iter().map(|auc| {
                let text = auc.map(|a| match risk.drawn {
                    true => format!("{:.2}", a.area),
                    false => format!("{:.2} [{:.2}, {:.2}]", a.area, a.interval.low, a.interval.high),
                });
                text.unwrap_or_default()
            }));
            table.rows.push(row);
        }
        (!table.rows.is_empty()).then_some(table)
    }
}

fn family_table(family: &FamilyOfCells) -> Table {
    let FamilyOfCells { task, budget, protect, cells } = family;
    let mut bases: Vec<&str> = Vec::new();
    for comparison in cells.iter().flat_map(|cell| &cell.comparisons) {
        if !bases.contains(&comparison.with.as_str()) {
            bases.push(&comparison.with);
        }
    }
    let parts = cells.iter().any(|cell| cell.parts.is_some());
    let mut columns = vec!["policy".to_owned(), "right".to_owned()];
    columns.extend(parts.then(|| "parts right".to_owned()));
    let any = cells.iter().find_map(|cell| cell.any).map(|(samples, _)| format!("pass@{samples}"));
    columns.extend(any.clone());
    columns.extend(bases.iter().map(|base| format!("over {base}")));
    columns.extend(
        ["held, mean", "held, peak", "length", "cut off", "loops", "exercised", "differs at"].map(String::from),
    );
    let mut table = Table::new(format!("{task}, budget {budget}, protection {protect}"), columns);
    for cell in cells {
        let mut row = vec![format!("{}{}", cell.policy, marks(cell)), format!("{}/{}", cell.right, cell.problems)];
        row.extend(parts.then(|| cell.parts.map_or(String::new(), |share| format!("{} %", percent(share)))));
        row.extend(any.as_ref().map(|_| cell.any.map_or(String::new(), |(_, any)| format!("{} %", percent(any)))));
        row.extend(bases.iter().map(|base| difference(cell, base)));
        let exercised = if cell.is_exercised() { "" } else { ", not exercised" };
        row.extend([
            format!("{} %", percent(cell.mean_share)),
            format!("{} %", percent(cell.peak_share)),
            format!("{:.2}", cell.inflation),
            format!("{} %", percent(cell.cut_off)),
            format!("{} %", percent(cell.looped)),
            format!("{} %{exercised}", percent(cell.exercised)),
            cell.differs_at.map_or(String::new(), |at| format!("{at:.0}")),
        ]);
        table.rows.push(row);
    }
    table
}

/// `+12 [+3, +21] +14 −2 p .013*`: points, interval, won, lost, adjusted p.
fn difference(cell: &Cell, base: &str) -> String {
    let Some(c) = cell.comparisons.iter().find(|c| c.with == base) else { return String::new() };
    let points = |x: f64| (100.0 * x).round() + 0.0; // no -0
    format!(
        "{:+} [{:+}, {:+}] +{} −{} p {}{}",
        points(c.difference),
        points(c.interval.low),
        points(c.interval.high),
        c.won,
        c.lost,
        p(c.adjusted),
        if c.significant() { "*" } else { "" }
    )
}

/// What must be known of a cell wherever its rate stands.
fn marks(cell: &Cell) -> String {
    let marks = [(!cell.is_exercised(), '~'), (cell.raised > 0.0, '^')];
    marks.into_iter().filter(|(is, _)| *is).map(|(_, mark)| mark).collect()
}

/// A share in whole percent.
pub(in crate::grid) fn percent(share: f64) -> String {
    format!("{:.0}", 100.0 * share)
}

/// An interval of shares in whole percent.
pub(in crate::grid) fn range(interval: Interval) -> String {
    format!("{}–{}", percent(interval.low), percent(interval.high))
}

/// A p-value.
fn p(p: f64) -> String {
    match p {
        ..0.001 => "<.001".to_owned(),
        1.0.. => "1".to_owned(),
        _ => format!("{p:.3}").trim_start_matches('0').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([p(0.0001), p(0.0134), p(1.0), p(0.9996)], ["<.001", ".013", "1", "1.000"]);
        assert_eq!(range(Interval { low: 0.004, high: 0.996 }), "0–100");
    }
}
