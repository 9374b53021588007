//! Teacher forcing: a decode that looks at its predictions and then says what it is told to.
//!
//! Policies act between decode steps, so what they do to predictions shows only in decode. A prompt of the same tokens
//! would be read whole before anything is forgotten.

use lethe_engine::{Constraint, ConstraintError};

/// Leaves only `id`. `logits [vocab]`
pub(crate) fn only(logits: &mut [f32], id: u32) -> Result<(), ConstraintError> {
    logits.fill(f32::NEG_INFINITY);
    let logit =
        logits.get_mut(id as usize).ok_or_else(|| ConstraintError(format!("token {id} is not in the vocabulary")))?;
    *logit = 0.0;
    Ok(())
}

/// The logarithm of the sum of all exponentials: what turns logits into log probabilities. `logits [vocab]`, finite.
pub(crate) fn normaliser(logits: &[f32]) -> f64 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    f64::from(most) + logits.iter().map(|&l| f64::from(l - most).exp()).sum::<f64>().ln()
}

/// What sees the predictions of a decode, and decides what comes.
pub(crate) trait Director: Send + Sync + std::fmt::Debug {
    /// Looks at the predictions of the next token and leaves what may come. `logits [vocab]`, finite.
    fn direct(&mut self, logits: &mut [f32]) -> Result<(), ConstraintError>;

    /// Takes the token that came.
    fn came(&mut self, id: u32);

    /// Another one at the same place.
    fn again(&self) -> Box<dyn Director>;
}

/// A director in the place where the engine takes grammars.
#[derive(Debug)]
pub(crate) struct Directed(pub(crate) Box<dyn Director>);

impl Constraint for Directed {
    fn mask(&mut self, logits: &mut [f32]) -> Result<(), ConstraintError> {
        self.0.direct(logits)
    }

    fn commit(&mut self, id: u32) -> Result<(), ConstraintError> {
        self.0.came(id);
        Ok(())
    }

    fn finished(&self) -> bool {
        false
    }

    fn bytes(&self, _id: u32) -> &[u8] {
        &[] // read only where thinking is told from the answer
    }

    fn boxed(&self) -> Box<dyn Constraint> {
        Box::new(Directed(self.0.again()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_probabilities_are_normal() {
        let logits = [1.0f32, 1000.0, -3e38, 999.0];
        let sum: f64 = logits.iter().map(|&l| (f64::from(l) - normaliser(&logits)).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-12);
    }

    #[test]
    fn only_one_is_left() {
        let mut logits = [3.0, 2.0, 1.0];
        only(&mut logits, 2).unwrap();
        assert_eq!(logits, [f32::NEG_INFINITY, f32::NEG_INFINITY, 0.0]);
        assert!(only(&mut logits, 3).unwrap_err().to_string().contains("token 3"));
    }
}
