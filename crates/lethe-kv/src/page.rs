//! Pages: what one looks like in memory, and the arena that holds them all.
//!
//! A page holds [`PAGE_SLOTS`] consecutive slots of one lane, K and V together:
//!
//! ```text
//! K  [head_dim][PAGE_SLOTS]   transposed: one load brings a coordinate of all slots,
//!                             so logits of a page need no horizontal sums
//! V  [PAGE_SLOTS][head_dim]   row by row: the weighted sum runs along head_dim
//! ```
//!
//! That is a page of f16 or f32; one of eight-bit numbers is much the same with scales: [`crate::int8`].
//!
//! The arena knows bytes and nothing of sequences; the [`crate::Ledger`] knows who owns which page.

use crate::int8;

/// Slots in a page.
pub const PAGE_SLOTS: usize = 16;

/// Index of a page in its arena.
pub type PageId = u32;

/// Element type of cached keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KvDtype {
    /// IEEE half precision, stored as its bits.
    F16,
    /// Single precision.
    F32,
    /// Eight bits and scales, see [`crate::int8`].
    I8,
}

impl KvDtype {
    /// Bytes of a page of lanes of `head_dim`.
    pub fn page_bytes(self, head_dim: usize) -> usize {
        match self {
            KvDtype::F16 => 2 * page_elems(head_dim),
            KvDtype::F32 => 4 * page_elems(head_dim),
            KvDtype::I8 => int8::page_bytes(head_dim),
        }
    }

    /// `"f16"`, `"f32"` or `"int8"`.
    pub fn name(self) -> &'static str {
        match self {
            KvDtype::F16 => "f16",
            KvDtype::F32 => "f32",
            KvDtype::I8 => "int8",
        }
    }
}

/// Elements of one page of f16 or f32: K and V of [`PAGE_SLOTS`] slots.
pub fn page_elems(head_dim: usize) -> usize {
    2 * PAGE_SLOTS * head_dim
}

/// Offset of K coordinate `d` of `slot` within its page.
pub fn k_at(slot: usize, d: usize) -> usize {
    d * PAGE_SLOTS + slot
}

/// Offset of V coordinate `d` of `slot` within its page.
pub fn v_at(head_dim: usize, slot: usize, d: usize) -> usize {
    (PAGE_SLOTS + slot) * head_dim + d
}

/// Where a slot lies: its page, and its place in it (`0..PAGE_SLOTS`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotAt {
    /// The page.
    pub page: PageId,
    /// The place within the page.
    pub slot: usize,
}

/// The memory behind page ids. [`Arena`] is host memory; a device backend brings its own.
pub trait Storage {
    /// Copies a whole page (copy-on-write).
    fn copy_page(&mut self, from: PageId, to: PageId);
    /// Copies K and V of one slot (compaction). `from` and `to` never are the same slot.
    fn copy_slot(&mut self, from: SlotAt, to: SlotAt);
    /// Bytes of a page.
    fn page_bytes(&self) -> usize;
    /// Copies a page out of the pool. `to [page_bytes]`
    fn read_page(&self, page: PageId, to: &mut [u8]);
    /// Copies a page back into the pool, as [`Storage::read_page`] gave it. `from [page_bytes]`
    fn write_page(&mut self, page: PageId, from: &[u8]);
}

