//! Messages to a prompt.

use lethe_model::{ChatPrompt, ChatPromptError, ChatTemplate, TemplateError};
use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::prepare::Context;
use crate::protocol::message::Message;
use crate::protocol::tool::Tool;

/// Variables of a template that requests set by other fields.
const RESERVED: [&str; 3] = ["messages", "tools", "add_generation_prompt"];

/// A conversation and what else the template sees.
pub(crate) struct Conversation {
    pub(crate) messages: Vec<Message>,
    pub(crate) tools: Vec<Tool>,
    pub(crate) variables: Map<String, Value>,
    pub(crate) add_generation_prompt: bool,
}

/// The model's template.
pub(crate) fn template<'a>(context: &Context<'a>) -> Result<&'a ChatTemplate, ApiError> {
    let none = || ApiError::invalid("messages", "this model has no chat template: use /v1/completions");
    context.served.model.chat_template.as_ref().ok_or_else(none)
}

impl Conversation {
    /// Renders and encodes it.
    pub(crate) fn prompt(self, context: &Context<'_>) -> Result<ChatPrompt, ApiError> {
        let Conversation { messages, tools, mut variables, add_generation_prompt } = self;
        let template = template(context)?;
        if messages.is_empty() {
            return Err(ApiError::invalid("messages", "`messages` is empty: give at least one"));
        }
        if let Some(name) = RESERVED.into_iter().find(|name| variables.contains_key(*name)) {
            let param = format!("chat_template_kwargs.{name}");
            return Err(ApiError::invalid(param, format!("`chat_template_kwargs` cannot set `{name}`")));
        }
        if !tools.is_empty() {
            if context.served.tools.is_none() {
                let message = "`tools`: this model's chat template shows no tools, or asks for calls in a format that is not \
                               read (those of Qwen, Hermes and Llama 3 are)";
                return Err(ApiError::invalid("tools", message).coded("unsupported"));
            }
            let tools = serde_json::to_value(&tools).map_err(|e| ApiError::invalid("tools", e.to_string()))?;
            variables.insert("tools".into(), tools);
        }
        let messages =
            messages.into_iter().enumerate().map(|(i, m)| m.into_template(i)).collect::<Result<Vec<_>, _>>()?;
        let tokenizer = &context.served.tokenizer;
        ChatPrompt::new(template, tokenizer, &messages, add_generation_prompt, &variables).map_err(|e| match e {
            // What the template cannot render is nearly always what it was given.
            ChatPromptError::Template(TemplateError::Syntax(_)) => ApiError::internal(e.to_string()),
            _ => ApiError::invalid("messages", e.to_string()),
        })
    }
}
