//! From what `--model` says to a file or folder: local paths, the cache, the hub.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lethe_engine::human_bytes;
use lethe_hub::{Event, Hub, HubOptions, ModelRef};

use crate::Fault;
use crate::terminal;

/// The hub as the environment has it.
pub(crate) fn hub(offline: bool) -> Result<Hub, Fault> {
    let mut options = HubOptions::from_env()?;
    options.offline |= offline;
    Ok(Hub::new(options)?)
}

/// Where the model is, fetched first if need be, with progress on stderr.
pub(crate) fn find(name: &str, offline: bool) -> Result<PathBuf, Fault> {
    let model: ModelRef = name.parse()?;
    if let ModelRef::Local(path) = model {
        return Ok(path); // opening it says what is wrong with it
    }
    let mut progress = Progress::default();
    Ok(hub(offline)?.resolve(&model, &mut |event| progress.show(&event))?.path)
}

/// One line that is written over, or a line for every file where nobody watches.
#[derive(Default)]
pub(crate) struct Progress {
    drawn: Option<Instant>,
    started: Option<(Instant, u64)>,
}

impl Progress {
    pub(crate) fn show(&mut self, event: &Event) {
        match event {
            Event::Listing { at } => terminal::notice(format!("{at}: asking the hub")),
            Event::Selected { files, bytes } => {
                let s = if *files == 1 { "" } else { "s" };
                terminal::notice(format!("{files} file{s} to fetch, {}", human_bytes(*bytes)));
            }
            Event::Waiting { name } => terminal::notice(format!("{name}: another process fetches it, waiting")),
            Event::Started { name, size, resumed_from } => {
                self.started = Some((Instant::now(), *resumed_from));
                let from =
                    if *resumed_from > 0 { format!(", from {}", human_bytes(*resumed_from)) } else { String::new() };
                terminal::notice(format!("{name}: {}{from}", human_bytes(*size)));
            }
            Event::Bytes { name, done, size } => self.bytes(name, *done, *size),
            Event::Restarted { name } => terminal::notice(format!("{name}: the server begins again")),
            Event::Retrying { name, reason, pause } => {
                terminal::notice(format!("{name}: {reason}; trying again in {:.0} s", pause.as_secs_f64()));
            }
            Event::Done { name, .. } => {
                self.clear();
                terminal::notice(format!("{name}: done"));
            }
            _ => {}
        }
    }

    fn bytes(&mut self, name: &str, done: u64, size: u64) {
        let soon = self.drawn.is_some_and(|at| at.elapsed() < Duration::from_millis(200));
        if soon || !std::io::stderr().is_terminal() {
            return;
        }
        self.drawn = Some(Instant::now());
        let rate = self
            .started
            .map_or(0.0, |(at, from)| done.saturating_sub(from) as f64 / at.elapsed().as_secs_f64().max(0.1));
        let left =
            if rate > 0.0 { format!(", {:.0} s left", size.saturating_sub(done) as f64 / rate) } else { String::new() };
        let percent = 100.0 * done as f64 / size.max(1) as f64;
        let _ = write!(
            anstream::stderr(),
            "\r{name}: {percent:.0} % of {}, {}/s{left}\x1b[K",
            human_bytes(size),
            human_bytes(rate as u64)
        );
    }

    fn clear(&mut self) {
        if self.drawn.take().is_some() {
            let _ = write!(anstream::stderr(), "\r\x1b[K");
        }
    }
}
