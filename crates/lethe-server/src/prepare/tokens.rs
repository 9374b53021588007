//! Text to ids and back.

use crate::error::ApiError;
use crate::output::scored::token_text;
use crate::prepare::Context;
use crate::prepare::conversation::Conversation;
use crate::protocol::tokens::{DetokenizeRequest, Detokenized, TokenizeRequest, Tokenized};

/// `/tokenize`.
pub(crate) fn tokenize(context: Context<'_>, body: &[u8]) -> Result<Tokenized, ApiError> {
    let request = TokenizeRequest::parse(body)?;
    context.model(request.model.as_ref())?;
    let tokenizer = &context.served.tokenizer;
    let tokens = match (request.prompt, request.messages) {
        (Some(text), None) => {
            let special = request.add_special_tokens.unwrap_or(true);
            tokenizer.encode(&text, special).map_err(|e| ApiError::invalid("prompt", e.to_string()))?
        }
        (None, Some(messages)) => {
            let conversation = Conversation {
                messages,
                tools: request.tools.unwrap_or_default(),
                variables: request.chat_template_kwargs.unwrap_or_default(),
                add_generation_prompt: request.add_generation_prompt.unwrap_or(true),
            };
            conversation.prompt(&context)?.ids
        }
        _ => return Err(ApiError::invalid("prompt", "give either `prompt` or `messages`")),
    };
    let texts = || tokens.iter().map(|id| token_text(tokenizer, *id)).collect();
    Ok(Tokenized {
        count: tokens.len() as u64,
        max_model_len: context.served.max_positions() as u64,
        token_strs: request.return_token_strs.unwrap_or(false).then(texts),
        tokens,
    })
}

/// `/detokenize`.
pub(crate) fn detokenize(context: Context<'_>, body: &[u8]) -> Result<Detokenized, ApiError> {
    let request = DetokenizeRequest::parse(body)?;
    context.model(request.model.as_ref())?;
    let vocab = context.served.model.decoder.dims.vocab;
    if let Some(at) = request.tokens.iter().position(|id| *id as usize >= vocab) {
        let message = format!("`tokens[{at}]` is {}, the vocabulary ends at {}", request.tokens[at], vocab - 1);
        return Err(ApiError::invalid(format!("tokens[{at}]"), message));
    }
    let text = context.served.tokenizer.decode(&request.tokens, false);
    Ok(Detokenized { prompt: text.map_err(|e| ApiError::internal(e.to_string()))? })
}
