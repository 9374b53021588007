//! What the rows say, with how far it can be trusted.

mod cell;
mod compare;
pub(super) mod markdown;
mod risk;
pub(super) mod table;
mod tables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use cell::Cell;
pub use compare::Comparison;
pub use risk::{PREDICTORS, Predictor, Risk};

use super::setting::FULL;
use super::{GridError, Manifest, Protection, Row};

/// Name of all tasks taken together.
pub const POOL: &str = "all tasks";

/// Everything that summary and report show.
#[derive(Clone, Debug)]
pub struct Summary {
    /// What the rows came from.
    pub manifest: Manifest,
    /// `full` on each task, and on all together if there are several.
    pub whole: Vec<(String, Cell)>,
    /// The policies in every family, in the order of the manifest.
    pub families: Vec<FamilyOfCells>,
    /// What foretells wrong answers, all tasks together.
    pub risks: Vec<Risk>,
}

/// What is compared with each other: one task, one budget, one protection. Their comparisons are adjusted together.
#[derive(Clone, Debug)]
pub struct FamilyOfCells {
    /// The task, or [`POOL`].
    pub task: String,
    /// The budget as asked for.
    pub budget: String,
    /// Whether prompts were protected.
    pub protect: Protection,
    /// One for each policy.
    pub cells: Vec<Cell>,
}

/// The baselines of comparison unless others are named.
pub const BASELINES: [&str; 3] = ["full", "recency", "random"];

/// The rows of one policy by task, question and sample.
type Answers<'a> = BTreeMap<(&'a str, &'a str, Option<usize>), &'a Row>;

impl Summary {
    /// Of the rows of one run. `against` names the policies that the others are compared with, as they were asked for; those
    /// that the run does not have are left out.
    pub fn new(manifest: Manifest, rows: &[Row], against: &[String]) -> Summary {
        let seed = manifest.seed;
        let mut tasks: Vec<Option<&str>> = manifest.tasks.iter().map(|task| Some(task.task.as_str())).collect();
        if tasks.len() > 1 {
            tasks.push(None);
        }
        let (mut whole, mut families, mut risks) = (Vec::new(), Vec::new(), Vec::new());
        for &task in &tasks {
            let name = task.unwrap_or(POOL);
            let full = answers(of_task(rows, task).filter(|row| row.budget.is_none()));
            whole.push((name.to_owned(), Cell::new(FULL, &full, &full)));
            for protect in [Protection::On, Protection::Off] {
                for budget in &manifest.budgets {
                    let of = |policy: &str| {
                        answers(of_task(rows, task).filter(|row| {
                            (row.policy == policy, row.budget.as_ref(), row.protect)
                                == (true, Some(budget), Some(protect))
                        }))
                    };
                    let all: Vec<(&str, Answers<'_>)> = manifest
                        .policies
                        .iter()
                        .map(|policy| (policy.as_str(), of(policy)))
                        .filter(|(_, answers)| !answers.is_empty())
                        .collect();
                    if all.is_empty() {
                        continue;
                    }
                    let mut cells: Vec<Cell> =
                        all.iter().map(|(policy, answers)| Cell::new(policy, answers, &full)).collect();
                    compare::compare(&mut cells, &all, &full, against, seed);
                    if task.is_none() || tasks.len() == 1 {
                        risks.extend(all.iter().map(|(policy, answers)| Risk::new(policy, budget, protect, answers)));
                    }
                    let (task, budget) = (name.to_owned(), budget.clone());
                    families.push(FamilyOfCells { task, budget, protect, cells });
                }
            }
        }
        Summary { manifest, whole, families, risks }
    }

    /// Of a folder of results.
    ///
    /// # Errors
    /// [`GridError`] where it holds none.
    pub fn of_folder(folder: &Path, against: &[String]) -> Result<Summary, GridError> {
        let rows = super::rows(folder)?;
        Ok(Summary::new(Manifest::read(&folder.join(super::run::MANIFEST))?, &rows, against))
    }

    /// The policies whose results a folder holds, as they were asked for.
    ///
    /// # Errors
    /// [`GridError`] where it holds none.
    pub fn policies_of(folder: &Path) -> Result<Vec<String>, GridError> {
        super::run::finished(folder)?;
        Ok(Manifest::read(&folder.join(super::run::MANIFEST))?.policies)
    }

    /// `report.html`: the summary with plots, in one file that needs nothing else.
    pub fn html(&self) -> String {
        super::report::page(self)
    }

    /// Writes `summary.md` and `report.html` to a folder, and returns where they are.
    ///
    /// # Errors
    /// [`GridError::Io`].
    pub fn save(&self, folder: &Path) -> Result<[PathBuf; 2], GridError> {
        let paths = [folder.join("summary.md"), folder.join("report.html")];
        super::run::write(&paths[0], &self.markdown())?;
        super::run::write(&paths[1], &self.html())?;
        Ok(paths)
    }
}

fn of_task<'a>(rows: &'a [Row], task: Option<&str>) -> impl Iterator<Item = &'a Row> {
    rows.iter().filter(move |row| task.is_none_or(|task| row.task == task))
}

