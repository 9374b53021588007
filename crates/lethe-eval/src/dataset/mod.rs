//! Questions that others wrote, from files of JSON lines.
//!
//! A line is an object with `messages` and `answers`; or as GSM8K has it, with `question` and an `answer` that ends in
//! `#### n`; or as MATH-500 has it, with `problem`, `answer` and `unique_id`. Other names are said by [`Fields`].

mod error;
mod fields;
mod line;
mod lines;
pub mod samples;

use std::collections::HashMap;
use std::io::BufReader;
use std::path::Path;

pub use error::DatasetError;
pub use fields::{BadField, Fields};
pub(crate) use lines::lines;
pub use lines::{LONGEST, LineError};

use crate::question::Question;

/// Said after a question that comes without messages.
pub const INSTRUCTION: &str = "Think step by step and put the final answer in \\boxed{}.";

/// How a file is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Where the parts of a line are.
    pub fields: Fields,
    /// Most questions, the first of the file; `None` is all.
    pub limit: Option<usize>,
    /// Most new tokens of each answer.
    pub max_tokens: usize,
}

impl Default for Reading {
    fn default() -> Reading {
        Reading { fields: Fields::default(), limit: None, max_tokens: 2048 }
    }
}

/// The questions of a file, in its order. Their task is that of the line, or else the name of the file without its
/// ending; their id is that of the line, or else its number.
///
/// # Errors
/// [`DatasetError`], with file and line, for the first line that is no question.
pub fn read(path: &Path, reading: &Reading) -> Result<Vec<Question>, DatasetError> {
    let unreadable = |source| DatasetError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let name = path.file_stem().map_or_else(|| "dataset".into(), |name| name.to_string_lossy().into_owned());
    let mut questions = Vec::new();
    let mut seen = HashMap::new(); // (task, id) -> line
    for (line, text) in lines(BufReader::new(file), LONGEST) {
        if reading.limit == Some(questions.len()) {
            break;
        }
        let bad = |fault| DatasetError::Line { path: path.to_owned(), line, fault };
        let text = text.map_err(|fault| bad(fault.into()))?;
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            continue;
        }
        let question = line::question(text, reading, &name, line).map_err(bad)?;
        let key = (question.task.clone(), question.id.clone());
        if let Some(first) = seen.insert(key, line) {
            return Err(bad(error::Fault::SameId { id: question.id, first }));
        }
        questions.push(question);
    }
    if questions.is_empty() {
        return Err(DatasetError::Empty { path: path.to_owned() });
    }
    Ok(questions)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a file of this text.
    fn from(name: &str, text: &str, reading: &Reading) -> Result<Vec<Question>, DatasetError> {
        let folder = std::env::temp_dir().join(format!("lethe-dataset-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{name}.jsonl"));
        std::fs::write(&path, text).unwrap();
        let questions = read(&path, reading);
        std::fs::remove_dir_all(&folder).unwrap();
        questions
    }

    fn said(question: &Question) -> Vec<(&str, &str)> {
        question.turns[0].iter().map(|m| (m.role.as_str(), m.content.as_str())).collect()
    }

    #[test]
    fn messages_and_answers() {
        let text = r#"{"id": "a-0", "task": "gsm", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+1? 2+2?"}], "answers": ["2", "4"]}

{"id": "a-1", "messages": [{"role": "user", "content": "3+3?"}], "answers": [6]}
"#;
        let questions = from("sums", text, &Reading::default()).unwrap();
        let [first, second] = &questions[..] else { panic!("{questions:?}") };
        assert_eq!((first.task.as_str(), first.id.as_str()), ("gsm", "a-0"));
        assert_eq!((second.task.as_str(), second.id.as_str()), ("sums", "a-1"));
        assert_eq!(said(first), [("system", "Be brief."), ("user", "1+1? 2+2?")]);
        assert_eq!(first.max_tokens, [2048]);
        assert!(first.grader.grade(0, r"\boxed{2} \boxed{4}").all());
        assert_eq!(first.grader.grade(0, r"\boxed{4}").right, [false, false]);
        assert!(second.grader.grade(0, "It is 6.").all());
    }

    #[test]
    fn as_gsm8k_and_math_500_have_it() {
        let text = r##"{"question": "How many?", "answer": "She has 3 * 4 = <<3*4=12>>12.\n#### 1,200"}
{"problem": "Simplify.", "solution": "It is $\\boxed{\\frac{1}{2}}$.", "answer": "\\frac{1}{2}", "unique_id": "test/algebra/1.json", "subject": "Algebra", "level": 2}
{"problem": "Again.", "solution": "It is $\\boxed{7}$.", "unique_id": "test/algebra/2.json"}
"##;
        let questions = from("mixed", text, &Reading { max_tokens: 99, ..Reading::default() }).unwrap();
        assert_eq!(
            questions.iter().map(|q| q.id.as_str()).collect::<Vec<_>>(),
            ["1", "test/algebra/1.json", "test/algebra/2.json"]
        );
        assert_eq!(said(&questions[0]), [("user", format!("How many?\n{INSTRUCTION}").as_str())]);
        assert_eq!(questions[0].max_tokens, [99]);
        assert!(questions[0].grader.grade(0, "1200").all());
        assert!(questions[1].grader.grade(0, r"\boxed{0.5}").all());
        assert!(questions[2].grader.grade(0, r"\boxed{7}").all());
    }

    #[test]
    fn fields_have_other_names() {
        let mut fields = Fields::default();
        for field in ["question=data.prompt", "answer=gold", "id=key"] {
            fields.set(field).unwrap();
        }
        let text = r#"{"key": 17, "data": {"prompt": "2*3?"}, "gold": 6, "question": "not this"}"#;
        let questions = from("fields", text, &Reading { fields, ..Reading::default() }).unwrap();
        assert_eq!(questions[0].id, "17");
        assert!(said(&questions[0])[0].1.starts_with("2*3?\n"));
    }

    #[test]
    fn the_limit_ends_the_reading() {
        let text = "{\"question\": \"a\", \"answer\": 1}\n{\"question\": \"b\", \"answer\": 2}\nno json\n";
        assert_eq!(from("limit", text, &Reading { limit: Some(2), ..Reading::default() }).unwrap().len(), 2);
        assert!(from("limited", text, &Reading { limit: Some(3), ..Reading::default() }).is_err());
    }

    #[test]
    fn errors_say_where_and_what_to_do() {
        for (name, text, words) in [
            ("empty", "\n\n", &["no question"][..]),
            ("json", "{\"question\": \"a\", \"answer\": 1}\n{\"question\": ", &["line 2", "JSON"]),
            ("list", "[1]", &["line 1", "object"]),
            ("nothing", r#"{"text": "a", "answer": 1}"#, &["line 1", "question", "text, answer", "--field question="]),
            ("gold", r#"{"question": "a"}"#, &["line 1", "answer", "--field answer="]),
            ("kind", r#"{"question": 3, "answer": 1}"#, &["line 1", "`question`", "text"]),
            (
                "said",
                r#"{"messages": [{"role": "user"}], "answers": ["1"]}"#,
                &["line 1", "`messages`", "role", "content"],
            ),
            ("none", r#"{"messages": [], "answers": ["1"]}"#, &["line 1", "`messages`", "empty"]),
            ("zero", r#"{"question": "a", "answers": []}"#, &["line 1", "`answers`", "empty"]),
            (
                "twice",
                "{\"id\": 1, \"question\": \"a\", \"answer\": 1}\n\n{\"id\": 1, \"question\": \"b\", \"answer\": 2}",
                &["line 3", "`1`", "line 1"],
            ),
        ] {
            let error = from(name, text, &Reading::default()).unwrap_err().to_string();
            for word in words.iter().chain(&[name]) {
                assert!(error.contains(word), "{word} in {error}");
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let latin = folder.path().join("latin.jsonl");
        std::fs::write(&latin, b"{\"question\": \"a\", \"answer\": 1}\n{\"question\": \"caf\xe9\", \"answer\": 1}\n")
            .unwrap();
        let error = read(&latin, &Reading::default()).unwrap_err().to_string();
        for word in ["latin.jsonl", "line 2", "byte 18", "convert it to UTF-8"] {
            assert!(error.contains(word), "{word} in {error}");
        }
        let error = read(Path::new("/no/such/file.jsonl"), &Reading::default()).unwrap_err().to_string();
        assert!(error.contains("/no/such/file.jsonl"), "{error}");
    }
}
