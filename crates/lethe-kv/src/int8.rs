//! Pages of eight-bit numbers: where everything lies.
//!
//! ```text
//! K  [head_dim / 2][PAGE_SLOTS][2]       numbers, coordinates in pairs
//!    [ceil(head_dim / 16)][PAGE_SLOTS]   f16 scales, one for 16 coordinates of a slot
//! V  [PAGE_SLOTS / 2][head_dim][2]       numbers, slots in pairs
//!    [PAGE_SLOTS]                        f16 scales, one for a slot
//! ```
//!
//! A coordinate is its number times its scale. Pairs lie together because sixteen-bit products are added in pairs. K has
//! several scales because some models have a few coordinates far larger than the others, the same in every slot; one
//! scale for all would leave little of the rest (measured: docs/models.md). `head_dim` is even, as RoPE wants it.

use crate::PAGE_SLOTS;

/// Coordinates of K that share a scale.
pub const K_GROUP: usize = 16;

/// Bytes of a page.
pub fn page_bytes(head_dim: usize) -> usize {
    v_scale_at(head_dim, PAGE_SLOTS)
}

/// Scales of a slot's K.
pub fn k_groups(head_dim: usize) -> usize {
    head_dim.div_ceil(K_GROUP)
}

/// Offset of the number of K coordinate `d` of `slot`.
pub fn k_at(slot: usize, d: usize) -> usize {
    (d / 2 * PAGE_SLOTS + slot) * 2 + d % 2
}

/// Offset of the two bytes of the scale of K coordinates `group * 16 ..` of `slot`.
pub fn k_scale_at(head_dim: usize, slot: usize, group: usize) -> usize {
    PAGE_SLOTS * head_dim + (group * PAGE_SLOTS + slot) * 2
}

/// Offset of the number of V coordinate `d` of `slot`.
pub fn v_at(head_dim: usize, slot: usize, d: usize) -> usize {
    k_scale_at(head_dim, 0, k_groups(head_dim)) + (slot / 2 * head_dim + d) * 2 + slot % 2
}

/// Offset of the two bytes of the scale of V of `slot`.
pub fn v_scale_at(head_dim: usize, slot: usize) -> usize {
    v_at(head_dim, PAGE_SLOTS, 0) + slot * 2
}

/// Copies K and V of slot `from` of the page at byte `src` to slot `to` of the page at `dst`.
pub(crate) fn copy_slot(bytes: &mut [u8], head_dim: usize, (src, from): (usize, usize), (dst, to): (usize, usize)) {
    for d in 0..head_dim {
        bytes[dst + k_at(to, d)] = bytes[src + k_at(from, d)];
        bytes[dst + v_at(head_dim, to, d)] = bytes[src + v_at(head_dim, from, d)];
    }
    let mut scale = |from: usize, to: usize| bytes.copy_within(src + from..src + from + 2, dst + to);
    for group in 0..k_groups(head_dim) {
        scale(k_scale_at(head_dim, from, group), k_scale_at(head_dim, to, group));
    }
    scale(v_scale_at(head_dim, from), v_scale_at(head_dim, to));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_page_has_one_meaning() {
        for head_dim in [2, 16, 24, 64, 80, 128] {
            let mut taken = vec![0; page_bytes(head_dim)];
            for slot in 0..PAGE_SLOTS {
                for d in 0..head_dim {
                    taken[k_at(slot, d)] += 1;
                    taken[v_at(head_dim, slot, d)] += 1;
                }
                let scales = (0..k_groups(head_dim)).map(|group| k_scale_at(head_dim, slot, group));
                for at in scales.chain([v_scale_at(head_dim, slot)]) {
                    taken[at] += 1;
                    taken[at + 1] += 1;
                }
            }
            assert!(taken.iter().all(|n| *n == 1), "head_dim {head_dim}");
        }
    }
}
