//! A completion to requests of the engine.

use lethe_engine::Request;

use crate::error::ApiError;
use crate::output::splitter::Splitter;
use crate::prepare::job::{Echo, Endpoint, Job, Telling};
use crate::prepare::tools::Calling;
use crate::prepare::{Context, form, generation, policy};
use crate::protocol::completion::{CompletionRequest, Prompt};

/// New tokens where a request does not say: OpenAI's number.
const DEFAULT_TOKENS: u32 = 16;
/// Most likeliest tokens to return with each.
const MOST_TOP: u32 = 20;
/// Most choices of a request, over all its prompts.
const MOST_CHOICES: usize = 1024;

/// Reads and prepares a body.
pub(crate) fn job(context: Context<'_>, body: &[u8]) -> Result<Job, ApiError> {
    let CompletionRequest { completion, generation: fields } = CompletionRequest::parse(body)?;
    let model = context.model(fields.model.as_ref())?;
    let max_tokens = fields.max_tokens.or_else(|| Some(DEFAULT_TOKENS.max(fields.min_tokens.unwrap_or(0))));
    let mut generation = generation::generation(&fields, max_tokens, context)?;
    let (stream, include_usage) = generation::streaming(&fields);
    let n = generation::choices(&fields)?;
    let logprobs = match completion.logprobs {
        Some(top) if top > MOST_TOP => {
            let message = format!("`logprobs` is {top}: give a whole number from 0 to {MOST_TOP}");
            return Err(ApiError::invalid("logprobs", message));
        }
        top => top.map(|top| top as usize),
    };
    generation.logprobs = logprobs;
    let forgetting = policy::forgetting(fields.kv_policy.as_ref(), context.options)?;
    let echo = completion.echo.unwrap_or(false);

    let prompts = prompts(completion.prompt, context)?;
    if prompts.len() * n as usize > MOST_CHOICES {
        let message = format!("{} prompts with `n` = {n} make more than {MOST_CHOICES} choices", prompts.len());
        return Err(ApiError::invalid("prompt", message));
    }
    let mut job = Job {
        endpoint: Endpoint::Completion,
        model,
        requests: Vec::new(),
        tellings: Vec::new(),
        stream,
        include_usage,
        logprobs,
    };
    let (tags, seed) = (context.served.tags.as_ref(), generation.sampling.seed);
    for Ready { ids, text } in prompts {
        let inside = tags.is_some_and(|tags| tags.left_open(&text));
        let constraint = form::constraint(fields.response_format.as_ref(), &Calling::Nothing, inside, context)?;
        for i in 0..n {
            let mut generation = generation.clone();
            generation.sampling.seed = seed.wrapping_add(u64::from(i));
            generation.constraint = constraint.clone();
            job.requests.push(Request {
                policy: forgetting.policy.clone(),
                elastic: forgetting.elastic,
                prompt_logprobs: logprobs.filter(|_| echo),
                generation,
                ..Request::new(ids.clone())
            });
            job.tellings.push(Telling {
                // Thinking is told apart only to be counted.
                splitter: Splitter::new(tags.cloned(), inside, true),
                first: i == 0,
                echo: echo.then(|| Echo { text: text.clone(), ids: ids.clone() }),
                traced: None,
            });
        }
    }
    Ok(job)
}

struct Ready {
    ids: Vec<u32>,
    text: String,
}

fn prompts(prompt: Prompt, context: Context<'_>) -> Result<Vec<Ready>, ApiError> {
    let tokenizer = &context.served.tokenizer;
    let from_text = |text: String| match tokenizer.encode(&text, true) {
        Ok(ids) => Ok(Ready { ids, text }),
        Err(e) => Err(ApiError::invalid("prompt", e.to_string())),
    };
    let from_ids = |ids: Vec<u32>| {
        let text = tokenizer.decode(&ids, false).unwrap_or_default();
        Ready { ids, text }
    };
    let prompts = match prompt {
        Prompt::Text(text) => vec![from_text(text)?],
        Prompt::Ids(ids) => vec![from_ids(ids)],
        Prompt::Texts(texts) => texts.into_iter().map(from_text).collect::<Result<_, _>>()?,
        Prompt::Lists(lists) => lists.into_iter().map(from_ids).collect(),
    };
    match prompts.iter().position(|ready| ready.ids.is_empty()) {
        None if !prompts.is_empty() => Ok(prompts),
        _ => Err(ApiError::invalid("prompt", "`prompt` is empty: give at least one token")),
    }
}
