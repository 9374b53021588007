//! What a line of a conversation asks for: words for the model, or a command for the program.

use std::fmt::Write;
use std::path::PathBuf;

use lethe_policy::{PolicyError, PolicySpec, meant, nearest};

use super::lines::Typed;
use super::setting::{Setting, SettingError};

/// What a turn of the user is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    /// Blank.
    Nothing,
    /// For the model.
    Say(String),
    /// For the program.
    Obey(Command),
}

/// A command with what was said after it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    Help,
    /// Shows the policy, or names the one of the turns to come.
    Policy(Option<PolicySpec>),
    Stats,
    /// Shows the system message, or replaces it; an empty text removes it.
    System(Option<String>),
    Clear,
    Undo,
    Retry,
    /// Shows all settings, or changes one.
    Set(Option<Setting>),
    Save(PathBuf),
    Load(PathBuf),
    Exit,
}

/// How a command is written.
pub(crate) struct Form {
    /// Its word, slash included.
    pub(crate) word: &'static str,
    /// Other words for it.
    aliases: &'static [&'static str],
    pub(crate) argument: Argument,
    help: &'static str,
    /// What it is with `argument` after it, empty where there is none.
    read: fn(&str) -> Result<Command, CommandError>,
}

/// What may follow the word of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Argument {
    Nothing,
    Optional(&'static str),
    Needed(&'static str),
}

/// Every command, in the order of the help.
pub(crate) const FORMS: [Form; 11] = [
    Form { word: "/help", aliases: &["/?"], argument: Argument::Nothing, help: "this", read: |_| Ok(Command::Help) },
    Form {
        word: "/policy",
        aliases: &[],
        argument: Argument::Optional("NAME:key=value,..."),
        help: "read the conversation anew under this policy; alone: which it is, and what it did",
        read: |spec| Ok(Command::Policy(given(spec).map(PolicySpec::parse).transpose()?)),
    },
    Form {
        word: "/stats",
        aliases: &[],
        argument: Argument::Nothing,
        help: "what the cache holds, layer by layer, and what the turns cost",
        read: |_| Ok(Command::Stats),
    },
    Form {
        word: "/system",
        aliases: &[],
        argument: Argument::Optional("TEXT"),
        help: "the system message from the next turn on, \"\" for none; alone: which it is",
        read: |text| Ok(Command::System(given(text).map(|text| if text == "\"\"" { "" } else { text }.to_owned()))),
    },
    Form {
        word: "/clear",
        aliases: &["/reset"],
        argument: Argument::Nothing,
        help: "forget the conversation; system message, policy and settings stay",
        read: |_| Ok(Command::Clear),
    },
    Form {
        word: "/undo",
        aliases: &[],
        argument: Argument::Nothing,
        help: "drop the last question and its answer",
        read: |_| Ok(Command::Undo),
    },
    Form {
        word: "/retry",
        aliases: &["/regen"],
        argument: Argument::Nothing,
        help: "answer the last question again, with the next seed",
        read: |_| Ok(Command::Retry),
    },
    Form {
        word: "/set",
        aliases: &[],
        argument: Argument::Optional("KEY VALUE"),
        help: "temperature, top_p, top_k, min_p, seed, max_tokens, reasoning_budget; alone: their values",
        read: |setting| Ok(Command::Set(given(setting).map(Setting::parse).transpose()?)),
    },
    Form {
        word: "/save",
        aliases: &[],
        argument: Argument::Needed("FILE"),
        help: "write the conversation as JSON messages",
        read: |file| Ok(Command::Save(file.into())),
    },
    Form {
        word: "/load",
        aliases: &[],
        argument: Argument::Needed("FILE"),
        help: "go on from such a file, in place of this conversation",
        read: |file| Ok(Command::Load(file.into())),
    },
    Form {
        word: "/exit",
        aliases: &["/quit", "/bye"],
        argument: Argument::Nothing,
        help: "end, as Ctrl-D does",
        read: |_| Ok(Command::Exit),
    },
];

fn given(argument: &str) -> Option<&str> {
    Some(argument).filter(|text| !text.is_empty())
}

/// A command that cannot be carried out as it was written. Nothing was changed, nothing went to the model.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(
        "there is no command `{word}`{}; /help lists them, and a line for the model that begins with / is written with two",
        meant(.nearest)
    )]
    Unknown { word: String, nearest: Option<&'static str> },
    #[error("`{word}` takes nothing after it, and `{rest}` is there")]
    Surplus { word: &'static str, rest: String },
    #[error("`{word}` needs {argument} after it")]
    Missing { word: &'static str, argument: &'static str },
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Setting(#[from] SettingError),
}

/// Reads a turn of the user. What stood between `"""` is for the model, whatever it begins with.
///
/// # Errors
/// [`CommandError`] where it begins with one slash and is no command.
pub(crate) fn parse(typed: Typed) -> Result<Entry, CommandError> {
    let Typed { text, quoted } = typed;
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Ok(Entry::Nothing);
    }
    if quoted || !trimmed.starts_with('/') {
        return Ok(Entry::Say(text));
    }
    if trimmed.starts_with("//") {
        return Ok(Entry::Say(text.replacen("//", "/", 1)));
    }
    let (word, rest) = trimmed.split_once(char::is_whitespace).unwrap_or((trimmed, ""));
    let Some(form) = FORMS.iter().find(|form| form.word == word || form.aliases.contains(&word)) else {
        let nearest = nearest(word, FORMS.iter().map(|form| form.word));
        return Err(CommandError::Unknown { word: word.to_owned(), nearest });
    };
    let (word, rest) = (form.word, rest.trim());
    match form.argument {
        Argument::Nothing if !rest.is_empty() => Err(CommandError::Surplus { word, rest: rest.to_owned() }),
        Argument::Needed(argument) if rest.is_empty() => Err(CommandError::Missing { word, argument }),
        _ => (form.read)(rest).map(Entry::Obey),
    }
}

/// The list of commands, a line each, and how a turn is written.
pub(crate) fn help() -> String {
    let mut text = String::new();
    for Form { word, argument, help, .. } in FORMS {
        let written = match argument {
            Argument::Nothing => word.to_owned(),
            Argument::Optional(argument) => format!("{word} [{argument}]"),
            Argument::Needed(argument) => format!("{word} {argument}"),
        };
        let _ = writeln!(text, "{written:<28} {help}");
    }
    text + "A line that begins with // is sent with one slash. Lines between \"\"\" are one turn, sent as they are.\n\
            A line that ends in \\ goes on in the next."
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Entry, CommandError> {
        parse(Typed { text: text.to_owned(), quoted: false })
    }

    fn obeyed(text: &str) -> Command {
        match read(text) {
            Ok(Entry::Obey(command)) => command,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn refused(text: &str) -> String {
        read(text).expect_err(text).to_string()
    }

    #[test]
    fn words_go_to_the_model_as_they_are() {
        for text in ["Sort 5 3 9.", "  two \nlines ", "a /help", "1/2", "\\/help"] {
            assert_eq!(read(text).unwrap(), Entry::Say(text.to_owned()));
        }
        for blank in ["", " \n\t"] {
            assert_eq!(read(blank).unwrap(), Entry::Nothing);
        }
        assert_eq!(read("//etc//fstab").unwrap(), Entry::Say("/etc//fstab".to_owned()));
        assert_eq!(read(" ///").unwrap(), Entry::Say(" //".to_owned()));
        let quoted = Typed { text: "/help".to_owned(), quoted: true };
        assert_eq!(parse(quoted).unwrap(), Entry::Say("/help".to_owned()));
    }

    #[test]
    fn every_command_is_read_with_its_argument() {
        assert_eq!(obeyed(" /help "), Command::Help);
        assert_eq!(obeyed("/policy"), Command::Policy(None));
        assert_eq!(obeyed("/policy lethe:cap=80"), Command::Policy(Some("lethe:cap=80".parse().unwrap())));
        assert_eq!(obeyed("/stats"), Command::Stats);
        assert_eq!(obeyed("/system"), Command::System(None));
        assert_eq!(obeyed("/system  Be brief.\nVery. "), Command::System(Some("Be brief.\nVery.".to_owned())));
        assert_eq!(obeyed("/system \"\""), Command::System(Some(String::new())));
        assert_eq!(obeyed("/clear"), Command::Clear);
        assert_eq!(obeyed("/reset"), Command::Clear);
        assert_eq!(obeyed("/undo"), Command::Undo);
        assert_eq!(obeyed("/retry"), Command::Retry);
        assert_eq!(obeyed("/set"), Command::Set(None));
        assert_eq!(obeyed("/set seed 7"), Command::Set(Some(Setting::Seed(7))));
        assert_eq!(obeyed("/save a b.json"), Command::Save("a b.json".into()));
        assert_eq!(obeyed("/load\ta.json"), Command::Load("a.json".into()));
        for word in ["/exit", "/quit", "/bye"] {
            assert_eq!(obeyed(word), Command::Exit);
        }
    }

    #[test]
    fn the_help_names_every_command_and_each_is_known() {
        let help = help();
        for form in FORMS {
            assert!(help.contains(form.word));
            for word in form.aliases.iter().chain([&form.word]) {
                let said = read(word).map_err(|e| e.to_string());
                assert!(matches!(said, Ok(Entry::Obey(_))) || said.unwrap_err().contains("needs FILE"), "{word}");
            }
        }
    }

    #[test]
    fn mistakes_are_named_with_what_would_do() {
        assert!(refused("/polcy lethe").contains("`/polcy` (did you mean `/policy`?)"));
        assert!(refused("/etc/fstab is what?").contains("`/etc/fstab`; /help"));
        assert!(refused("/").contains("with two"));
        assert_eq!(refused("/undo 2"), "`/undo` takes nothing after it, and `2` is there");
        assert_eq!(refused("/save"), "`/save` needs FILE after it");
        assert_eq!(refused("/policy leth"), "leth".parse::<PolicySpec>().unwrap_err().to_string());
        assert_eq!(refused("/policy lethe:capp=3"), "lethe:capp=3".parse::<PolicySpec>().unwrap_err().to_string());
        assert!(refused("/set warmth 3").contains("warmth"));
    }
}
