//! A conversation with a model: turns in one cache, and what may change between them.

use std::path::Path;

use lethe_engine::{Engine, FinishReason, Generation, Request, Sampling, Stream, SubmitError};
use lethe_model::{Message, ThinkingParser};
use lethe_policy::PolicySpec;

use super::conversation::{Conversation, Exchange, Session};
use super::messages;
use super::setting::Setting;
use super::tally::Tally;
use crate::prompt::{Prompt, Prompter};
use crate::show::Said;
use crate::{Fault, report};

#[cfg(test)]
mod tests;

/// A model, how it is asked, and what was said.
pub(crate) struct Dialogue {
    engine: Engine,
    prompter: Prompter,
    spec: PolicySpec,
    sampling: Sampling,
    keep_thinking: bool,
    past: Conversation,
    tally: Tally,
}

/// A turn that was answered, or given up.
pub(crate) struct Answered {
    pub(crate) said: Said,
    /// Tokens that the session had seen before, where the turn went on in its cache.
    pub(crate) before: usize,
    /// Whether question and answer are part of the conversation; not where it was given up before the first token.
    pub(crate) kept: bool,
}

impl Dialogue {
    /// Nothing was said yet. With `keep_thinking` turns go on in the cache as it is.
    pub(crate) fn new(
        engine: Engine,
        prompter: Prompter,
        spec: PolicySpec,
        sampling: Sampling,
        system: Option<String>,
        keep_thinking: bool,
    ) -> Dialogue {
        let past = Conversation::new(system);
        Dialogue { engine, prompter, spec, sampling, keep_thinking, past, tally: Tally::default() }
    }

    /// What was said.
    pub(crate) fn past(&self) -> &Conversation {
        &self.past
    }

    /// What the turns cost.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Whether the next turn goes on in a cache that has the thinking of earlier turns.
    pub(crate) fn holds_thinking(&self) -> bool {
        self.keep_thinking && self.past.session.is_some()
    }

    /// True when a seed changes nothing.
    pub(crate) fn greedy(&self) -> bool {
        self.sampling.temperature == 0.0
    }

    /// The policy with what it made of this machine.
    ///
    /// # Errors
    /// The policy's own.
    pub(crate) fn policy(&self) -> Result<String, Fault> {
        report::resolved(&self.spec, &self.engine)
    }

    /// One turn: asks, lets `show` follow the answer to its end, remembers. A turn that fails is not part of the
    /// conversation; one that is cancelled is, with what came of its answer.
    ///
    /// # Errors
    /// Of the template, the engine or `show`.
    pub(crate) fn ask(
        &mut self,
        question: &str,
        show: impl FnOnce(Stream, ThinkingParser) -> Result<Said, Fault>,
    ) -> Result<Answered, Fault> {
        let templated = self.prompter.template().is_some();
        let session = self.past.session;
        let appends = session.filter(|_| self.keep_thinking);
        let mut messages = self.past.messages();
        messages.push(Message::new("user", question));
        let prompt = match (templated, appends) {
            (true, Some(session)) => self.prompter.after_reply(&messages, session.ended)?,
            (true, None) => self.prompter.chat(&messages)?,
            (false, _) => self.go_on(question)?,
        };
        let generation = self.prompter.generation(&prompt, &self.sampling, true)?;
        let parser = self.prompter.parser(&prompt);
        let mut ids = if templated { Vec::new() } else { prompt.ids[self.past.ids().len()..].to_vec() };
        let stream = self.submit(prompt, generation, appends.is_some())?;
        // From here on the session is busy, and gone if the turn fails; the conversation is then read anew.
        self.past.session = None;
        let said = show(stream, parser).inspect_err(|_| {
            if let Some(session) = session {
                let _ = self.engine.release(session.id);
            }
        })?;
        let (done, before) = (&said.done, appends.map_or(0, |session| session.tokens));
        let kept = done.reason != FinishReason::Cancelled || !done.token_ids.is_empty();
        let ended = self.prompter.ended(&done.token_ids);
        let tokens = before + done.usage.prompt_tokens + done.usage.completion_tokens;
        self.past.session = match done.session {
            Some(id) if kept => Some(Session { id, tokens, ended }),
            Some(_) => session, // given up before it began
            None => None,
        };
        if kept {
            if !templated {
                // An end token would end the text for good.
                let end = ended.map_or(0, |_| 1);
                ids.extend(&done.token_ids[..done.token_ids.len() - end]);
            }
            self.past.add(Exchange { question: question.to_owned(), answer: said.answer.clone(), ids });
            self.tally.add(done, before);
        }
        Ok(Answered { said, before, kept })
    }

    /// The text so far and a new line.
    fn go_on(&self, line: &str) -> Result<Prompt, Fault> {
        let begins = self.past.is_empty();
        let new = self.prompter.raw(&if begins { line.to_owned() } else { format!("\n{line}") }, begins)?;
        Ok(Prompt { ids: [self.past.ids(), new.ids].concat(), ..new })
    }

