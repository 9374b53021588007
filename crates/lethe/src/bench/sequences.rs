//! Sequences side by side that go down together: fed to a position under their policy, timed there, fed on.

use std::time::Duration;

use lethe_engine::{Finished, Generation};

use super::Setup;
use super::progress::Progress;
use super::rig::{Rig, Step};
use super::row::{Row, Spread};
use crate::Fault;

/// Tokens before the first window: a round that is due comes here, and buffers are as large as they will be.
const WARM: usize = 4;
const WINDOWS: usize = 5;
/// Tokens of each sequence in a window.
const WINDOW: usize = 32;
const NEW: usize = WARM + WINDOWS * WINDOW;
/// Positions that timing takes: the token left over from the turn before, one to go on from, and the new ones.
pub(super) const TIMED: usize = 2 + NEW;

/// So many as the batch has, all at the same position.
pub(super) struct Sequences<'a> {
    setup: &'a Setup,
    rig: Rig,
    /// Most tokens of a turn while feeding.
    chunk: usize,
    /// Id of the first; the others follow.
    first: u64,
    /// Tokens of the first prompt.
    prompt: usize,
    /// Tokens fed; 0 before there are sequences.
    position: usize,
    /// Tokens generated, by each.
    generated: usize,
    /// Sum over those tokens of the slots that a layer held, mean over layers and sequences.
    slots: f64,
}

