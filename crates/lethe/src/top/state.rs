//! What is known of the server: the last look, and how fast its counters grow.

use std::collections::VecDeque;
use std::time::Instant;

use super::loads::{Counters, Loads};

/// Looks that the sparkline shows at most.
const HISTORY: usize = 240;

/// How the server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// It was not asked yet.
    Connecting,
    /// It does.
    Live,
    /// It does not, and why.
    Down(String),
}

/// Growth per second between the last two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) prompt_tokens: f64,
    pub(super) generated_tokens: f64,
    pub(super) rounds: f64,
    pub(super) evicted_slots: f64,
    pub(super) preemptions: f64,
    pub(super) steps: f64,
}

/// Everything that is drawn.
#[derive(Debug)]
pub(super) struct State {
    pub(super) url: String,
    pub(super) link: Link,
    /// Looks are not taken in.
    pub(super) paused: bool,
    /// The last look that brought something.
    pub(super) loads: Option<Loads>,
    /// `None` until there were two looks.
    pub(super) rates: Option<Rates>,
    /// Generated tokens per second, the latest at the back.
    pub(super) history: VecDeque<u64>,
    /// Tokens of prompts looked up in the prefix cache and found there, over the looks in `history`, as long as any were.
    pub(super) hit_rate: Option<f64>,
    seen_at: Option<Instant>,
    /// Looked up and found, between looks.
    hits: VecDeque<(u64, u64)>,
}

impl State {
    pub(super) fn new(url: &str) -> State {
        State {
            url: url.to_owned(),
            link: Link::Connecting,
            paused: false,
            loads: None,
            rates: None,
            history: VecDeque::new(),
            hit_rate: None,
            seen_at: None,
            hits: VecDeque::new(),
        }
    }

    /// A look at the server, and when it was. While paused, nothing changes.
    pub(super) fn take(&mut self, at: Instant, look: Result<Loads, String>) {
        if self.paused {
            return;
        }
        let loads = match look {
            Ok(loads) => loads,
            Err(reason) => {
                self.link = Link::Down(reason);
                self.rates = None;
                return;
            }
        };
        let before = self.loads.as_ref().map(|loads| loads.engine.lethe.counters);
        let now = loads.engine.lethe.counters;
        if let (Some(before), Some(seen_at)) = (before, self.seen_at) {
            let seconds = at.saturating_duration_since(seen_at).as_secs_f64();
            match grown(&before, &now) {
                Some(grown) if seconds > 0.0 => self.grow(&grown, seconds),
                // counters that shrink are those of a server that was started anew
                _ => self.rates = None,
            }
        }
        self.hit_rate = self.rate_of_hits(&now);
        self.seen_at = Some(at);
        self.loads = Some(loads);
        self.link = Link::Live;
    }

    fn grow(&mut self, by: &Counters, seconds: f64) {
        let rate = |count: u64| count as f64 / seconds;
        let rates = Rates {
            prompt_tokens: rate(by.prompt_tokens_total),
            generated_tokens: rate(by.generated_tokens_total),
            rounds: rate(by.rounds_total),
            evicted_slots: rate(by.evicted_slots_total),
            preemptions: rate(by.preemptions_total),
            steps: rate(by.steps_total),
        };
        self.rates = Some(rates);
        self.history.push_back(rates.generated_tokens.round() as u64);
        self.hits.push_back((by.prefix_queries_total, by.prefix_hits_total));
        if self.history.len() > HISTORY {
            self.history.pop_front();
            self.hits.pop_front();
        }
    }

    /// Over the looks that are remembered, or since the server's start where those had no look-ups.
    fn rate_of_hits(&self, total: &Counters) -> Option<f64> {
        let (queries, hits) = self.hits.iter().fold((0, 0), |(q, h), (queries, hits)| (q + queries, h + hits));
        let share = |queries: u64, hits: u64| (queries > 0).then(|| hits as f64 / queries as f64);
        share(queries, hits).or_else(|| share(total.prefix_queries_total, total.prefix_hits_total))
    }
}

