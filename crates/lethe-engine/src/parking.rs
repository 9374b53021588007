//! Where sequences stand that had to leave the pool: memory up to a limit, then files without a name.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lethe_kv::{Grant, ParkedCache, SeqCache, Storage};

/// The places.
#[derive(Debug)]
pub(crate) struct ParkingLot {
    memory: u64,
    used: Arc<AtomicU64>, // bytes of `memory` that are taken
    dir: PathBuf,
}

/// A sequence outside the pool, and its pages.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) cache: ParkedCache,
    pages: Pages,
    _beside: Place,
}

#[derive(Debug)]
enum Pages {
    Memory(Vec<u8>, Place),
    File(File), // gone with its last handle, also when the process is killed
}

/// Bytes taken of the lot's memory, until dropped.
#[derive(Debug)]
struct Place {
    used: Arc<AtomicU64>,
    bytes: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl ParkingLot {
    pub(crate) fn new(memory: u64, dir: Option<PathBuf>) -> ParkingLot {
        ParkingLot { memory, used: Arc::default(), dir: dir.unwrap_or_else(std::env::temp_dir) }
    }

    /// Moves a sequence out of the pool. It keeps `beside` bytes in memory in any case, which count before its pages do.
    ///
    /// # Errors
    /// The sequence as it was, and what went wrong in which folder.
    pub(crate) fn park(
        &self,
        cache: SeqCache,
        beside: u64,
        kv: &impl Storage,
    ) -> Result<Stored, Box<(SeqCache, String)>> {
        let (_beside, _) = self.place(beside);
        let bytes = (cache.pages().count() * kv.page_bytes()) as u64;
        if let (place, true) = self.place(bytes) {
            let mut pages = Vec::with_capacity(bytes as usize);
            let cache = cache.park(kv, &mut pages).expect("a vector takes everything");
            return Ok(Stored { cache, pages: Pages::Memory(pages, place), _beside });
        }
        let why = |error: io::Error| format!("{} bytes in {}: {error}", bytes, self.dir.display());
        let file = match tempfile::tempfile_in(&self.dir) {
            Ok(file) => file,
            Err(error) => return Err(Box::new((cache, why(error)))),
        };
        let mut out = BufWriter::with_capacity(1 << 20, file);
        let cache = cache.park(kv, &mut out).map_err(|failed| {
            let (cache, error) = *failed;
            Box::new((cache, why(error)))
        })?;
        Ok(Stored { cache, pages: Pages::File(out.into_parts().0), _beside })
    }

    /// Moves a sequence back into the pool, under a grant with room for its pages.
    ///
    /// # Errors
    /// What went wrong; the sequence is lost.
    pub(crate) fn restore(&self, stored: Stored, kv: &mut impl Storage, grant: Grant) -> Result<SeqCache, String> {
        let Stored { cache, pages, .. } = stored;
        match pages {
            Pages::Memory(pages, _place) => cache.restore(kv, grant, &mut pages.as_slice()),
            Pages::File(mut file) => {
                file.rewind().and_then(|()| cache.restore(kv, grant, &mut BufReader::with_capacity(1 << 20, file)))
            }
        }
        .map_err(|error| format!("reading it back from {}: {error}", self.dir.display()))
    }

    /// Takes so many bytes, and says whether there were as many.
    fn place(&self, bytes: u64) -> (Place, bool) {
        let taken = self.used.fetch_add(bytes, Ordering::Relaxed);
        (Place { used: Arc::clone(&self.used), bytes }, taken + bytes <= self.memory)
    }
}

#[cfg(test)]
mod tests {
    use lethe_kv::{Arena, Granularity, KvDtype, KvShape, Ledger};

    use super::*;

    fn sequence(ledger: &Ledger, arena: &mut Arena) -> SeqCache {
        let shape = KvShape { layers: 1, kv_heads: 2, head_dim: 4, dtype: KvDtype::F16 };
        let mut seq = SeqCache::new(shape, Granularity::Layer, ledger.reserve(4).unwrap(), 32);
        seq.append(arena, 0, 0..20, true).unwrap();
        for (i, &page) in seq.pages().enumerate() {
            arena.write_page(page, &vec![i as u8 + 1; arena.page_bytes()]);
        }
        seq
    }

    #[test]
    fn memory_first_then_files_and_both_come_back_whole() {
        let (ledger, mut arena) = (Ledger::new(8), Arena::new(8, 4, KvDtype::F16));
        let dir = tempfile::tempdir().unwrap();
        let size = 4 * arena.page_bytes() as u64;
        let lot = ParkingLot::new(size, Some(dir.path().to_owned()));
        let stored: Vec<_> = (0..3).map(|_| lot.park(sequence(&ledger, &mut arena), 0, &arena).unwrap()).collect();
        assert_eq!((ledger.free(), lot.used.load(Ordering::Relaxed)), (8, size));
        let in_files = stored.iter().filter(|s| matches!(s.pages, Pages::File(_))).count();
        assert_eq!(in_files, 2);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "files without a name");
        for stored in stored {
            let seq = lot.restore(stored, &mut arena, ledger.reserve(4).unwrap()).unwrap();
            assert_eq!((seq.len(0, 0), seq.pins(0, 1)), (20, 20));
            for (i, &page) in seq.pages().enumerate() {
                let mut bytes = vec![0; arena.page_bytes()];
                arena.read_page(page, &mut bytes);
                assert!(bytes.iter().all(|&b| b == i as u8 + 1));
            }
        }
        assert_eq!((ledger.free(), lot.used.load(Ordering::Relaxed)), (8, 0));
    }

    #[test]
    fn what_stays_in_memory_anyway_counts_first() {
        let (ledger, mut arena) = (Ledger::new(8), Arena::new(8, 4, KvDtype::F16));
        let size = 4 * arena.page_bytes() as u64;
        let used = |lot: &ParkingLot| lot.used.load(Ordering::Relaxed);
        let lot = ParkingLot::new(size + 9, None);
        let stored = lot.park(sequence(&ledger, &mut arena), 9, &arena).unwrap();
        assert!(matches!(stored.pages, Pages::Memory(..)) && used(&lot) == size + 9);
        drop(stored);
        let stored = lot.park(sequence(&ledger, &mut arena), 10, &arena).unwrap();
        assert!(matches!(stored.pages, Pages::File(_)) && used(&lot) == 10);
        lot.restore(stored, &mut arena, ledger.reserve(4).unwrap()).unwrap();
        assert_eq!(used(&lot), 0);
    }

    #[test]
    fn a_place_that_cannot_be_written_leaves_the_sequence_where_it_is() {
        let (ledger, mut arena) = (Ledger::new(8), Arena::new(8, 4, KvDtype::F16));
        let lot = ParkingLot::new(0, Some("/nowhere/at/all".into()));
        let (seq, why) = *lot.park(sequence(&ledger, &mut arena), 0, &arena).unwrap_err();
        assert!(why.contains("/nowhere/at/all"), "{why}");
        assert_eq!((seq.len(0, 0), ledger.free()), (20, 4));
    }
}
