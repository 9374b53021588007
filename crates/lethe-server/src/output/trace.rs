//! What the cache does while a traced chat streams, as chunks tell it in their field `lethe`.

use lethe_engine::Event;
use serde::Serialize;
use utoipa::ToSchema;

/// Something that happened to the cache.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Trace {
    /// The prompt has been read.
    Prompt {
        /// Its tokens, at positions 0 and on.
        tokens: u64,
        /// Layers of the model.
        layers: u64,
        /// Lanes of a layer.
        kv_heads: u64,
    },
    /// A token was generated. Text that is complete with it comes in the same chunk.
    Token {
        /// Where it will stand.
        position: u64,
    },
    /// A layer was cut.
    Round {
        /// Which.
        layer: u64,
        /// Positions read so far.
        position: u64,
        /// Slots before.
        before: u64,
        /// Slots after.
        after: u64,
        /// Score dropped, as a share of the score before.
        dropped_mass: f64,
    },
    /// What the round left out.
    Forgot {
        /// The layer.
        layer: u64,
        /// The lane, where lanes are cut each on its own.
        #[serde(skip_serializing_if = "Option::is_none")]
        lane: Option<u64>,
        /// Positions that it holds no more.
        positions: Vec<u32>,
    },
}

/// Follows the events of a traced request.
#[derive(Debug)]
pub(crate) struct Tracer {
    layers: usize,
    kv_heads: usize,
    position: usize,
    told: Vec<Trace>,
}

impl Tracer {
    /// For a model of so many layers, of so many lanes each.
    pub(crate) fn new(layers: usize, kv_heads: usize) -> Tracer {
        Tracer { layers, kv_heads, position: 0, told: Vec::new() }
    }

    /// Takes note of an event.
    pub(crate) fn saw(&mut self, event: &Event) {
        match event {
            Event::Prefill { done, total } if done == total => {
                self.position = *total;
                let (layers, kv_heads) = (self.layers as u64, self.kv_heads as u64);
                self.told.push(Trace::Prompt { tokens: *total as u64, layers, kv_heads });
            }
            Event::Token { .. } => {
                self.told.push(Trace::Token { position: self.position as u64 });
                self.position += 1;
            }
            Event::Round(round) => self.told.push(Trace::Round {
                layer: round.layer as u64,
                position: round.position.into(),
                before: round.before as u64,
                after: round.after as u64,
                dropped_mass: round.dropped_mass,
            }),
            Event::Forgot { layer, lane, positions } => self.told.push(Trace::Forgot {
                layer: *layer as u64,
                lane: lane.map(|lane| lane as u64),
                positions: positions.clone(),
            }),
            _ => {}
        }
    }

    /// What has happened since the last call.
    pub(crate) fn told(&mut self) -> Vec<Trace> {
        std::mem::take(&mut self.told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_go_on_from_the_prompt() {
        let mut tracer = Tracer::new(2, 1);
        let token = || Event::Token { id: 1, text: String::new(), logprobs: None };
        for event in [Event::Prefill { done: 3, total: 7 }, Event::Prefill { done: 7, total: 7 }, token(), token()] {
            tracer.saw(&event);
        }
        let prompt = Trace::Prompt { tokens: 7, layers: 2, kv_heads: 1 };
        assert_eq!(tracer.told(), [prompt, Trace::Token { position: 7 }, Trace::Token { position: 8 }]);
        assert!(tracer.told().is_empty());
        tracer.saw(&Event::Forgot { layer: 1, lane: None, positions: vec![4, 5] });
        let json = serde_json::to_value(tracer.told()).unwrap();
        assert_eq!(json, serde_json::json!([{ "type": "forgot", "layer": 1, "positions": [4, 5] }]));
    }
}