/// What `of` says of each answer, question by question.
fn by_question<'a, T>(
    answers: &Answers<'a>,
    of: impl Fn(&(&'a str, &'a str, Option<usize>), &Row) -> T,
) -> Vec<Vec<T>> {
    let mut questions: BTreeMap<(&str, &str), Vec<T>> = BTreeMap::new();
    for (key, row) in answers {
        questions.entry((key.0, key.1)).or_default().push(of(key, row));
    }
    questions.into_values().collect()
}

fn answers<'a>(rows: impl Iterator<Item = &'a Row>) -> Answers<'a> {
    rows.map(|row| ((row.task.as_str(), row.id.as_str(), row.sample), row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row of 10 prompt tokens under a cache of two layers.
    fn row(id: usize, setting: Option<(&str, &str)>, right: bool, tokens: usize, held: usize) -> Row {
        let (policy, budget) = setting.map_or(("full", None), |(policy, budget)| (policy, Some(budget.to_owned())));
        serde_json::from_value(serde_json::json!({
            "task": "sort", "id": id.to_string(), "level": 0.5, "policy": policy, "budget": budget,
            "protect": setting.map(|_| "on"), "spec": policy, "raised": false, "right": [right], "all_right": right,
            "found": [], "finish": if right { "stop" } else { "length" }, "loop": false, "prompt_tokens": [10],
            "tokens": [tokens], "differs_at": if right { None } else { Some(id) }, "peak_slots": [10 + held, 10 + held],
            "mean_slots": 10.0 + held as f64 / 2.0, "final_slots": [10 + held, 10 + held], "peak_bytes": 100 * held,
            "mean_bytes": 50 * held, "held_bytes": vec![1024 * held; 1 + tokens / 32], "rounds": [1, 1], "evicted": if id == 0 { 0 } else { 2 },
            "dropped_mass_mean": if right { 0.1 } else { 0.2 }, "dropped_mass_max": 0.3, "hoyer": []
        }))
        .unwrap()
    }

    fn manifest(policies: &[&str]) -> Manifest {
        serde_json::from_value(serde_json::json!({
            "lethe": "0", "commit": null, "model": "m", "model_sha256": "00", "exact": false, "template_sha256": "00",
            "template_args": {}, "cpu": "avx2", "kv_dtype": "f16", "seed": 7,
            "tasks": [{"task": "sort", "level": 0.5, "problems": 20, "sha256": "00"}],
            "policies": policies, "budgets": ["20"], "protect": ["on"]
        }))
        .unwrap()
    }

    /// `full` is right on 20 of 20, `a` on the first 10, `b` on the last 12.
    fn summary(against: &[&str]) -> Summary {
        let mut rows = Vec::new();
        for id in 0..20 {
            rows.push(row(id, None, true, 40, 40));
            rows.push(row(id, Some(("a", "20")), id < 10, 60, 20));
            rows.push(row(id, Some(("b", "20")), id >= 8, 40, 10));
        }
        let against: Vec<String> = against.iter().map(|name| (*name).to_owned()).collect();
        Summary::new(manifest(&["a", "b"]), &rows, &against)
    }

    #[test]
    fn cells_add_up() {
        let summary = summary(&["full"]);
        assert_eq!((summary.whole.len(), summary.families.len()), (1, 1), "one task needs no pool");
        let [a, b] = &summary.families[0].cells[..] else { panic!("two policies") };
        assert_eq!((a.right, a.problems, b.right), (10, 20, 12));
        assert_eq!((a.peak_share, a.mean_share, a.inflation), (0.5, 0.25, 1.5));
        assert_eq!((b.peak_share, b.mean_share, b.inflation), (0.25, 0.125, 1.0));
        assert_eq!((a.cut_off, a.exercised, a.is_exercised()), (0.5, 0.95, true));
        assert_eq!((a.differs_at, a.parts), (Some(14.5), None));
        assert_eq!((summary.whole[0].1.mean_share, summary.whole[0].1.peak_share), (0.5, 1.0));
    }

    #[test]
    fn memory_is_told_for_as_long_as_half_of_the_answers_go_on() {
        let mut rows = Vec::new();
        for id in 0..20 {
            rows.push(row(id, None, true, 40, 40));
            rows.push(row(id, Some(("a", "20")), true, if id < 10 { 70 } else { 40 }, if id < 10 { 20 } else { 10 }));
            rows.push(row(id, Some(("b", "20")), true, if id < 9 { 70 } else { 40 }, 10));
        }
        let summary = Summary::new(manifest(&["a", "b"]), &rows, &[]);
        let [a, b] = &summary.families[0].cells[..] else { panic!("two policies") };
        assert_eq!(a.held_bytes, [15.0 * 1024.0, 15.0 * 1024.0, 20.0 * 1024.0]);
        assert_eq!(b.held_bytes, [10.0 * 1024.0; 2]);
        assert_eq!(summary.whole[0].1.held_bytes, [40.0 * 1024.0; 2]);
        let page = summary.html();
        assert!(page.contains("Memory over time") && page.contains("<details open><summary>Budget 20"), "{page}");

        // rows of older versions do not know
        rows.iter_mut().for_each(|row| row.held_bytes.clear());
        let summary = Summary::new(manifest(&["a", "b"]), &rows, &[]);
        assert!(summary.families[0].cells.iter().all(|cell| cell.held_bytes.is_empty()));
        assert!(!summary.html().contains("Memory over time"));
    }

    #[test]
    fn a_family_is_adjusted_together() {
        let summary = summary(&["full", "b", "nobody"]);
        let [a, b] = &summary.families[0].cells[..] else { panic!("two policies") };
        let told = |cell: &Cell| -> Vec<(String, usize, usize)> {
            cell.comparisons.iter().map(|c| (c.with.clone(), c.won, c.lost)).collect()
        };
        assert_eq!(told(a), [("full".into(), 0, 10), ("b".into(), 8, 10)]);
        assert_eq!(told(b), [("full".into(), 0, 8)]);
        // exact McNemar: 2 / 2^10, 2 / 2^8, and 8 to 10 is nothing; three comparisons, adjusted by hand
        let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        close(a.comparisons[0].p, 2.0 / 1024.0);
        close(a.comparisons[0].adjusted, 6.0 / 1024.0);
        close(b.comparisons[0].adjusted, 4.0 / 256.0);
        close(a.comparisons[1].adjusted, a.comparisons[1].p);
        assert!(a.comparisons[0].significant() && !a.comparisons[1].significant());
        close(a.comparisons[0].difference, -0.5);
        assert!(a.comparisons[0].interval.contains(-0.5) && !a.comparisons[0].interval.contains(0.0));
    }

    #[test]
    fn a_raised_budget_makes_no_difference_count() {
        let mut rows = Vec::new();
        for id in 0..20 {
            rows.push(row(id, None, true, 40, 40));
            rows.push(Row { raised: id == 3, ..row(id, Some(("a", "20")), false, 60, 20) });
            rows.push(row(id, Some(("b", "20")), true, 40, 10));
        }
        let summary = Summary::new(manifest(&["a", "b"]), &rows, &["full".to_owned(), "a".to_owned()]);
        let [a, b] = &summary.families[0].cells[..] else { panic!("two policies") };
        for comparison in [&a.comparisons[0], &b.comparisons[1]] {
            assert!(comparison.adjusted < 0.001 && comparison.raised && !comparison.significant(), "{comparison:?}");
        }
        assert!(!b.comparisons[0].raised);
        let text = summary.markdown();
        assert!(text.contains("p <.001 |") && !text.contains("p <.001*"), "{text}");
    }

    #[test]
    fn answers_that_are_drawn_are_said_to_be() {
        let mut rows = Vec::new();
        for (id, sample) in (0..20).flat_map(|id| [(id, 0), (id, 1)]) {
            let drawn = |row: Row| Row { sample: Some(sample), ..row };
            rows.push(drawn(row(id, None, true, 40, 40)));
            rows.push(drawn(row(id, Some(("a", "20")), id < 10, 60, 20)));
        }
        let manifest = Manifest { draws: Some(crate::grid::Draws::new(2)), ..manifest(&["a"]) };
        let summary = Summary::new(manifest, &rows, &["full".to_owned()]);
        let (text, page) = (summary.markdown(), summary.html());
        for said in [&text, &page] {
            assert!(said.contains("sign-flip") && said.contains("pass@2"), "{said}");
            assert!(said.contains("1.00") && !said.contains("1.00 ["), "areas without intervals: {said}");
        }
    }

    #[test]
    fn names_from_files_stay_in_their_line() {
        let name = "a|b\n# c <script>";
        let rows: Vec<Row> = (0..4)
            .flat_map(|id| [row(id, None, true, 40, 40), row(id, Some(("a", "20")), true, 60, 20)])
            .map(|row| Row { task: name.into(), ..row })
            .collect();
        let mut manifest = manifest(&["a"]);
        manifest.tasks[0].task = name.into();
        let summary = Summary::new(manifest, &rows, &["full".to_owned()]);
        let text = summary.markdown();
        assert!(text.contains("| a\\|b\\n# c &lt;script> |"), "{text}");
        assert!(!text.contains("<script") && !text.lines().any(|line| line.starts_with("# c")), "{text}");
    }

    #[test]
    fn two_baselines_are_compared_once() {
        let summary = summary(&["a", "b"]);
        for cell in &summary.families[0].cells {
            let [c] = &cell.comparisons[..] else { panic!("{:?}", cell.comparisons) };
            assert_eq!(c.adjusted, c.p);
        }
    }

    #[test]
    fn dropped_mass_foretells_here() {
        let risks = summary(&[]).risks;
        assert_eq!((risks.len(), risks[0].wrong, risks[1].wrong), (2, 10, 8));
        let [mean, max, hoyer, rounds] = risks[0].auc;
        assert_eq!(mean.map(|auc| auc.area), Some(1.0));
        assert_eq!((max, hoyer, rounds), (None, None, None), "the same everywhere");
    }

    #[test]
    fn text_and_page_say_the_same() {
        let summary = summary(&["full"]);
        let (text, page) = (summary.markdown(), summary.html());
        for part in ["sort, budget 20, protection on", "10/20", "-50 [", "p .004*", "over full", "1.00 [1.00, 1.00]"] {
            assert!(text.contains(part) && page.contains(part), "{part}: {text}");
        }
        assert!(text.contains("| a | 50 (30–70) |"), "{text}");
        assert_eq!(page.matches("<svg").count(), 4);
        assert!(!page.contains("http"), "the page needs nothing else");
    }
}
