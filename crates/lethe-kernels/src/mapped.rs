//! A weight file mapped into memory.

use std::ops::{Deref, Range};
use std::{fs::File, io, path::Path};

/// A read-only mapping of a whole file. Pages come in as they are touched, and the kernel may drop them again.
///
/// The file must not be changed or cut short while it is mapped: weights would change under the computation, and
/// reading past a new end kills the process (`SIGBUS`). Replace model files by renaming, never by writing in place.
#[derive(Debug)]
pub struct MappedFile(Source);

#[derive(Debug)]
enum Source {
    Mapped(memmap2::Mmap),
    Embedded(&'static [u8]),
}

impl MappedFile {
    /// Maps the file at `path`.
    ///
    /// # Errors
    /// What opening or mapping it says; an empty file cannot be mapped on every system.
    pub fn open(path: impl AsRef<Path>) -> io::Result<MappedFile> {
        let path = path.as_ref();
        // opening a pipe would wait for a writer that never comes
        if !path.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let file = File::open(path)?;
        // SAFETY: the mapping is private to this process and only read. That nobody changes the file meanwhile is the
        // documented condition of this type.
        Ok(MappedFile(Source::Mapped(unsafe { memmap2::Mmap::map(&file)? })))
    }

    /// A file that is part of the program (`include_bytes!`), which the system has mapped already.
    pub fn embedded(bytes: &'static [u8]) -> MappedFile {
        MappedFile(Source::Embedded(bytes))
    }

    /// Gives the memory of whole pages within `range` back to the system: they are read from the file again when touched. A
    /// hint, for a range that has been copied.
    pub(crate) fn release(&self, range: Range<usize>) {
        const PAGE: usize = 1 << 16; // a multiple of every page size in use
        let (start, end) = (range.start.next_multiple_of(PAGE), range.end / PAGE * PAGE);
        #[cfg(unix)]
        if let (Source::Mapped(map), true) = (&self.0, start < end) {
            // SAFETY: the mapping is shared with the file and never written, so what is read later is what was there.
            let _ = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, end - start) };
        }
        #[cfg(not(unix))]
        let _ = (start, end);
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Source::Mapped(map) => map,
            Source::Embedded(bytes) => bytes,
        }
    }
}
