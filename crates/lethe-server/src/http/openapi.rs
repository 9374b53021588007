//! `/openapi.json`: the schemas of the types that bodies are read into and written from, and the paths that use them.

use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use crate::error::ErrorBody;
use crate::protocol::chat::{ChatChunk, ChatCompletion, ChatFields};
use crate::protocol::completion::{Completion, CompletionFields};
use crate::protocol::generation::GenerationFields;
use crate::protocol::kv_policy::KvPolicy;
use crate::protocol::loads::Loads;
use crate::protocol::models::{ModelCard, ModelList, Status, Version};
use crate::protocol::tokens::{DetokenizeRequest, Detokenized, TokenizeRequest, Tokenized};
use crate::protocol::unsupported;

#[derive(OpenApi)]
#[openapi(
    info(title = "Lethe", description = "The OpenAI API over models whose KV cache forgets on purpose"),
    components(schemas(
        GenerationFields,
        ChatFields,
        CompletionFields,
        KvPolicy,
        ChatCompletion,
        ChatChunk,
        Completion,
        TokenizeRequest,
        Tokenized,
        DetokenizeRequest,
        Detokenized,
        ModelList,
        ModelCard,
        Status,
        Version,
        Loads,
        ErrorBody
    ))
)]
struct Schemas;

/// The document, for a model of these names; with its `vocab` the bounds of ids are exact.
pub(crate) fn document(names: &[String], vocab: Option<usize>) -> Value {
    let mut document = serde_json::to_value(Schemas::openapi()).unwrap_or_default();
    let schemas = &mut document["components"]["schemas"];
    let generation = schemas["GenerationFields"].take();
    for (whole, own) in [("ChatRequest", "ChatFields"), ("CompletionRequest", "CompletionFields")] {
        let fields = schemas[own].take();
        schemas[whole] = request(&[&generation, &fields], true);
    }
    for whole in ["TokenizeRequest", "DetokenizeRequest"] {
        let fields = schemas[whole].take();
        schemas[whole] = request(&[&fields], false);
    }
    schemas["KvPolicy"] = KvPolicy::json_schema();
    for name in ["GenerationFields", "ChatFields", "CompletionFields"] {
        schemas.as_object_mut().and_then(|all| all.remove(name));
    }
    for whole in ["ChatRequest", "CompletionRequest", "TokenizeRequest", "DetokenizeRequest"] {
        schemas[whole]["properties"]["model"]["enum"] =
            names.iter().map(|name| Value::from(name.as_str())).chain([Value::Null]).collect();
    }
    for whole in ["ChatRequest", "CompletionRequest"] {
        let bias = &mut schemas[whole]["properties"]["logit_bias"];
        bias["propertyNames"] = json!({ "pattern": "^(0|[1-9][0-9]{0,8})$" });
        bias["additionalProperties"] = json!({ "type": "number", "minimum": -100, "maximum": 100 });
    }
    bound_lists(schemas);
    for field in ["audio", "function_call"] {
        schemas["Message"]["properties"][field] = json!({ "type": "null" });
    }
    if let Some(vocab) = vocab {
        bound_ids(schemas, vocab);
    }
    document["paths"] = paths();
    document["components"]["securitySchemes"] = json!({ "key": { "type": "http", "scheme": "bearer" } });
    document
}

/// One schema of several sets of fields. With `lenient`, fields that change nothing may be there too.
fn request(sets: &[&Value], lenient: bool) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for set in sets {
        properties.extend(set["properties"].as_object().cloned().unwrap_or_default());
        required.extend(set["required"].as_array().cloned().unwrap_or_default());
    }
    if lenient {
        for name in unsupported::HARMLESS {
            properties.insert(name.to_owned(), json!({ "description": "without effect" }));
        }
        for (name, usual) in unsupported::neutral() {
            properties.insert(name.to_owned(), json!({ "enum": [usual, null], "description": "without effect" }));
        }
    }
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// Bounds of alternatives, which the types cannot carry.
fn bound_lists(schemas: &mut Value) {
    for (path, key, bound) in [
        ("/Stop/oneOf/0", "minLength", 1),
        ("/Stop/oneOf/1", "maxItems", 64),
        ("/Stop/oneOf/1/items", "minLength", 1),
        ("/Prompt/oneOf/0", "minLength", 1),
        ("/Prompt/oneOf/1", "minItems", 1),
        ("/Prompt/oneOf/2", "minItems", 1),
        ("/Prompt/oneOf/2/items", "minLength", 1),
        ("/Prompt/oneOf/3", "minItems", 1),
        ("/Prompt/oneOf/3/items", "minItems", 1),
    ] {
        if let Some(schema) = schemas.pointer_mut(path) {
            schema[key] = bound.into();
        }
    }
}