    fn submit(&self, prompt: Prompt, generation: Generation, appends: bool) -> Result<Stream, SubmitError> {
        let Prompt { ids, system_tokens, .. } = prompt;
        match self.past.session {
            None => {
                let policy = self.spec.clone();
                self.engine.submit(Request { system_tokens, policy, generation, ..Request::new(ids) })
            }
            Some(session) if appends => self.engine.append(session.id, ids, generation),
            Some(session) => self.engine.resume(session.id, ids, system_tokens, generation),
        }
    }

    /// Asks the last question again, with the next seed, in place of what was answered. `None` where there is no question;
    /// where there is no new answer all is as before.
    ///
    /// # Errors
    /// As [`Dialogue::ask`].
    pub(crate) fn retry(
        &mut self,
        show: impl FnOnce(Stream, ThinkingParser) -> Result<Said, Fault>,
    ) -> Result<Option<Answered>, Fault> {
        let Some(last) = self.undo() else { return Ok(None) };
        let seed = self.sampling.seed;
        self.sampling.seed = seed.wrapping_add(1);
        let answered = self.ask(&last.question, show);
        if !answered.as_ref().is_ok_and(|answered| answered.kept) {
            self.past.add(last);
            self.sampling.seed = seed;
        }
        answered.map(Some)
    }

    /// Drops the last question and its answer, and returns them.
    pub(crate) fn undo(&mut self) -> Option<Exchange> {
        let last = self.past.undo()?;
        self.leave_appended();
        Some(last)
    }

    /// Forgets the conversation, but not its system message.
    pub(crate) fn clear(&mut self) {
        let session = self.past.clear();
        self.release(session);
    }

    /// The conversation is read anew under this policy, from the next turn on.
    ///
    /// # Errors
    /// The policy's own; all is as before.
    pub(crate) fn switch(&mut self, spec: PolicySpec) -> Result<(), Fault> {
        spec.build(&self.engine.context())?;
        self.spec = spec;
        let session = self.past.session.take();
        self.release(session);
        self.tally.new_policy();
        Ok(())
    }

    /// The system message from the next turn on.
    ///
    /// # Errors
    /// Where there is no template to put it.
    pub(crate) fn set_system(&mut self, system: Option<String>) -> Result<(), Fault> {
        self.needs_template("a system message")?;
        self.past.set_system(system);
        self.leave_appended();
        Ok(())
    }

    /// Changes how the turns to come are generated.
    ///
    /// # Errors
    /// Of the sampler, or where the model marks no thinking; all is as before.
    pub(crate) fn set(&mut self, setting: Setting) -> Result<(), Fault> {
        let mut sampling = self.sampling.clone();
        match setting {
            Setting::Temperature(x) => sampling.temperature = x,
            Setting::TopP(x) => sampling.top_p = x,
            Setting::TopK(n) => sampling.top_k = n,
            Setting::MinP(x) => sampling.min_p = x,
            Setting::Seed(n) => sampling.seed = n,
            Setting::MaxTokens(n) => {
                self.prompter.set_max_tokens(n);
                return Ok(());
            }
            Setting::ReasoningBudget(n) => return self.prompter.set_reasoning_budget(n),
        }
        sampling.validate(usize::MAX)?; // no bias is ever set, so no vocabulary counts
        self.sampling = sampling;
        Ok(())
    }

    /// Every setting with its value, in the order of [`super::setting::KEYS`].
    pub(crate) fn settings(&self) -> [Setting; 7] {
        let s = &self.sampling;
        [
            Setting::Temperature(s.temperature),
            Setting::TopP(s.top_p),
            Setting::TopK(s.top_k),
            Setting::MinP(s.min_p),
            Setting::Seed(s.seed),
            Setting::MaxTokens(self.prompter.max_tokens()),
            Setting::ReasoningBudget(self.prompter.reasoning_budget()),
        ]
    }

    /// Writes what was said to a file. Returns the number of messages.
    ///
    /// # Errors
    /// Where there is no template, so no messages; the file's own.
    pub(crate) fn save(&self, path: &Path) -> Result<usize, Fault> {
        self.needs_template("a file of messages")?;
        let messages = self.past.messages();
        messages::save(path, &messages)?;
        Ok(messages.len())
    }

    /// Goes on from a file. Returns the number of messages.
    ///
    /// # Errors
    /// As [`Dialogue::save`]; all is as before.
    pub(crate) fn load(&mut self, path: &Path) -> Result<usize, Fault> {
        self.needs_template("a file of messages")?;
        let past = messages::load(path)?;
        let session = std::mem::replace(&mut self.past, past).session;
        self.release(session);
        Ok(self.past.messages().len())
    }

    fn needs_template(&self, what: &str) -> Result<(), Fault> {
        match self.prompter.template() {
            Some(_) => Ok(()),
            None => Err(format!("{what} needs a chat template, and none is in use").into()),
        }
    }

    /// A cache in which turns are appended cannot take anything back; one whose turns bring the whole conversation can.
    fn leave_appended(&mut self) {
        if self.keep_thinking {
            let session = self.past.session.take();
            self.release(session);
        }
    }

    fn release(&self, session: Option<Session>) {
        if let Some(session) = session {
            // An engine that has stopped says so at the next turn.
            let _ = self.engine.release(session.id);
        }
    }
}
