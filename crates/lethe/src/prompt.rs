//! From words to what the model is fed: templates, ids, and how its thinking begins.

use std::sync::Arc;

use lethe_engine::{Generation, Sampling, ThinkingBudget};
use lethe_model::{ChatPrompt, ChatTemplate, CpuBackend, Message, Model, ThinkTags, ThinkingParser, Tokenizer};
use serde_json::{Map, Value};

use crate::Fault;
use crate::options::TurnArgs;

/// Stands for a reply whose surroundings are wanted; no template changes it, and nobody writes it.
const REPLY: &str = "lethe:the-reply-stands-here";

/// A prompt as the engine takes it.
pub(crate) struct Prompt {
    pub(crate) ids: Vec<u32>,
    /// How many of them are the system message.
    pub(crate) system_tokens: usize,
    /// Whether it leaves thinking open.
    pub(crate) inside: bool,
}

/// Makes prompts for one model.
pub(crate) struct Prompter {
    model: Arc<Model<CpuBackend>>,
    args: TurnArgs,
    extra: Map<String, Value>,
    tags: Option<ThinkTags>,
}

impl Prompter {
    /// Checks that the model can do what `args` ask for.
    pub(crate) fn new(model: &Arc<Model<CpuBackend>>, args: &TurnArgs) -> Result<Prompter, Fault> {
        let prompter = Prompter {
            tags: ThinkTags::of(model.chat_template.as_ref(), model.tokenizer.as_deref()),
            extra: args.template_arg.iter().cloned().collect(),
            args: args.clone(),
            model: Arc::clone(model),
        };
        if prompter.template().is_none() {
            if args.system.is_some() {
                return Err("--system needs a chat template, and none is in use".into());
            }
            if !args.template_arg.is_empty() {
                return Err("--template-arg needs a chat template, and this model has none".into());
            }
        }
        if args.reasoning_budget.is_some() {
            if model.tokenizer.is_none() {
                return Err("--reasoning-budget needs a tokenizer, and this model has none".into());
            }
            if prompter.tags.is_none() {
                let ThinkTags { open, close } = ThinkTags::THINK;
                return Err(format!(
                    "--reasoning-budget: this model marks no thinking (neither its vocabulary nor its chat template has \
                     {open} and {close}); use --max-tokens"
                )
                .into());
            }
        }
        Ok(prompter)
    }

    /// The model's template, if it is to be used.
    pub(crate) fn template(&self) -> Option<&ChatTemplate> {
        self.model.chat_template.as_ref().filter(|_| !self.args.no_template)
    }

    fn tokenizer(&self) -> Result<&Tokenizer, Fault> {
        let none = "this model has no tokenizer (no tokenizer.json, no vocabulary in the GGUF file): give ids to `lethe run --prompt-tokens`";
        self.model.tokenizer.as_deref().ok_or_else(|| none.into())
    }

    fn prompt(&self, text: &str, ids: Vec<u32>, system_tokens: usize) -> Prompt {
        let inside = self.tags.as_ref().is_some_and(|tags| tags.left_open(text));
        Prompt { ids, system_tokens, inside }
    }

    /// The messages before the first of the user.
    pub(crate) fn system(&self) -> Vec<Message> {
        self.args.system.iter().map(|text| Message::new("system", text)).collect()
    }

    /// A conversation that waits for an answer.
    pub(crate) fn chat(&self, messages: &[Message]) -> Result<Prompt, Fault> {
        let (tokenizer, Some(template)) = (self.tokenizer()?, self.template()) else {
            return Err("no chat template is in use".into());
        };
        let prompt = ChatPrompt::new(template, tokenizer, messages, true, &self.extra)?;
        Ok(self.prompt(&prompt.text, prompt.ids, prompt.system_tokens))
    }

    /// Text as it is. `begins` a sequence, with whatever token the tokenizer begins one.
    pub(crate) fn raw(&self, text: &str, begins: bool) -> Result<Prompt, Fault> {
        Ok(self.prompt(text, self.tokenizer()?.encode(text, begins)?, 0))
    }

    /// Ids as they are.
    pub(crate) fn ids(&self, ids: &[u32]) -> Prompt {
        let text = self.model.tokenizer.as_ref().and_then(|t| t.decode(ids, false).ok()).unwrap_or_default();
        self.prompt(&text, ids.to_vec(), 0)
    }

    /// What comes between the model's reply and its next answer, for a cache that holds the reply as it was generated.
    ///
    /// `messages` end with that reply and a new one of the user. They are rendered with a mark in the reply's place, and
    /// what follows the mark is the new turn: a difference of two renderings would miss what a template puts after a reply
    /// but the model never generates, such as the newline after an end token, and could not be taken at all where the
    /// thinking of earlier turns is dropped. `ended` is the token that ended the reply, if one did: it is in the cache.
    pub(crate) fn after_reply(&self, messages: &[Message], ended: Option<u32>) -> Result<Prompt, Fault> {
        let (tokenizer, Some(template)) = (self.tokenizer()?, self.template()) else {
            return Err("--keep-thinking needs a chat template, and none is in use".into());
        };
        let mut marked = messages.to_vec();
        let reply = marked.iter_mut().rev().find(|m| m.role == "assistant");
        reply.ok_or("there is no reply to go on from")?.content = REPLY.to_owned();
        let text = template.render(&marked, true, &self.extra)?;
        let [_, tail] = text.split(REPLY).collect::<Vec<_>>()[..] else {
            return Err(
                "--keep-thinking: this chat template does not print each reply once, so that a turn cannot be \
                        appended to what was generated; leave the option out"
                    .into(),
            );
        };
        let end = ended.and_then(|id| tokenizer.token(id));
        let tail = end.and_then(|end| tail.trim_start().strip_prefix(&*end)).unwrap_or(tail);
        Ok(self.prompt(tail, tokenizer.encode(tail, false)?, 0))
    }

    /// The token that ended an answer, if one did.
    pub(crate) fn ended(&self, ids: &[u32]) -> Option<u32> {
        ids.last().copied().filter(|id| self.model.end_ids.contains(id))
    }

    /// How to generate the answer to `prompt`.
    pub(crate) fn generation(&self, prompt: &Prompt, sampling: &Sampling, keep: bool) -> Result<Generation, Fault> {
        let args = &self.args;
        Ok(Generation {
            sampling: sampling.clone(),
            max_tokens: args.max_tokens,
            stop: args.stop.clone(),
            ignore_eos: args.ignore_eos,
            keep,
            thinking: args.reasoning_budget.map(|tokens| self.budget(tokens, prompt.inside)).transpose()?,
            ..Generation::default()
        })
    }

    fn budget(&self, tokens: usize, inside: bool) -> Result<ThinkingBudget, Fault> {
        let tags = self.tags.clone().unwrap_or(ThinkTags::THINK);
        let message = self.args.reasoning_budget_message.as_deref();
        Ok(ThinkingBudget::new(self.tokenizer()?, tags, inside, Some(tokens), message)?)
    }

    /// Tells thinking from answer in what follows `prompt`.
    pub(crate) fn parser(&self, prompt: &Prompt) -> ThinkingParser {
        ThinkingParser::new(self.tags.clone(), prompt.inside)
    }
}
