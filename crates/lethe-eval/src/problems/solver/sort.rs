//! Solves sort.

use super::{Reader, Solution, SolveError, join};

pub(super) fn solve(mut reader: Reader<'_>) -> Result<Solution, SolveError> {
    reader.expect("Sort ")?;
    let mut left = reader.numbers()?;
    reader.expect(".")?;
    reader.end()?;

    let mut sorted = Vec::new();
    let mut thinking = Vec::new();
    while let Some(at) = (0..left.len()).min_by_key(|&at| left[at]) {
        let smallest = left.remove(at);
        sorted.push(smallest);
        let rest = if left.is_empty() { "none".to_owned() } else { join(&left, " ") };
        thinking.push(format!("Smallest {smallest}; left {rest}; sorted {}.", join(&sorted, " ")));
    }
    Ok(Solution { thinking, answer: join(&sorted, " ") + "." })
}
