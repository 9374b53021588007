//! `kv_policy` to the policy of one request.

use lethe_policy::PolicySpec;
use serde_json::Value;

use crate::error::ApiError;
use crate::options::Options;
use crate::protocol::kv_policy::KvPolicy;

/// What a request says of its cache.
#[derive(Clone, Debug)]
pub(crate) struct Forgetting {
    pub(crate) policy: PolicySpec,
    /// It may be tightened under pressure.
    pub(crate) elastic: bool,
    /// It wants to hear what is forgotten.
    pub(crate) trace: bool,
}

/// The server's policy, or what a request makes of it.
pub(crate) fn forgetting(asked: Option<&KvPolicy>, options: &Options) -> Result<Forgetting, ApiError> {
    let Some(KvPolicy(asked)) = asked else {
        return Ok(Forgetting { policy: options.policy.clone(), elastic: false, trace: false });
    };
    let param = |key: &str| format!("kv_policy.{key}");
    let given = |key: &str| asked.get(key).is_some_and(|value| !value.is_null());
    let bad = |key: &str, message: String| ApiError::invalid(param(key), message);

    let mut spec = match asked.get("name") {
        Some(Value::String(name)) => PolicySpec::new(name).map_err(|e| bad("name", e.to_string()))?,
        Some(Value::Null) | None => unnamed(options, &given),
        Some(_) => return Err(bad("name", "`kv_policy.name` should be a string".into())),
    };
    let flag = |key: &str| match asked.get(key) {
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(Value::Null) | None => Ok(false),
        Some(_) => Err(bad(key, format!("`{}` should be true or false", param(key)))),
    };
    let (elastic, trace) = (flag("elastic")?, flag("trace")?);
    for (key, value) in asked.iter().filter(|(key, _)| !["name", "elastic", "trace"].contains(&key.as_str())) {
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            _ => return Err(bad(key, format!("`{}` should be a number or a string", param(key)))),
        };
        spec = spec.set(key, text).map_err(|e| bad(key, e.to_string()))?;
    }
    if given("protect_prompt") && spec.get("protect_prompt") == Some("none") && !options.allow_unprotected_prompt {
        let message = "`kv_policy.protect_prompt`: this server does not let prompts be forgotten; it must be started with \
                       --allow-unprotected-prompt";
        return Err(bad("protect_prompt", message.into()));
    }
    Ok(Forgetting { policy: spec, elastic, trace })
}

/// The server's policy, or `lethe` where a limit is given that the server's policy does not take.
fn unnamed(options: &Options, given: &impl Fn(&str) -> bool) -> PolicySpec {
    let base = options.policy.clone();
    let foreign = |key: &str| given(key) && base.clone().set(key, 1024).is_err();
    if !["cap", "budget", "total"].into_iter().any(foreign) {
        return base;
    }
    let lethe = PolicySpec::new("lethe").unwrap_or_default();
    // With a total, rounds start by themselves.
    if given("trigger") || given("total") { lethe } else { lethe.clone().set("trigger", "cap").unwrap_or(lethe) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(json: Value, options: &Options) -> Result<String, ApiError> {
        let asked = serde_json::from_value(json).unwrap();
        forgetting(Some(&asked), options).map(|f| f.policy.to_string())
    }

    #[test]
    fn a_cap_alone_is_lethe_with_that_cap() {
        let options = Options::default();
        assert_eq!(read(json!({ "cap": 256 }), &options).unwrap(), "lethe:trigger=cap,cap=256");
        assert_eq!(read(json!({ "cap": 256, "trigger": 99 }), &options).unwrap(), "lethe:cap=256,trigger=99");
        assert_eq!(read(json!({ "half_life": 64.5 }), &options).unwrap(), "auto:half_life=64.5");
        assert_eq!(read(json!({ "name": "full" }), &options).unwrap(), "full");
        assert_eq!(read(json!({}), &options).unwrap(), "auto");
        let own = Options { policy: "lethe:cap=512,half_life=64".parse().unwrap(), ..Options::default() };
        assert_eq!(read(json!({ "cap": 256 }), &own).unwrap(), "lethe:cap=256,half_life=64");
        assert_eq!(forgetting(None, &own).unwrap().policy.to_string(), "lethe:cap=512,half_life=64");
    }

    #[test]
    fn errors_name_the_key() {
        let options = Options::default();
        for (json, param, words) in [
            (json!({ "name": "leth" }), "kv_policy.name", "did you mean `lethe`"),
            (json!({ "name": 3 }), "kv_policy.name", "string"),
            (json!({ "name": "full", "cap": 3 }), "kv_policy.cap", "no option `cap`"),
            (json!({ "cap": "many" }), "kv_policy.cap", "whole number"),
            (json!({ "cap": [1] }), "kv_policy.cap", "number or a string"),
            (json!({ "elastic": "yes" }), "kv_policy.elastic", "true or false"),
            (json!({ "trace": 1 }), "kv_policy.trace", "true or false"),
            (json!({ "protect_prompt": "none" }), "kv_policy.protect_prompt", "--allow-unprotected-prompt"),
        ] {
            let e = read(json.clone(), &options).unwrap_err();
            assert_eq!((e.status, e.param.as_deref()), (400, Some(param)), "{json}");
            assert!(e.message.contains(words), "{json}: {}", e.message);
        }
        let open = Options { allow_unprotected_prompt: true, ..options };
        assert_eq!(read(json!({ "protect_prompt": "none" }), &open).unwrap(), "auto:protect_prompt=none");
    }
}
