//! Repetition as it happens: an answer whose end is one pattern over and over is not worth going on with.

use crate::request::SubmitError;

/// When to call it repetition: the answer ends with a pattern, back to back, so many times. Inside thinking that can be
/// closed ([`crate::ThinkingBudget`]) the close is forced; elsewhere the turn ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepetitionDetection {
    /// Tokens of the longest pattern looked for.
    pub max_pattern_size: usize,
    /// Tokens of the shortest, at least 1.
    pub min_pattern_size: usize,
    /// How often it must come, at least 2.
    pub min_count: usize,
}

impl RepetitionDetection {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`SubmitError::BadRepetition`] names the first that makes no sense.
    pub(crate) fn validate(&self) -> Result<(), SubmitError> {
        let &RepetitionDetection { max_pattern_size: max, min_pattern_size: min, min_count } = self;
        let bad = |key, value, expected| Err(SubmitError::BadRepetition { key, value, expected });
        match () {
            () if min == 0 => bad("min_pattern_size", min, "at least 1"),
            () if max < min => bad("max_pattern_size", max, "at least min_pattern_size"),
            () if min_count < 2 => bad("min_count", min_count, "at least 2"),
            () => Ok(()),
        }
    }
}

/// Watches the answer of one turn.
#[derive(Debug)]
pub(crate) struct Repetition {
    rules: RepetitionDetection,
    /// For every size of a pattern: how many of the newest tokens equal those so far before them.
    same: Vec<usize>, // [sizes]
    /// Tokens before this one do not count.
    from: usize,
}

impl Repetition {
    /// For an answer of at most `max_tokens` tokens. Patterns too long to come often enough in it are not looked for.
    pub(crate) fn new(rules: RepetitionDetection, max_tokens: usize) -> Repetition {
        let longest = rules.max_pattern_size.min(max_tokens / rules.min_count);
        let sizes = (longest + 1).saturating_sub(rules.min_pattern_size);
        Repetition { rules, same: vec![0; sizes], from: 0 }
    }

    /// Takes note of the newest token, the last of `output`. Whether it completes a repetition.
    pub(crate) fn push(&mut self, output: &[u32]) -> bool {
        let Some((&id, before)) = output[self.from..].split_last() else { return false };
        let mut found = false;
        for (size, same) in (self.rules.min_pattern_size..).zip(&mut self.same) {
            let Some(at) = before.len().checked_sub(size) else { break };
            *same = if before[at] == id { *same + 1 } else { 0 };
            found |= *same >= size * (self.rules.min_count - 1);
        }
        found
    }

    /// Begins anew after the first `from` tokens.
    pub(crate) fn restart(&mut self, from: usize) {
        self.same.fill(0);
        self.from = from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampling::uniform;

    fn rules(min: usize, max: usize, count: usize) -> RepetitionDetection {
        RepetitionDetection { max_pattern_size: max, min_pattern_size: min, min_count: count }
    }

    /// The definition, by itself.
    fn ends_in_pattern(r: RepetitionDetection, ids: &[u32]) -> bool {
        (r.min_pattern_size..=r.max_pattern_size).any(|size| {
            let Some(start) = ids.len().checked_sub(size * r.min_count) else { return false };
            ids[start..].chunks(size).all(|chunk| chunk == &ids[start..start + size])
        })
    }

    #[test]
    fn it_is_seen_with_the_token_that_completes_it() {
        for (i, r) in [rules(1, 4, 3), rules(2, 7, 2), rules(3, 3, 4), rules(1, 30, 5)].into_iter().enumerate() {
            let ids: Vec<u32> = (0..3000).map(|k| (uniform(i as u64, k) * 2.2) as u32).collect();
            let mut watch = Repetition::new(r, ids.len());
            let mut seen = 0;
            for end in 1..=ids.len() {
                let expected = ends_in_pattern(r, &ids[..end]);
                assert_eq!(watch.push(&ids[..end]), expected, "{r:?} after {end}");
                seen += usize::from(expected);
            }
            assert!(seen > 2, "{r:?}: {seen}");
        }
    }

    #[test]
    fn after_a_restart_only_new_tokens_count() {
        let ids = [1, 2, 1, 2, 1, 2, 1, 2, 1, 2];
        let mut watch = Repetition::new(rules(2, 2, 2), 100);
        let found: Vec<bool> = (1..=4).map(|end| watch.push(&ids[..end])).collect();
        assert_eq!(found, [false, false, false, true]);
        watch.restart(5);
        let found: Vec<bool> = (6..=10).map(|end| watch.push(&ids[..end])).collect();
        assert_eq!(found, [false, false, false, true, true]);
    }

    #[test]
    fn sizes_beyond_the_answer_cost_nothing() {
        let watch = Repetition::new(rules(1, usize::MAX, 4), 100);
        assert_eq!(watch.same.len(), 25);
        assert!(Repetition::new(rules(50, 60, 4), 100).same.is_empty());
        assert!(!Repetition::new(rules(1, 5, usize::MAX), 100).push(&[1, 1]));
    }

    #[test]
    fn numbers_that_make_no_sense_are_named() {
        let bad = |r: RepetitionDetection| r.validate().unwrap_err().to_string();
        assert!(bad(rules(0, 4, 3)).contains("min_pattern_size"));
        assert!(bad(rules(5, 4, 3)).contains("max_pattern_size"));
        assert!(bad(rules(1, 4, 1)).contains("min_count"));
        assert!(rules(1, 1, 2).validate().is_ok());
    }
}