impl<'a> Sequences<'a> {
    /// None yet; their turns will have at most `chunk` tokens while they are fed.
    pub(super) fn new(setup: &'a Setup, rig: Rig, chunk: usize) -> Sequences<'a> {
        Sequences { setup, rig, chunk, first: 0, prompt: 0, position: 0, generated: 0, slots: 0.0 }
    }

    /// Feeds up to `context` and times from there. New sequences begin with a prompt of `prompt` tokens, which must not
    /// be longer than the context.
    pub(super) fn measure(&mut self, context: usize, prompt: usize, progress: &mut Progress) -> Result<Row, Fault> {
        let (read, time) = self.feed(context, prompt, progress)?;
        progress.say(|| format!("timing at position {context}"));
        let slots_before = self.slots;
        let (steps, ended) = self.decode()?;
        progress.clear();
        let speed = |steps: &[Step]| {
            let time: Duration = steps.iter().map(|step| step.time).sum();
            steps.iter().map(|step| step.tokens).sum::<usize>() as f64 / time.as_secs_f64()
        };
        let weights = self.setup.step_weights as f64 / self.setup.batch as f64;
        let slots = (self.slots - slots_before) / NEW as f64;
        Ok(Row {
            prompt: self.prompt,
            context: Some(context),
            new: WINDOWS * WINDOW,
            prompt_tok_s: (read > 0).then(|| read as f64 / time.as_secs_f64()),
            decode: Spread::of(steps.chunks(WINDOW).map(speed).collect()),
            timings: ("windows", WINDOWS),
            kv_peak_bytes: steps.iter().map(|step| step.kv_bytes).max().unwrap_or(0),
            bytes_per_token: weights + slots * self.setup.kv.token_bytes() as f64,
            ended,
        })
    }

    /// Brings all to position `context`, from where they are if that lies before it. Returns the tokens read as prompts, of
    /// all sequences, and the time of the steps that read them.
    fn feed(&mut self, context: usize, prompt: usize, progress: &mut Progress) -> Result<(usize, Duration), Fault> {
        let reachable = self.position == context || self.position + 2 <= context;
        if self.position == 0 || !reachable {
            self.begin_anew();
        }
        let (mut read, mut time) = (0, Duration::ZERO);
        while self.position < context {
            let left = context - self.position;
            let (len, new) = if self.position == 0 {
                self.prompt = prompt;
                (prompt, first_turn(left - prompt))
            } else {
                turn(left, self.chunk)
            };
            self.queue(len, new)?;
            let mut ended = Vec::new();
            while !self.rig.idle() {
                let step = self.rig.step()?;
                if step.prompt > 0 {
                    read += step.prompt;
                    time += step.time;
                }
                ended.extend(step.ended);
                let (at, batch) = (read / self.setup.batch, self.setup.batch);
                progress.show(|| format!("{batch} x {at} tokens read on the way to position {context}"));
            }
            self.turn_over(len, new, &ended);
        }
        Ok((read, time))
    }

    /// Decodes in step. Returns the timed steps and the ends of the turns.
    fn decode(&mut self) -> Result<(Vec<Step>, Vec<Finished>), Fault> {
        self.queue(1, NEW)?;
        let mut steps = Vec::with_capacity(NEW);
        for _ in 0..NEW {
            let step = self.rig.step()?;
            if step.tokens < self.setup.batch {
                return Err(format!(
                    "of {} sequences only {} fit in the KV memory at once: lower --batch or raise --kv-memory",
                    self.setup.batch, step.tokens
                )
                .into());
            }
            steps.push(step);
        }
        let ended = steps.last_mut().map(|step| std::mem::take(&mut step.ended)).unwrap_or_default();
        self.turn_over(1, NEW, &ended);
        steps.drain(..WARM);
        Ok((steps, ended))
    }

    /// Queues a turn of every sequence: `len` tokens to read and `new` to generate.
    fn queue(&mut self, len: usize, new: usize) -> Result<(), Fault> {
        let generation = Generation { max_tokens: Some(new), ignore_eos: true, keep: true, ..Generation::default() };
        for i in 0..self.setup.batch as u64 {
            let tokens = self.rig.tokens(i, self.position..self.position + len);
            let id = self.first + i;
            if self.position == 0 {
                self.rig.submit(id, tokens, &self.setup.spec, generation.clone())?;
            } else {
                self.rig.append(id, tokens, generation.clone())?;
            }
        }
        Ok(())
    }

    /// Counts what a turn of every sequence did.
    fn turn_over(&mut self, len: usize, new: usize, ended: &[Finished]) {
        // A turn first reads the token left over from the one before, and leaves its own last to the next.
        self.position += len + new - usize::from(self.position == 0);
        self.generated += new;
        // The report's mean is one over all tokens so far.
        let mean = ended.iter().map(|done| done.kv.mean_slots).sum::<f64>() / ended.len().max(1) as f64;
        self.slots = mean * self.generated as f64;
    }

    fn begin_anew(&mut self) {
        for i in 0..self.setup.batch as u64 {
            self.rig.release(self.first + i);
        }
        self.first += self.setup.batch as u64;
        (self.position, self.generated, self.slots) = (0, 0, 0.0);
    }
}

/// New tokens of the first turn when `left` positions are still to go after its prompt. Rounds come with every new token
/// but the last, and a later turn takes two positions at least.
fn first_turn(left: usize) -> usize {
    match left {
        0 => 1,
        2 => 3,
        _ => 2,
    }
}

/// The next turn when `left` positions, two at least, are to go: tokens to read, up to `chunk` (two at least), and new
/// ones. Together they are the positions that it takes.
fn turn(left: usize, chunk: usize) -> (usize, usize) {
    if left == 2 {
        return (1, 1);
    }
    let len = chunk.min(left - 2);
    // a single position that was left could not be taken
    if left - len == 3 { (len - 1, 2) } else { (len, 2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_end_at_the_position_exactly() {
        for chunk in [2, 3, 7, 128] {
            for all in 0..600 {
                // what the first turn generates counts but for the last
                let mut left = all - (first_turn(all) - 1);
                while left > 0 {
                    assert!(left >= 2, "{all} by {chunk}");
                    let (len, new) = turn(left, chunk);
                    assert!((1..=chunk).contains(&len) && new >= 1 && len + new <= left, "{left} by {chunk}");
                    left -= len + new;
                }
            }
        }
    }
}
