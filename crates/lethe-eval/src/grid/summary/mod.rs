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
pub use risk::{PREDICTORS, Risk};

use super::{GridError, Manifest, Protection, Row};

/// Name of all tasks taken together.
pub const POOL: &str = "all tasks";

/// Everything that summary and report show.
#[derive(Clone, Debug)]
pub struct Summary {
    /// What the rows came from.
    pub manifest: Manifest,
    /// `full` on each task, and on all together if there are several.
    pub whole: Vec<Cell>,
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
            whole.push(Cell::new(name, &full, &full));
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
