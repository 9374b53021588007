//! `lethe chat`: a conversation, a line a turn.

use std::io::{self, BufRead, IsTerminal, Write};

use lethe_engine::{Engine, Request, Sampling, Stream, SubmitError};
use lethe_model::Message;
use lethe_policy::PolicySpec;

use crate::Fault;
use crate::options::{EngineArgs, PolicyArgs, SamplingArgs, TurnArgs};
use crate::prompt::{Prompt, Prompter};
use crate::show::{Said, Show, View};
use crate::{load, report, terminal};

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
}

const HELP: &str =
    "A line is a turn; one that ends in \\ goes on in the next. /reset begins anew, /exit or the end of input ends,
/help says so. Without a chat template each line goes on in one text.

Examples:
  lethe chat
  lethe chat ./Qwen3-0.6B --system \"Be brief.\" --reasoning-budget 500
  lethe chat -m ./Qwen3-0.6B --keep-thinking --cap 2048 --hide-thinking --quiet < questions.txt";

const COMMANDS: &str =
    "/reset  forget the conversation\n/exit   end\n/help   this\nA line that ends in \\ goes on in the next.";

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
    if !args.turn.quiet {
        args.sampling.warning(&model.generation).into_iter().for_each(terminal::notice);
        terminal::notice(load::describe(&args.engine, &model, &engine));
        terminal::notice(report::settings(&spec, &engine, &sampling)?);
    }
    let past = Past::new(&prompter);
    let mut chat = Chat { engine, prompter, spec, sampling, keep_thinking: args.keep_thinking, past };
    let (typed, stdout) = (io::stdin().is_terminal(), io::stdout().is_terminal());
    let prompt = if typed && stdout { "> " } else { "" };
    let view = View::streaming(args.turn.hide_thinking);
    let progress = !args.turn.quiet && io::stderr().is_terminal();
    let (mut input, mut out) = (io::stdin().lock(), anstream::stdout());
    while let Some(text) = read_turn(&mut input, &mut out, prompt)? {
        match text.trim() {
            "" => {}
            "/exit" => break,
            "/help" => writeln!(out, "{COMMANDS}")?,
            "/reset" => chat.reset(),
            _ => {
                let before = chat.past.tokens;
                match chat.turn(&text, |stream, parser| Show::new(&mut out, parser, view, progress).all(stream)) {
                    Ok((said, appended)) => {
                        report::close(&said.done, if appended { before } else { 0 }, args.turn.quiet)
                    }
                    // Someone who types may try again; a script must not go on as if it had its answer.
                    Err(e) if typed && !terminal::is_broken_pipe(e.as_ref()) => {
                        terminal::error(e.as_ref());
                        if args.keep_thinking && before > 0 && chat.past.session.is_none() {
                            terminal::notice(
                                "the cache is gone: the next turn reads the conversation without its thinking",
                            );
                        }
                    }
                    Err(e) => return Err(e),
                }
            }
        }
    }
    Ok(())
}

/// What was said so far, and where it is cached.
struct Past {
    session: Option<u64>,
    /// With a template: the conversation, answers without their thinking.
    messages: Vec<Message>,
    /// Without one: every id, in order.
    text: Vec<u32>,
    /// The end token of the last answer.
    ended: Option<u32>,
    /// Tokens that the session has seen.
    tokens: usize,
}

impl Past {
    fn new(prompter: &Prompter) -> Past {
        Past { session: None, messages: prompter.system(), text: Vec::new(), ended: None, tokens: 0 }
    }
}

/// A conversation.
struct Chat {
    engine: Engine,
    prompter: Prompter,
    spec: PolicySpec,
    sampling: Sampling,
    keep_thinking: bool,
    past: Past,
}

impl Chat {
    fn reset(&mut self) {
        if let Some(session) = self.past.session {
            // An engine that has stopped says so at the next turn.
            let _ = self.engine.release(session);
        }
        self.past = Past::new(&self.prompter);
    }

