//! Questions from a file instead of generated ones.

use std::path::PathBuf;

use lethe_eval::dataset::{Fields, Reading, read};
use lethe_eval::grid::Suite;
use lethe_eval::question::Question;

use crate::Fault;

/// Which file, and how it is read.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct DatasetArgs {
    /// Questions from a file of JSON lines: messages and answers, or question and answer as GSM8K and MATH-500 have them
    #[arg(long, value_name = "FILE")]
    pub(crate) dataset: Option<PathBuf>,
    /// Where a part of a line is, such as question=prompt or answer=data.gold; parts are id, task, messages, question,
    /// answer (may be given several times)
    #[arg(long, value_name = "PART=NAME", requires = "dataset", value_parser = field)]
    field: Vec<String>,
    /// Only the first N questions of the file
    #[arg(long, value_name = "N", requires = "dataset", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Most new tokens of an answer, thinking included [default: 2048; for generated problems a quarter more than the
    /// right answer takes, and 32]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) max_tokens: Option<usize>,
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n > 0).ok_or_else(|| "expected a whole number from 1 on".to_owned())
}

fn field(text: &str) -> Result<String, String> {
    Fields::default().set(text).map(|()| text.to_owned()).map_err(|e| e.to_string())
}

impl DatasetArgs {
    /// The questions of the file, if one is named.
    pub(crate) fn questions(&self) -> Result<Option<Vec<Question>>, Fault> {
        let Some(path) = &self.dataset else { return Ok(None) };
        let mut fields = Fields::default();
        for text in &self.field {
            fields.set(text)?;
        }
        let limit = self.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let defaults = Reading::default();
        let max_tokens = self.max_tokens.unwrap_or(defaults.max_tokens);
        Ok(Some(read(path, &Reading { fields, limit, max_tokens })?))
    }

    /// The questions of the file by task, in the order in which tasks first come.
    pub(crate) fn suites(&self) -> Result<Option<Vec<Suite>>, Fault> {
        let Some(questions) = self.questions()? else { return Ok(None) };
        let mut suites: Vec<Suite> = Vec::new();
        for question in questions {
            match suites.iter_mut().find(|suite| suite.task == question.task) {
                Some(suite) => suite.questions.push(question),
                None => suites.push(Suite {
                    task: question.task.clone(),
                    level: None,
                    slots: None,
                    questions: vec![question],
                }),
            }
        }
        Ok(Some(suites))
    }

    /// Gives every answer the limit that was asked for, if one was.
    pub(crate) fn limit_answers(&self, suites: &mut [Suite]) {
        let Some(most) = self.max_tokens else { return };
        for question in suites.iter_mut().flat_map(|suite| &mut suite.questions) {
            question.max_tokens.fill(most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: DatasetArgs,
    }

    fn parse(words: &[&str]) -> Result<DatasetArgs, String> {
        let words = ["eval"].iter().chain(words);
        Cli::try_parse_from(words).map(|cli| cli.args).map_err(|e| e.to_string())
    }

    #[test]
    fn questions_come_by_task() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sums.jsonl");
        let line =
            |id: &str, task: &str| format!(r#"{{"id": "{id}", "task": "{task}", "prompt": "1+1?", "answer": 2}}"#);
        std::fs::write(&path, [line("0", "a"), line("1", "b"), line("2", "a"), line("3", "c")].join("\n")).unwrap();
        let file = path.to_str().unwrap();
        let args =
            parse(&["--dataset", file, "--field", "question=prompt", "--limit", "3", "--max-tokens", "50"]).unwrap();
        let mut suites = args.suites().unwrap().unwrap();
        let ids: Vec<Vec<&str>> = suites.iter().map(|s| s.questions.iter().map(|q| q.id.as_str()).collect()).collect();
        assert_eq!(ids, [vec!["0", "2"], vec!["1"]]);
        assert_eq!(suites[0].questions[0].max_tokens, [50]);
        suites[1].questions[0].max_tokens = vec![1];
        args.limit_answers(&mut suites);
        assert_eq!(suites[1].questions[0].max_tokens, [50]);
        let without = parse(&["--dataset", file]).unwrap().questions().unwrap_err().to_string();
        assert!(without.contains("--field question=NAME"), "{without}");
    }

    #[test]
    fn words_are_checked() {
        assert!(parse(&[]).unwrap().questions().unwrap().is_none());
        for (words, said) in [
            (&["--field", "id=key"][..], "--dataset"),
            (&["--dataset", "x", "--field", "prompt=x"], "PART=NAME"),
            (&["--dataset", "x", "--limit", "0"], "--limit"),
            (&["--max-tokens", "0"], "1 on"),
        ] {
            let error = parse(words).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
