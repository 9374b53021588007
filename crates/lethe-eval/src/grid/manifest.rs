//! What a folder of results came from.

use std::path::Path;

use lethe_model::Message;
use lethe_policy::{Context, PolicyError, PolicySpec};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::subject::hash_texts;
use super::{Draws, Fitted, Grid, GridError, Protection, Subject, Suite, fit};
use crate::question::Question;

/// Everything that results depend on, and what identifies it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of Lethe.
    pub lethe: String,
    /// The commits of the builds that ran in the folder, first to last, where `LETHE_COMMIT` said them.
    pub commit: Option<String>,
    /// Name of the model.
    pub model: String,
    /// SHA-256 of its weights.
    pub model_sha256: String,
    /// Whether weights were multiplied as they are stored.
    pub exact: bool,
    /// SHA-256 of its chat template.
    pub template_sha256: String,
    /// Variables of the template.
    pub template_args: Map<String, Value>,
    /// Instructions of the CPU that were used: results are the same bits only under the same ones.
    pub cpu: String,
    /// Element type of cached keys and values.
    pub kv_dtype: String,
    /// How answers were drawn; absent where they are greedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draws: Option<Draws>,
    /// Seed of the problems, the draws and the bootstrap.
    pub seed: u64,
    /// The tasks.
    pub tasks: Vec<Task>,
    /// The policies as asked for, `full` apart.
    pub policies: Vec<String>,
    /// The budgets as asked for.
    pub budgets: Vec<String>,
    /// Protection of the prompt.
    pub protect: Vec<String>,
    /// The policies with all their options, those that nobody named too, at 1024 slots without a prompt: rows of
    /// one folder have the same defaults. Empty where an earlier version wrote it.
    #[serde(default)]
    pub resolved: Vec<String>,
}

/// The budget under which [`Manifest::resolved`] has its options.
const SLOTS: usize = 1024;

/// Questions of one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Its name.
    pub task: String,
    /// How hard generated problems are.
    pub level: Option<f64>,
    /// Fewest and most slots that a right answer fills, where they were chosen by it.
    #[serde(default)]
    pub slots: Option<[usize; 2]>,
    /// How many there are.
    pub problems: usize,
    /// SHA-256 of their texts, limits and right answers.
    pub sha256: String,
}

impl Task {
    /// The first `problems` of a suite.
    fn new(suite: &Suite, problems: usize) -> Task {
        let questions = &suite.questions[..problems.min(suite.questions.len())];
        let texts: Vec<String> = questions.iter().map(text).collect();
        Task {
            task: suite.task.clone(),
            level: suite.level,
            slots: suite.slots,
            problems: questions.len(),
            sha256: hash_texts(texts.iter().map(String::as_str)),
        }
    }
}

/// All that is asked, and what is right, as one text.
fn text(question: &Question) -> String {
    let said = |message: &Message| format!("{}: {}\n", message.role, message.content);
    let turn = |(messages, limit): (&Vec<Message>, &usize)| -> String {
        messages.iter().map(said).collect::<String>() + &format!("{limit}\n")
    };
    let turns: String = question.turns.iter().zip(&question.max_tokens).map(turn).collect();
    format!("{}\n{turns}{:?}\n", question.id, question.grader)
}

/// A policy with all its options. They may depend on the model, but not on how much runs at once.
fn resolved(policy: &PolicySpec, layers: usize) -> Result<String, PolicyError> {
    let context = Context { layers, slots_per_layer: 1 << 20, max_num_seqs: 1, max_positions: 1 << 20 };
    let Fitted { policy, .. } = fit(policy, 0, SLOTS, Protection::On, &context)?;
    let options = policy.build(&context)?.options();
    let options: Vec<String> = options.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    Ok(format!("{}:{}", policy.name(), options.join(",")))
}

