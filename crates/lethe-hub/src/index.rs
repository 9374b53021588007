//! `model.safetensors.index.json`: which files hold the weights.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use crate::error::HubError;
use crate::names;

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The shards an index names, each once, in order.
pub(crate) fn shards(path: &Path) -> Result<Vec<String>, HubError> {
    let bytes = std::fs::read(path).map_err(HubError::at(path))?;
    let index: Index = serde_json::from_slice(&bytes)
        .map_err(|error| HubError::BadIndex { path: path.to_owned(), reason: error.to_string() })?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    names.iter().try_for_each(|name| names::file(name))?;
    Ok(names.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_shards_once_and_refuses_paths() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.json");
        let read = |json: &str| {
            std::fs::write(&path, json).unwrap();
            shards(&path)
        };
        let names = read(
            r#"{"metadata": {}, "weight_map": {"a": "2.safetensors", "b": "1.safetensors", "c": "2.safetensors"}}"#,
        );
        assert_eq!(names.unwrap(), ["1.safetensors", "2.safetensors"]);
        let hostile = read(r#"{"weight_map": {"a": "../../x.safetensors"}}"#).unwrap_err();
        assert!(matches!(hostile, HubError::UnsafeName { .. }), "{hostile}");
        let bad = read("{}").unwrap_err().to_string();
        assert!(bad.contains("index.json") && bad.contains("weight_map"), "{bad}");
    }
}
