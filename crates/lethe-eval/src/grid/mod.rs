//! Every policy on every question at every budget, with the prompt protected and not.
//!
//! ```no_run
//! use lethe_eval::grid::{Difficulty, Grid, Subject, Suite};
//! use lethe_eval::problems::Family;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let subject = Subject::embedded()?;
//! let cards = Suite::generated(&subject, Family::Cards, Difficulty::of(Family::Cards), 20, 7)?;
//! let grid = Grid::new(vec![cards]).policies("recency; random; lethe:half_life=16")?.budgets("48,96,25%")?;
//! let rows = grid.run(&subject, "results".as_ref(), |_| {})?;
//! println!("{} rows", rows.len());
//! # Ok(())
//! # }
//! ```
//!
//! `full` answers each question once; it sets what a share means, and the others are compared with it. Then every
//! [`Setting`] answers, in one engine and in batches. A row is written to a journal as soon as it is there, so that a run
//! that was stopped goes on where it was. At the end the rows stand in `results.jsonl` in a fixed order: the same bytes
//! whatever the concurrency and however often the run was stopped. A policy of another crate joins by
//! [`lethe_policy::register`] and is named like any other.

mod answer;
mod budget;
mod conversation;
mod draws;
mod error;
mod fit;
mod journal;
mod manifest;
mod plan;
mod problem;
mod report;
mod row;
mod run;
mod runner;
mod setting;
mod subject;
mod suite;
mod summary;

pub use budget::Budget;
pub use draws::Draws;
pub use error::GridError;
pub use fit::{Fitted, fit};
pub use manifest::{Manifest, Task};
pub use plan::Grid;
pub use row::{EVERY, Row, Seconds};
pub use run::{Progress, rows};
pub use setting::{Protection, Setting};
pub use subject::Subject;
pub use suite::{Difficulty, Suite};
pub use summary::{BASELINES, Cell, Comparison, FamilyOfCells, POOL, PREDICTORS, Predictor, Risk, Summary};
