//! `lethe chat`: a conversation, a turn at a time.

mod command;
mod complete;
mod conversation;
mod dialogue;
mod editor;
mod history;
mod interrupt;
mod lines;
mod messages;
mod reader;
mod setting;
mod tally;

use std::io::{self, IsTerminal, Write};

use lethe_engine::{FinishReason, Stream};
use lethe_model::ThinkingParser;

use crate::Fault;
use crate::options::{EngineArgs, PolicyArgs, SamplingArgs, TurnArgs};
use crate::prompt::Prompter;
use crate::show::{Said, Show, View};
use crate::{load, report, terminal};
use command::{Command, Entry};
use dialogue::{Answered, Dialogue};
use interrupt::Interrupt;
use reader::Reader;

#[derive(clap::Args)]
#[command(after_help = HELP, allow_negative_numbers = true)]
pub(crate) struct Args {
    /// GGUF file, folder or name on the hub, as with --model
    #[arg(value_name = "MODEL", conflicts_with = "model")]
    name: Option<String>,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    turn: TurnArgs,
    /// Go on in the cache as it is: the model keeps what it thought in earlier turns, and what it forgot stays forgotten.
    /// Without this each turn renders the conversation anew, without earlier thinking where the template drops it, and
    /// only what the cache does not hold complete is computed
    #[arg(long, conflicts_with = "no_template")]
    keep_thinking: bool,
    /// Do not keep the lines typed at a terminal for later runs (they are kept in $XDG_STATE_HOME/lethe/chat_history, by
    /// default in ~/.local/state)
    #[arg(long)]
    no_history: bool,
}

const HELP: &str = "A line is a turn; one that ends in \\ goes on in the next, and lines between \"\"\" are one turn, sent as they are.
At a terminal lines are edited with the usual keys: arrows, Ctrl-R searches those of earlier runs, Tab completes commands.
Ctrl-C stops an answer; what came of it stays in the conversation. At an empty prompt Ctrl-C ends, as Ctrl-D does.
Without a chat template each line goes on in one text.

Commands, at a terminal and in a pipe: /help, /policy, /stats, /system, /clear, /undo, /retry, /set, /save, /load, /exit;
/help says what they do. A line that begins with // is sent with one slash.

Examples:
  lethe chat
  lethe chat ./Qwen3-0.6B --system \"Be brief.\" --reasoning-budget 500
  lethe chat -m ./Qwen3-0.6B --keep-thinking --cap 2048 --hide-thinking --quiet < questions.txt
  printf '%s\\n' 'Sort 41 7 93.' '/policy recency:budget=16,interval=8' /retry /stats | lethe chat";

pub(crate) fn main(mut args: Args) -> Result<(), Fault> {
    args.engine.model = args.name.take().or(args.engine.model);
    let spec = args.policy.spec()?;
    let model = load::model(&args.engine)?;
    let prompter = Prompter::new(&model, &args.turn)?;
    if args.keep_thinking && prompter.template().is_none() {
        return Err("--keep-thinking needs a chat template, and this model has none: leave it out, a text without a \
                    template keeps everything"
            .into());
    }
    let engine = load::engine(&args.engine, &model)?;
    let sampling = args.sampling.sampling(&model.generation);
    let typed = io::stdin().is_terminal();
    let quiet = args.turn.quiet;
    if !quiet {
        args.sampling.warning(&model.generation).into_iter().for_each(terminal::notice);
        terminal::notice(load::describe(&args.engine, &model, &engine));
        terminal::notice(report::settings(&spec, &engine, &sampling)?);
        if typed {
            terminal::notice("/help lists the commands; Ctrl-C stops an answer, Ctrl-D ends");
        }
    }
    let interrupt = if typed { Some(Interrupt::install()?) } else { None };
    let mut reader = Reader::open(interrupt.clone(), !args.no_history)?;
    let mut chat = Chat {
        dialogue: Dialogue::new(engine, prompter, spec, sampling, args.turn.system, args.keep_thinking),
        out: anstream::stdout(),
        view: View::streaming(args.turn.hide_thinking),
        progress: !quiet && io::stderr().is_terminal(),
        quiet,
        interrupt: interrupt.unwrap_or_default(),
    };
    let mut refused = 0;
    while let Some(turn) = reader.next(&mut chat.out)? {
        let thought = chat.dialogue.holds_thinking();
        let entry = command::parse(turn);
        let asks = match &entry {
            Ok(Entry::Obey(Command::Retry)) => !chat.dialogue.past().is_empty(),
            entry => matches!(entry, Ok(Entry::Say(_))),
        };
        let done = match entry {
            Ok(Entry::Nothing) => continue,
            Ok(Entry::Obey(Command::Exit)) => break,
            Ok(Entry::Say(question)) => chat.ask(&question),
            Ok(Entry::Obey(command)) => chat.obey(command),
            Err(e) => Err(e.into()),
        };
        match done {
            Ok(()) => {}
            // Someone who types may try again; a script must not go on as if it had its answer.
            Err(e) if terminal::is_broken_pipe(e.as_ref()) || (asks && !typed) => return Err(e),
            Err(e) => {
                terminal::error(e.as_ref());
                refused += 1;
            }
        }
        if thought && !chat.dialogue.holds_thinking() && !chat.dialogue.past().is_empty() {
            terminal::notice("the cache is gone: the next turn reads the conversation without its thinking");
        }
    }
    if refused > 0 && !typed {
        return Err(format!("{refused} of the commands above could not be carried out").into());
    }
    Ok(())
}