/// The differences; `None` if anything shrank.
fn grown(before: &Counters, now: &Counters) -> Option<Counters> {
    Some(Counters {
        prompt_tokens_total: now.prompt_tokens_total.checked_sub(before.prompt_tokens_total)?,
        generated_tokens_total: now.generated_tokens_total.checked_sub(before.generated_tokens_total)?,
        prefix_queries_total: now.prefix_queries_total.checked_sub(before.prefix_queries_total)?,
        prefix_hits_total: now.prefix_hits_total.checked_sub(before.prefix_hits_total)?,
        preemptions_total: now.preemptions_total.checked_sub(before.preemptions_total)?,
        rounds_total: now.rounds_total.checked_sub(before.rounds_total)?,
        evicted_slots_total: now.evicted_slots_total.checked_sub(before.evicted_slots_total)?,
        steps_total: now.steps_total.checked_sub(before.steps_total)?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn look(generated: u64, queries: u64, hits: u64) -> Result<Loads, String> {
        let mut loads = Loads::default();
        let counters = &mut loads.engine.lethe.counters;
        counters.generated_tokens_total = generated;
        counters.rounds_total = generated / 10;
        (counters.prefix_queries_total, counters.prefix_hits_total) = (queries, hits);
        Ok(loads)
    }

    #[test]
    fn rates_come_from_differences_over_time() {
        let (mut state, start) = (State::new("u"), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        state.take(at(0), look(1000, 100, 10));
        assert_eq!((&state.link, state.rates, state.hit_rate), (&Link::Live, None, Some(0.1)));
        state.take(at(500), look(1100, 100, 10));
        let rates = state.rates.expect("two looks");
        assert_eq!((rates.generated_tokens, rates.rounds, rates.steps), (200.0, 20.0, 0.0));
        assert_eq!(state.hit_rate, Some(0.1), "nothing was looked up since");
        state.take(at(2500), look(1100, 300, 160));
        assert_eq!((state.rates.expect("three").generated_tokens, state.hit_rate), (0.0, Some(0.75)));
        assert_eq!(state.history, [200, 0]);
    }

    #[test]
    fn a_server_that_goes_away_and_comes_back_is_told_so() {
        let (mut state, start) = (State::new("u"), Instant::now());
        let at = |s| start + Duration::from_secs(s);
        state.take(at(0), look(50, 0, 0));
        state.take(at(1), look(60, 0, 0));
        state.take(at(2), Err("refused".into()));
        assert_eq!((&state.link, state.rates, state.hit_rate), (&Link::Down("refused".into()), None, None));
        assert!(state.loads.is_some(), "what was seen last stays");
        state.take(at(3), look(5, 0, 0));
        assert_eq!((&state.link, state.rates), (&Link::Live, None), "a new server begins at zero");
        state.take(at(4), look(8, 0, 0));
        assert_eq!(state.rates.map(|rates| rates.generated_tokens), Some(3.0));
    }

    #[test]
    fn a_pause_changes_nothing_and_is_averaged_over() {
        let (mut state, start) = (State::new("u"), Instant::now());
        let at = |s| start + Duration::from_secs(s);
        state.take(at(0), look(0, 0, 0));
        state.paused = true;
        state.take(at(1), look(100, 0, 0));
        assert!(state.rates.is_none() && state.loads == look(0, 0, 0).ok());
        state.paused = false;
        state.take(at(2), look(200, 0, 0));
        assert_eq!(state.rates.map(|rates| rates.generated_tokens), Some(100.0));
    }

    #[test]
    fn only_so_much_is_remembered() {
        let (mut state, start) = (State::new("u"), Instant::now());
        for s in 0..HISTORY as u64 + 50 {
            state.take(start + Duration::from_secs(s), look(s * s, 0, 0));
        }
        assert_eq!((state.history.len(), state.hits.len()), (HISTORY, HISTORY));
        assert_eq!(state.history.back(), Some(&(2 * (HISTORY as u64 + 49) - 1)));
    }
}
