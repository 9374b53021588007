//! What a person may write to name a model: a path, or a repository with a revision and a choice of files.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::names;

/// A model, by path or by name. Made with [`str::parse`]:
///
/// | written | means |
/// |---|---|
/// | anything that exists on disk, or starts with `.`, `/` or `~` | that file or folder |
/// | `org/name` | the repository's default: Q4_K_M, its only GGUF, or its safetensors |
/// | `org/name:Q8_0` | its GGUF of this quantisation |
/// | `org/name:sub/file.gguf` | this file |
/// | `org/name@revision:Q8_0` | the same at a branch, a tag or a commit |
/// | `hf://org/name...` | the same, whatever is on disk |
///
/// A local folder wins over a repository of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelRef {
    /// A file or a folder; it need not exist.
    Local(PathBuf),
    /// Files of a repository.
    Hub(HubRef),
}

/// Files of a repository at a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubRef {
    /// The repository.
    pub repo: RepoId,
    /// The branch, tag or commit.
    pub revision: Revision,
    /// Which of its files.
    pub wanted: Wanted,
}

/// Which files of a repository make the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// What runs best without being asked: see the crate documentation.
    Default,
    /// The GGUF of this quantisation, in any case.
    Quant(String),
    /// The GGUF of this name, with its folder or without.
    File(String),
}

/// `org/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoId(String);

/// A branch, a tag, or a commit; `main` by default.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(String);

/// Why a text names no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseRefError {
    /// Nothing was written.
    #[error("the model is empty: {FORMS}")]
    Empty,
    /// One word that is no path.
    #[error("{text:?} is neither a file or folder here nor a repository: a repository is written org/name")]
    PlainName {
        /// What was written.
        text: String,
    },
    /// It ends like a file, but no such file exists.
    #[error("there is no file {text:?} here; a file of a repository is written org/name:file.gguf")]
    NoSuchFile {
        /// What was written.
        text: String,
    },
    /// The part that should be `org/name` is not.
    #[error("{repo:?} is neither a path that exists nor a repository: {FORMS}")]
    BadRepo {
        /// The part in question.
        repo: String,
    },
    /// The part after `@`.
    #[error("{revision:?} is no revision: after @ comes a branch, a tag or a commit, as in org/name@main:Q8_0")]
    BadRevision {
        /// The part in question.
        revision: String,
    },
    /// The part after `:`.
    #[error(
        "{wanted:?} is neither a quantisation nor a GGUF file: after : comes one, as in org/name:Q4_K_M or org/name:file.gguf"
    )]
    BadWanted {
        /// The part in question.
        wanted: String,
    },
}

const FORMS: &str = "accepted are a path, org/name, org/name:Q4_K_M, org/name:file.gguf, each also as \
                     org/name@revision... and with hf:// in front";

impl FromStr for ModelRef {
    type Err = ParseRefError;

    fn from_str(text: &str) -> Result<Self, ParseRefError> {
        parse(text, std::env::home_dir().as_deref(), &Path::exists)
    }
}

/// The grammar, given what is on disk.
fn parse(text: &str, home: Option<&Path>, exists: &dyn Fn(&Path) -> bool) -> Result<ModelRef, ParseRefError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(ParseRefError::Empty);
    }
    if let Some(rest) = text.strip_prefix("hf://") {
        return rest.parse().map(ModelRef::Hub);
    }
    let path = match (text.strip_prefix('~'), home) {
        (Some(""), Some(home)) => home.to_owned(),
        (Some(rest), Some(home)) if rest.starts_with('/') => home.join(&rest[1..]),
        _ => PathBuf::from(text),
    };
    if text.starts_with(['.', '/', '~']) || path.is_absolute() || exists(&path) {
        return Ok(ModelRef::Local(path));
    }
    if is_gguf(text) && !text.contains(':') {
        return Err(ParseRefError::NoSuchFile { text: text.to_owned() });
    }
    if !text.contains(['/', ':', '@']) {
        return Err(ParseRefError::PlainName { text: text.to_owned() });
    }
    text.parse().map(ModelRef::Hub)
}