/// All pages, read-only: page `p` starts at `p * page_elems(head_dim)`, with eight bits at `p * int8::page_bytes(head_dim)`.
#[derive(Clone, Copy, Debug)]
pub enum Pages<'a> {
    /// f16 bits.
    F16(&'a [u16]),
    /// f32.
    F32(&'a [f32]),
    /// Eight-bit numbers and their scales.
    I8(&'a [u8]),
}

/// All pages, writable.
#[derive(Debug)]
pub enum PagesMut<'a> {
    /// f16 bits.
    F16(&'a mut [u16]),
    /// f32.
    F32(&'a mut [f32]),
    /// Eight-bit numbers and their scales.
    I8(&'a mut [u8]),
}

/// One lane of one sequence as attention sees it.
#[derive(Clone, Copy, Debug)]
pub struct LaneView<'a> {
    /// Block table: slot `i` lies in `pages[i / PAGE_SLOTS]` at `i % PAGE_SLOTS`.
    pub pages: &'a [PageId],
    /// Slots in the lane.
    pub len: usize,
}

#[derive(Debug)]
enum Elems {
    F16(Vec<u16>),
    F32(Vec<f32>),
    I8(Vec<u8>),
}

/// Host memory for every page of a pool. Zeroed memory is asked for once and touched as pages are used.
#[derive(Debug)]
pub struct Arena {
    elems: Elems, // [pages][page_elems], or [pages][int8::page_bytes]
    head_dim: usize,
}

impl Arena {
    /// Room for `pages` pages of lanes of `head_dim`.
    ///
    /// # Panics
    /// If `head_dim` is odd and the numbers have eight bits.
    pub fn new(pages: usize, head_dim: usize, dtype: KvDtype) -> Arena {
        assert!(dtype != KvDtype::I8 || head_dim.is_multiple_of(2), "an odd head_dim has no pages of eight bits");
        let n = pages * page_elems(head_dim);
        let elems = match dtype {
            KvDtype::F16 => Elems::F16(vec![0; n]),
            KvDtype::F32 => Elems::F32(vec![0.0; n]),
            KvDtype::I8 => Elems::I8(vec![0; pages * int8::page_bytes(head_dim)]),
        };
        Arena { elems, head_dim }
    }

    /// Coordinates of one K or V row.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// Read access for attention.
    pub fn pages(&self) -> Pages<'_> {
        match &self.elems {
            Elems::F16(v) => Pages::F16(v),
            Elems::F32(v) => Pages::F32(v),
            Elems::I8(v) => Pages::I8(v),
        }
    }

    /// Write access for new K and V rows.
    pub fn pages_mut(&mut self) -> PagesMut<'_> {
        match &mut self.elems {
            Elems::F16(v) => PagesMut::F16(v),
            Elems::F32(v) => PagesMut::F32(v),
            Elems::I8(v) => PagesMut::I8(v),
        }
    }
}

impl Storage for Arena {
    fn copy_page(&mut self, from: PageId, to: PageId) {
        fn copy<T: Copy>(all: &mut [T], n: usize, from: PageId, to: PageId) {
            let from = from as usize * n;
            all.copy_within(from..from + n, to as usize * n);
        }
        let n = page_elems(self.head_dim);
        match &mut self.elems {
            Elems::F16(v) => copy(v, n, from, to),
            Elems::F32(v) => copy(v, n, from, to),
            Elems::I8(v) => copy(v, int8::page_bytes(self.head_dim), from, to),
        }
    }

    fn copy_slot(&mut self, from: SlotAt, to: SlotAt) {
        match &mut self.elems {
            Elems::F16(v) => copy_slot(v, self.head_dim, from, to),
            Elems::F32(v) => copy_slot(v, self.head_dim, from, to),
            Elems::I8(v) => {
                let at = |at: SlotAt| (at.page as usize * int8::page_bytes(self.head_dim), at.slot);
                int8::copy_slot(v, self.head_dim, at(from), at(to));
            }
        }
    }

    fn page_bytes(&self) -> usize {
        match self.elems {
            Elems::F16(_) => KvDtype::F16.page_bytes(self.head_dim),
            Elems::F32(_) => KvDtype::F32.page_bytes(self.head_dim),
            Elems::I8(_) => KvDtype::I8.page_bytes(self.head_dim),
        }
    }

    fn read_page(&self, page: PageId, to: &mut [u8]) {
        match &self.elems {
            Elems::F16(v) => {
                let from = page_of(v, page, page_elems(self.head_dim));
                to.chunks_exact_mut(2).zip(from).for_each(|(to, x)| to.copy_from_slice(&x.to_le_bytes()));
            }
            Elems::F32(v) => {
                let from = page_of(v, page, page_elems(self.head_dim));
                to.chunks_exact_mut(4).zip(from).for_each(|(to, x)| to.copy_from_slice(&x.to_le_bytes()));
            }
            Elems::I8(v) => to.copy_from_slice(page_of(v, page, int8::page_bytes(self.head_dim))),
        }
    }

    fn write_page(&mut self, page: PageId, from: &[u8]) {
        match &mut self.elems {
            Elems::F16(v) => {
                let to = page_of_mut(v, page, page_elems(self.head_dim));
                to.iter_mut().zip(from.as_chunks().0).for_each(|(x, from)| *x = u16::from_le_bytes(*from));
            }
            Elems::F32(v) => {
                let to = page_of_mut(v, page, page_elems(self.head_dim));
                to.iter_mut().zip(from.as_chunks().0).for_each(|(x, from)| *x = f32::from_le_bytes(*from));
            }
            Elems::I8(v) => page_of_mut(v, page, int8::page_bytes(self.head_dim)).copy_from_slice(from),
        }
    }
}

/// One page of `n` elements.
fn page_of<T>(all: &[T], page: PageId, n: usize) -> &[T] {
    &all[page as usize * n..][..n]
}

/// See [`page_of`].
fn page_of_mut<T>(all: &mut [T], page: PageId, n: usize) -> &mut [T] {
    &mut all[page as usize * n..][..n]
}

fn copy_slot<T: Copy>(elems: &mut [T], head_dim: usize, from: SlotAt, to: SlotAt) {
    let n = page_elems(head_dim);
    let (src, dst) = (from.page as usize * n, to.page as usize * n);
    for d in 0..head_dim {
        elems[dst + k_at(to.slot, d)] = elems[src + k_at(from.slot, d)];
    }
    let v = src + v_at(head_dim, from.slot, 0);
    elems.copy_within(v..v + head_dim, dst + v_at(head_dim, to.slot, 0));
}
