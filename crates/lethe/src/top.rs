//! `lethe top`: a running server, live.

mod loads;
mod plain;
mod state;
mod view;

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::Fault;
use crate::remote::{Remote, RemoteArgs};

use loads::Loads;
use state::State;

#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    remote: RemoteArgs,
    /// Print one snapshot and end, as it does where stdout is no terminal
    #[arg(long)]
    once: bool,
}

const HELP: &str = "Examples:
  lethe top
  lethe top --url http://gpu:8000 --api-key sk-...
  lethe top --once

Reads /v1/loads of a server of Lethe once a second. q, Esc and Ctrl-C end it, p pauses. A server that does not answer is \
asked again until it does.";

/// Between two looks at the server.
const INTERVAL: Duration = Duration::from_secs(1);
/// Most time of a look.
const PATIENCE: Duration = Duration::from_secs(3);
/// Most time until a key is heard or a look is shown.
const TICK: Duration = Duration::from_millis(100);

/// A look at the server, and when it was.
type Look = (Instant, Result<Loads, String>);

pub(crate) fn main(args: &Args) -> Result<(), Fault> {
    let remote = args.remote.remote(1)?;
    if args.once || !io::stdout().is_terminal() {
        let loads = Loads::read(&remote, PATIENCE)?;
        let mut out = anstream::stdout();
        out.write_all(plain::lines(remote.root(), &loads).as_bytes())?;
        return Ok(out.flush()?);
    }
    let state = State::new(remote.root());
    let (to, looks) = mpsc::channel();
    std::thread::Builder::new().spawn(move || watch(&remote, &to))?;
    let mut terminal = ratatui::try_init()?;
    let shown = show(&mut terminal, state, &looks);
    ratatui::restore();
    Ok(shown?)
}

/// Looks at the server until nobody wants to know.
fn watch(remote: &Remote, to: &Sender<Look>) {
    loop {
        let begun = Instant::now();
        let loads = Loads::read(remote, PATIENCE).map_err(|error| error.to_string());
        if to.send((Instant::now(), loads)).is_err() {
            return;
        }
        std::thread::sleep(INTERVAL.saturating_sub(begun.elapsed()));
    }
}

/// Draws what is seen until somebody has seen enough.
fn show(terminal: &mut DefaultTerminal, mut state: State, looks: &Receiver<Look>) -> io::Result<()> {
    loop {
        loop {
            match looks.try_recv() {
                Ok((at, loads)) => state.take(at, loads),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        terminal.draw(|frame| view::draw(frame, &state))?;
        if event::poll(TICK)?
            && let Event::Key(key) = event::read()?
        {
            match wish(key) {
                Some(Wish::Quit) => return Ok(()),
                Some(Wish::Pause) => state.paused = !state.paused,
                None => {}
            }
        }
    }
}

/// What a key asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Quit,
    Pause,
}

fn wish(key: KeyEvent) -> Option<Wish> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => Some(Wish::Quit),
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Wish::Quit),
        KeyCode::Char('p') => Some(Wish::Pause),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_quit_and_pause() {
        let key = |code, modifiers| wish(KeyEvent::new(code, modifiers));
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::NONE), Some(Wish::Quit));
        assert_eq!(key(KeyCode::Esc, KeyModifiers::NONE), Some(Wish::Quit));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Wish::Quit));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), None);
        assert_eq!(key(KeyCode::Char('p'), KeyModifiers::NONE), Some(Wish::Pause));
        let released = KeyEvent::new_with_kind(KeyCode::Char('q'), KeyModifiers::NONE, KeyEventKind::Release);
        assert_eq!(wish(released), None);
    }
}
