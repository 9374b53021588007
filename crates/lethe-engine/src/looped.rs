//! Loops: text that says the same again and again, as models do that have lost their thread.
//!
//! Two signs count, both of runs of [`GRAM`] tokens, so that a ruled line or a list of short items is none. One is a run
//! that comes [`TIMES`] times within [`WINDOW`] tokens without overlapping itself: what lies between may change. The other
//! is text of any length that comes so often back to back, which catches whole paragraphs.

use std::collections::HashMap;

/// Tokens of a run. Five of them fill half of the window; fewer would see a loop in every table.
const GRAM: usize = 20;
/// How often it comes.
const TIMES: usize = 5;
/// Tokens within which it does.
const WINDOW: usize = 200;

/// Where a run of [`GRAM`] tokens ended so far.
struct Seen {
    last: usize,
    apart: [usize; TIMES - 1], // the latest ends that do not overlap, oldest first
    count: usize,              // of `apart`
}

/// Whether a text loops. One pass.
pub(crate) fn looped(ids: &[u32]) -> bool {
    if ids.len() < GRAM * TIMES {
        return false;
    }
    let mut seen: HashMap<&[u32], Seen> = HashMap::new();
    let (mut lag, mut same) = (0, 0); // the newest tokens equal those `lag` before, so many of them
    for (start, gram) in ids.windows(GRAM).enumerate() {
        let end = start + GRAM;
        let Some(seen) = seen.get_mut(gram) else {
            seen.insert(gram, Seen { last: end, apart: [end, 0, 0, 0], count: 1 });
            lag = 0;
            continue;
        };
        (lag, same) = if end - seen.last == lag { (lag, same + 1) } else { (end - seen.last, GRAM) };
        seen.last = end;
        if lag + same >= (TIMES * lag).max(TIMES * GRAM) {
            return true;
        }
        if end - seen.apart[seen.count - 1] < GRAM {
            continue;
        }
        if seen.count < TIMES - 1 {
            seen.apart[seen.count] = end;
            seen.count += 1;
            continue;
        }
        if end - (seen.apart[0] - GRAM) <= WINDOW {
            return true;
        }
        seen.apart.rotate_left(1);
        seen.apart[TIMES - 2] = end;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampling::uniform;

    fn noise(seed: u64, n: usize) -> Vec<u32> {
        (0..n as u64).map(|i| (uniform(seed, i) * 500.0) as u32).collect()
    }

    #[test]
    fn text_that_repeats_back_to_back_loops_whatever_its_length() {
        for period in [1, 2, 3, 7, 19, 20, 21, 33, 45, 46, 90, 200, 700] {
            let pattern = noise(1, period);
            let times = |n: usize| -> Vec<u32> {
                let copies = std::iter::repeat_n(&pattern, n).flatten().copied();
                noise(2, 150).into_iter().chain(copies).chain(noise(3, 40)).collect()
            };
            let enough = TIMES.max((TIMES * GRAM).div_ceil(period));
            assert!(looped(&times(enough)), "period {period}, {enough} times");
            // a few tokens beyond the copies may go on like them by chance, one copy less is safe
            assert!(!looped(&times(enough - 1 - usize::from(period == 1))), "period {period}, once less");
        }
    }

    #[test]
    fn a_phrase_that_keeps_coming_back_loops() {
        let phrase = noise(1, GRAM);
        let with_gaps = |gap: usize, times: usize| -> Vec<u32> {
            (0..times as u64).flat_map(|i| phrase.iter().copied().chain(noise(10 + i, gap))).collect()
        };
        assert!(looped(&with_gaps(25, TIMES)), "5 times within 200 tokens");
        assert!(!looped(&with_gaps(26, TIMES)), "within 204");
        assert!(!looped(&with_gaps(26, 40)), "however often");
        assert!(!looped(&with_gaps(10, TIMES - 1)), "4 times");
        assert!(looped(&[noise(7, 1000), with_gaps(10, TIMES)].concat()));
    }

    #[test]
    fn ordinary_text_does_not() {
        assert!(!looped(&[]));
        assert!(!looped(&noise(1, 5000)));
        assert!(!looped(&vec![7; TIMES * GRAM - 1]), "a ruled line");
        // a table: rows alike but for their numbers
        let rows: Vec<u32> = (0..50).flat_map(|i| [1, 2, 3, 4, 5, 100 + i, 6, 7, 8, 9]).collect();
        assert!(!looped(&rows));
        // a letter alphabet with few ids
        let few: Vec<u32> = (0..4000).map(|i| (uniform(5, i) * 3.0) as u32).collect();
        assert!(!looped(&few));
    }
}
