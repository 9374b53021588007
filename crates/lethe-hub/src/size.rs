//! Files by name and size, and sizes as people read them.

use std::fmt;

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileSize {
    /// Its name, with its folder.
    pub name: String,
    /// Bytes.
    pub size: u64,
}

impl fmt::Display for FileSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, Bytes(self.size))
    }
}

/// A number of bytes, written in decimal units as the hub's pages do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes) = *self;
        for (unit, name) in [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")] {
            // Rounded first: 999 999 bytes are 1.0 MB, not 1000.0 kB.
            if bytes >= unit - unit / 20_000 {
                let tenths = (u128::from(bytes) * 10 + u128::from(unit) / 2) / u128::from(unit);
                return write!(f, "{}.{} {name}", tenths / 10, tenths % 10);
            }
        }
        write!(f, "{bytes} bytes")
    }
}

/// At most twelve names with their sizes, one a line, and how many more there are.
pub(crate) fn lines(files: &[FileSize]) -> String {
    const MOST: usize = 12;
    let mut text: String = files.iter().take(MOST).map(|file| format!("\n  {file}")).collect();
    if files.len() > MOST {
        text.push_str(&format!("\n  and {} more", files.len() - MOST));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (949, "949 bytes"),
            (1_000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_999, "1.0 MB"),
            (4_683_073_184, "4.7 GB"),
            (u64::MAX / 2, "9223372036.9 GB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn long_lists_are_cut() {
        let files: Vec<FileSize> = (0..14).map(|i| FileSize { name: format!("{i}.gguf"), size: 1 }).collect();
        assert!(lines(&files).ends_with("\n  11.gguf (1 bytes)\n  and 2 more"));
        assert_eq!(lines(&files[..1]), "\n  0.gguf (1 bytes)");
    }
}
