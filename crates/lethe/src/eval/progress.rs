//! How far a long evaluation is, on stderr.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use lethe_eval::grid::Progress;

use crate::bars::padded_bar;

/// How often a line is printed where nobody can see one that is drawn over.
const PLAIN: Duration = Duration::from_secs(60);
const LIVE: Duration = Duration::from_millis(200);
const WIDTH: usize = 24;

/// One line that is drawn over on a terminal; elsewhere a line now and then.
pub(super) struct Bar {
    live: bool,
    began: Instant,
    shown: Option<Instant>,
}

impl Bar {
    pub(super) fn new() -> Bar {
        Bar { live: std::io::stderr().is_terminal(), began: Instant::now(), shown: None }
    }

    pub(super) fn show(&mut self, at: Progress) {
        let pause = if self.live { LIVE } else { PLAIN };
        if self.shown.is_some_and(|shown| shown.elapsed() < pause) {
            return;
        }
        self.shown = Some(Instant::now());
        let text = line(at, self.began.elapsed());
        // stderr may be closed; the rows still matter
        let _ = match self.live {
            true => write!(anstream::stderr(), "\r{} {text}\x1b[K", padded_bar(at.done, at.total.max(1), WIDTH)),
            false => writeln!(anstream::stderr(), "{text}"),
        };
    }

    /// Takes the line away.
    pub(super) fn done(&mut self) {
        if self.live {
            let _ = write!(anstream::stderr(), "\r\x1b[K");
        }
    }
}

/// Rows, speed, and the time left if the rest is like what this run has done.
fn line(at: Progress, spent: Duration) -> String {
    let seconds = spent.as_secs_f64();
    let new = at.done - at.kept;
    let mut text = format!("{} of {} rows", at.done, at.total);
    if at.kept > 0 {
        text += &format!(" ({} from an earlier run)", at.kept);
    }
    if new > 0 && seconds > 0.0 {
        text += &format!(", {:.0} tokens a second", at.tokens as f64 / seconds);
        if at.done < at.total {
            text += &format!(", {} left", time((at.total - at.done) as f64 * seconds / new as f64));
        }
    }
    text
}

fn time(seconds: f64) -> String {
    let s = seconds.ceil() as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        _ => format!("{} h {} min", s / 3600, s / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_is_left() {
        let at = Progress { done: 30, kept: 10, total: 100, tokens: 5000 };
        assert_eq!(
            line(at, Duration::from_secs(10)),
            "30 of 100 rows (10 from an earlier run), 500 tokens a second, 35 s left"
        );
        let start = Progress { done: 0, kept: 0, total: 100, tokens: 0 };
        assert_eq!(line(start, Duration::ZERO), "0 of 100 rows");
        assert_eq!([time(59.5), time(61.0), time(7260.0)], ["1 min 0 s", "1 min 1 s", "2 h 1 min"]);
    }
}
