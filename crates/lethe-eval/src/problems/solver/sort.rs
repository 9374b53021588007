//! Solves sort.

use super::{Reader, SolveError, between};
use crate::reads::Pen;

pub(super) fn solve(mut reader: Reader<'_>, pen: &mut Pen) -> Result<(), SolveError> {
    reader.expect("Sort ")?;
    let mut left = reader.numbers()?;
    reader.expect(".")?;
    reader.end()?;

    let mut sorted = Vec::new();
    while let Some(at) = (0..left.len()).min_by_key(|&at| left[at].value) {
        pen.line();
        let mut smallest = left.remove(at);
        pen.put("Smallest ");
        pen.recall(&mut smallest);
        sorted.push(smallest);
        pen.put("; left ");
        if left.is_empty() {
            pen.put("none");
        }
        // only the line before says which ones are left
        between(pen, " ", &mut left, Pen::carry);
        pen.put("; sorted ");
        between(pen, " ", &mut sorted, Pen::carry);
        pen.put(".");
    }
    pen.answer();
    between(pen, " ", &mut sorted, Pen::recall);
    pen.put(".");
    Ok(())
}