/// Bounds token ids by the vocabulary.
fn bound_ids(schemas: &mut Value, vocab: usize) {
    let most = Value::from(vocab - 1);
    for path in [
        "/ChatRequest/properties/stop_token_ids/items",
        "/CompletionRequest/properties/stop_token_ids/items",
        "/DetokenizeRequest/properties/tokens/items",
        "/Prompt/oneOf/1/items",
        "/Prompt/oneOf/3/items/items",
    ] {
        if let Some(schema) = schemas.pointer_mut(path) {
            schema["maximum"] = most.clone();
        }
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// A response that holds JSON of this schema.
fn holds(description: &str, schema: &str) -> Value {
    json!({ "description": description, "content": { "application/json": { "schema": reference(schema) } } })
}

fn with_errors(mut responses: Value, errors: &[(&str, &str)]) -> Value {
    for (status, description) in errors {
        responses[*status] = holds(description, "ErrorBody");
    }
    responses
}

const UNAVAILABLE: (&str, &str) = ("503", "the model loads, or the server shuts down");
const NO_KEY: (&str, &str) = ("401", "a key is needed, and none of this server's was sent");

/// A path that takes a JSON body.
fn taking(id: &str, summary: &str, body: &str, success: Value, generates: bool) -> Value {
    let mut errors = vec![
        ("400", "the body is wrong; `error.param` names the field"),
        NO_KEY,
        ("404", "no such model"),
        ("408", "the body did not come in time"),
        ("413", "the body is too large"),
        ("415", "the body is not JSON"),
        ("500", "a defect"),
        UNAVAILABLE,
    ];
    if generates {
        errors
            .extend([("429", "the queue is full; `Retry-After` says when to try again"), ("504", "it took too long")]);
    }
    json!({ "post": {
        "operationId": id,
        "summary": summary,
        "security": [{}, { "key": [] }],
        "requestBody": { "required": true, "content": { "application/json": { "schema": reference(body) } } },
        "responses": with_errors(json!({ "200": success }), &errors),
    }})
}

/// A path that takes nothing.
fn giving(id: &str, summary: &str, success: Value, errors: &[(&str, &str)]) -> Value {
    let mut path = json!({ "get": {
        "operationId": id,
        "summary": summary,
        "responses": with_errors(json!({ "200": success }), errors),
    }});
    if errors.contains(&NO_KEY) {
        path["get"]["security"] = json!([{}, { "key": [] }]);
    }
    path
}

/// An answer at once, or, with `stream`, as events whose data is JSON of the `chunk` schema.
fn answer(whole: &str, chunk: &str) -> Value {
    let streams = format!(
        "the answer; with `stream`, events whose data is a {chunk}, or an ErrorBody in place of the rest; the last is [DONE]"
    );
    let mut success = holds(&streams, whole);
    success["content"]["text/event-stream"] = json!({});
    success
}

fn paths() -> Value {
    let text = |media: &str| json!({ "description": "text", "content": { media: { "schema": { "type": "string" } } } });
    let mut model =
        giving("model", "One model", holds("the model", "ModelCard"), &[NO_KEY, ("404", "no such model"), UNAVAILABLE]);
    model["get"]["parameters"] =
        json!([{ "name": "model", "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } }]);
    let chat = answer("ChatCompletion", "ChatChunk");
    let completion = answer("Completion", "Completion");
    json!({
        "/v1/chat/completions": taking("chat", "Answer a conversation", "ChatRequest", chat, true),
        "/v1/completions": taking("completion", "Continue a text", "CompletionRequest", completion, true),
        "/tokenize": taking("tokenize", "Text to token ids", "TokenizeRequest", holds("the ids", "Tokenized"), false),
        "/detokenize":
            taking("detokenize", "Token ids to text", "DetokenizeRequest", holds("the text", "Detokenized"), false),
        "/v1/models": giving("models", "The models", holds("the models", "ModelList"), &[NO_KEY, UNAVAILABLE]),
        "/v1/models/{model}": model,
        "/v1/loads": giving("loads", "How busy the server is", holds("the load", "Loads"), &[NO_KEY, UNAVAILABLE]),
        "/health": giving("health", "Whether the process lives", holds("it does", "Status"), &[]),
        "/ready": giving("ready", "Whether requests are answered", holds("they are", "Status"), &[UNAVAILABLE]),
        "/version": giving("version", "Which server this is", holds("the version", "Version"), &[]),
        "/metrics": giving("metrics", "What Prometheus may know", text("application/openmetrics-text"), &[]),
        "/openapi.json": giving("openapi", "This document", json!({
            "description": "the document", "content": { "application/json": { "schema": { "type": "object" } } }
        }), &[]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` in a value.
    fn references(value: &Value, all: &mut Vec<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| match (key.as_str(), value) {
                ("$ref", Value::String(to)) => all.push(to.clone()),
                _ => references(value, all),
            }),
            Value::Array(list) => list.iter().for_each(|value| references(value, all)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document(&["m".to_owned()], Some(100));
        let mut all = Vec::new();
        references(&document, &mut all);
        assert!(all.len() > 20);
        for to in all {
            assert!(document.pointer(to.trim_start_matches('#')).is_some(), "{to}");
        }
    }

    #[test]
    fn requests_are_closed_and_bounded() {
        let document = document(&["m".to_owned()], Some(100));
        let schemas = &document["components"]["schemas"];
        let chat = &schemas["ChatRequest"];
        assert_eq!(chat["required"], json!(["messages"]));
        assert_eq!(chat["additionalProperties"], false);
        assert_eq!(chat["properties"]["model"]["enum"], json!(["m", null]));
        for field in ["temperature", "messages", "tools", "user", "kv_policy", "repetition_detection"] {
            assert!(chat["properties"].get(field).is_some(), "{field}");
        }
        assert_eq!(schemas["Message"]["additionalProperties"], false);
        assert_eq!(schemas["Prompt"]["oneOf"][1]["items"]["maximum"], 99);
        assert_eq!(schemas["Prompt"]["oneOf"][3]["items"]["minItems"], 1);
        assert_eq!(schemas["Stop"]["oneOf"][1]["items"]["minLength"], 1);
        assert_eq!(schemas["Prompt"]["oneOf"][3]["items"]["items"]["maximum"], 99);
        assert_eq!(schemas["CompletionRequest"]["properties"]["stop_token_ids"]["items"]["maximum"], 99);
        assert!(schemas["KvPolicy"]["properties"]["cap"]["minimum"] == 1);
        assert!(schemas.get("GenerationFields").is_none());
    }
}
