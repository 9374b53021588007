//! A conversation at a terminal: keys, history, Ctrl-C.
#![cfg(unix)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

const QUESTION: &str = "Sort 5 3 9.";
const ANSWER: &str = "3 5 9.";
const UP: &str = "\x1b[A";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";

/// The program at a terminal of its own.
struct Terminal {
    child: Child,
    keys: File,
    screen: Receiver<Vec<u8>>,
    /// What was shown and not yet asked for.
    shown: String,
}

impl Terminal {
    fn chat(state: &Path, args: &[&str]) -> Terminal {
        let size = Winsize { ws_row: 24, ws_col: 200, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(Some(&size), None).expect("a terminal");
        let end = || Stdio::from(pair.slave.try_clone().expect("a handle"));
        let child = Command::new(env!("CARGO_BIN_EXE_lethe"))
            .arg("chat")
            .args(args)
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .env("TERM", "xterm")
            .env("NO_COLOR", "1")
            .env("XDG_STATE_HOME", state)
            .spawn()
            .expect("the program starts");
        let keys = File::from(pair.master);
        let mut output = keys.try_clone().expect("a handle");
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // a terminal that nobody has open any more reads as an error
            while let Ok(n @ 1..) = output.read(&mut bytes) {
                if sender.send(bytes[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        let mut terminal = Terminal { child, keys, screen, shown: String::new() };
        terminal.prompt();
        terminal
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("typed");
    }

    /// Waits for a text, and takes it and what came before off the screen.
    fn expect(&mut self, text: &str) {
        loop {
            if let Some(at) = self.shown.find(text) {
                self.shown.drain(..at + text.len());
                return;
            }
            match self.screen.recv_timeout(Duration::from_secs(60)) {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(e) => panic!("`{text}` never came ({e}): {}", self.shown),
            }
        }
    }

    /// Waits until it is the user's turn: keys are the program's own from here on.
    fn prompt(&mut self) {
        self.expect("\x1b[?2004h"); // said once a prompt; the line after it is drawn with every key
        self.expect("> ");
    }

    fn ends_well(mut self) {
        let status = self.child.wait().expect("it ends");
        let rest: Vec<u8> = self.screen.iter().flatten().collect();
        assert!(status.success(), "{status}: {}{}", self.shown, String::from_utf8_lossy(&rest));
    }
}

fn messages(path: &Path) -> Vec<String> {
    let v: Value = serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("json");
    let content = |m: &Value| m["content"].as_str().expect("text").to_owned();
    v.as_array().expect("messages").iter().map(content).collect()
}

#[test]
fn lines_are_edited_completed_and_remembered() {
    let state = tempfile::tempdir().expect("a folder");
    let quiet = ["-q", "--hide-thinking"];
    let mut t = Terminal::chat(state.path(), &quiet);
    t.press("Sort 5 3 78\x7f\x7f9.\r");
    t.expect(ANSWER);
    t.prompt();
    t.press("/clea\t\r");
    t.prompt();
    t.press(&format!("{UP}{UP}\r"));
    t.expect(ANSWER);
    t.prompt();
    t.press(CTRL_D);
    t.ends_well();
    let file = state.path().join("lethe").join("chat_history");
    let kept = std::fs::read_to_string(&file).expect("a history");
    assert!(kept.ends_with(&format!("{QUESTION}\n/clear\n{QUESTION}\n")), "{kept}");
    assert_eq!(std::fs::metadata(&file).expect("a file").permissions().mode() & 0o077, 0, "for nobody else");

    let mut t = Terminal::chat(state.path(), &quiet);
    t.press(&format!("{UP}\r"));
    t.expect(ANSWER);
    t.prompt();
    t.press(&format!("half a line{CTRL_C}"));
    t.prompt();
    t.press(CTRL_C);
    t.ends_well();
    let again = std::fs::read_to_string(&file).expect("a history");

    let mut t = Terminal::chat(state.path(), &[&quiet[..], &["--no-history"]].concat());
    t.press(&format!("{UP}\r"));
    t.prompt();
    t.press("/bye\r");
    t.ends_well();
    assert_eq!(std::fs::read_to_string(&file).expect("a history"), again, "neither read nor written");
    assert!(again.starts_with(&kept), "{again}");
}

#[test]
fn several_lines_are_one_turn() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("talk.json");
    let mut t = Terminal::chat(dir.path(), &["-q", "-n", "4"]);
    t.press("Sort\\\r5 3.\r");
    t.prompt();
    t.press("\"\"\"\r/help\rme \\\r\"\"\"\r");
    t.prompt();
    // a paste, in the brackets that terminals put around it
    t.press("\x1b[200~two\nlines\x1b[201~\r");
    t.prompt();
    t.press(&format!("{UP}\r"));
    t.prompt();
    t.press(&format!("/save {}\r", file.display()));
    t.prompt();
    t.press("/exit\r");
    t.ends_well();
    let said = messages(&file);
    assert_eq!([&*said[0], &said[2], &said[4], &said[6]], ["Sort\n5 3.", "/help\nme \\", "two\nlines", "two\nlines"]);
}

#[test]
fn an_answer_is_stopped_and_the_conversation_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("talk.json");
    let mut t = Terminal::chat(dir.path(), &["--ignore-eos"]);
    t.press("Sort 41 7 93 20.\r");
    t.expect("</think>");
    kill(Pid::from_raw(t.child.id() as i32), Signal::SIGINT).expect("a signal");
    t.expect("cancelled");
    t.expect("stays in the conversation");
    t.prompt();
    t.press("/set max_tokens 30\r");
    t.prompt();
    t.press(&format!("{QUESTION}\r"));
    t.expect("max_tokens 30");
    t.prompt();
    t.press(&format!("/save {}\r", file.display()));
    t.expect("wrote 4 messages");
    t.prompt();
    t.press("/polcy\r");
    t.expect("did you mean");
    t.prompt();
    t.press(CTRL_D);
    t.ends_well(); // what was mistyped at a terminal is no failure
    let said = messages(&file);
    assert_eq!([&*said[0], &said[2]], ["Sort 41 7 93 20.", QUESTION]);
}