impl Manifest {
    /// Of a grid that is about to run.
    pub(super) fn new(grid: &Grid, subject: &Subject) -> Result<Manifest, GridError> {
        let (_, template) = subject.speech()?;
        let resolve = |policy: &PolicySpec| {
            resolved(policy, subject.model.config.n_layers)
                .map_err(|source| GridError::Unfit { policy: policy.to_string(), source })
        };
        Ok(Manifest {
            lethe: env!("CARGO_PKG_VERSION").to_owned(),
            commit: std::env::var("LETHE_COMMIT").ok().filter(|commit| !commit.is_empty()),
            model: subject.name.clone(),
            model_sha256: subject.sha256.clone(),
            exact: subject.exact,
            template_sha256: hash_texts([template.source()]),
            template_args: grid.template_args.clone(),
            cpu: subject.model.decoder.backend.cpu().level().to_string(),
            kv_dtype: grid.engine.kv_dtype.name().to_owned(),
            draws: grid.draws,
            seed: grid.seed,
            tasks: grid.suites.iter().map(|suite| Task::new(suite, usize::MAX)).collect(),
            policies: grid.policies.iter().map(ToString::to_string).collect(),
            budgets: grid.budgets.iter().map(ToString::to_string).collect(),
            protect: grid.protections.iter().map(ToString::to_string).collect(),
            resolved: grid.policies.iter().map(resolve).collect::<Result<_, _>>()?,
        })
    }

    /// Reads the manifest at `path`.
    ///
    /// # Errors
    /// [`GridError::Io`], [`GridError::Json`].
    pub fn read(path: &Path) -> Result<Manifest, GridError> {
        let text = std::fs::read_to_string(path).map_err(|source| GridError::Io { path: path.to_owned(), source })?;
        serde_json::from_str(&text).map_err(|source| GridError::Json {
            path: path.to_owned(),
            line: source.line(),
            source,
        })
    }

    /// As text, a line for each field.
    pub(super) fn text(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Goes on in a folder whose manifest is `before`, at `path`. What was run there may stand beside this grid's results
    /// if all is the same, but that a task may have got more problems at its end, and that the build may be another.
    pub(super) fn follow(&mut self, before: &Manifest, path: &Path, grid: &Grid) -> Result<(), GridError> {
        self.commit = match (&before.commit, &self.commit) {
            (Some(before), Some(now)) if !before.ends_with(now.as_str()) => Some(format!("{before}, {now}")),
            (Some(before), _) => Some(before.clone()),
            (None, now) => now.clone(),
        };
        let mut now = self.clone();
        now.commit = before.commit.clone();
        for (task, suite) in now.tasks.iter_mut().zip(&grid.suites) {
            if let Some(old) = before.tasks.iter().find(|old| old.task == task.task && old.problems < task.problems) {
                *task = Task::new(suite, old.problems);
            }
        }
        let json = |manifest: &Manifest| match serde_json::to_value(manifest) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        let (was, now) = (json(before), json(&now));
        for (field, now) in now {
            let was = was.get(&field).unwrap_or(&Value::Null);
            if *was != now {
                let [was, now] = difference(was, &now);
                return Err(GridError::Differs { path: path.to_owned(), field, was, now });
            }
        }
        Ok(())
    }
}

/// Two values that differ, of lists only the first entry that does.
fn difference(was: &Value, now: &Value) -> [String; 2] {
    if let (Value::Array(was), Value::Array(now)) = (was, now)
        && was.len() == now.len()
        && let Some((was, now)) = was.iter().zip(now).find(|(was, now)| was != now)
    {
        return [was.to_string(), now.to_string()];
    }
    [was.to_string(), now.to_string()]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::answers::Answers;

    #[test]
    fn options_that_nobody_named_are_told() {
        let told = |policy: &str| resolved(&PolicySpec::parse(policy).unwrap(), 6).unwrap();
        assert!(told("recency").starts_with("recency:") && told("recency").contains("sinks="), "{}", told("recency"));
        assert_ne!(told("lethe"), told("lethe:half_life=17"));
        for info in lethe_policy::registry().into_iter().filter(|info| !["full", "auto"].contains(&info.name)) {
            assert!(told(info.name).contains('='), "{}", info.name);
        }
    }

    #[test]
    fn other_answers_are_another_task() {
        let suite = |right: &str| Suite {
            task: "t".into(),
            level: None,
            slots: None,
            questions: vec![Question {
                task: "t".into(),
                id: "1".into(),
                turns: vec![vec![Message::new("user", "1+1?")]],
                max_tokens: vec![9],
                grader: Arc::new(Answers { right: vec![right.into()] }),
            }],
        };
        let hash = |right| Task::new(&suite(right), 1).sha256;
        assert_eq!(hash("2"), hash("2"));
        assert_ne!(hash("2"), hash("3"));
    }
}
