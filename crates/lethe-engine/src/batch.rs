//! The ragged batch of one step: which rows belong to whom, and the caches as the graph sees them.

use lethe_kv::{KvError, LaneView, Storage};
use lethe_model::{Sequences, Span};

use crate::prompt_logprobs::SPARE_LOGIT_ROWS;
use crate::sequence::Sequence;

/// The plan of a step. Buffers are kept from step to step.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) entries: Vec<Entry>,  // one per sequence in the batch
    pub(crate) tokens: Vec<u32>,     // [rows]
    pub(crate) positions: Vec<u32>,  // [rows]
    pub(crate) logit_rows: Vec<u32>, // rows whose logits are wanted
    rows: Vec<usize>,                // [running], rows of each
    prompts: Vec<usize>,             // which of the running ones are reading
}

/// A sequence's part in a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Index among the running sequences.
    pub(crate) seq: usize,
    pub(crate) span: Span,
    /// Which of the wanted logits are this sequence's; `None` inside a prompt.
    pub(crate) logits: Option<usize>,
    /// The first of the wanted logits of a prompt whose log probabilities are told: one for each of its rows.
    pub(crate) read: Option<usize>,
}

impl Plan {
    pub(crate) fn with_capacity(rows: usize, sequences: usize) -> Plan {
        Plan {
            entries: Vec::with_capacity(sequences),
            tokens: Vec::with_capacity(rows),
            positions: Vec::with_capacity(rows),
            logit_rows: Vec::with_capacity(sequences + SPARE_LOGIT_ROWS),
            rows: Vec::with_capacity(sequences),
            prompts: Vec::with_capacity(sequences),
        }
    }

    /// Fills a step of at most `max_rows` rows: one for everybody who is decoding, the rest for prompts, at most `chunk` for
    /// each. Half of that rest goes to the oldest prompt, so that a long one gets on whatever comes after it; the other half,
    /// and what the oldest leaves, to prompts with least left to read, so that a short one does not wait for a long one.
    /// Prompts whose every row wants logits share [`SPARE_LOGIT_ROWS`] a step.
    pub(crate) fn fill(&mut self, running: &[Sequence], max_rows: usize, chunk: usize) {
        let mut spare = SPARE_LOGIT_ROWS;
        self.entries.clear();
        self.tokens.clear();
        self.positions.clear();
        self.logit_rows.clear();
        self.share(running, max_rows, chunk);
        for prefilling in [false, true] {
            for (i, seq) in running.iter().enumerate().filter(|(_, s)| s.turn.prefilling() == prefilling) {
                let every = prefilling && seq.turn.reading.is_some();
                let (start, room) = (self.tokens.len(), self.rows[i].min(if every { spare } else { usize::MAX }));
                if room == 0 {
                    continue;
                }
                let span = seq.next_span(start, room);
                let ends = !prefilling || seq.turn.fed + span.rows == seq.turn.feed.len();
                let (wanted, last) = (self.logit_rows.len(), start + span.rows - 1);
                let from = if every { start } else { last + usize::from(!ends) };
                self.logit_rows.extend(from as u32..=last as u32);
                spare -= if every { span.rows } else { 0 };
                let logits = ends.then(|| self.logit_rows.len() - 1);
                self.entries.push(Entry { seq: i, span, logits, read: every.then_some(wanted) });
                self.tokens.extend_from_slice(seq.next_tokens(span.rows));
                self.positions.extend(seq.position..seq.position + span.rows as u32);
            }
        }
    }

    /// Decides how many rows each running sequence gets.
    fn share(&mut self, running: &[Sequence], max_rows: usize, chunk: usize) {
        let left = |i: usize| running[i].turn.feed.len() - running[i].turn.fed;
        self.rows.clear();
        self.rows.extend(running.iter().map(|s| usize::from(!s.turn.prefilling())));
        let mut rest = max_rows - self.rows.iter().sum::<usize>();
        self.prompts.clear();
        self.prompts.extend((0..running.len()).filter(|&i| running[i].turn.prefilling()));
        let Some(&oldest) = self.prompts.first() else { return };
        let first = if self.prompts.len() > 1 { rest.div_ceil(2) } else { rest };
        self.rows[oldest] = left(oldest).min(chunk).min(first);
        rest -= self.rows[oldest];
        self.prompts.sort_unstable_by_key(|&i| (left(i), i));
        for &i in &self.prompts {
            let more = (left(i).min(chunk) - self.rows[i]).min(rest);
            self.rows[i] += more;
            rest -= more;
        }
    }
}

/// The running sequences of a step, for [`lethe_model::Decoder::forward`].
pub(crate) struct Batch<'a> {
    pub(crate) running: &'a mut [Sequence],
    pub(crate) entries: &'a [Entry],
    pub(crate) sum: &'a mut Vec<f32>, // [slots], mass of a layer
}

impl Sequences for Batch<'_> {
    fn len(&self) -> usize {
        self.entries.len()
    }

    fn span(&self, seq: usize) -> Span {
        self.entries[seq].span
    }

    fn append(&mut self, kv: &mut dyn Storage, seq: usize, layer: usize) -> Result<(), KvError> {
        let Entry { seq, span, .. } = self.entries[seq];
        let seq = &mut self.running[seq];
        for (positions, pinned) in seq.next_pins(span.rows) {
            seq.cache_mut().append(kv, layer, positions, pinned)?;
        }
        Ok(())
    }

    fn lane(&self, seq: usize, layer: usize, kv_head: usize) -> LaneView<'_> {
        self.running[self.entries[seq].seq].cache().lane(layer, kv_head)
    }

    fn carry(&self, seq: usize, layer: usize, kv_head: usize, mass: &mut [f32]) {
        self.running[self.entries[seq].seq].carried(layer, kv_head, mass);
    }

    fn mass(&mut self, seq: usize, layer: usize, mass: &[f32]) {
        let Entry { seq, span, .. } = self.entries[seq];
        self.running[seq].take_mass(layer, span.rows, mass, self.sum);
    }

    fn remembers(&self, seq: usize) -> usize {
        self.running[self.entries[seq].seq].queries.rows()
    }

    fn queries(&mut self, seq: usize, layer: usize, q: &[f32]) {
        let Entry { seq, span, .. } = self.entries[seq];
        let seq = &mut self.running[seq];
        let end = seq.position as usize + span.rows;
        seq.queries.record(layer, end - span.rows.min(seq.queries.rows()), q);
    }

    fn saturated(&mut self, seq: usize, values: usize) {
        self.running[self.entries[seq].seq].stats.saturated += values;
    }
}
