//! How often a request is made again, and how long is waited before.

use std::time::Duration;

use crate::error::HubError;
use crate::event::{Event, Progress};
use crate::http::Failure;
use crate::options::HubOptions;

/// The longest pause, whatever the server or the doubling asks for.
const LONGEST: Duration = Duration::from_secs(30);
/// So much progress makes up for all failures before: a long download over a bad line ends, a hopeless one does too.
const WORTH: u64 = 1 << 20;

/// The failures of one request, or of one file.
#[derive(Debug)]
pub(crate) struct Attempts {
    retries: u32,
    backoff: Duration,
    failures: u32,
    gained: u64,
}

impl Attempts {
    pub(crate) fn new(options: &HubOptions) -> Self {
        Self { retries: options.retries, backoff: options.backoff, failures: 0, gained: 0 }
    }

    /// Bytes have arrived.
    pub(crate) fn gained(&mut self, bytes: u64) {
        self.gained += bytes;
        if self.gained >= WORTH {
            (self.failures, self.gained) = (0, 0);
        }
    }

    /// Waits, or gives up.
    pub(crate) fn failed(
        &mut self,
        url: &str,
        name: &str,
        failure: Failure,
        progress: &mut Progress<'_>,
    ) -> Result<(), HubError> {
        let (reason, status, wait) = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Passing { reason, status, wait } => (reason, status, wait),
        };
        self.failures += 1;
        let attempts = self.failures;
        if attempts > self.retries {
            let url = url.to_owned();
            return Err(match status {
                Some(status) => HubError::Status { url, status, attempts },
                None => HubError::Network { url, reason, attempts },
            });
        }
        let doubled = self.backoff.saturating_mul(1 << (attempts - 1).min(16));
        let pause = doubled.max(wait.unwrap_or_default()).min(LONGEST);
        progress(Event::Retrying { name, reason: &reason, pause });
        std::thread::sleep(pause);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts(retries: u32) -> Attempts {
        let options = HubOptions { retries, backoff: Duration::ZERO, ..HubOptions::new("") };
        Attempts::new(&options)
    }

    #[test]
    fn gives_up_unless_enough_arrives() {
        let mut attempts = attempts(2);
        let fail = |attempts: &mut Attempts| attempts.failed("u", "n", Failure::cut("cut"), &mut |_| {});
        assert!(fail(&mut attempts).is_ok() && fail(&mut attempts).is_ok());
        attempts.gained(WORTH - 1);
        attempts.gained(1);
        assert!(fail(&mut attempts).is_ok() && fail(&mut attempts).is_ok());
        attempts.gained(WORTH - 1);
        let error = fail(&mut attempts).unwrap_err().to_string();
        assert!(error.contains("cut (3 attempts)"), "{error}");
    }

    #[test]
    fn pauses_double_up_to_a_bound() {
        let mut attempts = Attempts { retries: 40, backoff: Duration::from_nanos(1), failures: 0, gained: 0 };
        let mut pauses = Vec::new();
        for _ in 0..4 {
            let note = &mut |event: Event<'_>| {
                if let Event::Retrying { pause, .. } = event {
                    pauses.push(pause.as_nanos());
                }
            };
            attempts.failed("u", "n", Failure::cut("cut"), note).unwrap();
        }
        assert_eq!(pauses, [1, 2, 4, 8]);
    }
}
