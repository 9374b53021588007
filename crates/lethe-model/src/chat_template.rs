//! Chat messages to one prompt, by the model's own Jinja template.
//!
//! Templates are written for the Jinja2 environment of transformers, so this one is set up to render the same text:
//! block trimming, Python's methods, names and number formats, its `tojson`, `raise_exception` and `strftime_now`.

use std::borrow::Cow;
use std::time::SystemTime;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value};
use serde::Serialize;
use serde_json::Map;

use crate::python;
use crate::strftime::strftime;

/// One message of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// The text.
    pub content: String,
    /// What else the message has, under the names that templates read: `reasoning_content`, `tool_calls` (each with a
    /// `function` whose `arguments` are an object, not text), `tool_call_id`, `name`. A key that is absent is undefined.
    #[serde(flatten)]
    pub extra: Map<String, serde_json::Value>,
}

impl Message {
    /// A message of this role.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into(), extra: Map::new() }
    }

    /// The same message with another part.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
        self.extra.insert(key.into(), value.into());
        self
    }
}

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    source: String,
    env: Environment<'static>,
    special_tokens: Vec<(String, String)>,
}

const NAME: &str = "chat_template";

impl ChatTemplate {
    /// Compiles a template. It sees the `special_tokens` (`bos_token` and so on) as variables.
    ///
    /// # Errors
    /// [`TemplateError::Syntax`] with the line at fault.
    pub fn new(source: &str, special_tokens: &[(String, String)]) -> Result<Self, TemplateError> {
        Self::with_clock(source, special_tokens, SystemTime::now)
    }

    /// As [`ChatTemplate::new`], with another clock behind `strftime_now`. Times are UTC.
    ///
    /// # Errors
    /// As [`ChatTemplate::new`].
    pub fn with_clock(
        source: &str,
        special_tokens: &[(String, String)],
        clock: fn() -> SystemTime,
    ) -> Result<Self, TemplateError> {
        let mut env = Environment::new();
        env.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        env.set_auto_escape_callback(|_| AutoEscape::None);
        env.set_unknown_method_callback(python::method);
        env.set_formatter(|out, _, value| Ok(out.write_str(&python::str(value))?));
        env.add_filter("tojson", to_json);
        env.add_filter("string", |value: &Value| python::str(value));
        env.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message).with_source(Raised))
        });
        env.add_function("strftime_now", move |format: &str| strftime(format, clock()));
        env.add_template_owned(NAME, plain_generation_blocks(source).into_owned())?;
        Ok(Self { source: source.to_owned(), env, special_tokens: special_tokens.to_vec() })
    }

    /// The template's text: what it mentions tells what it can render.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The prompt for these messages. `add_generation_prompt` opens the answer of the assistant; `extra` holds further
    /// variables, such as `tools` or `enable_thinking`.
    ///
    /// The prompt holds its special tokens: encode it without adding any.
    ///
    /// # Errors
    /// [`TemplateError::Refused`] if the template itself refuses the messages, else [`TemplateError::Render`].
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
        extra: &Map<String, serde_json::Value>,
    ) -> Result<String, TemplateError> {
        // Tools and documents are always defined: templates test them for truth.
        let mut variables = Map::new();
        for name in ["tools", "documents"] {
            variables.insert(name.to_owned(), serde_json::Value::Null);
        }
        variables.insert("add_generation_prompt".to_owned(), add_generation_prompt.into());
        variables.extend(self.special_tokens.iter().map(|(name, text)| (name.clone(), text.as_str().into())));
        variables.extend(extra.iter().map(|(name, value)| (name.clone(), value.clone())));
        let context =
            minijinja::context! { messages => Value::from(Serde(messages)), ..Value::from(Serde(&variables)) };
        Ok(self.env.get_template(NAME)?.render(context)?)
    }
}

/// `{% generation %}` marks the assistant's tokens for training and prints its body as it is: a plain scope does the
/// same, with the same whitespace control.
fn plain_generation_blocks(source: &str) -> Cow<'_, str> {
    let mut plain = String::new();
    let mut rest = source;
    while let Some(open) = rest.find("{%") {
        let (before, tag) = rest.split_at(open + 2);
        let end = tag.find("%}").unwrap_or(tag.len());
        let (inner, after) = tag.split_at(end);
        plain.push_str(before);
        plain.push_str(&match inner.trim_matches(|c: char| c.is_whitespace() || matches!(c, '-' | '+')) {
            "generation" => inner.replace("generation", "with"),
            "endgeneration" => inner.replace("endgeneration", "endwith"),
            _ => inner.to_owned(),
        });
        rest = after;
    }
    if plain.is_empty() {
        return Cow::Borrowed(source);
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// transformers' filter: `json.dumps` without escapes for HTML or for anything beyond ASCII.
fn to_json(value: &Value, indent: Option<Value>, options: Kwargs) -> Result<String, Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => options.get::<Option<Value>>("indent")?,
    };
    let indent = indent.filter(|indent| !indent.is_none()).map(usize::try_from).transpose()?;
    let json_options = python::JsonOptions {
        indent,
        ensure_ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        sort_keys: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        separators: match options.get::<Option<Vec<String>>>("separators")?.as_deref() {
            None => None,
            Some([item, key]) => Some((item.clone(), key.clone())),
            Some(_) => return Err(Error::new(ErrorKind::InvalidOperation, "tojson: separators must be two strings")),
        },
    };
    options.assert_all_used()?;
    python::json_dumps(value, &json_options)
}

/// Marks an error that the template raised itself.
#[derive(Debug, thiserror::Error)]
#[error("raised by the template")]
struct Raised;

/// Why there is no prompt.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The template cannot be compiled.
    #[error("the chat template is not valid: {0}")]
    Syntax(String),
    /// The template called `raise_exception`: these messages are not what the model was made for.
    #[error("the chat template refuses these messages: {0}")]
    Refused(String),
    /// Rendering failed.
    #[error("the chat template failed: {0}")]
    Render(String),
}

impl From<Error> for TemplateError {
    fn from(error: Error) -> Self {
        let raised = std::error::Error::source(&error).is_some_and(|source| source.is::<Raised>());
        match error.kind() {
            _ if raised => Self::Refused(error.detail().unwrap_or_default().to_owned()),
            ErrorKind::SyntaxError | ErrorKind::UnknownFilter | ErrorKind::UnknownTest => {
                Self::Syntax(error.to_string())
            }
            _ => Self::Render(error.to_string()),
        }
    }
}
