//! Which files of a repository make the model that was asked for. Pure: names and sizes in, names out.

use crate::gguf_name::{Fit, base, bears, is_model, split};
use crate::reference::Wanted;
use crate::size::{FileSize, lines};

/// The quantisation that is taken when none is named.
pub(crate) const DEFAULT_QUANT: &str = "Q4_K_M";
/// The shape of a model; every Hugging Face folder has it.
pub(crate) const CONFIG: &str = "config.json";
/// Weights in one file.
pub(crate) const SINGLE: &str = "model.safetensors";
/// Names the files of weights in several.
pub(crate) const INDEX: &str = "model.safetensors.index.json";
/// What else a Hugging Face folder needs to run, where it is there.
const COMPANIONS: [&str; 4] =
    ["generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"];

/// Files that make a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Their names; the first is the one to open for GGUF, [`CONFIG`] for a folder. With `indexed`, not yet the shards.
    pub(crate) files: Vec<String>,
    /// GGUF, or a folder?
    pub(crate) shape: Shape,
    /// Whether the choice would be the same if the repository held more files than were listed.
    pub(crate) certain: bool,
}

/// What kind of model was selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One GGUF file, or all parts of a split one.
    Gguf,
    /// A folder with one file of weights.
    Folder,
    /// A folder whose weights are named by [`INDEX`].
    IndexedFolder,
}

/// Why a repository's files do not make the model that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// No GGUF of the quantisation.
    #[error("it has no GGUF of quantisation {quant}; it has:{}", lines(have))]
    NoQuant {
        /// What was asked for.
        quant: String,
        /// The GGUF files there are; of split ones, the first.
        have: Vec<FileSize>,
    },
    /// Several GGUF files, none of them of the default quantisation.
    #[error("it has no {DEFAULT_QUANT}, which would be the default; name one of:{}", lines(have))]
    NoDefault {
        /// The GGUF files there are; of split ones, the first.
        have: Vec<FileSize>,
    },
    /// Several models of the same quantisation.
    #[error("{quant} could mean several files; name one as org/name:file.gguf:{}", lines(have))]
    Ambiguous {
        /// What was asked for.
        quant: String,
        /// What it could mean.
        have: Vec<FileSize>,
    },
    /// No GGUF of the name.
    #[error("it has no file {file}; the nearest are:{}", lines(nearest))]
    NoFile {
        /// What was asked for.
        file: String,
        /// The GGUF files there are, nearest names first.
        nearest: Vec<FileSize>,
    },
    /// A GGUF was asked for where there is none.
    #[error("it has no GGUF files at all, so {wanted} names nothing; without it, safetensors are taken")]
    NoGguf {
        /// What was asked for.
        wanted: String,
    },
    /// Neither GGUF nor a Hugging Face folder.
    #[error("it has neither GGUF files nor {CONFIG} with {SINGLE} or {INDEX}; it has:{}", lines(have))]
    NothingRunnable {
        /// What there is.
        have: Vec<FileSize>,
    },
    /// A split model that lacks parts.
    #[error("{file} is one of {parts} parts, and these are missing: {}", missing.join(", "))]
    IncompleteSplit {
        /// A part that is there.
        file: String,
        /// How many there should be.
        parts: u32,
        /// Names of those that are not.
        missing: Vec<String>,
    },
}

/// Chooses.
pub(crate) fn select(files: &[FileSize], wanted: &Wanted) -> Result<Selection, SelectError> {
    let models = models(files);
    match wanted {
        Wanted::Quant(wanted) | Wanted::File(wanted) if models.is_empty() => {
            Err(SelectError::NoGguf { wanted: wanted.clone() })
        }
        Wanted::Quant(quant) => match of_quant(&models, quant)? {
            Some((file, fit)) => gguf(files, file, fit == Fit::Exact),
            None => Err(SelectError::NoQuant { quant: quant.clone(), have: models.clone() }),
        },
        Wanted::File(file) => gguf(files, by_name(files, &models, file)?, true),
        Wanted::Default => match (of_quant(&models, DEFAULT_QUANT)?, models.as_slice()) {
            (Some((file, fit)), _) => gguf(files, file, fit == Fit::Exact),
            (None, [only]) => gguf(files, &only.name, false),
            (None, []) => folder(files),
            (None, _) => Err(SelectError::NoDefault { have: models.clone() }),
        },
    }
}

