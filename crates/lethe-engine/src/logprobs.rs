//! Log probabilities: how likely the model itself held a token, and what it held likelier.
//!
//! They are the log-softmax of the logits as the model gave them: what the request asks of the choice (bias, penalties,
//! temperature, bans) comes later and is not in them. The sum runs over the vocabulary in order and in f64, so the
//! numbers do not depend on the batch or on threads either.

use std::cmp::Ordering;

use crate::request::SubmitError;

/// Most likeliest tokens that may be asked for beside each token.
pub const MAX_LOGPROBS: usize = 20;

/// What the model gave a token, and the likeliest tokens in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprobs {
    /// The token.
    pub id: u32,
    /// Natural logarithm of its probability.
    pub logprob: f32,
    /// Its place among all tokens, 1 for the likeliest; of equals the lower id comes first.
    pub rank: usize,
    /// The likeliest tokens, as many as were asked for, likeliest first; [`TokenLogprobs::id`] may be among them.
    pub top: Vec<(u32, f32)>,
}

/// Refuses more than there are.
pub(crate) fn validate(asked: Option<usize>) -> Result<(), SubmitError> {
    match asked {
        Some(asked) if asked > MAX_LOGPROBS => Err(SubmitError::TooManyLogprobs { asked }),
        _ => Ok(()),
    }
}

/// Working memory, shared by all sequences.
#[derive(Debug, Default)]
pub(crate) struct LogprobScratch {
    own: Vec<f32>, // [vocab] once a request wants log probabilities: logits before they are changed
    ids: Vec<u32>, // [vocab], likewise
}

impl LogprobScratch {
    /// Keeps the logits that the model gave, for [`LogprobScratch::chosen`].
    pub(crate) fn keep(&mut self, logits: &[f32]) {
        self.own.clear();
        self.own.extend_from_slice(logits);
    }

    /// The entry of a token that was chosen by the logits last kept.
    pub(crate) fn chosen(&mut self, id: u32, top: usize) -> TokenLogprobs {
        entry(&self.own, id, top, &mut self.ids)
    }

    /// The entry of a token that was not chosen but read. `logits [vocab]`, finite.
    pub(crate) fn read(&mut self, logits: &[f32], id: u32, top: usize) -> TokenLogprobs {
        entry(logits, id, top, &mut self.ids)
    }
}

/// The entry of `id` with its `top` likeliest tokens. `logits [vocab]`, finite, as the model gave them; `ids` is working
/// memory.
fn entry(logits: &[f32], id: u32, top: usize, ids: &mut Vec<u32>) -> TokenLogprobs {
    let most = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&x| (f64::from(x) - most).exp()).sum();
    let norm = most + sum.ln();
    let logprob = |id: u32| (f64::from(logits[id as usize]) - norm) as f32;
    let own = logits[id as usize];
    let ahead = |(i, &x): (usize, &f32)| x > own || (x == own && (i as u32) < id);
    let rank = 1 + logits.iter().enumerate().filter(|&pair| ahead(pair)).count();
    let by_logit = |a: &u32, b: &u32| {
        logits[*b as usize].partial_cmp(&logits[*a as usize]).unwrap_or(Ordering::Equal).then(a.cmp(b))
    };
    ids.clear();
    if top > 0 {
        ids.extend(0..logits.len() as u32);
        if top < ids.len() {
            ids.select_nth_unstable_by(top - 1, by_logit);
            ids.truncate(top);
        }
        ids.sort_unstable_by(by_logit);
    }
    TokenLogprobs { id, logprob: logprob(id), rank, top: ids.iter().map(|&id| (id, logprob(id))).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampling::uniform;

    #[test]
    fn probabilities_sum_to_one_and_come_in_order() {
        let logits: Vec<f32> = (0..500).map(|i| (uniform(1, i) * 30.0 - 20.0) as f32).collect();
        let mut ids = Vec::new();
        let all = entry(&logits, 7, logits.len(), &mut ids);
        let sum: f64 = all.top.iter().map(|&(_, p)| f64::from(p).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        assert!(all.top.is_sorted_by(|a, b| a.1 >= b.1));
        for (place, &(id, logprob)) in all.top.iter().enumerate() {
            let few = entry(&logits, id, 3, &mut ids);
            assert_eq!((few.id, few.rank, few.logprob), (id, place + 1, logprob));
            assert_eq!(few.top, all.top[..3]);
        }
        assert_eq!(entry(&logits, 7, 0, &mut ids).top, []);
    }

    #[test]
    fn of_equals_the_lower_id_is_ahead() {
        let logits = [1.0, 2.0, 2.0, -1.0, 2.0];
        let mut ids = Vec::new();
        let e = entry(&logits, 4, 2, &mut ids);
        assert_eq!(e.rank, 3);
        assert_eq!(e.top.iter().map(|&(id, _)| id).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(entry(&logits, 1, 9, &mut ids).top.len(), 5, "no more than the vocabulary");
    }

    #[test]
    fn large_logits_are_no_trouble() {
        let mut ids = Vec::new();
        let e = entry(&[3e38, -3e38, 0.0], 0, 3, &mut ids);
        assert_eq!((e.logprob, e.rank), (0.0, 1));
        assert_eq!(e.top[0], (0, 0.0));
        assert!(e.top[2].1 < -1e38);
        assert_eq!(entry(&[0.0; 4], 2, 1, &mut ids).logprob, (0.25f64.ln()) as f32);
    }
}
