//! Where the sorted scores of a layer fall away.

/// The breakpoint rule of Lethe (arXiv 2511.06029, section 3): the sorted scores are cut into equal segments, and the
/// tail from the first boundary that lies too far under the reference score is not salient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breakpoint {
    /// tau: a score is too low when `reference / score` exceeds it.
    pub sparse_ratio: f64,
    /// D: into how many equal segments the sorted scores are cut.
    pub segments: usize,
    /// Which score is the reference.
    pub reference: Reference,
    /// S: the first slots of the layer, set aside by [`Reference::TopNonSink`].
    pub sinks: usize,
}

/// Which score the others are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// The best of all, as in the paper. Nearly always an attention sink, so the fall comes early.
    Top,
    /// The best outside the sinks: the same `sparse_ratio` keeps more.
    TopNonSink,
}

impl Reference {
    pub(crate) const WORDS: &[&str] = &["top", "top_non_sink"];

    /// The word of the option `reference`.
    pub fn word(self) -> &'static str {
        match self {
            Reference::Top => "top",
            Reference::TopNonSink => "top_non_sink",
        }
    }

    pub(crate) fn from_word(word: &str) -> Self {
        match word {
            "top_non_sink" => Reference::TopNonSink,
            _ => Reference::Top,
        }
    }
}

impl Breakpoint {
    /// How many of the best slots are salient, or `None` where the scores never fall that far. `scores`: `[n_slots]`.
    ///
    /// Boundaries lie at `k_j = ceil(j * n / D)`, `j = 1..D-1`; the breakpoint is the first with
    /// `reference / v[k_j] > tau`, `v` being the scores in descending order and a zero score counting as exceeding.
    pub fn find(&self, scores: &[f32]) -> Option<usize> {
        let top = scores.iter().copied().max_by(f32::total_cmp)?;
        let reference = match self.reference {
            Reference::Top => top,
            Reference::TopNonSink => scores.iter().copied().skip(self.sinks).max_by(f32::total_cmp).unwrap_or(top),
        };
        let fallen = |score: f32| score <= 0.0 || f64::from(reference) / f64::from(score) > self.sparse_ratio;
        // The fallen scores are the tail of the descending order: counting the others finds its start without a sort.
        let upright = scores.iter().filter(|score| !fallen(**score)).count();
        let n = scores.len();
        (1..self.segments).map(|j| (j * n).div_ceil(self.segments)).take_while(|k| *k < n).find(|k| *k >= upright)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Breakpoint = Breakpoint { sparse_ratio: 10.0, segments: 4, reference: Reference::Top, sinks: 1 };

    #[test]
    fn the_whole_segment_of_the_fall_is_salient() {
        // boundaries at 2, 4, 6; the fall from 20 to 1 lies after three slots, inside the second segment
        assert_eq!(RULE.find(&[1.0, 20.0, 1.0, 20.0, 1.0, 20.0, 1.0, 1.0]), Some(4));
    }

    #[test]
    fn flat_scores_have_no_breakpoint() {
        assert_eq!(RULE.find(&[3.0; 40]), None);
        assert_eq!(RULE.find(&[]), None);
        assert_eq!(RULE.find(&[1.0]), None);
    }

    #[test]
    fn a_fall_inside_the_last_segment_is_kept_whole() {
        assert_eq!(RULE.find(&[20.0, 20.0, 20.0, 20.0, 20.0, 20.0, 20.0, 1.0]), None);
    }

    #[test]
    fn the_ratio_itself_does_not_exceed() {
        assert_eq!(RULE.find(&[10.0, 1.0, 1.0, 1.0]), None);
        assert_eq!(RULE.find(&[10.5, 1.0, 1.0, 1.0]), Some(1));
    }

    #[test]
    fn zeros_count_as_fallen() {
        assert_eq!(RULE.find(&[0.0; 8]), Some(2));
        assert_eq!(Breakpoint { sparse_ratio: 1e9, ..RULE }.find(&[1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]), Some(4));
    }

    #[test]
    fn without_the_sink_the_same_ratio_keeps_more() {
        let scores = [1000.0, 5.0, 4.0, 3.0, 2.0, 1.0, 1.0, 1.0];
        assert_eq!(RULE.find(&scores), Some(2));
        assert_eq!(Breakpoint { reference: Reference::TopNonSink, ..RULE }.find(&scores), None);
    }

    #[test]
    fn a_layer_of_sinks_alone_falls_back_to_the_top() {
        let rule = Breakpoint { reference: Reference::TopNonSink, sinks: 9, ..RULE };
        assert_eq!(rule.find(&[100.0, 1.0, 1.0, 1.0]), Some(1));
    }
}
