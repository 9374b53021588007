//! What must be known of the server before the load: its model, and how it makes tokens of text.

use std::time::Duration;

use serde_json::{Value, json};

use crate::remote::{Remote, RemoteError};

/// Most time of a question before the load.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no model to ask for.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoModel {
    /// The server gives no list, or does not answer at all.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// It gives no list, and no name was given.
    #[error("{url}/v1/models lists no models: name one with --model")]
    NoList {
        /// The server.
        url: String,
    },
    /// The name is not in the list.
    #[error("{url} has no model `{name}`; it has: {known}")]
    Unknown {
        /// The server.
        url: String,
        /// What was asked for.
        name: String,
        /// Names in the list.
        known: String,
    },
}

/// The model to ask for: the one wanted, if the server has it, or the first that it lists.
pub(super) fn model(remote: &Remote, wanted: Option<&str>) -> Result<String, NoModel> {
    let url = || remote.root().to_owned();
    let known = match remote.get("/v1/models", PATIENCE) {
        Ok(list) => names(&list),
        // not every server has the list; a name that was given will do then
        Err(RemoteError::Status { status: 404 | 405 | 501, .. } | RemoteError::NotJson { .. }) if wanted.is_some() => {
            Vec::new()
        }
        Err(error) => return Err(error.into()),
    };
    match (wanted, known.first()) {
        (Some(name), Some(_)) if !known.iter().any(|known| known == name) => {
            Err(NoModel::Unknown { url: url(), name: name.to_owned(), known: known.join(", ") })
        }
        (Some(name), _) => Ok(name.to_owned()),
        (None, Some(first)) => Ok(first.clone()),
        (None, None) => Err(NoModel::NoList { url: url() }),
    }
}

fn names(list: &Value) -> Vec<String> {
    let data = list["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    data.iter().filter_map(|model| model["id"].as_str()).map(str::to_owned).collect()
}

/// The tokens of a text as the server makes them, without those it puts around; `None` where it does not say.
pub(super) fn tokenize(remote: &Remote, model: &str, text: &str) -> Option<Vec<u32>> {
    // vLLM's way to ask, then llama.cpp's
    [
        json!({ "model": model, "prompt": text, "add_special_tokens": false }),
        json!({ "content": text, "add_special": false }),
    ]
    .iter()
    .find_map(|question| {
        let answer = remote.post("/tokenize", question, PATIENCE).ok()?;
        let ids: Option<Vec<u32>> =
            answer["tokens"].as_array()?.iter().map(|id| u32::try_from(id.as_u64()?).ok()).collect();
        ids.filter(|ids| !ids.is_empty())
    })
}
