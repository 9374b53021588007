//! What Tab makes of the beginning of a command.

use lethe_policy::{OptionKind, registry};

use super::command::{Argument, FORMS};
use super::setting::KEYS;

/// Where the word before the cursor begins, in bytes, and all that it may become. `line` ends at the cursor.
pub(crate) fn candidates(line: &str) -> (usize, Vec<String>) {
    let begin = line.len() - line.trim_start().len();
    match line[begin..].split_once(char::is_whitespace) {
        None if line[begin..].starts_with('/') => (begin, commands(&line[begin..])),
        Some((word, _)) => {
            let rest = line[begin + word.len()..].trim_start();
            let from = line.len() - rest.len();
            match word {
                "/policy" => policies(rest, from),
                "/set" => (from, continuing(rest, KEYS.into_iter().map(|key| format!("{key} ")))),
                _ => (line.len(), Vec::new()),
            }
        }
        None => (line.len(), Vec::new()),
    }
}

fn commands(word: &str) -> Vec<String> {
    let written = |form: &super::command::Form| match form.argument {
        Argument::Needed(_) => format!("{} ", form.word),
        _ => form.word.to_owned(),
    };
    continuing(word, FORMS.iter().map(written))
}

/// Of a policy written from byte `from` on: its name, the key of an option, or a value where there are words for it.
fn policies(spec: &str, from: usize) -> (usize, Vec<String>) {
    let Some((name, options)) = spec.split_once(':') else {
        return (from, continuing(spec, registry().iter().map(|policy| policy.name.to_owned())));
    };
    let policy = registry().into_iter().find(|policy| policy.name == name.trim());
    let options_of = policy.map_or(&[][..], |policy| policy.options);
    let part = options.rsplit(',').next().unwrap_or_default();
    let part_from = from + spec.len() - part.len();
    match part.split_once('=') {
        None => (part_from, continuing(part, options_of.iter().map(|option| format!("{}=", option.key)))),
        Some((key, value)) => {
            let words: &[&str] = match options_of.iter().find(|option| option.key == key).map(|option| option.kind) {
                Some(OptionKind::Choice(words)) => words,
                Some(OptionKind::CountOr { word, .. }) => &[word],
                _ => &[],
            };
            (from + spec.len() - value.len(), continuing(value, words.iter().map(|&word| word.to_owned())))
        }
    }
}

fn continuing(begun: &str, all: impl Iterator<Item = String>) -> Vec<String> {
    all.filter(|word| word.starts_with(begun)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line with each candidate in place.
    fn after(line: &str) -> Vec<String> {
        let (from, all) = candidates(line);
        all.into_iter().map(|word| format!("{}{word}", &line[..from])).collect()
    }

    #[test]
    fn commands_settings_and_policies_are_completed() {
        assert_eq!(after("/s"), ["/stats", "/system", "/set", "/save "]);
        assert_eq!(after("  /sa"), ["  /save "]);
        assert_eq!(after("/").len(), FORMS.len());
        assert_eq!(after("/set te"), ["/set temperature "]);
        assert_eq!(after("/set  t").len(), 3);
        assert_eq!(after("/policy ").len(), registry().len());
        assert_eq!(after("/policy let"), ["/policy lethe", "/policy lethe+"]);
        assert_eq!(after("/policy lethe:half"), ["/policy lethe:half_life="]);
        assert_eq!(after("/policy lethe:cap=3,inter"), ["/policy lethe:cap=3,interval="]);
        assert_eq!(
            after("/policy lethe:cap=3,protect_prompt=n"),
            ["/policy lethe:cap=3,protect_prompt=newest", "/policy lethe:cap=3,protect_prompt=none",]
        );
    }

    #[test]
    fn all_else_is_left_alone() {
        for line in ["", "Sort", "a /s", "/set temperature 0", "/policy none:c", "/policy lethe:cap=3", "/undo ", "//s"]
        {
            assert_eq!(after(line), [""; 0], "{line}");
        }
    }
}
