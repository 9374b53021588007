//! Large memory pages for the KV arena and packed weights.

use lethe_kv::PagesMut;

/// Asks the system to back the arena with huge memory pages (2 MiB on x86-64). KV pages lie in random order, so with
/// small ones nearly every KV page costs a walk through the page tables: about a fifth of the attention bandwidth.
/// Takes effect for memory not touched yet, so call it on a fresh arena. A hint: where it cannot be followed,
/// nothing changes.
pub fn prefer_huge_pages(pages: &mut PagesMut<'_>) {
    let bytes = match pages {
        PagesMut::F16(elems) => elems.as_mut_ptr_range().start.cast::<u8>()..elems.as_mut_ptr_range().end.cast(),
        PagesMut::I8(bytes) => bytes.as_mut_ptr_range(),
        PagesMut::F32(elems) => elems.as_mut_ptr_range().start.cast::<u8>()..elems.as_mut_ptr_range().end.cast(),
    };
    advise(bytes);
}

/// The same for `bytes` that stream through once a step.
pub(crate) fn prefer_huge_pages_for(bytes: &mut [u8]) {
    advise(bytes.as_mut_ptr_range());
}

#[cfg(target_os = "linux")]
fn advise(bytes: std::ops::Range<*mut u8>) {
    use std::ffi::{c_int, c_void};

    const MADV_HUGEPAGE: c_int = 14;
    const ALIGN: usize = 4096; // what the call asks of the address; where pages are larger it declines
    unsafe extern "C" {
        fn madvise(start: *mut c_void, len: usize, advice: c_int) -> c_int;
    }
    let start = bytes.start.wrapping_add(bytes.start.align_offset(ALIGN));
    let len = (bytes.end as usize).saturating_sub(start as usize) / ALIGN * ALIGN;
    if len > 0 {
        // SAFETY: the range lies within a live, exclusively borrowed buffer, and this advice never changes its contents.
        // The result is of no interest: a refused hint leaves all as it was.
        unsafe { madvise(start.cast(), len, MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn advise(_: std::ops::Range<*mut u8>) {}
