//! One line of a file as a question.

use std::sync::Arc;

use lethe_model::Message;
use serde_json::{Map, Value};

use super::error::Fault;
use super::fields::{Fields, Part};
use super::{INSTRUCTION, Reading};
use crate::answers::{Answers, boxes};
use crate::question::Question;

/// A message of a file.
#[derive(serde::Deserialize)]
struct Said {
    role: String,
    content: String,
}

/// The question of line `number`, in a file called `file`.
pub(super) fn question(text: &str, reading: &Reading, file: &str, number: usize) -> Result<Question, Fault> {
    let Value::Object(line) = serde_json::from_str(text)? else { return Err(Fault::NoObject) };
    let fields = &reading.fields;
    let name = |part| match find(&line, fields, part) {
        Some((field, value)) => Ok(Some(scalar(field, value)?)),
        None => match fields.named(part) {
            Some(_) => Err(missing(&line, fields, part)),
            None => Ok(None),
        },
    };
    Ok(Question {
        task: name(Part::Task)?.unwrap_or_else(|| file.to_owned()),
        id: name(Part::Id)?.unwrap_or_else(|| number.to_string()),
        turns: vec![messages(&line, fields)?],
        max_tokens: vec![reading.max_tokens],
        grader: Arc::new(Answers { right: answers(&line, fields)? }),
    })
}

/// A part and the name it was found under.
fn find<'a, 'f>(line: &'a Map<String, Value>, fields: &'f Fields, part: Part) -> Option<(&'f str, &'a Value)> {
    let walk = |name: &str| {
        let mut steps = name.split('.');
        let first = line.get(steps.next()?);
        line.get(name).or_else(|| steps.try_fold(first?, |value, step| value.get(step))).filter(|v| !v.is_null())
    };
    fields.names(part).into_iter().find_map(|name| Some((name, walk(name)?)))
}

fn missing(line: &Map<String, Value>, fields: &Fields, part: Part) -> Fault {
    let names = fields.names(part).into_iter().map(str::to_owned).collect();
    Fault::Missing { part, names, have: line.keys().cloned().collect() }
}

fn kind(field: &str, expected: &'static str) -> Fault {
    Fault::Kind { field: field.to_owned(), expected }
}

/// A text or a number, as text.
fn scalar(field: &str, value: &Value) -> Result<String, Fault> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(kind(field, "text or a number")),
    }
}

fn messages(line: &Map<String, Value>, fields: &Fields) -> Result<Vec<Message>, Fault> {
    let asked = fields.named(Part::Question).is_some();
    if let Some((field, value)) = find(line, fields, Part::Messages).filter(|_| !asked) {
        let expected = "a list of messages, each with a role and content in text";
        let said: Vec<Said> = serde_json::from_value(value.clone()).map_err(|_| kind(field, expected))?;
        let messages: Vec<Message> = said.into_iter().map(|said| Message::new(said.role, said.content)).collect();
        return if messages.is_empty() { Err(Fault::Nothing { field: field.to_owned() }) } else { Ok(messages) };
    }
    if fields.named(Part::Messages).is_some() {
        return Err(missing(line, fields, Part::Messages));
    }
    let (field, value) = find(line, fields, Part::Question).ok_or_else(|| missing(line, fields, Part::Question))?;
    let text = value.as_str().ok_or_else(|| kind(field, "text"))?.trim();
    Ok(vec![Message::new("user", format!("{text}\n{INSTRUCTION}"))])
}

/// The right answers: as they are, or what a worked solution ends in.
fn answers(line: &Map<String, Value>, fields: &Fields) -> Result<Vec<String>, Fault> {
    let (field, value) = find(line, fields, Part::Answer).ok_or_else(|| missing(line, fields, Part::Answer))?;
    let all = match value {
        Value::Array(all) => all.iter().map(|one| scalar(field, one)).collect::<Result<Vec<_>, _>>()?,
        one => vec![scalar(field, one)?],
    };
    if all.is_empty() {
        return Err(Fault::Nothing { field: field.to_owned() });
    }
    all.iter()
        .map(|text| match result(text) {
            "" => Err(kind(field, "an answer: nothing is left of it")),
            text => Ok(text.to_owned()),
        })
        .collect()
}

/// What stands behind `####`, else in the last box, else the text itself.
fn result(text: &str) -> &str {
    let boxed = || boxes(text).last().map(|(_, inner)| *inner);
    text.rsplit_once("####").map(|(_, after)| after).or_else(boxed).unwrap_or(text).trim()
}
