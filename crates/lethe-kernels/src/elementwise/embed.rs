//! Token ids to rows of the embedding table.

use super::GRAIN;
use crate::shared::SharedMut;
use crate::{Cpu, EmbedError, Matrix};

impl Cpu {
    /// Row `tokens[i]` of `table` into row i of `y` (`[m][table.cols()]`), as f32.
    ///
    /// # Errors
    /// A token id beyond the table; nothing is written then.
    ///
    /// # Panics
    /// If y is not `tokens.len()` rows.
    pub fn embed(&self, table: &Matrix, tokens: &[u32], y: &mut [f32]) -> Result<(), EmbedError> {
        let d = table.cols();
        assert_eq!(y.len(), tokens.len() * d, "embed: y is not one row per token");
        if let Some(row) = tokens.iter().position(|token| *token as usize >= table.rows()) {
            return Err(EmbedError { row, token: tokens[row], vocab: table.rows() });
        }
        let y = SharedMut::new(y);
        self.split(tokens.len(), (GRAIN / d).max(1), |rows| {
            for row in rows {
                // SAFETY: rows do not overlap, and each is in one range of the split.
                let y = unsafe { y.part(row * d..(row + 1) * d) };
                table.read_row(tokens[row] as usize, y);
            }
        });
        Ok(())
    }
}
