//! Generated ids to text that may be shown, as it grows; also where stop strings are found.

use std::sync::Arc;

use crate::decoder::Decoder;
use crate::tokenizer::Tokenizer;

/// The text of one growing sequence.
///
/// What [`push`](Self::push) and [`finish`](Self::finish) return, joined, is the decoding of all ids at once, cut before
/// the first stop string. Text comes out in whole characters, and only when it can no longer turn out to be the
/// beginning of a stop string. A token costs its own length, whatever came before it.
#[derive(Debug)]
pub struct Detokenizer {
    tokenizer: Arc<Tokenizer>,
    decoder: Decoder,
    skip_special: bool,
    stops: Vec<Stop>,
    /// Stop strings end nothing while this many tokens are not exceeded.
    at_least: usize,
    pushed: usize,
    held: String,
    stopped: Option<usize>,
}

impl Detokenizer {
    /// Begins a sequence. `stops` may span tokens; empty ones never match. `skip_special` hides special tokens, so that
    /// `<|im_end|>` is no text while `<think>`, an added token that is not special, is.
    pub fn new<S: Into<String>>(
        tokenizer: Arc<Tokenizer>,
        stops: impl IntoIterator<Item = S>,
        skip_special: bool,
    ) -> Self {
        let decoder = Decoder::new(tokenizer.decoder());
        let stops = stops.into_iter().map(|stop| Stop::new(stop.into())).collect();
        Self { tokenizer, decoder, skip_special, stops, at_least: 0, pushed: 0, held: String::new(), stopped: None }
    }

    /// The first `tokens` tokens are not stopped: a stop string that they complete is text like any other. One that they
    /// begin may still end the text later.
    #[must_use]
    pub fn at_least(mut self, tokens: usize) -> Self {
        self.at_least = tokens;
        self
    }

    /// Takes the next id; returns the text that has become safe to show, often none. Unknown ids have no text.
    pub fn push(&mut self, id: u32) -> String {
        self.pushed += 1;
        let mut text = String::new();
        let hidden = self.skip_special && self.tokenizer.is_special(id);
        if self.stopped.is_none()
            && !hidden
            && let Some(token) = self.tokenizer.token(id)
        {
            self.decoder.push(token, &mut text);
        }
        self.release(&text)
    }

    /// Ends the sequence; returns the rest: an unfinished character as U+FFFD, and what looked like a stop string.
    pub fn finish(&mut self) -> String {
        if self.stopped.is_some() {
            return String::new();
        }
        let mut text = String::new();
        self.decoder.finish(&mut text);
        let mut rest = self.release(&text);
        rest.push_str(&std::mem::take(&mut self.held));
        rest
    }

    /// The index of the stop string that ended the text: the first to be complete, the longest if several are at once.
    pub fn stopped(&self) -> Option<usize> {
        self.stopped
    }

    /// Appends text to what is held and returns what no stop string can claim any more.
    fn release(&mut self, text: &str) -> String {
        if self.stopped.is_some() {
            return String::new();
        }
        let may_stop = self.pushed > self.at_least;
        for (at, byte) in text.bytes().enumerate() {
            let complete = |(index, stop): (usize, &mut Stop)| {
                (stop.push(byte, may_stop) && may_stop).then_some((stop.text.len(), index))
            };
            // Every stop string must see every byte, so no early exit here.
            let found =
                self.stops.iter_mut().enumerate().filter_map(complete).reduce(|a, b| if b.0 > a.0 { b } else { a });
            if let Some((length, index)) = found {
                self.stopped = Some(index);
                let mut shown = std::mem::take(&mut self.held);
                shown.push_str(text);
                shown.truncate(shown.len() - text.len() + at + 1 - length);
                return shown;
            }
        }
        self.held.push_str(text);
        let claimed = self.stops.iter().map(|stop| stop.matched).max().unwrap_or(0);
        let kept = self.held.split_off(self.held.len() - claimed);
        std::mem::replace(&mut self.held, kept)
    }
}

/// A stop string and how much of it the text so far ends with (Knuth, Morris and Pratt 1977).
#[derive(Debug)]
struct Stop {
    text: String,
    /// For each prefix but the empty one: the length of its longest proper border.
    borders: Vec<usize>, // [text.len()]
    /// Length of the longest prefix of `text` that the stream ends with.
    matched: usize,
}

impl Stop {
    fn new(text: String) -> Self {
        let mut borders = vec![0; text.len()];
        let mut border = 0;
        for at in 1..text.len() {
            border = advance(text.as_bytes(), &borders, border, text.as_bytes()[at]);
            borders[at] = border;
        }
        Self { text, borders, matched: 0 }
    }

    /// Takes the next byte of the stream; whether it completes the stop string, which the stream goes on after unless that
    /// is the `last` thing it does.
    fn push(&mut self, byte: u8, last: bool) -> bool {
        if self.text.is_empty() {
            return false;
        }
        self.matched = advance(self.text.as_bytes(), &self.borders, self.matched, byte);
        let complete = self.matched == self.text.len();
        if complete && !last {
            self.matched = self.borders[self.matched - 1];
        }
        complete
    }
}

/// The longest prefix of `text` that a stream ends with, given the one (`matched`, not all of it) before `byte`.
fn advance(text: &[u8], borders: &[usize], mut matched: usize, byte: u8) -> usize {
    while matched > 0 && text[matched] != byte {
        matched = borders[matched - 1];
    }
    matched + usize::from(text[matched] == byte)
}