    /// One turn: asks, shows, remembers. Returns the answer, and whether the turn went on where the last one ended. A turn
    /// that fails is not part of the conversation.
    fn turn(
        &mut self,
        text: &str,
        show: impl FnOnce(Stream, lethe_model::ThinkingParser) -> Result<Said, Fault>,
    ) -> Result<(Said, bool), Fault> {
        let templated = self.prompter.template().is_some();
        let appends = self.keep_thinking && self.past.session.is_some();
        let mut messages = self.past.messages.clone();
        messages.push(Message::new("user", text));
        let prompt = match (templated, appends) {
            (true, true) => self.prompter.after_reply(&messages, self.past.ended)?,
            (true, false) => self.prompter.chat(&messages)?,
            (false, _) => self.go_on(text)?,
        };
        let generation = self.prompter.generation(&prompt, &self.sampling, true)?;
        let parser = self.prompter.parser(&prompt);
        let prompt_ids = if templated { Vec::new() } else { prompt.ids.clone() };
        let stream = self.submit(prompt, generation, appends)?;
        // From here on the session is busy, and gone if the turn fails; the conversation is then read anew.
        let session = self.past.session.take();
        let said = show(stream, parser).inspect_err(|_| {
            if let Some(session) = session {
                let _ = self.engine.release(session);
            }
        })?;
        let usage = said.done.usage;
        self.past.session = said.done.session;
        self.past.ended = self.prompter.ended(&said.done.token_ids);
        self.past.tokens = usage.prompt_tokens + usage.completion_tokens + if appends { self.past.tokens } else { 0 };
        messages.push(Message::new("assistant", &said.answer));
        self.past.messages = messages;
        if !templated {
            self.past.text = prompt_ids;
            // An end token would end the text for good.
            let end = self.past.ended.map_or(0, |_| 1);
            self.past.text.extend(&said.done.token_ids[..said.done.token_ids.len() - end]);
        }
        Ok((said, appends))
    }

    /// The text so far and a new line.
    fn go_on(&self, line: &str) -> Result<Prompt, Fault> {
        let begins = self.past.text.is_empty();
        let new = self.prompter.raw(&if begins { line.to_owned() } else { format!("\n{line}") }, begins)?;
        Ok(Prompt { ids: [&self.past.text[..], &new.ids].concat(), ..new })
    }

    fn submit(
        &self,
        prompt: Prompt,
        generation: lethe_engine::Generation,
        appends: bool,
    ) -> Result<Stream, SubmitError> {
        let Prompt { ids, system_tokens, .. } = prompt;
        match self.past.session {
            None => self.engine.submit(Request {
                system_tokens,
                policy: self.spec.clone(),
                generation,
                ..Request::new(ids)
            }),
            Some(session) if appends => self.engine.append(session, ids, generation),
            Some(session) => self.engine.resume(session, ids, system_tokens, generation),
        }
    }
}

/// The next turn of the user, its lines joined; `None` at the end of input.
fn read_turn(input: &mut impl BufRead, out: &mut impl Write, prompt: &str) -> Result<Option<String>, Fault> {
    let mut turn = String::new();
    loop {
        if !prompt.is_empty() {
            write!(out, "{prompt}")?;
            out.flush()?;
        }
        let mut line = String::new();
        if input.read_line(&mut line).map_err(|e| format!("stdin: {e}"))? == 0 {
            if !prompt.is_empty() {
                writeln!(out)?; // the end of input typed no newline
            }
            return Ok(Some(turn).filter(|t| !t.is_empty()));
        }
        let line = line.trim_end_matches(['\n', '\r']);
        let Some(more) = line.strip_suffix('\\') else {
            turn.push_str(line);
            return Ok(Some(turn));
        };
        turn.push_str(more);
        turn.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backslash_joins_lines() {
        let mut input = "one\ntwo \\\nthree\r\n\nfour\\\n".as_bytes();
        let mut out = Vec::new();
        let mut next = || read_turn(&mut input, &mut out, "> ").unwrap();
        assert_eq!(next().as_deref(), Some("one"));
        assert_eq!(next().as_deref(), Some("two \nthree"));
        assert_eq!(next().as_deref(), Some(""));
        assert_eq!(next().as_deref(), Some("four\n"), "the end of input ends a turn");
        assert_eq!(next(), None);
        assert_eq!(String::from_utf8(out).unwrap().matches("> ").count(), 7);
        assert!(read_turn(&mut &b"\xff\n"[..], &mut Vec::new(), "").is_err(), "bytes that are no text");
    }
}
