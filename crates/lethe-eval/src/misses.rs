//! How much of what an answer needed was gone when it was read.

use std::ops::Range;

use lethe_engine::Event;

use crate::gold::{Gold, TokenRead};

/// When each slot of a sequence was forgotten, from the events of a traced request ([`lethe_engine::Request::trace`]).
#[derive(Clone, Debug)]
pub struct Forgotten {
    kv_heads: usize,
    now: u32,
    gone: Vec<Vec<u32>>, // [layers * kv heads][positions], tokens fed when the slot went; NEVER while it is there
}

const NEVER: u32 = u32::MAX;

impl Forgotten {
    /// Nothing yet, of a model of so many layers and KV heads.
    pub fn new(layers: usize, kv_heads: usize) -> Forgotten {
        Forgotten { kv_heads, now: 0, gone: vec![Vec::new(); layers * kv_heads] }
    }

    /// Layers of the model.
    pub fn layers(&self) -> usize {
        self.gone.len() / self.kv_heads.max(1)
    }

    /// Takes note of an event. What names a layer or lane that the model lacks is passed over.
    pub fn saw(&mut self, event: &Event) {
        match event {
            Event::Round(round) => self.now = round.position,
            Event::Forgot { layer, lane, positions } => self.forget(*layer, *lane, self.now, positions.iter().copied()),
            _ => {}
        }
    }

    /// A round of `layer`, or of one lane of it, dropped these positions when `now` tokens had been fed.
    pub fn forget(&mut self, layer: usize, lane: Option<usize>, now: u32, positions: impl IntoIterator<Item = u32>) {
        let lanes = lane.map_or(0..self.kv_heads, |lane| lane..(lane + 1).min(self.kv_heads));
        let positions: Vec<u32> = positions.into_iter().collect();
        for lane in lanes {
            let Some(gone) = self.gone.get_mut(layer * self.kv_heads + lane) else { return };
            for &position in &positions {
                let at = position as usize;
                gone.resize(gone.len().max(at + 1), NEVER);
                gone[at] = gone[at].min(now);
            }
        }
    }

    /// Whether a lane of `layer` still held `position` while the token at position `reader` was computed: it was attended to
    /// by the one before.
    pub fn holds(&self, layer: usize, position: u32, reader: u32) -> bool {
        let lanes = &self.gone[layer * self.kv_heads..(layer + 1) * self.kv_heads];
        lanes.iter().any(|gone| gone.get(position as usize).is_none_or(|&when| when >= reader))
    }

    /// The layers in which nothing of what `read` needs was left whole when it was due.
    pub fn missed(&self, read: &TokenRead) -> Vec<usize> {
        let reader = read.at.end.saturating_sub(1);
        let whole = |layer, run: &Range<u32>| run.clone().all(|position| self.holds(layer, position, reader));
        (0..self.layers()).filter(|&layer| !read.from.iter().any(|run| whole(layer, run))).collect()
    }
}

/// Reads of an answer, and how many of them came too late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misses {
    /// Reads that were due while the answer followed the right one.
    pub reads: usize,
    /// Those of which no layer had the source any more.
    pub lost: usize,
    /// Those of which the layer had it no more. `[layers]`
    pub layers: Vec<usize>,
}

impl Misses {
    /// The misses of a run that fed or generated `ids`, from position 0 on, among the reads that were due ([`Gold::due`]).
    pub fn count(gold: &Gold, ids: &[u32], forgotten: &Forgotten) -> Misses {
        let mut misses = Misses { reads: 0, lost: 0, layers: vec![0; forgotten.layers()] };
        for read in gold.due(ids) {
            let missed = forgotten.missed(read);
            misses.reads += 1;
            misses.lost += usize::from(missed.len() == forgotten.layers());
            missed.into_iter().for_each(|layer| misses.layers[layer] += 1);
        }
        misses
    }

    /// The share of reads of which no layer had the source; 0 without reads.
    pub fn rate(&self) -> f64 {
        share(self.lost, self.reads)
    }

    /// The share of reads of which a layer had no source, mean over layers.
    pub fn mean_rate(&self) -> f64 {
        share(self.layers.iter().sum(), self.reads * self.layers.len())
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(at: u32, from: &[(u32, u32)]) -> TokenRead {
        TokenRead { at: at..at + 1, from: from.iter().map(|&(first, end)| first..end).collect() }
    }

    #[test]
    fn a_slot_serves_the_step_before_its_round() {
        let mut forgotten = Forgotten::new(1, 1);
        forgotten.forget(0, None, 20, [3]);
        // the token at 20 was computed by the one at 19, and the round came after
        assert!(forgotten.holds(0, 3, 20));
        assert!(!forgotten.holds(0, 3, 21));
        assert!(forgotten.holds(0, 4, 99));
    }

    #[test]
    fn a_lane_that_is_left_is_enough() {
        let mut forgotten = Forgotten::new(2, 2);
        forgotten.forget(1, Some(0), 8, [5]);
        assert!(forgotten.holds(1, 5, 30));
        forgotten.forget(1, Some(1), 16, [5]);
        assert!(!forgotten.holds(1, 5, 30));
        assert!(forgotten.holds(0, 5, 30));
    }

    #[test]
    fn any_whole_copy_will_do() {
        let mut forgotten = Forgotten::new(2, 1);
        forgotten.forget(0, None, 10, [2]);
        forgotten.forget(1, None, 10, [6]);
        let both = read(12, &[(1, 3), (6, 7)]);
        assert!(forgotten.missed(&both).is_empty());
        assert_eq!(forgotten.missed(&read(12, &[(1, 3)])), [0]);
        forgotten.forget(0, None, 11, [6]);
        assert_eq!(forgotten.missed(&both), [0]);
    }

    #[test]
    fn reads_count_up_to_the_first_wrong_token() {
        let reads = vec![read(5, &[(0, 1)]), read(8, &[(1, 2)]), read(9, &[(1, 2)])];
        let gold = Gold { ids: (0..10).collect(), turns: Vec::new(), reads };
        let mut forgotten = Forgotten::new(2, 1);
        forgotten.forget(0, None, 4, [0, 1]);
        forgotten.forget(1, None, 5, [1]);
        let misses = Misses::count(&gold, &[0, 1, 2, 3, 4, 5, 6, 7, 99, 9], &forgotten);
        assert_eq!(misses, Misses { reads: 2, lost: 1, layers: vec![2, 1] });
        assert_eq!((misses.rate(), misses.mean_rate()), (0.5, 0.75));
        assert_eq!(Misses::count(&gold, &[], &forgotten).rate(), 0.0);
    }
}
