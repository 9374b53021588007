//! `kv_policy`: what the cache may forget, per request.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use lethe_policy::{OptionKind, registry};

/// Name and options of a policy, as `lethe policies` lists them, `elastic` and `trace`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(value_type = Object)]
pub(crate) struct KvPolicy(pub(crate) Map<String, Value>);

impl KvPolicy {
    /// Its JSON schema, made from the registry: keys of all policies together.
    pub(crate) fn json_schema() -> Value {
        let names: Vec<&str> = registry().iter().map(|policy| policy.name).collect();
        let mut properties = Map::new();
        properties.insert("name".into(), json!({ "type": "string", "enum": names }));
        properties.insert(
            "elastic".into(),
            json!({ "type": "boolean", "description": "may be cut tighter when memory runs short" }),
        );
        properties.insert(
            "trace".into(),
            json!({ "type": "boolean", "description": "chunks of a chat tell what the cache forgets, in the field `lethe`" }),
        );
        for option in registry().iter().flat_map(|policy| policy.options) {
            let mut schema = match option.kind {
                OptionKind::Count { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
                OptionKind::CountOr { min, max, word } => {
                    json!({ "oneOf": [{ "type": "integer", "minimum": min, "maximum": max }, { "const": word }] })
                }
                OptionKind::Seed => json!({ "type": "integer", "minimum": 0 }),
                OptionKind::Number { min, max } => json!({ "type": "number", "minimum": min, "maximum": max }),
                OptionKind::Choice(words) => json!({ "type": "string", "enum": words }),
            };
            schema["description"] = option.help.into();
            properties.insert(option.key.into(), schema);
        }
        json!({
            "type": "object",
            "description": "What the cache may forget. A key must belong to the policy named; without a name the server's \
                            own policy is meant, and `cap` alone means `lethe` with that cap.",
            "properties": properties,
            "additionalProperties": false,
        })
    }
}
