//! Which requests are dropped before their end, and when.

use std::time::Duration;

use super::draws::{Draws, Of, pick};

/// When a connection is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// When so many chunks with text have come.
    Chunks(usize),
    /// So long after it was sent, wherever it is then: waiting, reading its prompt, generating.
    After(Duration),
}

/// The requests, of `n`, that are to be dropped: the share, rounded, chosen by lot.
pub(super) fn chosen(draws: Draws, share: f64, n: usize) -> Vec<bool> {
    let mut order: Vec<usize> = (0..n).collect();
    let lots: Vec<f64> = (0..n).map(|i| draws.unit(Of::Cancelled, i as u64)).collect();
    order.sort_by(|a, b| lots[*a].total_cmp(&lots[*b]));
    let mut cancelled = vec![false; n];
    for i in order.into_iter().take((share * n as f64).round() as usize) {
        cancelled[i] = true;
    }
    cancelled
}

/// The moment of one request: half of them after a number of chunks below the tokens it asks for, half after a time
/// below `within`.
pub(super) fn moment(draws: Draws, index: u64, new_tokens: usize, within: Duration) -> Moment {
    let unit = draws.unit(Of::Moment, index);
    if draws.unit(Of::MomentKind, index) < 0.5 {
        Moment::Chunks(1 + pick(unit, new_tokens.saturating_sub(1)))
    } else {
        Moment::After(within.mul_f64(unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_exact_and_the_choice_is_the_seeds() {
        for (share, wanted) in [(0.0, 0), (0.33, 33), (0.335, 34), (1.0, 100)] {
            let count = |seed| chosen(Draws { seed }, share, 100).iter().filter(|c| **c).count();
            assert_eq!((count(1), count(2)), (wanted, wanted), "{share}");
        }
        assert_eq!(chosen(Draws { seed: 1 }, 0.5, 100), chosen(Draws { seed: 1 }, 0.5, 100));
        assert_ne!(chosen(Draws { seed: 1 }, 0.5, 100), chosen(Draws { seed: 2 }, 0.5, 100));
    }

    #[test]
    fn moments_lie_within_the_request() {
        let draws = Draws { seed: 5 };
        let within = Duration::from_secs(2);
        let (mut chunks, mut times) = (0, 0);
        for index in 0..1000 {
            match moment(draws, index, 20, within) {
                Moment::Chunks(n) => {
                    assert!((1..20).contains(&n), "{n}");
                    chunks += 1;
                }
                Moment::After(time) => {
                    assert!(time < within, "{time:?}");
                    times += 1;
                }
            }
        }
        assert!(chunks > 400 && times > 400, "{chunks} {times}");
        assert!((0..100).all(|i| match moment(draws, i, 1, within) {
            Moment::Chunks(n) => n == 1,
            Moment::After(_) => true,
        }));
    }
}
