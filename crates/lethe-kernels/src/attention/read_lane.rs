//! A lane's keys and values as plain numbers, for those who decide which slots stay.

use super::AttentionShape;
use super::elem::{Cells, PagesOf};
use crate::Cpu;
use lethe_kv::{LaneView, PAGE_SLOTS, Pages};

impl Cpu {
    /// Writes the keys of a lane, `[slots][head_dim]`, and the Euclidean lengths of its values, `[slots]`.
    ///
    /// # Panics
    /// If the buffers do not fit the lane.
    pub fn read_lane(
        &self,
        shape: &AttentionShape,
        pages: Pages<'_>,
        lane: LaneView<'_>,
        keys: &mut [f32],
        lengths: &mut [f32],
    ) {
        assert_eq!(keys.len(), lane.len * shape.head_dim, "read_lane: keys of another length than the lane");
        assert_eq!(lengths.len(), lane.len, "read_lane: values of another length than the lane");
        match pages {
            Pages::F16(pages) => read(&PagesOf(pages), shape.head_dim, lane, keys, lengths),
            Pages::F32(pages) => read(&PagesOf(pages), shape.head_dim, lane, keys, lengths),
            Pages::I8(pages) => read(&PagesOf(pages), shape.head_dim, lane, keys, lengths),
        }
    }
}

fn read(pages: &impl Cells, dim: usize, lane: LaneView<'_>, keys: &mut [f32], lengths: &mut [f32]) {
    for ((slot, key), length) in keys.chunks_exact_mut(dim).enumerate().zip(lengths) {
        let (page, place) = (lane.pages[slot / PAGE_SLOTS] as usize, slot % PAGE_SLOTS);
        for (d, x) in key.iter_mut().enumerate() {
            *x = pages.k(dim, page, place, d);
        }
        *length = (0..dim).map(|d| pages.v(dim, page, place, d).powi(2)).sum::<f32>().sqrt();
    }
}
