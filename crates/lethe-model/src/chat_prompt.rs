//! A conversation as the model is fed it: rendered, encoded, the system message counted.

use serde_json::{Map, Value};

use crate::chat_template::{ChatTemplate, Message, TemplateError};
use crate::tokenizer::{Tokenizer, TokenizerError};

/// A rendered conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatPrompt {
    /// As the template writes it, special tokens included.
    pub text: String,
    /// Its ids.
    pub ids: Vec<u32>,
    /// How many of them are the system message.
    pub system_tokens: usize,
}

impl ChatPrompt {
    /// Renders and encodes messages; the arguments are those of [`ChatTemplate::render`].
    ///
    /// # Errors
    /// [`ChatPromptError`] where the template or the tokenizer refuses.
    pub fn new(
        template: &ChatTemplate,
        tokenizer: &Tokenizer,
        messages: &[Message],
        add_generation_prompt: bool,
        extra: &Map<String, Value>,
    ) -> Result<ChatPrompt, ChatPromptError> {
        let text = template.render(messages, add_generation_prompt, extra)?;
        let ids = tokenizer.encode(&text, false)?;
        let system_tokens = match messages.first().filter(|m| m.role == "system") {
            None => 0,
            Some(system) => {
                // A template that refuses a lone system message leaves the whole prompt as the newest turn's.
                let head = template.render(std::slice::from_ref(system), false, extra).unwrap_or_default();
                let head = tokenizer.encode(&head, false)?;
                head.iter().zip(&ids).take_while(|(a, b)| a == b).count()
            }
        };
        Ok(ChatPrompt { text, ids, system_tokens })
    }
}

/// Why messages make no prompt.
#[derive(Debug, thiserror::Error)]
pub enum ChatPromptError {
    /// The template refuses or fails.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The tokenizer cannot encode what the template wrote.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}
