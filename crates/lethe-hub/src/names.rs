//! Which names may touch the disk. Everything a server says is hostile until it has passed here.

use crate::error::HubError;

/// Whether this is a commit or the name of a blob: a git id or a SHA-256 in hexadecimal, nothing else.
pub(crate) fn is_hash(text: &str) -> bool {
    (40..=64).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A commit out of an answer.
pub(crate) fn commit(text: &str) -> Result<String, HubError> {
    if is_hash(text) { Ok(text.to_owned()) } else { Err(unsafe_name("commit", text)) }
}

/// The name of a blob out of an answer.
pub(crate) fn blob(text: &str) -> Result<String, HubError> {
    if is_hash(text) { Ok(text.to_owned()) } else { Err(unsafe_name("blob id", text)) }
}

/// Whether a file name of a repository stays inside the folder it is joined to, on every system we run on: plain
/// segments between slashes, no backslash, no colon (a drive or a stream on Windows), no control characters.
pub(crate) fn is_file_name(name: &str) -> bool {
    let plain = |segment: &str| !matches!(segment, "" | "." | "..") && segment.len() <= 255;
    !name.contains(|c: char| c.is_control() || c == '\\' || c == ':') && name.split('/').all(plain)
}

/// A file name that may be joined to a folder.
pub(crate) fn file(name: &str) -> Result<(), HubError> {
    if is_file_name(name) { Ok(()) } else { Err(unsafe_name("file name", name)) }
}

fn unsafe_name(what: &'static str, name: &str) -> HubError {
    // A hostile name is quoted, and cut: it may be long.
    HubError::UnsafeName { what, name: name.chars().take(120).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        for name in ["config.json", "Q4_K_M/model-00001-of-00002.gguf", "a b.gguf", "..gguf", "é.gguf"] {
            assert!(is_file_name(name), "{name:?}");
        }
        for name in [
            "",
            ".",
            "..",
            "../x",
            "a/../b",
            "a/./b",
            "/etc/passwd",
            "a//b",
            "a/",
            "a\\b",
            "..\\x",
            "C:x",
            "a\0",
            "a\nb",
        ] {
            assert!(!is_file_name(name), "{name:?}");
        }
        assert!(!is_file_name(&"x".repeat(256)));
    }

    #[test]
    fn hashes_are_lower_case_hexadecimal() {
        assert!(is_hash(&"0a".repeat(20)) && is_hash(&"f".repeat(64)));
        for text in ["", "main", "../../../../../../../../../../../../../../../x", &"F".repeat(40), &"a".repeat(65)] {
            assert!(!is_hash(text), "{text:?}");
        }
    }
}
