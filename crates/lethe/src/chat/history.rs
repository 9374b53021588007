//! Where the lines typed in earlier runs are kept.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::path::{Path, PathBuf};

/// The file, in a folder that exists: `$XDG_STATE_HOME/lethe/chat_history`, by default under `~/.local/state`, and under
/// `%LOCALAPPDATA%` on Windows. `None` where there is no home.
///
/// # Errors
/// The folder cannot be made.
pub(crate) fn file() -> io::Result<Option<PathBuf>> {
    let Some(folder) = folder(&|name| std::env::var_os(name), std::env::home_dir(), cfg!(windows)) else {
        return Ok(None);
    };
    make(&folder)?;
    Ok(Some(folder.join("chat_history")))
}

fn folder(get: &dyn Fn(&str) -> Option<OsString>, home: Option<PathBuf>, windows: bool) -> Option<PathBuf> {
    // The standard has relative paths ignored.
    let var = |name: &str| get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = var("XDG_STATE_HOME")
        .or_else(|| var("LOCALAPPDATA").filter(|_| windows))
        .or_else(|| home.map(|home| home.join(".local").join("state")))?;
    Some(state.join("lethe"))
}

/// What is typed is nobody else's business.
fn make(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_that_of_the_standard() {
        let place = |vars: &[(&str, &str)], home: Option<&str>, windows: bool| {
            let get = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
            folder(&get, home.map(PathBuf::from), windows).map(|p| p.display().to_string())
        };
        let home = Some("/home/a");
        assert_eq!(place(&[], home, false).as_deref(), Some("/home/a/.local/state/lethe"));
        assert_eq!(place(&[("XDG_STATE_HOME", "/x")], home, false).as_deref(), Some("/x/lethe"));
        assert_eq!(place(&[("XDG_STATE_HOME", "x")], home, false), place(&[], home, false));
        assert_eq!(place(&[("LOCALAPPDATA", "/l")], home, true).as_deref(), Some("/l/lethe"));
        assert_eq!(place(&[("LOCALAPPDATA", "/l")], home, false), place(&[], home, false));
        assert_eq!(place(&[], None, false), None);
    }

    #[test]
    fn the_folder_is_made_for_its_user_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a").join("lethe");
        make(&folder).unwrap();
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o077, 0);
        make(&folder).unwrap();
        std::fs::write(dir.path().join("b"), "").unwrap();
        assert!(make(&dir.path().join("b").join("lethe")).is_err());
    }
}
