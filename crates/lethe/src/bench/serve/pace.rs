//! When requests are sent.

use std::time::Duration;

use super::draws::{Draws, Of};

/// What sends a request off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// So many at once: whenever one is over, the next one goes (closed loop).
    Closed {
        /// Requests at once.
        concurrency: usize,
    },
    /// So many per second on average, whatever the server does, at the moments of a Poisson process (open loop).
    Poisson {
        /// Requests per second.
        rate: f64,
    },
    /// All at once.
    Burst,
}

impl Pace {
    /// In words.
    pub(super) fn name(self) -> String {
        match self {
            Pace::Closed { concurrency } => format!("closed loop of {concurrency}"),
            Pace::Poisson { rate } => format!("open loop, {rate} requests/s"),
            Pace::Burst => "open loop, all at once".to_owned(),
        }
    }
}

/// When each of `n` requests arrives, since the beginning: the first at once, pauses exponential with mean `1 / rate`
/// seconds.
pub(super) fn arrivals(draws: Draws, rate: f64, n: usize) -> Vec<Duration> {
    let mut at = 0.0;
    (0..n)
        .map(|i| {
            if i > 0 {
                // 1 - u is never 0
                at -= (1.0 - draws.unit(Of::Pause, i as u64)).ln() / rate;
            }
            Duration::from_secs_f64(at)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_a_poisson_process() {
        let times = arrivals(Draws { seed: 3 }, 20.0, 4001);
        assert_eq!(times, arrivals(Draws { seed: 3 }, 20.0, 4001));
        assert_ne!(times, arrivals(Draws { seed: 4 }, 20.0, 4001));
        assert_eq!(times[0], Duration::ZERO);
        let pauses: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        let mean = pauses.iter().sum::<f64>() / 4000.0;
        let variance = pauses.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / 4000.0;
        // an exponential distribution has its mean as deviation; 4000 draws are within 5 % of both
        assert!((mean * 20.0 - 1.0).abs() < 0.05 && (variance.sqrt() * 20.0 - 1.0).abs() < 0.05, "{mean} {variance}");
        let short = pauses.iter().filter(|p| **p < 0.05 * 2f64.ln()).count();
        assert!((1850..2150).contains(&short), "half of them are below the median: {short}");
    }
}
