//! A block of f16 as f32 for the many rows of a prompt's chunk: converted once, read by every tile. The numbers are the same,
//! so no bit of a result tells which way was taken.

use super::BLOCK_PAGES;
use super::elem::Elem;
use crate::simd::{Kernel, LANES, Simd};
use lethe_kv::{PageId, page_elems};

/// Rows of a task from which on unfolding pays: three tiles.
pub(super) const UNFOLD_ROWS: usize = 13;

/// The block table of an unfolded block.
pub(super) const IN_ORDER: [PageId; BLOCK_PAGES] = {
    let mut ids = [0; BLOCK_PAGES];
    let mut i = 0;
    while i < BLOCK_PAGES {
        ids[i] = i as PageId;
        i += 1;
    }
    ids
};

/// `to[i] = pages[table[i]]`, page by page.
pub(super) struct Unfold<'a> {
    pub(super) pages: &'a [u16],    // [pages][page_elems]
    pub(super) table: &'a [PageId], // at most BLOCK_PAGES
    pub(super) head_dim: usize,
    pub(super) to: &'a mut [f32], // [BLOCK_PAGES][page_elems]
}

impl Unfold<'_> {
    #[inline(always)]
    fn pairs(self, convert: impl Fn(&[u16], &mut [f32])) {
        let n = page_elems(self.head_dim);
        for (id, to) in self.table.iter().zip(self.to.chunks_exact_mut(n)) {
            convert(&self.pages[*id as usize * n..][..n], to);
        }
    }
}

impl Kernel for Unfold<'_> {
    type Output = ();

    fn reference(self) {
        self.pairs(|page, to| to.iter_mut().zip(page).for_each(|(to, x)| *to = x.value()));
    }

    #[inline(always)]
    fn vector<S: Simd>(self, s: S) {
        // A page is a multiple of sixteen elements.
        self.pairs(|page, to| {
            for (to, x) in to.as_chunks_mut::<LANES>().0.iter_mut().zip(page.as_chunks::<LANES>().0) {
                // SAFETY: sixteen elements.
                s.store_part(to, unsafe { s.load_f16(x.as_ptr()) });
            }
        });
    }
}