/// The GGUF models, each once: of a split one, the first part that is listed, with the size of all.
pub(crate) fn models(files: &[FileSize]) -> Vec<FileSize> {
    let mut models: Vec<FileSize> = Vec::new();
    let mut ggufs: Vec<&FileSize> = files.iter().filter(|file| is_model(&file.name)).collect();
    ggufs.sort();
    for file in ggufs {
        match models.last_mut() {
            Some(last) if split(&file.name).is_some() && same_split(&last.name, &file.name) => {
                last.size = last.size.saturating_add(file.size)
            }
            _ => models.push(file.clone()),
        }
    }
    models
}

fn same_split(a: &str, b: &str) -> bool {
    matches!((split(a), split(b)), (Some(a), Some(b)) if a.base == b.base && a.parts == b.parts)
}

/// The model of a quantisation: plain before variants, then the shortest name, which is the model itself where others
/// are named after it.
fn of_quant<'a>(models: &'a [FileSize], quant: &str) -> Result<Option<(&'a str, Fit)>, SelectError> {
    let rank = |file: &FileSize| bears(&file.name, quant).map(|fit| (fit, base(&file.name).len()));
    let Some(best) = models.iter().filter_map(rank).min() else { return Ok(None) };
    let ties: Vec<FileSize> = models.iter().filter(|file| rank(file) == Some(best)).cloned().collect();
    match models.iter().find(|file| rank(file) == Some(best)) {
        Some(file) if ties.len() == 1 => Ok(Some((&file.name, best.0))),
        _ => Err(SelectError::Ambiguous { quant: quant.to_owned(), have: ties }),
    }
}

/// The file of a name: as written, or alone with this name in some folder.
fn by_name<'a>(files: &'a [FileSize], models: &[FileSize], wanted: &str) -> Result<&'a str, SelectError> {
    if let Some(file) = files.iter().find(|file| file.name == wanted) {
        return Ok(&file.name);
    }
    let inside = |file: &&FileSize| file.name.strip_suffix(wanted).is_some_and(|folder| folder.ends_with('/'));
    let mut found = files.iter().filter(inside);
    if let (Some(file), None) = (found.next(), found.next()) {
        return Ok(&file.name);
    }
    let mut nearest = models.to_vec();
    nearest.sort_by_cached_key(|file| edit_distance(&wanted.to_lowercase(), &file.name.to_lowercase()));
    Err(SelectError::NoFile { file: wanted.to_owned(), nearest })
}

/// A GGUF file, with all parts if it is split.
fn gguf(files: &[FileSize], file: &str, certain: bool) -> Result<Selection, SelectError> {
    let names = match split(file) {
        None => vec![file.to_owned()],
        Some(whole) => {
            let extension = &file[file.len() - 5..];
            let name = |part| format!("{}-{part:05}-of-{:05}{extension}", whole.base, whole.parts);
            let (names, missing): (Vec<_>, Vec<_>) =
                (1..=whole.parts).map(name).partition(|name| files.iter().any(|file| file.name == *name));
            if !missing.is_empty() {
                return Err(SelectError::IncompleteSplit { file: file.to_owned(), parts: whole.parts, missing });
            }
            names
        }
    };
    Ok(Selection { files: names, shape: Shape::Gguf, certain })
}

/// A Hugging Face folder.
fn folder(files: &[FileSize]) -> Result<Selection, SelectError> {
    let has = |name: &str| files.iter().any(|file| file.name == name);
    let (weights, shape) = match (has(SINGLE), has(INDEX)) {
        (true, _) => (SINGLE, Shape::Folder),
        (false, true) => (INDEX, Shape::IndexedFolder),
        (false, false) => ("", Shape::Folder),
    };
    if !has(CONFIG) || weights.is_empty() {
        return Err(SelectError::NothingRunnable { have: files.to_vec() });
    }
    let companions = COMPANIONS.into_iter().filter(|name| has(name));
    let names = [CONFIG].into_iter().chain(companions).chain([weights]);
    // Every published folder has tokenizer.json: where it is missing, other files may not have been listed either.
    Ok(Selection { files: names.map(str::to_owned).collect(), shape, certain: has("tokenizer.json") })
}

