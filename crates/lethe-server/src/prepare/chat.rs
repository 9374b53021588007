//! A chat to requests of the engine.

use lethe_engine::{Request, ThinkingBudget};
use serde_json::Value;

use crate::error::ApiError;
use crate::options::Reasoning;
use crate::output::splitter::Splitter;
use crate::output::trace::Tracer;
use crate::prepare::conversation::Conversation;
use crate::prepare::job::{Endpoint, Job, Telling};
use crate::prepare::tools::Calling;
use crate::prepare::{Context, form, generation, policy};
use crate::protocol::chat::{ChatFields, ChatRequest, ReasoningEffort};

/// Most likeliest tokens to return with each.
const MOST_TOP: u32 = 20;

/// Reads and prepares a body.
pub(crate) fn job(context: Context<'_>, body: &[u8]) -> Result<Job, ApiError> {
    let ChatRequest { chat, generation: fields } = ChatRequest::parse(body)?;
    let model = context.model(fields.model.as_ref())?;
    let max_tokens = chat.max_completion_tokens.or(fields.max_tokens);
    let mut generation = generation::generation(&fields, max_tokens, context)?;
    let (stream, include_usage) = generation::streaming(&fields);
    let n = generation::choices(&fields)?;
    let logprobs = logprobs(&chat)?;
    generation.logprobs = logprobs;
    let forgetting = policy::forgetting(fields.kv_policy.as_ref(), context.options)?;

    let tools = chat.tools.unwrap_or_default();
    let calling = Calling::new(&tools, chat.tool_choice.as_ref())?;
    let mut variables = chat.chat_template_kwargs.unwrap_or_default();
    if let Some(effort) = chat.reasoning_effort {
        // What a request sets by name wins.
        let word = serde_json::to_value(effort).unwrap_or_default();
        variables.entry("reasoning_effort").or_insert(word);
        if effort == ReasoningEffort::None {
            variables.entry("enable_thinking").or_insert(Value::Bool(false));
        }
    }
    let shown = if calling.shown() { tools } else { Vec::new() };
    let conversation = Conversation { messages: chat.messages, tools: shown, variables, add_generation_prompt: true };
    let prompt = conversation.prompt(&context)?;

    let tags = context.served.tags.as_ref();
    let inside = tags.is_some_and(|tags| tags.left_open(&prompt.text));
    if chat.thinking_token_budget.is_some() && tags.is_none() {
        let none = "`thinking_token_budget`: this model marks no thinking; use `max_completion_tokens`";
        return Err(ApiError::invalid("thinking_token_budget", none));
    }
    // A loop in the thinking closes it as a spent budget would.
    let closes = chat.thinking_token_budget.is_some() || generation.repetition.is_some();
    if let Some(tags) = tags.filter(|_| closes) {
        let tokens = chat.thinking_token_budget.map(|tokens| tokens as usize);
        let budget = ThinkingBudget::new(&context.served.tokenizer, tags.clone(), inside, tokens, None);
        generation.thinking = Some(budget.map_err(|e| ApiError::internal(e.to_string()))?);
    }
    generation.constraint = form::constraint(fields.response_format.as_ref(), &calling, inside, context)?;

    let most_calls = if chat.parallel_tool_calls == Some(false) { 1 } else { usize::MAX };
    let verbatim = context.options.reasoning == Reasoning::Verbatim;
    let shape = &context.served.model.config;
    let tracer = || Tracer::new(shape.n_layers, shape.n_kv_heads);
    let telling = |first: bool| {
        let splitter = Splitter::new(tags.cloned(), inside, verbatim);
        let splitter = match calling.parser(context.served.tools) {
            Some(parser) => splitter.with_tools(parser, most_calls),
            None => splitter,
        };
        Telling { splitter, first, echo: None, traced: (forgetting.trace && stream).then(tracer) }
    };
    let seed = generation.sampling.seed;
    let request = |i: u32| {
        let mut generation = generation.clone();
        generation.sampling.seed = seed.wrapping_add(u64::from(i));
        Request {
            system_tokens: prompt.system_tokens,
            policy: forgetting.policy.clone(),
            elastic: forgetting.elastic,
            trace: forgetting.trace && stream,
            generation,
            ..Request::new(prompt.ids.clone())
        }
    };
    Ok(Job {
        endpoint: Endpoint::Chat,
        model,
        requests: (0..n).map(request).collect(),
        tellings: (0..n).map(|i| telling(i == 0)).collect(),
        stream,
        include_usage,
        logprobs,
    })
}

fn logprobs(chat: &ChatFields) -> Result<Option<usize>, ApiError> {
    let bad = |message: String| Err(ApiError::invalid("top_logprobs", message));
    match (chat.logprobs.unwrap_or(false), chat.top_logprobs.unwrap_or(0)) {
        (_, top) if top > MOST_TOP => bad(format!("`top_logprobs` is {top}: give a whole number from 0 to {MOST_TOP}")),
        (false, top) if top > 0 => bad("`top_logprobs` needs `logprobs: true`".into()),
        (false, _) => Ok(None),
        (true, top) => Ok(Some(top as usize)),
    }
}
