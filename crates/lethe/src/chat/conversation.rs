//! What was said so far, and which of it a session of the engine holds.

use lethe_model::Message;

/// A question with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exchange {
    pub(crate) question: String,
    /// Without its thinking.
    pub(crate) answer: String,
    /// Where there is no chat template: the ids of both, as they go on from the exchange before.
    pub(crate) ids: Vec<u32>,
}

/// A cache that the engine keeps between turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: u64,
    /// Tokens it has seen.
    pub(crate) tokens: usize,
    /// The end token of the last answer, if one ended it.
    pub(crate) ended: Option<u32>,
}

/// A conversation.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    system: Option<String>,
    exchanges: Vec<Exchange>,
    pub(crate) session: Option<Session>,
}

impl Conversation {
    /// One that begins with a system message, if any.
    pub(crate) fn new(system: Option<String>) -> Conversation {
        Conversation { system, ..Conversation::default() }
    }

    pub(crate) fn system(&self) -> Option<&str> {
        self.system.as_deref()
    }

    /// The system message from now on. The session is as before.
    pub(crate) fn set_system(&mut self, system: Option<String>) {
        self.system = system;
    }

    /// True when nothing was asked yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.exchanges.is_empty()
    }

    /// Questions that were answered.
    pub(crate) fn len(&self) -> usize {
        self.exchanges.len()
    }

    /// As a chat template takes it.
    pub(crate) fn messages(&self) -> Vec<Message> {
        let said = self
            .exchanges
            .iter()
            .flat_map(|e| [Message::new("user", &*e.question), Message::new("assistant", &*e.answer)]);
        self.system.iter().map(|text| Message::new("system", &**text)).chain(said).collect()
    }

    /// As one text, where there is no chat template.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.exchanges.iter().flat_map(|e| &e.ids).copied().collect()
    }

    /// A question was answered, or one that was taken back is put back.
    pub(crate) fn add(&mut self, exchange: Exchange) {
        self.exchanges.push(exchange);
    }

    /// Takes the last question and its answer back. The session is as before: it may hold them.
    pub(crate) fn undo(&mut self) -> Option<Exchange> {
        self.exchanges.pop()
    }

    /// Forgets all but the system message, and gives back the session that is of no use any more.
    pub(crate) fn clear(&mut self) -> Option<Session> {
        self.exchanges.clear();
        self.session.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(n: u32) -> Exchange {
        Exchange { question: format!("question {n}"), answer: format!("answer {n}"), ids: vec![n, 10 * n] }
    }

    fn roles(c: &Conversation) -> Vec<String> {
        c.messages().into_iter().map(|m| format!("{}: {}", m.role, m.content)).collect()
    }

    #[test]
    fn exchanges_are_added_and_taken_back() {
        let mut c = Conversation::new(Some("Be brief.".into()));
        assert!(c.is_empty() && c.undo().is_none());
        c.add(exchange(1));
        c.add(exchange(2));
        assert_eq!(
            roles(&c),
            ["system: Be brief.", "user: question 1", "assistant: answer 1", "user: question 2", "assistant: answer 2"]
        );
        assert_eq!(c.ids(), [1, 10, 2, 20]);
        let last = c.undo().unwrap();
        assert_eq!((last == exchange(2), c.ids()), (true, vec![1, 10]));
        c.add(last);
        assert_eq!(c.ids(), [1, 10, 2, 20]);
    }

    #[test]
    fn the_system_message_outlives_what_was_said() {
        let session = Session { id: 3, tokens: 9, ended: None };
        let mut c = Conversation::new(None);
        assert_eq!(c.system(), None);
        c.add(exchange(1));
        c.session = Some(session);
        c.set_system(Some("Be brief.".into()));
        assert_eq!((roles(&c)[0].as_str(), c.session), ("system: Be brief.", Some(session)));
        assert_eq!((c.clear(), c.session), (Some(session), None));
        assert_eq!(roles(&c), ["system: Be brief."]);
        c.set_system(None);
        assert!(c.messages().is_empty());
    }
}
