//! One download of a blob at a time, among threads and processes, `huggingface_hub`'s included.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use crate::error::HubError;

/// Held while it lives. The system lets go of it when a process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: Option<File>,
}

/// Takes the lock, after calling `waiting` if somebody else has it.
pub(crate) fn take(path: &Path, waiting: &mut dyn FnMut()) -> Result<Lock, HubError> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(HubError::at(dir))?;
    }
    loop {
        let file = File::options().create(true).truncate(false).write(true).open(path).map_err(HubError::at(path))?;
        let taken = match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                waiting();
                file.lock()
            }
            Err(TryLockError::Error(error)) => Err(error),
            Ok(()) => Ok(()),
        };
        match taken {
            // The holder before may have deleted the file: then others lock a new one, and this lock says nothing.
            Ok(()) if is_deleted(&file) => {}
            Ok(()) => return Ok(Lock { _file: Some(file) }),
            // Some network file systems have no locks. Two downloads are then a waste, and checked all the same.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(Lock { _file: None }),
            Err(error) => return Err(HubError::at(path)(error)),
        }
    }
}

#[cfg(unix)]
fn is_deleted(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
}

#[cfg(not(unix))]
fn is_deleted(_: &File) -> bool {
    // Elsewhere an open file cannot be deleted.
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn the_second_waits_for_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b.lock");
        let first = take(&path, &mut || panic!("nobody has it")).unwrap();
        let (waits, waiting) = channel();
        let second = std::thread::spawn({
            let path = path.clone();
            move || take(&path, &mut || waits.send(()).unwrap()).map(drop)
        });
        waiting.recv().unwrap();
        // Deleting it under the waiting one must not let it go on with a lock that nobody else sees.
        std::fs::remove_file(&path).unwrap();
        drop(first);
        second.join().unwrap().unwrap();
        assert!(path.exists());
    }
}
