//! The text that the full cache says and the policies follow, with the predictions of both compared.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use lethe_engine::{ConstraintError, EngineOptions};

use super::Followed;
use crate::forced::{Director, normaliser, only};

/// Rows of logits that the full cache may be ahead of a policy once both decode. They run in the same steps, so more means
/// that a policy could not run: it waits for memory.
pub(super) const MOST_AHEAD: usize = 64;

/// Rows of logits that the full cache may be ahead of a policy: it reads the prompt first, and speaks while the others read.
pub(super) fn most_ahead(options: &EngineOptions, prompt: usize, policies: usize) -> usize {
    // All seats but the reader's take a row of the step each, at most.
    let rows = (options.max_batched_tokens + 1).saturating_sub(options.max_num_seqs);
    MOST_AHEAD + policies * prompt.div_ceil(rows.min(options.prefill_chunk).max(1))
}

/// What the full cache said and predicted, as far as somebody still needs it.
#[derive(Debug)]
pub(super) struct Text {
    rows: VecDeque<Row>,
    first: usize,                       // the place in the text of the first row
    places: Vec<usize>,                 // [policies], of the row that each compares next
    pub(super) followed: Vec<Followed>, // [policies]
    most_ahead: usize,                  // rows kept before something is wrong
}

/// One prediction, and the token that came.
#[derive(Debug)]
struct Row {
    logits: Vec<f32>, // [vocab]
    id: Option<u32>,
}

impl Text {
    pub(super) fn new(policies: usize, most_ahead: usize) -> Text {
        Text {
            rows: VecDeque::new(),
            first: 0,
            places: vec![0; policies],
            followed: vec![Followed::default(); policies],
            most_ahead,
        }
    }

    /// Compares a policy's prediction with that of its place in the text. Returns the token that came there.
    fn compare(&mut self, follower: usize, logits: &[f32]) -> Result<u32, ConstraintError> {
        let place = self.places[follower];
        let row = self.rows.get(place - self.first);
        let Some(Row { logits: full, id: Some(id) }) = row else {
            return Err(ConstraintError("a policy is ahead of the full cache that it follows".into()));
        };
        self.followed[follower].divergence.push(divergence(full, logits));
        self.followed[follower].agreed.push(best(full) == best(logits));
        let id = *id;
        self.places[follower] += 1;
        while self.places.iter().all(|&place| place > self.first) && self.rows.pop_front().is_some() {
            self.first += 1;
        }
        Ok(id)
    }
}

fn lock(text: &Mutex<Text>) -> std::sync::MutexGuard<'_, Text> {
    text.lock().unwrap_or_else(PoisonError::into_inner)
}

/// KL(p || q) of two predictions, nats. `p [vocab]`, `q [vocab]`
fn divergence(p: &[f32], q: &[f32]) -> f64 {
    let (p_norm, q_norm) = (normaliser(p), normaliser(q));
    let term = |(&p, &q): (&f32, &f32)| {
        let log = f64::from(p) - p_norm;
        log.exp() * (log - (f64::from(q) - q_norm))
    };
    p.iter().zip(q).map(term).sum::<f64>().max(0.0) // rounding may leave less than nothing
}

/// The likeliest token; of equals the first. `logits [vocab]`
fn best(logits: &[f32]) -> usize {
    let first = (0, f32::NEG_INFINITY);
    logits.iter().enumerate().fold(first, |best, (i, &l)| if l > best.1 { (i, l) } else { best }).0
}

/// The full cache: free to choose, and overheard.
#[derive(Debug)]
pub(super) struct Leader(pub(super) Arc<Mutex<Text>>);

impl Director for Leader {
    fn direct(&mut self, logits: &mut [f32]) -> Result<(), ConstraintError> {
        let mut text = lock(&self.0);
        if text.places.is_empty() {
            return Ok(());
        }
        if text.rows.len() >= text.most_ahead {
            return Err(ConstraintError(
                "the KV memory does not hold the full cache and all policies at once: give it more (--kv-memory), or fewer policies"
                    .into(),
            ));
        }
        text.rows.push_back(Row { logits: logits.to_vec(), id: None });
        Ok(())
    }

    fn came(&mut self, id: u32) {
        if let Some(row) = lock(&self.0).rows.back_mut() {
            row.id = Some(id);
        }
    }

    fn again(&self) -> Box<dyn Director> {
        Box::new(Leader(Arc::clone(&self.0)))
    }
}

/// A policy, which says what the full cache said.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) text: Arc<Mutex<Text>>,
    pub(super) follower: usize,
}

impl Director for Follower {
    fn direct(&mut self, logits: &mut [f32]) -> Result<(), ConstraintError> {
        let id = lock(&self.text).compare(self.follower, logits)?;
        only(logits, id)
    }

    fn came(&mut self, _id: u32) {}

    fn again(&self) -> Box<dyn Director> {
        Box::new(Follower { text: Arc::clone(&self.text), follower: self.follower })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divergence_of_predictions() {
        let log = |p: [f32; 3]| p.map(f32::ln);
        // KL((1/2, 1/4, 1/4) || (1/4, 1/2, 1/4)) = 1/2 ln 2 - 1/4 ln 2
        let kl = divergence(&log([0.5, 0.25, 0.25]), &log([0.25, 0.5, 0.25]));
        assert!((kl - 0.25 * std::f64::consts::LN_2).abs() < 1e-6, "{kl}");
        // a shift of all logits changes nothing
        assert!(divergence(&[1.0, 2.0, 3.0], &[11.0, 12.0, 13.0]) < 1e-12);
        assert_eq!(best(&[1.0, 3.0, 3.0]), 1);
    }

    #[test]
    fn the_allowance_grows_with_what_is_read_meanwhile() {
        let ahead = |max_num_seqs, max_batched_tokens, prompt, policies| {
            let options = EngineOptions { max_num_seqs, max_batched_tokens, ..EngineOptions::default() };
            most_ahead(&options, prompt, policies) - MOST_AHEAD
        };
        assert_eq!(ahead(4, 515, 512, 3), 3);
        assert_eq!(ahead(4, 515, 513, 3), 6);
        assert_eq!(ahead(11, 11, 10, 10), 100, "one row a step is left to read with");
        assert_eq!(ahead(1, 512, 1000, 0), 0);
    }
}
