//! Guessing what a mistyped word was meant to be.

/// The known word most like `word`: one that starts with it or differs by at most a third of its letters.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    known
        .into_iter()
        .map(|candidate| {
            let begun = word.len() >= 3 && candidate.starts_with(&word);
            (if begun { 0 } else { edits(&word, candidate) }, candidate)
        })
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The question whether that was meant, to stand behind the word in an error; nothing where there is no such word.
pub fn meant(nearest: &Option<&str>) -> String {
    nearest.map(|word| format!(" (did you mean `{word}`?)")).unwrap_or_default()
}

/// Levenshtein distance: insertions, deletions and replacements between two words.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect(); // distance of the letters of `a` so far to each start of `b`
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        assert_eq!(edits("", "cap"), 3);
        assert_eq!(edits("cap", "cap"), 0);
        assert_eq!(edits("halflife", "half_life"), 1);
        assert_eq!(edits("kitten", "sitting"), 3);
    }

    #[test]
    fn a_slip_is_found_and_a_stranger_is_not() {
        let keys = ["cap", "budget", "half_life", "recent_ratio"];
        assert_eq!(nearest("halflife", keys), Some("half_life"));
        assert_eq!(nearest("Budgett", keys), Some("budget"));
        assert_eq!(nearest("recent", keys), Some("recent_ratio"));
        assert_eq!(nearest("temperature", keys), None);
    }
}
