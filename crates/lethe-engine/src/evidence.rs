//! What a round sees beside scores, gathered from the cache and the newest queries.

use lethe_kv::SeqCache;
use lethe_model::{Backend, Decoder};
use lethe_policy::{Evidence, LaneSight, dot};

use crate::queries::QueryWindow;

/// What one lane shows. Buffers are kept from round to round.
#[derive(Debug, Default)]
pub(crate) struct Sight {
    queries: usize,
    logits: Vec<f32>, // [heads of the lane][queries][slots]
    keys: Vec<f32>,   // [slots][dim]
    values: Vec<f32>, // [slots]
}

impl Sight {
    /// Looks at a lane, when `next` is the next position of its sequence.
    pub(crate) fn gather<B: Backend>(
        &mut self,
        decoder: &Decoder<B>,
        kv: &B::Kv,
        cache: &SeqCache,
        window: &QueryWindow,
        (layer, lane): (usize, usize),
        next: usize,
    ) {
        let heads = decoder.dims.heads;
        let (positions, dim, group) = (cache.positions(layer, lane), heads.dim, heads.queries / heads.kv);
        let asking = window.positions(next);
        self.queries = asking.len();
        self.keys.resize(positions.len() * dim, 0.0);
        self.values.resize(positions.len(), 0.0);
        decoder.backend.read_lane(kv, cache.lane(layer, lane), heads, &mut self.keys, &mut self.values);

        let scale = (dim as f32).sqrt().recip();
        self.logits.clear();
        for head in lane * group..(lane + 1) * group {
            for position in asking.clone() {
                let query = window.query(layer, position, head, dim);
                let keys = self.keys.chunks_exact(dim).zip(positions);
                self.logits.extend(keys.map(|(key, &slot)| {
                    if slot as usize > position { f32::NEG_INFINITY } else { dot(query, key) * scale }
                }));
            }
        }
    }

    /// As the policy asked for it.
    pub(crate) fn lane(&self, wants: Evidence) -> LaneSight<'_> {
        LaneSight {
            queries: self.queries,
            logits: &self.logits,
            keys: if wants.keys { &self.keys } else { &[] },
            values: if wants.values { &self.values } else { &[] },
        }
    }
}