/// Levenshtein distance in bytes, in one row of memory.
pub(crate) fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, byte) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(byte != other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str], wanted: &str) -> Result<Selection, SelectError> {
        let files: Vec<FileSize> = names.iter().map(|name| FileSize { name: (*name).to_owned(), size: 1 }).collect();
        let wanted = if wanted.is_empty() { Wanted::Default } else { wanted.parse().unwrap() };
        select(&files, &wanted)
    }

    const FOLDER: [&str; 9] = [
        "README.md",
        "config.json",
        "consolidated.safetensors",
        "merges.txt",
        "model.safetensors",
        "original/model.safetensors",
        "pytorch_model.bin",
        "tokenizer.json",
        "tokenizer_config.json",
    ];

    #[test]
    fn what_is_taken() {
        let unsloth = ["x-UD-Q4_K_M.gguf", "x-Q4_K_M.gguf", "x-Q8_0.gguf", "mmproj-Q4_K_M.gguf", "README.md"];
        let split = ["Q8_0/x-Q8_0-00002-of-00002.gguf", "Q8_0/x-Q8_0-00001-of-00002.gguf", "x-Q4_K_M.gguf"];
        let both = ["config.json", "model.safetensors", "tokenizer.json", "x-Q4_K_M.gguf"];
        for (names, wanted, files, certain) in [
            (&unsloth[..], "", &["x-Q4_K_M.gguf"][..], true),
            (&unsloth, "q4_k_m", &["x-Q4_K_M.gguf"], true),
            (&unsloth, "UD-Q4_K_M", &["x-UD-Q4_K_M.gguf"], true),
            (&unsloth[..1], "Q4_K_M", &["x-UD-Q4_K_M.gguf"], false),
            (&["x-Q8_0.gguf", "mmproj-F16.gguf"], "", &["x-Q8_0.gguf"], false),
            (&["draft-x-Q4_K_M.gguf", "x-Q4_K_M.gguf"], "", &["x-Q4_K_M.gguf"], true),
            (&split, "Q8_0", &["Q8_0/x-Q8_0-00001-of-00002.gguf", "Q8_0/x-Q8_0-00002-of-00002.gguf"], true),
            (&split[..2], "", &["Q8_0/x-Q8_0-00001-of-00002.gguf", "Q8_0/x-Q8_0-00002-of-00002.gguf"], false),
            (
                &split,
                "x-Q8_0-00002-of-00002.gguf",
                &["Q8_0/x-Q8_0-00001-of-00002.gguf", "Q8_0/x-Q8_0-00002-of-00002.gguf"],
                true,
            ),
            (&unsloth, "mmproj-Q4_K_M.gguf", &["mmproj-Q4_K_M.gguf"], true),
            (&both, "", &["x-Q4_K_M.gguf"], true),
            (&FOLDER, "", &["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"], true),
            (&FOLDER[..5], "", &["config.json", "model.safetensors"], false),
            (
                &["model-00001-of-00002.safetensors", "model.safetensors.index.json", "config.json"],
                "",
                &["config.json", "model.safetensors.index.json"],
                false,
            ),
        ] {
            let found = chosen(names, wanted).unwrap();
            assert_eq!(found.files, files, "{wanted:?} of {names:?}");
            assert_eq!(found.certain, certain, "{wanted:?} of {names:?}");
        }
    }

    #[test]
    fn sizes_that_cannot_be_do_no_harm() {
        let part = |part| FileSize { name: format!("x-Q8_0-0000{part}-of-00003.gguf"), size: u64::MAX };
        let error = select(&[part(1), part(2), part(3)], &Wanted::Quant("Q4_0".to_owned())).unwrap_err().to_string();
        assert!(error.contains("x-Q8_0-00001-of-00003.gguf"), "{error}");
    }

    #[test]
    fn what_is_refused() {
        for (names, wanted, words) in [
            (&["x-Q8_0.gguf", "x-Q5_K_M.gguf"][..], "", "no Q4_K_M, which would be the default; name one of:\n  x-Q5"),
            (&["x-Q8_0.gguf", "x-F16.gguf"], "Q6_K", "no GGUF of quantisation Q6_K; it has:\n  x-F16.gguf (1 bytes)"),
            (&["a-Q8_0.gguf", "b-Q8_0.gguf"], "Q8_0", "several files; name one as org/name:file.gguf:\n  a-Q8_0.gguf"),
            (&["a-Q8_0.gguf", "b-Q4_0.gguf"], "b-Q4_1.gguf", "no file b-Q4_1.gguf; the nearest are:\n  b-Q4_0.gguf"),
            (&["a/x.gguf", "b/x.gguf"], "x.gguf", "no file x.gguf; the nearest are:\n  a/x.gguf"),
            (&FOLDER, "Q8_0", "no GGUF files at all"),
            (&FOLDER, "x.gguf", "no GGUF files at all"),
            (&FOLDER[..3], "", "neither GGUF files nor config.json"),
            (&[], "", "neither GGUF files nor config.json"),
            (&["x-00002-of-00003.gguf"], "", "missing: x-00001-of-00003.gguf, x-00003-of-00003.gguf"),
        ] {
            let error = chosen(names, wanted).unwrap_err().to_string();
            assert!(error.contains(words), "{wanted:?} of {names:?}: {error}");
        }
    }
}
