//! A question in tokens: its first prompt, and what comes between an answer and the next.

use lethe_model::{ChatPrompt, ChatTemplate, Message, Tokenizer};
use serde_json::{Map, Value};

use super::{GridError, Subject};
use crate::question::Question;

/// Stands for an answer in a rendered conversation; no template changes it, and nobody writes it.
const REPLY: &str = "lethe:the-reply-stands-here";

/// A question in tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conversation {
    /// Tokens of the first prompt.
    pub(super) first: Vec<u32>,
    /// How many of them are the system message.
    pub(super) system_tokens: usize,
    /// What follows the answer of each turn but the last, where an end token ended it. `[turns - 1]`
    pub(super) later: Vec<Vec<u32>>,
}

impl Conversation {
    /// Renders and encodes a question.
    pub(super) fn new(subject: &Subject, question: &Question, extra: &Map<String, Value>) -> Result<Self, GridError> {
        let (tokenizer, template) = subject.speech()?;
        let mut turns = question.turns.iter();
        let mut messages = turns.next().cloned().unwrap_or_default();
        let first = ChatPrompt::new(template, tokenizer, &messages, true, extra)
            .map_err(|source| GridError::Prompt { task: question.task.clone(), id: question.id.clone(), source })?;
        let mut later = Vec::new();
        for turn in turns {
            messages.push(Message::new("assistant", REPLY));
            messages.extend(turn.iter().cloned());
            later.push(after_reply(template, tokenizer, &subject.model.end_ids, &messages, extra)?);
            let reply = messages.iter_mut().rev().find(|m| m.role == "assistant");
            reply.expect("one was pushed").content = "...".to_owned(); // a later turn has its own mark
        }
        Ok(Conversation { first: first.ids, system_tokens: first.system_tokens, later })
    }

    /// Tokens of the prompts of all turns.
    pub(super) fn prompts(&self) -> usize {
        self.first.len() + self.later.iter().map(Vec::len).sum::<usize>()
    }
}

/// What the template prints after a reply, without the token that ended it: that one is in the cache. A difference of two
/// renderings would miss what stands between a reply and the next turn, such as the newline after an end token.
fn after_reply(
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
    ends: &[u32],
    messages: &[Message],
    extra: &Map<String, Value>,
) -> Result<Vec<u32>, GridError> {
    let text = template.render(messages, true, extra)?;
    let [_, tail] = text.split(REPLY).collect::<Vec<_>>()[..] else { return Err(GridError::NoLaterTurns) };
    let ends = ends.iter().filter_map(|&id| tokenizer.token(id));
    let rest = ends.filter_map(|end| tail.trim_start().strip_prefix(&*end)).next();
    Ok(tokenizer.encode(rest.unwrap_or(tail), false)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::problem::question;
    use crate::problems::{Family, generate};

    #[test]
    fn a_conversation_reads_like_one_that_was_rendered_whole() {
        let subject = Subject::embedded().unwrap();
        let (tokenizer, template) = subject.speech().unwrap();
        let problem = generate(Family::TwoTurn, 0.2, 5);
        let replies: Vec<String> = problem.turns.iter().map(|turn| turn.reply()).collect();
        let asked: Vec<Message> = problem.turns.iter().map(|turn| Message::new("user", &turn.question)).collect();
        let whole = [asked[0].clone(), Message::new("assistant", &replies[0]), asked[1].clone()];
        let whole = tokenizer.encode(&template.render(&whole, true, &Map::new()).unwrap(), false).unwrap();

        let question = question(problem, tokenizer).unwrap();
        let talk = Conversation::new(&subject, &question, &Map::new()).unwrap();
        let answer = tokenizer.encode(&format!("{}<|im_end|>", replies[0]), false).unwrap();
        assert_eq!([&talk.first, &answer, &talk.later[0]].map(Vec::as_slice).concat(), whole);
        assert_eq!(talk.prompts(), whole.len() - answer.len());
    }
}