/// A conversation and how it is shown.
struct Chat<W> {
    dialogue: Dialogue,
    out: W,
    view: View,
    progress: bool,
    quiet: bool,
    interrupt: Interrupt,
}

impl<W: Write> Chat<W> {
    fn ask(&mut self, question: &str) -> Result<(), Fault> {
        let answered = self.dialogue.ask(question, show(&mut self.out, self.view, self.progress, &self.interrupt))?;
        self.close(&answered);
        Ok(())
    }

    fn retry(&mut self) -> Result<(), Fault> {
        if self.dialogue.greedy() && !self.dialogue.past().is_empty() {
            self.notice("every choice is greedy, so the seed changes nothing: /set temperature 0.7 would");
        }
        if self.dialogue.holds_thinking() && self.dialogue.past().len() > 1 {
            terminal::notice("the cache takes nothing back: the conversation is read anew, without its thinking");
        }
        let answered = self.dialogue.retry(show(&mut self.out, self.view, self.progress, &self.interrupt))?;
        self.close(&answered.ok_or("there is no question to answer again")?);
        Ok(())
    }

    /// What is said when a turn is over.
    fn close(&self, Answered { said, before, kept }: &Answered) {
        report::close(&said.done, *before, self.quiet);
        match (said.done.reason, kept) {
            (FinishReason::Cancelled, true) => {
                self.notice("what came of the answer stays in the conversation; /undo drops it")
            }
            (FinishReason::Cancelled, false) => {
                terminal::notice("stopped before there was an answer: the question is dropped")
            }
            _ => {}
        }
    }

    /// Carries a command out. One that shows something writes it where the answers go; that it did something is said beside
    /// them.
    fn obey(&mut self, command: Command) -> Result<(), Fault> {
        let d = &mut self.dialogue;
        match command {
            Command::Help => writeln!(self.out, "{}", command::help())?,
            Command::Stats => writeln!(self.out, "{}", d.tally().report())?,
            Command::Policy(None) => writeln!(self.out, "{}\n{}", d.policy()?, d.tally().cut())?,
            Command::Policy(Some(spec)) => {
                d.switch(spec)?;
                let policy = d.policy()?;
                self.notice(&policy);
            }
            Command::System(None) => match d.past().system() {
                Some(text) => writeln!(self.out, "{}", terminal::harmless(text))?,
                None => self.notice("there is no system message"),
            },
            Command::System(Some(text)) => {
                let system = (!text.is_empty()).then_some(text);
                let said = if system.is_some() { "set" } else { "removed" };
                d.set_system(system)?;
                self.notice(&format!("system message {said}"));
            }
            Command::Clear => {
                d.clear();
                self.notice("the conversation is forgotten");
            }
            Command::Undo => {
                let last = d.undo().ok_or("there is no question to take back")?;
                self.notice(&format!("dropped: {}", last.question.lines().next().unwrap_or_default()));
            }
            Command::Set(None) => {
                for setting in d.settings() {
                    writeln!(self.out, "{setting}")?;
                }
            }
            Command::Set(Some(setting)) => {
                d.set(setting)?;
                self.notice(&setting.to_string());
            }
            Command::Save(path) => {
                let messages = d.save(&path)?;
                self.notice(&format!("wrote {messages} messages to {}", path.display()));
            }
            Command::Load(path) => {
                let messages = d.load(&path)?;
                self.notice(&format!("read {messages} messages from {}", path.display()));
            }
            Command::Retry => self.retry()?,
            Command::Exit => {} // nothing to do before it
        }
        Ok(self.out.flush()?)
    }

    fn notice(&self, text: &str) {
        if !self.quiet {
            terminal::notice(text);
        }
    }
}

/// Follows an answer to its end, or until Ctrl-C.
fn show<'a, W: Write>(
    out: &'a mut W,
    view: View,
    progress: bool,
    interrupt: &'a Interrupt,
) -> impl FnOnce(Stream, ThinkingParser) -> Result<Said, Fault> + 'a {
    move |stream, parser| {
        interrupt.forget();
        let said = Show::new(out, parser, view, progress).all(stream, || interrupt.pressed());
        interrupt.forget();
        said
    }
}
