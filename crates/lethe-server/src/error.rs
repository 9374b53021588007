//! Errors as clients of the OpenAI API expect them.

use lethe_engine::{Failure, SubmitError};
use serde::Serialize;
use utoipa::ToSchema;

/// A request that was not answered, and what to tell its sender.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ApiError {
    /// HTTP status.
    pub(crate) status: u16,
    /// What was wrong and what to do, for people.
    pub(crate) message: String,
    /// Kind of error, for programs: `invalid_request_error` and the like.
    pub(crate) kind: &'static str,
    /// The field at fault, such as `messages[1].content`.
    pub(crate) param: Option<String>,
    /// The error itself, for programs.
    pub(crate) code: Option<&'static str>,
    /// Seconds after which to try again.
    pub(crate) retry_after: Option<u32>,
}

/// The body of every response that is not a success.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    error: ErrorDetail,
}

/// What went wrong.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ErrorDetail {
    /// For people.
    message: String,
    /// Kind of error.
    #[serde(rename = "type")]
    kind: String,
    /// The field at fault.
    param: Option<String>,
    /// For programs.
    code: Option<String>,
}

impl ApiError {
    /// An error without parameter and code.
    pub(crate) fn new(status: u16, kind: &'static str, message: impl Into<String>) -> ApiError {
        ApiError { status, message: message.into(), kind, param: None, code: None, retry_after: None }
    }

    /// A 400 because of one field.
    pub(crate) fn invalid(param: impl Into<String>, message: impl Into<String>) -> ApiError {
        ApiError { param: Some(param.into()), ..ApiError::new(400, "invalid_request_error", message) }
    }

    /// A 400 because of the body as a whole.
    pub(crate) fn bad_body(message: impl Into<String>) -> ApiError {
        ApiError::new(400, "invalid_request_error", message)
    }

    /// A 500: a defect, or a model that cannot be computed.
    pub(crate) fn internal(message: impl Into<String>) -> ApiError {
        ApiError::new(500, "server_error", message)
    }

    /// A 503 with the time after which to try again.
    pub(crate) fn unavailable(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError { retry_after: Some(1), ..ApiError::new(503, "server_error", message) }.coded(code)
    }

    /// The same error with a code.
    #[must_use]
    pub(crate) fn coded(mut self, code: &'static str) -> ApiError {
        self.code = Some(code);
        self
    }

    /// The JSON of it.
    pub(crate) fn body(&self) -> ErrorBody {
        ErrorBody {
            error: ErrorDetail {
                message: self.message.clone(),
                kind: self.kind.to_owned(),
                param: self.param.clone(),
                code: self.code.map(str::to_owned),
            },
        }
    }

    /// A refusal of the engine; `prompt` is the field that the prompt came from.
    pub(crate) fn refused(error: &SubmitError, prompt: &'static str) -> ApiError {
        let message = error.to_string();
        match error {
            SubmitError::EmptyPrompt | SubmitError::TokenOutOfRange { .. } => ApiError::invalid(prompt, message),
            SubmitError::PromptTooLong { .. } => ApiError::invalid(prompt, message).coded("context_length_exceeded"),
            SubmitError::MinOverMax { .. } => ApiError::invalid("min_tokens", message),
            SubmitError::TooManyLogprobs { .. } => ApiError::invalid("logprobs", message),
            SubmitError::BadRepetition { .. } => ApiError::invalid("repetition_detection", message),
            SubmitError::RequestTooLarge { .. } => ApiError::invalid("max_tokens", message).coded("kv_memory_exceeded"),
            SubmitError::Sampling(bad) => ApiError::invalid(bad.key, message),
            SubmitError::ElasticFull => ApiError::invalid("kv_policy.elastic", message),
            SubmitError::Policy(_) => ApiError::invalid("kv_policy", message),
            SubmitError::EmptyStop | SubmitError::StopNeedsTokenizer => ApiError::invalid("stop", message),
            SubmitError::BudgetNeedsTokenizer
            | SubmitError::EmptyTag
            | SubmitError::CloseTokenOutOfRange { .. }
            | SubmitError::CloseWithoutTag { .. } => ApiError::invalid("thinking_token_budget", message),
            SubmitError::QueueFull { .. } => {
                let full = ApiError::new(429, "rate_limit_error", message).coded("queue_full");
                ApiError { retry_after: Some(1), ..full }
            }
            SubmitError::Stopped => ApiError::unavailable("stopped", message),
            SubmitError::SystemTooLong { .. } | SubmitError::UnknownSession(_) => ApiError::internal(message),
            _ => ApiError::bad_body(message),
        }
    }
}

impl From<&Failure> for ApiError {
    fn from(failure: &Failure) -> ApiError {
        let message = failure.to_string();
        match failure {
            Failure::NothingToSample => ApiError::invalid("logit_bias", message),
            Failure::SessionsHoldMemory { .. } => ApiError::unavailable("kv_memory_held", message),
            Failure::Stopped => ApiError::unavailable("stopped", message),
            Failure::Parking(_) => ApiError::unavailable("parking_failed", message),
            Failure::NonFinite { .. } | Failure::Constraint(_) | Failure::Cache(_) | Failure::Panicked(_) => {
                ApiError::internal(message)
            }
        }
    }
}
