//! What the name of a GGUF file says: its quantisation, its place in a split, and whether it holds a model at all.

use crate::reference::is_gguf;

/// `-00002-of-00003` at the end of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Split<'a> {
    /// What all parts have in common.
    pub(crate) base: &'a str,
    /// This part, from 1.
    pub(crate) part: u32,
    /// How many there are.
    pub(crate) parts: u32,
}

/// The place of a file in a split model, if it is part of one.
pub(crate) fn split(name: &str) -> Option<Split<'_>> {
    let (rest, parts) = stem(name).rsplit_once("-of-")?;
    let (base, part) = rest.rsplit_once('-')?;
    let number = |text: &str| (text.len() == 5).then(|| text.parse::<u32>().ok()).flatten();
    let (part, parts) = (number(part)?, number(parts)?);
    (1 <= part && part <= parts).then_some(Split { base, part, parts })
}

/// The name without `.gguf` and without its place in a split.
pub(crate) fn base(name: &str) -> &str {
    split(name).map_or(stem(name), |split| split.base)
}

/// Whether the file holds a language model: projectors of vision models and importance matrices do not.
pub(crate) fn is_model(name: &str) -> bool {
    let file = base(name).rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    is_gguf(name) && !file.contains("mmproj") && !file.starts_with("imatrix") && !file.ends_with("imatrix")
}

/// How well a name bears a quantisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    /// As a word of its own.
    Exact,
    /// As part of a variant's name: `UD-Q4_K_M` is unsloth's own mixture, not plain Q4_K_M.
    Variant,
}

/// Whether a name bears this quantisation as a word of its own: `Q4_K` is not in `Q4_K_M`, `Q4_XS` not in `IQ4_XS`.
pub(crate) fn bears(name: &str, quant: &str) -> Option<Fit> {
    let (name, quant) = (base(name).to_ascii_lowercase(), quant.to_ascii_lowercase());
    let found = name.match_indices(&quant).filter_map(|(at, _)| {
        let (before, after) = (&name[..at], &name[at + quant.len()..]);
        // An underscore joins the parts of a quantisation's name: it ends none, and begins only what is more than a part.
        let whole = quant.contains(|c: char| c.is_ascii_digit()) && quant.contains(|c: char| c.is_ascii_alphabetic());
        let alone = (before.is_empty() || before.ends_with(['-', '.', '/']) || (whole && before.ends_with('_')))
            && (after.is_empty() || after.starts_with(['-', '.', '/']));
        let variant = before.strip_suffix("ud-").is_some_and(|b| b.is_empty() || b.ends_with(['-', '.', '_', '/']));
        alone.then_some(if variant { Fit::Variant } else { Fit::Exact })
    });
    found.min()
}

fn stem(name: &str) -> &str {
    if is_gguf(name) { &name[..name.len() - 5] } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantisations_are_words() {
        use Fit::{Exact, Variant};
        for (name, quant, fit) in [
            ("Qwen3-0.6B-Q4_K_M.gguf", "Q4_K_M", Some(Exact)),
            ("qwen3-0.6b-q4_k_m.gguf", "Q4_K_M", Some(Exact)),
            ("model.Q4_K_M.gguf", "q4_k_m", Some(Exact)),
            ("model_Q4_K_M.gguf", "Q4_K_M", Some(Exact)),
            ("Q4_K_M.gguf", "Q4_K_M", Some(Exact)),
            ("Q4_K_M/model-00001-of-00003.gguf", "Q4_K_M", Some(Exact)),
            ("x-Q4_K_M-00001-of-00003.gguf", "Q4_K_M", Some(Exact)),
            ("x.i1-Q4_K_M.gguf", "Q4_K_M", Some(Exact)),
            ("x-UD-Q4_K_M.gguf", "Q4_K_M", Some(Variant)),
            ("x-UD-Q4_K_M.gguf", "UD-Q4_K_M", Some(Exact)),
            ("x-SUD-Q4_K_M.gguf", "Q4_K_M", Some(Exact)),
            ("x-Q4_K_M.gguf", "Q4_K", None),
            ("x-Q4_K_M.gguf", "K_M", None),
            ("x-Q8_0.gguf", "0", None),
            ("x-IQ4_XS.gguf", "Q4_XS", None),
            ("x-Q8_0_L.gguf", "Q8_0", None),
            ("x-BF16.gguf", "F16", None),
            ("x-F16.gguf", "f16", Some(Exact)),
        ] {
            assert_eq!(bears(name, quant), fit, "{quant} in {name}");
        }
    }

    #[test]
    fn splits() {
        let second = split("Q8_0/x-Q8_0-00002-of-00003.gguf").unwrap();
        assert_eq!((second.base, second.part, second.parts), ("Q8_0/x-Q8_0", 2, 3));
        for whole in
            ["x.gguf", "x-00000-of-00003.gguf", "x-00004-of-00003.gguf", "x-1-of-3.gguf", "00001-of-00003.gguf"]
        {
            assert_eq!(split(whole), None, "{whole}");
        }
    }

    #[test]
    fn companions_are_no_models() {
        for name in
            ["mmproj-F16.gguf", "x-mmproj-f16.gguf", "sub/mmproj.gguf", "imatrix.gguf", "x.imatrix.gguf", "a.bin"]
        {
            assert!(!is_model(name), "{name}");
        }
        assert!(is_model("x-imatrix-Q4_K_M.gguf") && is_model("mmproj-files/x-Q4_K_M.gguf"));
    }
}
