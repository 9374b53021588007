//! A blob on its way: appended to, hashed as it grows, and moved into place once it is known to be right.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::HubError;
use crate::listing::RepoFile;

/// An open `blobs/<blob>.incomplete`. Its lock must be held.
#[derive(Debug)]
pub(crate) struct Partial<'a> {
    path: &'a Path,
    of: &'a RepoFile,
    file: File,
    done: u64,
    hash: Option<Sha256>,
}

impl<'a> Partial<'a> {
    /// Opens it, with what an earlier attempt left.
    pub(crate) fn open(path: &'a Path, of: &'a RepoFile) -> Result<Self, HubError> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(HubError::at(dir))?;
        }
        let options = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let file = options.map_err(HubError::at(path))?;
        let hash = of.sha256.as_ref().map(|_| Sha256::new());
        let mut partial = Self { path, of, file, done: 0, hash };
        partial.recall()?;
        Ok(partial)
    }

    /// Bytes that are there.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// Hashes what is there already; more than the file has cannot be right.
    fn recall(&mut self) -> Result<(), HubError> {
        let found = self.file.metadata().map_err(HubError::at(self.path))?.len();
        if found > self.of.size {
            return self.restart();
        }
        let Some(hash) = &mut self.hash else {
            self.done = self.file.seek(SeekFrom::End(0)).map_err(HubError::at(self.path))?;
            return Ok(());
        };
        let mut buffer = vec![0; 1 << 20];
        let mut left = (&self.file).take(found);
        loop {
            match left.read(&mut buffer).map_err(HubError::at(self.path))? {
                0 => return Ok(()),
                read => {
                    hash.update(&buffer[..read]);
                    self.done += read as u64;
                }
            }
        }
    }

    /// Forgets what is there.
    pub(crate) fn restart(&mut self) -> Result<(), HubError> {
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(HubError::at(self.path))?;
        self.done = 0;
        self.hash = self.hash.as_ref().map(|_| Sha256::new());
        Ok(())
    }

    /// Appends bytes.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), HubError> {
        if bytes.len() as u64 > self.of.size - self.done {
            return Err(self.too_long());
        }
        self.file.write_all(bytes).map_err(|error| HubError::at(self.path)(error).of_size(self.of.size))?;
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        self.done += bytes.len() as u64;
        Ok(())
    }

    /// Deletes what is there, for the server has more than the file.
    pub(crate) fn too_long(&self) -> HubError {
        fs::remove_file(self.path).ok();
        HubError::TooLong { file: self.of.name.clone(), expected: self.of.size }
    }

    /// Checks it and makes it the blob.
    pub(crate) fn finish(self, blob: &Path) -> Result<(), HubError> {
        if let (Some(expected), Some(hash)) = (&self.of.sha256, self.hash) {
            let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            if found != *expected {
                fs::remove_file(self.path).map_err(HubError::at(self.path))?;
                return Err(HubError::Checksum { file: self.of.name.clone(), expected: expected.clone(), found });
            }
        }
        // On disk before it has its name: a power cut leaves no blob with holes.
        self.file.sync_data().map_err(|error| HubError::at(self.path)(error).of_size(self.of.size))?;
        fs::rename(self.path, blob).map_err(HubError::at(blob))
    }
}
