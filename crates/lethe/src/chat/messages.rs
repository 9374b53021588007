//! Conversations in files: the JSON messages that OpenAI's API takes.

use std::io;
use std::path::{Path, PathBuf};

use lethe_model::Message;
use serde_json::Value;

use super::conversation::{Conversation, Exchange};

/// A file that could not be written, or is no conversation to go on from.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MessagesError {
    #[error("{}: {source}", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: no JSON: {source}", .path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("{}: expected a list of messages, [{{\"role\": \"user\", \"content\": \"...\"}}, ...]", .path.display())]
    NoList { path: PathBuf },
    #[error("{}: message {index}: {what}", .path.display())]
    Message {
        path: PathBuf,
        /// From 1.
        index: usize,
        what: String,
    },
}

/// Writes `messages` to a file, in place of what was there.
///
/// # Errors
/// [`MessagesError::File`].
pub(crate) fn save(path: &Path, messages: &[Message]) -> Result<(), MessagesError> {
    let text = serde_json::to_string_pretty(messages).expect("text is always JSON") + "\n";
    std::fs::write(path, text).map_err(|source| MessagesError::File { path: path.to_owned(), source })
}

/// Reads a list of messages, or an object that has one as `messages`, such as the body of a request: a system message, if
/// any, then questions and answers in turn. Anything else about a message, such as its thinking, does not count.
///
/// # Errors
/// [`MessagesError`] names the message at fault.
pub(crate) fn load(path: &Path) -> Result<Conversation, MessagesError> {
    let named = || path.to_owned();
    let text = std::fs::read_to_string(path).map_err(|source| MessagesError::File { path: named(), source })?;
    let value: Value = serde_json::from_str(&text).map_err(|source| MessagesError::Json { path: named(), source })?;
    let list =
        value.get("messages").unwrap_or(&value).as_array().ok_or_else(|| MessagesError::NoList { path: named() })?;
    conversation(list).map_err(|(index, what)| MessagesError::Message { path: named(), index: index + 1, what })
}

/// The conversation that these messages are, or the index of one that is wrong, and why.
fn conversation(list: &[Value]) -> Result<Conversation, (usize, String)> {
    let mut messages = list.iter().enumerate().map(|(i, value)| (i, message(value))).peekable();
    let mut past = Conversation::default();
    if let Some((_, Ok(("system", text)))) = messages.peek() {
        past = Conversation::new(Some((*text).to_owned()));
        messages.next();
    }
    let mut question: Option<&str> = None;
    for (i, read) in messages {
        let (role, text) = read.map_err(|what| (i, what))?;
        match (role, question.take()) {
            ("user", None) => question = Some(text),
            ("assistant", Some(asked)) => {
                past.add(Exchange { question: asked.to_owned(), answer: text.to_owned(), ids: Vec::new() });
            }
            (role, asked) => {
                let expected = if asked.is_some() { "assistant" } else { "user" };
                return Err((i, format!("its role is `{role}`, and `{expected}` is expected there")));
            }
        }
    }
    match question {
        Some(_) => Err((list.len() - 1, "a question without an answer: leave it out, and ask it".to_owned())),
        None => Ok(past),
    }
}

/// Role and text of a message.
fn message(value: &Value) -> Result<(&str, &str), String> {
    let field = |key: &str| {
        let missing = || format!("it has no `{key}`, or one that is no text");
        value.get(key).and_then(Value::as_str).ok_or_else(missing)
    };
    Ok((field("role")?, field("content")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_saved_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("talk.json");
        let mut said = Conversation::new(Some("Be \"brief\".".into()));
        said.add(Exchange { question: "one\ntwo".into(), answer: "drei ☃".into(), ids: Vec::new() });
        for messages in [said.messages(), Vec::new()] {
            save(&path, &messages).unwrap();
            assert_eq!(load(&path).unwrap().messages(), messages);
        }
        std::fs::write(&path, json!({ "model": "m", "messages": said.messages() }).to_string()).unwrap();
        assert_eq!(load(&path).unwrap().messages(), said.messages(), "the body of a request");
        assert!(save(dir.path(), &[]).unwrap_err().to_string().contains(&*dir.path().to_string_lossy()));
    }

    #[test]
    fn what_is_no_conversation_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("talk.json");
        let said = |text: String| {
            std::fs::write(&path, text).unwrap();
            load(&path).unwrap_err().to_string()
        };
        let (user, answer) = (json!({"role": "user", "content": "a"}), json!({"role": "assistant", "content": "b"}));
        for (text, words) in [
            ("[1, 2".to_owned(), "no JSON"),
            ("{}".to_owned(), "list of messages"),
            ("\"text\"".to_owned(), "list of messages"),
            ("[1]".to_owned(), "message 1: it has no `role`"),
            (json!([{"role": "user", "content": ["a"]}]).to_string(), "message 1: it has no `content`"),
            (json!([answer]).to_string(), "message 1: its role is `assistant`, and `user`"),
            (json!([user, user]).to_string(), "message 2: its role is `user`, and `assistant`"),
            (json!([user, answer, {"role": "tool", "content": "c"}]).to_string(), "message 3: its role is `tool`"),
            (json!([user, answer, user]).to_string(), "message 3: a question without an answer"),
        ] {
            let error = said(text);
            assert!(error.contains(words) && error.contains("talk.json"), "{words}: {error}");
        }
        assert!(load(&dir.path().join("none.json")).unwrap_err().to_string().contains("none.json"));
    }
}
