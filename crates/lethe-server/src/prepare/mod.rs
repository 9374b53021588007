//! From a body to requests of the engine. All of it may take long, so none of it runs on the thread that speaks HTTP.

pub(crate) mod chat;
pub(crate) mod completion;
pub(crate) mod conversation;
pub(crate) mod form;
pub(crate) mod generation;
pub(crate) mod job;
pub(crate) mod policy;
pub(crate) mod tokens;
pub(crate) mod tools;

use crate::error::ApiError;
use crate::options::Options;
use crate::served::Served;

/// What a request is prepared against.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) options: &'a Options,
    pub(crate) served: &'a Served,
}

impl Context<'_> {
    /// The name to answer under.
    pub(crate) fn model(&self, asked: Option<&String>) -> Result<String, ApiError> {
        let names = &self.options.names;
        match asked {
            None => Ok(names[0].clone()),
            Some(name) if names.contains(name) => Ok(name.clone()),
            Some(name) => Err(no_model(name, names)),
        }
    }
}

/// A 404 for a model that is not here.
pub(crate) fn no_model(name: &str, names: &[String]) -> ApiError {
    let message = format!("the model `{name}` does not exist; this server has {}", names.join(", "));
    ApiError { param: Some("model".into()), ..ApiError::new(404, "invalid_request_error", message) }
        .coded("model_not_found")
}
