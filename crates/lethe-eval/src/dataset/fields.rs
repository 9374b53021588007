//! Where the parts of a question are in a line.

use std::fmt;

/// A part of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its name.
    Id,
    /// What it belongs to.
    Task,
    /// A conversation to answer.
    Messages,
    /// A text to answer.
    Question,
    /// The right answer, or several.
    Answer,
}

impl Part {
    const ALL: [Part; 5] = [Part::Id, Part::Task, Part::Messages, Part::Question, Part::Answer];

    fn name(self) -> &'static str {
        match self {
            Part::Id => "id",
            Part::Task => "task",
            Part::Messages => "messages",
            Part::Question => "question",
            Part::Answer => "answer",
        }
    }

    /// Names under which files have it, in the order in which they are looked for.
    fn usual(self) -> &'static [&'static str] {
        match self {
            Part::Id => &["id", "unique_id"],
            Part::Task => &["task"],
            Part::Messages => &["messages"],
            Part::Question => &["question", "problem"],
            Part::Answer => &["answers", "answer", "solution"],
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A field that cannot be named so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` names no field: give PART=NAME, such as question=prompt; parts are {}", Part::ALL.map(Part::name).join(", "))]
pub struct BadField {
    /// What was given.
    pub text: String,
}

/// The names of fields. Names with points lead into objects: `data.prompt`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    named: Vec<(Part, String)>,
}

impl Fields {
    /// Takes `PART=NAME`, such as `question=prompt`. A question of that name is wanted instead of messages, and the other
    /// way round.
    ///
    /// # Errors
    /// [`BadField`] if it reads otherwise or there is no such part.
    pub fn set(&mut self, text: &str) -> Result<(), BadField> {
        let bad = || BadField { text: text.to_owned() };
        let (part, name) = text.split_once('=').ok_or_else(bad)?;
        let (part, name) = (part.trim(), name.trim());
        // The files' own plural will do.
        let known = Part::ALL.into_iter().find(|p| p.name() == part || (*p == Part::Answer && part == "answers"));
        let part = known.filter(|_| !name.is_empty()).ok_or_else(bad)?;
        self.named.retain(|(other, _)| *other != part);
        self.named.push((part, name.to_owned()));
        Ok(())
    }

    /// The names to look for a part under, in this order.
    pub(super) fn names(&self, part: Part) -> Vec<&str> {
        match self.named(part) {
            Some(name) => vec![name],
            None => part.usual().to_vec(),
        }
    }

    /// The name that was given for a part.
    pub(super) fn named(&self, part: Part) -> Option<&str> {
        self.named.iter().find(|(named, _)| *named == part).map(|(_, name)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_set() {
        let mut fields = Fields::default();
        assert_eq!(fields.names(Part::Id), ["id", "unique_id"]);
        fields.set("id=key").unwrap();
        fields.set("id = name").unwrap();
        fields.set("answers=gold").unwrap();
        assert_eq!((fields.names(Part::Id), fields.names(Part::Answer)), (vec!["name"], vec!["gold"]));
        for bad in ["id", "id=", "=x", "prompt=x", ""] {
            let error = fields.set(bad).unwrap_err().to_string();
            assert!(error.contains("PART=NAME") && error.contains("messages"), "{error}");
        }
    }
}
