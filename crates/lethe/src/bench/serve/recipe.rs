//! From a place in the plan to the body of a request.

use serde_json::{Map, Value, json};

use super::cancel;
use super::client::Order;
use super::dataset::Dataset;
use super::draws::{Draws, Of};
use super::prompts::Drawn;
use super::span::Span;

/// Where prompts come from.
#[derive(Debug)]
pub(super) enum Source {
    Drawn(Drawn),
    /// Lines in their order, from the first again after the last.
    File(Dataset),
}

/// How requests are made.
#[derive(Debug)]
pub(super) struct Recipe {
    pub(super) model: String,
    pub(super) source: Source,
    pub(super) new_tokens: Span,
    pub(super) ignore_eos: bool,
    /// Fields that go over all others; `null` takes one away.
    pub(super) extra: Map<String, Value>,
    pub(super) draws: Draws,
    /// The share of requests that are dropped, and the time within which half of those are.
    pub(super) cancel: (f64, std::time::Duration),
}

impl Recipe {
    /// The requests that are measured.
    pub(super) fn orders(&self, n: usize) -> Vec<Order> {
        let (share, within) = self.cancel;
        let chosen = cancel::chosen(self.draws, share, n);
        (0..n)
            .zip(chosen)
            .map(|(index, chosen)| {
                let (body, new_tokens) = self.body(index as u64);
                let cancel = chosen.then(|| cancel::moment(self.draws, index as u64, new_tokens, within));
                Order { index, body, cancel }
            })
            .collect()
    }

    /// The requests before them: other prompts, so that none of the measured ones is in a cache.
    pub(super) fn warmup(&self, n: usize) -> Vec<Order> {
        (0..n).map(|index| Order { index, body: self.body((1 << 40) + index as u64).0, cancel: None }).collect()
    }

    /// A body in JSON, and the new tokens that it asks for.
    fn body(&self, index: u64) -> (String, usize) {
        let new_tokens = self.draws.within(Of::NewTokens, index, self.new_tokens);
        let mut body = Map::new();
        body.insert("model".to_owned(), self.model.as_str().into());
        body.insert("max_tokens".to_owned(), new_tokens.into());
        body.insert("stream".to_owned(), true.into());
        body.insert("stream_options".to_owned(), json!({ "include_usage": true }));
        if self.ignore_eos {
            body.insert("ignore_eos".to_owned(), true.into());
        }
        let own = match &self.source {
            Source::Drawn(drawn) => drawn.fields(self.draws, index),
            Source::File(set) => set.lines[(index % set.lines.len() as u64) as usize].fields.clone(),
        };
        // the newer name of the same limit, where somebody gives it, stands alone
        if own.contains_key("max_completion_tokens") || self.extra.contains_key("max_completion_tokens") {
            body.remove("max_tokens");
        }
        for (key, value) in own.into_iter().chain(self.extra.clone()) {
            if value.is_null() {
                body.remove(&key);
            } else {
                body.insert(key, value);
            }
        }
        let asked = ["max_completion_tokens", "max_tokens"].iter().find_map(|key| body.get(*key)?.as_u64());
        (Value::Object(body).to_string(), asked.map_or(new_tokens, |n| n as usize))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::super::cancel::Moment;
    use super::super::prompts::Alphabet;
    use super::*;

    fn recipe(source: Source, extra: Value) -> Recipe {
        let Value::Object(extra) = extra else { panic!("an object") };
        Recipe {
            model: "m".into(),
            source,
            new_tokens: Span { low: 4, high: 8 },
            ignore_eos: true,
            extra,
            draws: Draws { seed: 5 },
            cancel: (0.5, Duration::from_secs(1)),
        }
    }

    fn drawn() -> Source {
        let tokens = Span { low: 3, high: 3 };
        Source::Drawn(Drawn { alphabet: Alphabet::Ids(vec![1, 2, 3]), tokens, prefix: 0, chat: false })
    }

    fn body(order: &Order) -> Value {
        serde_json::from_str(&order.body).expect("json")
    }

    #[test]
    fn requests_have_what_was_asked_for() {
        let recipe = recipe(drawn(), json!({"kv_policy": {"name": "lethe"}, "stream_options": null}));
        let orders = recipe.orders(40);
        assert_eq!(orders, recipe.orders(40));
        for (i, order) in orders.iter().enumerate() {
            let body = body(order);
            assert_eq!((order.index, &body["model"], &body["stream"]), (i, &"m".into(), &true.into()));
            assert_eq!((&body["ignore_eos"], &body["kv_policy"]["name"]), (&true.into(), &"lethe".into()));
            assert!(body["max_tokens"].as_u64().is_some_and(|n| (4..=8).contains(&n)), "{body}");
            assert!(body["prompt"].as_array().is_some_and(|ids| ids.len() == 3), "{body}");
            assert!(body.get("stream_options").is_none(), "null takes a field away: {body}");
            if let Some(Moment::Chunks(n)) = order.cancel {
                assert!(n < body["max_tokens"].as_u64().expect("a count") as usize);
            }
        }
        assert_eq!(orders.iter().filter(|order| order.cancel.is_some()).count(), 20);
        let warmup = recipe.warmup(40);
        assert!(warmup.iter().all(|order| order.cancel.is_none()));
        assert!(warmup.iter().zip(&orders).any(|(one, other)| one.body != other.body));
    }

    #[test]
    fn lines_of_a_file_go_round_and_bring_their_own_fields() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("p.jsonl");
        std::fs::write(&path, "\"a\"\n{\"prompt\": \"b\", \"max_tokens\": 99, \"temperature\": 0}\n").expect("written");
        let set = |path: &Path| Source::File(Dataset::read(path).expect("prompts"));
        let orders = recipe(set(&path), json!({})).orders(3);
        let bodies: Vec<Value> = orders.iter().map(body).collect();
        assert_eq!([0, 1, 2].map(|i| bodies[i]["prompt"].clone()), ["a", "b", "a"]);
        assert_eq!((&bodies[1]["max_tokens"], &bodies[1]["temperature"]), (&99.into(), &0.into()));
        assert_eq!(bodies[0]["stream_options"]["include_usage"], true);
        let newer = recipe(set(&path), json!({"max_completion_tokens": 7, "max_tokens": null})).orders(2);
        assert!(body(&newer[1]).get("max_tokens").is_none());
        assert_eq!(recipe(set(&path), json!({"max_completion_tokens": 7})).body(0).1, 7);
    }
}
