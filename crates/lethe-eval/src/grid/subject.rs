//! The model that is asked.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lethe_kernels::{Cpu, CpuOptions};
use lethe_model::{ChatTemplate, CpuBackend, Model, Tokenizer};
use sha2::{Digest, Sha256};

use super::GridError;

/// A model with what its results must name.
pub struct Subject {
    /// The model.
    pub model: Arc<Model<CpuBackend>>,
    /// Its name, for people.
    pub name: String,
    /// SHA-256 of its weights, in hexadecimal; see [`Subject::hash`].
    pub sha256: String,
    /// Whether weights are multiplied as they are stored ([`CpuBackend::exact`]).
    pub exact: bool,
}

impl Subject {
    /// The embedded model, on all cores that this process may use.
    ///
    /// # Errors
    /// [`GridError::Cpu`] or [`GridError::Load`]; neither on a machine that works.
    pub fn embedded() -> Result<Subject, GridError> {
        let cpu = Cpu::new(CpuOptions::default()).map_err(|e| GridError::Cpu(e.to_string()))?;
        let model = Arc::new(Model::from_bytes(lethe_reasoner::FILES, CpuBackend::new(cpu))?);
        Ok(Subject {
            model,
            name: lethe_reasoner::NAME.to_owned(),
            sha256: Subject::hash_bytes(lethe_reasoner::FILES.weights),
            exact: false,
        })
    }

    /// SHA-256 of the weights at `path`, in hexadecimal: of a file, or of all `*.safetensors` of a folder in the order of
    /// their names.
    ///
    /// # Errors
    /// [`GridError::Io`] where they cannot be read.
    pub fn hash(path: &Path) -> Result<String, GridError> {
        let fault = |at: &Path| {
            let path = at.to_owned();
            move |source| GridError::Io { path, source }
        };
        let mut files = vec![path.to_owned()];
        if path.is_dir() {
            files = std::fs::read_dir(path)
                .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>())
                .map_err(fault(path))?;
            files.retain(|file| file.extension().is_some_and(|e| e == "safetensors"));
            files.sort_unstable();
        }
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        for file in files {
            let mut open = File::open(&file).map_err(fault(&file))?;
            loop {
                match open.read(&mut buffer).map_err(fault(&file))? {
                    0 => break,
                    n => hash.update(&buffer[..n]),
                }
            }
        }
        Ok(hex(hash.finalize()))
    }

    /// SHA-256 of weights in memory, in hexadecimal.
    pub fn hash_bytes(weights: &[u8]) -> String {
        hex(Sha256::digest(weights))
    }

    /// What text needs to become a prompt.
    ///
    /// # Errors
    /// [`GridError::NoTemplate`] where the model lacks a tokenizer or a chat template.
    pub(super) fn speech(&self) -> Result<(&Tokenizer, &ChatTemplate), GridError> {
        match (&self.model.tokenizer, &self.model.chat_template) {
            (Some(tokenizer), Some(template)) => Ok((tokenizer, template)),
            _ => Err(GridError::NoTemplate { model: self.name.clone() }),
        }
    }
}

/// SHA-256 of texts, each ended by a byte that is in none.
pub(super) fn hash_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text);
        hash.update([0xff]);
    }
    hex(hash.finalize())
}

fn hex(digest: impl AsRef<[u8]>) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_hashes_like_its_weights() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        write("b.safetensors", b"c");
        write("a.safetensors", b"ab");
        write("config.json", b"{}");
        // FIPS 180-2, appendix B.1: the hash of "abc"
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Subject::hash(folder.path()).unwrap(), abc);
        write("abc", b"abc");
        assert_eq!(Subject::hash(&folder.path().join("abc")).unwrap(), abc);
        assert!(Subject::hash(&folder.path().join("none")).unwrap_err().to_string().contains("none"));
    }
}