impl FromStr for HubRef {
    type Err = ParseRefError;

    /// `org/name[@revision][:quantisation or file]`, whatever is on disk.
    fn from_str(text: &str) -> Result<Self, ParseRefError> {
        let (head, wanted) = match text.split_once(':') {
            Some((head, wanted)) => (head, wanted.parse()?),
            None => (text, Wanted::Default),
        };
        let (repo, revision) = match head.split_once('@') {
            Some((repo, revision)) => (repo, revision.parse()?),
            None => (head, Revision::default()),
        };
        Ok(Self { repo: repo.parse()?, revision, wanted })
    }
}

impl FromStr for Wanted {
    type Err = ParseRefError;

    fn from_str(text: &str) -> Result<Self, ParseRefError> {
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        match text {
            file if is_gguf(file) && names::is_file_name(file) => Ok(Self::File(file.to_owned())),
            quant if !quant.is_empty() && !is_gguf(quant) && quant.chars().all(word) => {
                Ok(Self::Quant(quant.to_owned()))
            }
            _ => Err(ParseRefError::BadWanted { wanted: text.to_owned() }),
        }
    }
}

impl FromStr for RepoId {
    type Err = ParseRefError;

    fn from_str(text: &str) -> Result<Self, ParseRefError> {
        // The hub's own rule: `--` separates the parts of a cache folder, so it can be in no name.
        let part = |part: &str| {
            !part.is_empty()
                && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
                && !part.starts_with(['-', '.'])
                && !part.ends_with(['-', '.'])
                && !part.contains("--")
                && !part.contains("..")
        };
        match text.split_once('/') {
            Some((org, name)) if text.len() <= 192 && part(org) && part(name) => Ok(Self(text.to_owned())),
            _ => Err(ParseRefError::BadRepo { repo: text.to_owned() }),
        }
    }
}

impl RepoId {
    /// The text, `org/name`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of its folder in the cache.
    pub(crate) fn folder(&self) -> String {
        format!("models--{}", self.0.replace('/', "--"))
    }

    /// The repository a folder in the cache belongs to, if it is a model's.
    pub(crate) fn from_folder(folder: &str) -> Option<Self> {
        let (org, name) = folder.strip_prefix("models--")?.split_once("--")?;
        format!("{org}/{name}").parse().ok()
    }
}

impl FromStr for Revision {
    type Err = ParseRefError;

    fn from_str(text: &str) -> Result<Self, ParseRefError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '+');
        // It becomes a file below refs/.
        if !text.starts_with('-') && text.chars().all(allowed) && names::is_file_name(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseRefError::BadRevision { revision: text.to_owned() })
        }
    }
}

impl Revision {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a full commit, which never moves.
    pub fn is_commit(&self) -> bool {
        names::is_hash(&self.0)
    }
}

impl Default for Revision {
    fn default() -> Self {
        Self("main".to_owned())
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            Self::Hub(at) => at.fmt(f),
        }
    }
}

impl fmt::Display for HubRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.repo.fmt(f)?;
        if self.revision != Revision::default() {
            write!(f, "@{}", self.revision)?;
        }
        match &self.wanted {
            Wanted::Default => Ok(()),
            Wanted::Quant(text) | Wanted::File(text) => write!(f, ":{text}"),
        }
    }
}

