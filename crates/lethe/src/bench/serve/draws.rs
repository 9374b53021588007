//! All chance of a run: it depends on the seed, on what is drawn, and on its place, never on the order.

use lethe_engine::uniform;

use super::span::Span;

/// What is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) enum Of {
    /// The pause before a request arrives.
    Pause,
    /// The length of a prompt.
    PromptTokens,
    /// The length of an answer.
    NewTokens,
    /// What stands in a prompt.
    Token,
    /// Which requests are cancelled.
    Cancelled,
    /// How their moment is measured.
    MomentKind,
    /// The moment itself.
    Moment,
}

/// A source of chance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draws {
    pub(super) seed: u64,
}

impl Draws {
    /// In [0, 1).
    pub(super) fn unit(self, of: Of, index: u64) -> f64 {
        self.cell(of, index, 0)
    }

    /// In [0, 1), one of many at an index.
    pub(super) fn cell(self, of: Of, index: u64, place: usize) -> f64 {
        // two steps, so that an index with a place never meets another index
        let row = uniform(self.seed, ((of as u64) << 56) | index).to_bits();
        uniform(row, place as u64)
    }

    /// Within a span, all alike likely.
    pub(super) fn within(self, of: Of, index: u64, span: Span) -> usize {
        let width = (span.high - span.low).saturating_add(1);
        span.low + pick(self.unit(of, index), width)
    }
}

/// The part of `n` that a number in [0, 1) falls into.
pub(super) fn pick(unit: f64, n: usize) -> usize {
    ((unit * n as f64) as usize).min(n.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_everything_that_names_them() {
        let draws = Draws { seed: 1 };
        let base = draws.cell(Of::Token, 5, 2);
        assert_eq!(base, Draws { seed: 1 }.cell(Of::Token, 5, 2));
        for other in [
            Draws { seed: 2 }.cell(Of::Token, 5, 2),
            draws.cell(Of::Moment, 5, 2),
            draws.cell(Of::Token, 6, 2),
            draws.cell(Of::Token, 5, 3),
            draws.unit(Of::Token, 5),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn spans_are_reached_from_end_to_end_and_evenly() {
        let draws = Draws { seed: 7 };
        let span = Span { low: 3, high: 6 };
        let mut seen = [0; 4];
        for index in 0..4000 {
            seen[draws.within(Of::NewTokens, index, span) - span.low] += 1;
        }
        assert!(seen.iter().all(|n| (900..1100).contains(n)), "{seen:?}");
        assert_eq!(draws.within(Of::NewTokens, 0, Span { low: 9, high: 9 }), 9);
        assert_eq!((pick(0.999_999, 3), pick(0.0, 3), pick(0.5, 0)), (2, 0, 0));
    }
}
