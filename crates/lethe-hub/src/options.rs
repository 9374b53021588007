//! Where models are kept and where they come from, read once from the environment or made by hand.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::HubError;

/// Settings of a [`Hub`](crate::Hub).
#[derive(Debug, Clone)]
pub struct HubOptions {
    /// The cache, shared with `huggingface_hub`.
    pub cache: PathBuf,
    /// The hub, `https://huggingface.co` by default.
    pub endpoint: String,
    /// Who asks, for private and gated repositories. Sent to `endpoint` and nowhere else.
    pub token: Option<Token>,
    /// Make no request at all.
    pub offline: bool,
    /// Ask the hub for the newest commit even if the cache could serve.
    pub refresh: bool,
    /// How often a request that may yet succeed is made again.
    pub retries: u32,
    /// The pause before the first of these; it doubles each time, up to half a minute.
    pub backoff: Duration,
    /// How long a connection may be silent before it counts as cut.
    pub stall: Duration,
    /// Link snapshots to blobs, as `huggingface_hub` does. Where that fails, and without it, files are hard links or copies.
    pub symlinks: bool,
    /// Go through the proxy that `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` name.
    pub system_proxy: bool,
}

/// A secret: never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Takes the text, without the white space around it; nothing if nothing else is there.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

impl HubOptions {
    /// The defaults, with this cache and nothing from the environment.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            cache: cache.into(),
            endpoint: "https://huggingface.co".to_owned(),
            token: None,
            offline: false,
            refresh: false,
            retries: 5,
            backoff: Duration::from_millis(500),
            stall: Duration::from_secs(60),
            symlinks: true,
            system_proxy: false,
        }
    }

    /// What the environment says, by the names `huggingface_hub` uses:
    ///
    /// - the cache: `HF_HUB_CACHE`, else `$HF_HOME/hub`, else `$XDG_CACHE_HOME/huggingface/hub`, else
    ///   `~/.cache/huggingface/hub`;
    /// - `HF_ENDPOINT`; `HF_TOKEN`, else the file `HF_TOKEN_PATH`, else `$HF_HOME/token`;
    /// - `HF_HUB_OFFLINE` and `HF_HUB_DISABLE_SYMLINKS`, on if `1`, `true`, `yes` or `on`.
    ///
    /// # Errors
    /// [`HubError::NoHome`] if none of the first four can be had; an unreadable token file.
    pub fn from_env() -> Result<Self, HubError> {
        let options = Self::from_vars(&|name| std::env::var_os(name), std::env::home_dir().as_deref())?;
        Ok(Self { system_proxy: true, ..options })
    }

    fn from_vars(get: &dyn Fn(&str) -> Option<OsString>, home: Option<&Path>) -> Result<Self, HubError> {
        let var = |name: &str| get(name).filter(|value| !value.is_empty());
        let text = |name: &str| var(name).and_then(|value| value.into_string().ok());
        let on = |name: &str| {
            text(name).is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on"))
        };
        let path = |name: &str| var(name).map(|value| expand(PathBuf::from(value), home));

        let hf_home = path("HF_HOME")
            .or_else(|| path("XDG_CACHE_HOME").map(|cache| cache.join("huggingface")))
            .or_else(|| home.map(|home| home.join(".cache/huggingface")));
        let cache = path("HF_HUB_CACHE").or_else(|| hf_home.as_ref().map(|dir| dir.join("hub")));

        let mut options = Self::new(cache.ok_or(HubError::NoHome)?);
        if let Some(endpoint) = text("HF_ENDPOINT") {
            options.endpoint = endpoint;
        }
        options.token = match text("HF_TOKEN").and_then(|token| Token::new(&token)) {
            Some(token) => Some(token),
            None => match path("HF_TOKEN_PATH").or_else(|| hf_home.map(|dir| dir.join("token"))) {
                Some(path) => read_token(&path)?,
                None => None,
            },
        };
        options.offline = on("HF_HUB_OFFLINE");
        options.symlinks = !on("HF_HUB_DISABLE_SYMLINKS");
        Ok(options)
    }
}

fn read_token(path: &Path) -> Result<Option<Token>, HubError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Token::new(&text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(HubError::at(path)(error)),
    }
}

fn expand(path: PathBuf, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<HubOptions, HubError> {
        let get = |name: &str| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
        HubOptions::from_vars(&get, Some(Path::new("/home/me")))
    }

    #[test]
    fn the_cache_is_where_huggingface_hub_has_it() {
        for (vars, cache) in [
            (&[][..], "/home/me/.cache/huggingface/hub"),
            (&[("XDG_CACHE_HOME", "/xdg")], "/xdg/huggingface/hub"),
            (&[("XDG_CACHE_HOME", "/xdg"), ("HF_HOME", "/hf")], "/hf/hub"),
            (&[("HF_HOME", "~/hf")], "/home/me/hf/hub"),
            (&[("HF_HOME", "/hf"), ("HF_HUB_CACHE", "/models")], "/models"),
            (&[("HF_HOME", ""), ("HF_HUB_CACHE", "")], "/home/me/.cache/huggingface/hub"),
        ] {
            assert_eq!(read(vars).unwrap().cache, Path::new(cache), "{vars:?}");
        }
        let nowhere = HubOptions::from_vars(&|_| None, None).unwrap_err();
        assert!(nowhere.to_string().contains("HF_HUB_CACHE"), "{nowhere}");
    }

    #[test]
    fn the_token_is_found_and_never_printed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), "hf_file\n").unwrap();
        let home = dir.path().to_str().unwrap();
        let elsewhere = dir.path().join("absent");
        let token = |vars: &[_]| read(vars).unwrap().token;
        assert_eq!(token(&[("HF_HOME", home), ("HF_TOKEN", " hf_env ")]), Token::new("hf_env"));
        assert_eq!(token(&[("HF_HOME", home)]), Token::new("hf_file"));
        assert_eq!(token(&[("HF_HOME", home), ("HF_TOKEN", " ")]), Token::new("hf_file"));
        assert_eq!(token(&[("HF_HOME", home), ("HF_TOKEN_PATH", elsewhere.to_str().unwrap())]), None);
        assert!(read(&[("HF_TOKEN_PATH", home)]).is_err(), "a folder is no token");
        let printed = format!("{:?}", read(&[("HF_TOKEN", "hf_secret")]).unwrap());
        assert!(!printed.contains("hf_secret"), "{printed}");
    }

    #[test]
    fn switches() {
        for (value, offline) in [("1", true), ("ON", true), ("True", true), ("0", false), ("", false), ("no", false)] {
            assert_eq!(read(&[("HF_HUB_OFFLINE", value)]).unwrap().offline, offline, "{value}");
        }
        assert!(!read(&[("HF_HUB_DISABLE_SYMLINKS", "1")]).unwrap().symlinks);
        assert_eq!(read(&[("HF_ENDPOINT", "https://mirror")]).unwrap().endpoint, "https://mirror");
    }
}