impl fmt::Display for RepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a name ends like a GGUF file's.
pub(crate) fn is_gguf(name: &str) -> bool {
    name.len() > 5 && name.is_char_boundary(name.len() - 5) && name[name.len() - 5..].eq_ignore_ascii_case(".gguf")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parsed where `here.gguf`, `models/here.gguf`, `org/local` and `plain` exist and `/home/me` is home.
    fn read(text: &str) -> Result<ModelRef, ParseRefError> {
        let here = ["here.gguf", "models/here.gguf", "org/local", "plain"];
        parse(text, Some(Path::new("/home/me")), &|path| here.iter().any(|name| Path::new(name) == path))
    }

    #[test]
    fn paths() {
        for (text, path) in [
            ("here.gguf", "here.gguf"),
            ("models/here.gguf", "models/here.gguf"),
            ("org/local", "org/local"),
            ("plain", "plain"),
            (" plain ", "plain"),
            ("./absent", "./absent"),
            ("../absent.gguf", "../absent.gguf"),
            (".", "."),
            ("/absent/x", "/absent/x"),
            ("~", "/home/me"),
            ("~/models/x.gguf", "/home/me/models/x.gguf"),
            ("~other/x", "~other/x"),
        ] {
            assert_eq!(read(text), Ok(ModelRef::Local(path.into())), "{text}");
        }
    }

    #[test]
    fn repositories() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let long = format!("org/name@{commit}:Q8_0");
        for (text, repo, revision, wanted) in [
            ("org/name", "org/name", "main", Wanted::Default),
            ("Qwen/Qwen3-0.6B-GGUF:q8_0", "Qwen/Qwen3-0.6B-GGUF", "main", Wanted::Quant("q8_0".into())),
            ("org/name:UD-Q4_K_XL", "org/name", "main", Wanted::Quant("UD-Q4_K_XL".into())),
            ("org/name:a.gguf", "org/name", "main", Wanted::File("a.gguf".into())),
            ("org/name:sub/a.GGUF", "org/name", "main", Wanted::File("sub/a.GGUF".into())),
            ("org/name@main:Q8_0", "org/name", "main", Wanted::Quant("Q8_0".into())),
            ("org/name@refs/pr/3", "org/name", "refs/pr/3", Wanted::Default),
            (long.as_str(), "org/name", commit, Wanted::Quant("Q8_0".into())),
            ("hf://org/name", "org/name", "main", Wanted::Default),
            ("hf://org/local:Q8_0", "org/local", "main", Wanted::Quant("Q8_0".into())),
            ("hf://org/local", "org/local", "main", Wanted::Default),
            // A choice of files can only mean the repository.
            ("org/local:Q8_0", "org/local", "main", Wanted::Quant("Q8_0".into())),
        ] {
            let expected = HubRef { repo: repo.parse().unwrap(), revision: revision.parse().unwrap(), wanted };
            assert_eq!(read(text), Ok(ModelRef::Hub(expected.clone())), "{text}");
            assert_eq!(expected.to_string().parse(), Ok(expected), "{text} does not survive being printed");
        }
    }

    #[test]
    fn refusals_say_what_is_accepted() {
        for (text, words) in [
            ("", "org/name:Q4_K_M"),
            ("foo", "neither a file or folder here nor a repository"),
            ("absent.gguf", "org/name:file.gguf"),
            ("models/absent.gguf", "org/name:file.gguf"),
            ("a/b/c", "org/name:Q4_K_M"),
            ("a//b", "accepted are a path"),
            ("foo:Q4_K_M", "accepted are a path"),
            ("foo@main", "accepted are a path"),
            ("org/", "accepted are a path"),
            ("org/..", "accepted are a path"),
            ("org/a--b", "accepted are a path"),
            ("org/na me", "accepted are a path"),
            ("hf://foo", "accepted are a path"),
            ("org/name:", "neither a quantisation nor a GGUF file"),
            ("org/name:../x.gguf", "neither a quantisation nor a GGUF file"),
            ("org/name:.gguf/../x.gguf", "neither a quantisation nor a GGUF file"),
            ("org/name:Q4 K", "neither a quantisation nor a GGUF file"),
            ("org/name:a/b", "neither a quantisation nor a GGUF file"),
            ("org/name@:Q8_0", "no revision"),
            ("org/name@../x", "no revision"),
            ("org/name@/x", "no revision"),
            ("org/name@-x", "no revision"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text:?}: {error}");
        }
    }

    #[test]
    fn cache_folders() {
        let repo: RepoId = "org/name-1.5B".parse().unwrap();
        assert_eq!(repo.folder(), "models--org--name-1.5B");
        assert_eq!(RepoId::from_folder("models--org--name-1.5B"), Some(repo));
        for foreign in ["models--gpt2", "datasets--a--b", "models--a--b--c", ".locks", "models--..--x"] {
            assert_eq!(RepoId::from_folder(foreign), None, "{foreign}");
        }
    }
}
