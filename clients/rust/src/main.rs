//! The `async-openai` crate against a running `lethe serve` with the embedded model, unmodified: `openai-client URL/v1 KEY`.

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use async_openai::types::chat::{
    ChatCompletionRequestUserMessage, CreateChatCompletionRequest, CreateChatCompletionRequestArgs,
};
use futures_util::StreamExt;

type Fault = Box<dyn std::error::Error>;

const MODEL: &str = "reasoner-s";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fault> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, key] = args.as_slice() else { return Err("give URL/v1 and KEY".into()) };
    let client = |key: &str| Client::with_config(OpenAIConfig::new().with_api_base(url).with_api_key(key));
    let ours = client(key);

    let models = ours.models().list().await?;
    assert!(models.data.iter().any(|model| model.id == MODEL), "{models:?}");

    let whole = ours.chat().create(question(MODEL)?).await?;
    let answer = whole.choices[0].message.content.clone().unwrap_or_default();
    assert_eq!(answer.trim(), "7 20 41 93.");
    let usage = whole.usage.ok_or("no usage")?;
    assert!(usage.completion_tokens > 20 && usage.total_tokens == usage.prompt_tokens + usage.completion_tokens);

    let mut stream = ours.chat().create_stream(question(MODEL)?).await?;
    let (mut text, mut chunks) = (String::new(), 0);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        text.extend(chunk.choices.into_iter().filter_map(|choice| choice.delta.content));
        chunks += 1;
    }
    assert_eq!(text, answer);
    assert!(chunks > 5, "{chunks} chunks");

    let refused = |answer: Result<_, OpenAIError>, expected: &str| match answer {
        Err(OpenAIError::ApiError(error)) => {
            let said = format!("{error:?}");
            if said.contains(expected) { Ok(()) } else { Err(format!("{said}: nothing of {expected}")) }
        }
        other => Err(format!("{other:?} where an error about {expected} was due")),
    };
    refused(ours.chat().create(question("nobody")?).await, "nobody")?;
    refused(client("wrong").chat().create(question(MODEL)?).await, "invalid_api_key")?;
    println!("async-openai: models, chat, stream and errors are as it expects");
    Ok(())
}

fn question(model: &str) -> Result<CreateChatCompletionRequest, OpenAIError> {
    CreateChatCompletionRequestArgs::default()
        .model(model)
        .messages([ChatCompletionRequestUserMessage::from("Sort 41 7 93 20.").into()])
        .temperature(0.0)
        .build()
}
