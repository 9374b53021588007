//! How far the model's predictions are from those of another program, every token given those before it.
//!
//! The other program's are a safetensors file of `ids [positions + 1]` (u32), and of what it predicts after each of the
//! first `positions` ids: `logprob [positions]` (f32) of the id that follows, `top [positions]` (u32), its likeliest id, and
//! `gap [positions]` (f32), the lead of that one's logit over the next.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use lethe_engine::{Core, EngineError, EngineOptions, Event, Failure, Generation, Request, SubmitError, TokenLogprobs};
use lethe_model::{Backend, Model};
use lethe_policy::{PolicyError, PolicySpec};
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

/// A lead of the best logit that rounding should not overturn.
pub const CLEAR: f32 = 0.1;

/// Why there is nothing to compare with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {what}; it must be what evidence/{maker} writes", path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
        /// The program that writes such files.
        maker: &'static str,
    },
    /// No engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The text was refused.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The text could not be read.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The full cache's policy could not be made.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

/// What the other program predicts.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// The text. `[positions + 1]`
    pub ids: Vec<u32>,
    /// Log probability of the id that follows. `[positions]`
    pub logprob: Vec<f32>,
    /// The likeliest id. `[positions]`
    pub top: Vec<u32>,
    /// Lead of its logit over the next. `[positions]`
    pub gap: Vec<f32>,
}

impl Reference {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ReferenceError::Read`], [`ReferenceError::Bad`].
    pub fn read(path: &Path) -> Result<Reference, ReferenceError> {
        let bytes = std::fs::read(path).map_err(|source| ReferenceError::Read { path: path.to_owned(), source })?;
        let bad = |what: String| ReferenceError::Bad { path: path.to_owned(), what, maker: "reference_logits.py" };
        let file = SafeTensors::deserialize(&bytes).map_err(|e| bad(e.to_string()))?;
        let words = |name: &str, whole: bool| -> Result<Vec<[u8; 4]>, ReferenceError> {
            let tensor = file.tensor(name).map_err(|e| bad(format!("{name}: {e}")))?;
            let fits =
                if whole { matches!(tensor.dtype(), Dtype::U32 | Dtype::I32) } else { tensor.dtype() == Dtype::F32 };
            if !fits {
                return Err(bad(format!(
                    "{name} holds {:?}, not {}",
                    tensor.dtype(),
                    if whole { "U32" } else { "F32" }
                )));
            }
            Ok(tensor.data().as_chunks().0.to_vec())
        };
        let integers = |name| Ok::<_, ReferenceError>(words(name, true)?.into_iter().map(u32::from_le_bytes).collect());
        let floats = |name| Ok::<_, ReferenceError>(words(name, false)?.into_iter().map(f32::from_le_bytes).collect());
        let reference = Reference {
            ids: integers("ids")?,
            logprob: floats("logprob")?,
            top: integers("top")?,
            gap: floats("gap")?,
        };
        let positions = reference.logprob.len();
        let ids = reference.ids.len().saturating_sub(1); // all but the first are foretold
        if positions == 0 || [ids, reference.top.len(), reference.gap.len()] != [positions; 3] {
            return Err(bad("ids, logprob, top and gap do not belong together".to_owned()));
        }
        Ok(reference)
    }

    /// Positions at which the likeliest id leads clearly.
    pub fn clear(&self) -> usize {
        self.gap.iter().filter(|gap| **gap >= CLEAR).count()
    }

    /// Perplexity of the text as the other program sees it.
    pub fn perplexity(&self) -> f64 {
        perplexity(self.logprob.iter().copied())
    }
}

/// How predictions compare with the reference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distance {
    /// Perplexity of the text.
    pub perplexity: f64,
    /// That over the reference's.
    pub ratio: f64,
    /// Share of positions whose likeliest id is the same.
    pub top1: f64,
    /// The same where the reference's leads by [`CLEAR`] at least.
    pub top1_clear: f64,
    /// Largest distance of two log probabilities.
    pub max_delta: f64,
    /// Mean distance.
    pub mean_delta: f64,
}

impl Distance {
    /// Of the model from the reference, with the full cache, and the values that were too large for the cache.
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn measure<B: Backend>(
        model: &Arc<Model<B>>,
        options: EngineOptions,
        reference: &Reference,
    ) -> Result<(Distance, usize), ReferenceError> {
        let mut core = Core::new(Arc::clone(model), options)?;
        let request = Request {
            policy: PolicySpec::new("full")?,
            generation: Generation { max_tokens: Some(0), ..Generation::default() },
            prompt_logprobs: Some(1),
            ..Request::new(reference.ids.clone())
        };
        let told = Arc::new(Mutex::new((Vec::new(), Err(Failure::Stopped))));
        let book = Arc::clone(&told);
        core.submit(0, request, move |event| {
            let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                Event::PromptLogprobs(all) => book.0 = all,
                Event::Finished(done) => book.1 = Ok(done.kv.saturated),
                Event::Failed(why) => book.1 = Err(why),
                _ => {}
            }
        })?;
        while core.step() {}
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        let saturated = std::mem::replace(&mut told.1, Err(Failure::Stopped))?;
        Ok((Distance::of(&told.0, reference), saturated))
    }

    /// `ours [positions]`, with the likeliest id each.
    fn of(ours: &[TokenLogprobs], reference: &Reference) -> Distance {
        let same = |i: &usize| ours[*i].top.first().is_some_and(|&(id, _)| id == reference.top[*i]);
        let share = |of: Vec<usize>| of.iter().filter(|i| same(i)).count() as f64 / of.len().max(1) as f64;
        let places = 0..ours.len().min(reference.logprob.len());
        let deltas = ours.iter().zip(&reference.logprob).map(|(p, r)| f64::from((p.logprob - r).abs()));
        let here = perplexity(ours.iter().map(|p| p.logprob));
        Distance {
            perplexity: here,
            ratio: here / reference.perplexity(),
            top1: share(places.clone().collect()),
            top1_clear: share(places.filter(|i| reference.gap[*i] >= CLEAR).collect()),
            max_delta: deltas.clone().fold(0.0, f64::max),
            mean_delta: deltas.sum::<f64>() / ours.len().max(1) as f64,
        }
    }

    /// What `evidence/llama_cpp_logits.py` found, as JSON.
    ///
    /// # Errors
    /// [`ReferenceError::Read`], [`ReferenceError::Bad`].
    pub fn read(path: &Path) -> Result<Distance, ReferenceError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ReferenceError::Read { path: path.to_owned(), source })?;
        let bad = |e: serde_json::Error| e.to_string();
        serde_json::from_str(&text).map_err(bad).map_err(|what| ReferenceError::Bad {
            path: path.to_owned(),
            what,
            maker: "llama_cpp_logits.py",
        })
    }
}

fn perplexity(logprobs: impl ExactSizeIterator<Item = f32>) -> f64 {
    let count = logprobs.len().max(1) as f64;
    (-logprobs.map(f64::from).sum::<f64>() / count).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lethe_kernels::{Cpu, CpuOptions};
    use lethe_model::CpuBackend;
    use safetensors::tensor::TensorView;

    fn write(path: &Path, reference: &Reference) {
        let integers = |of: &[u32]| of.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let floats = |of: &[f32]| of.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let data = [
            ("ids", Dtype::U32, integers(&reference.ids)),
            ("logprob", Dtype::F32, floats(&reference.logprob)),
            ("top", Dtype::U32, integers(&reference.top)),
            ("gap", Dtype::F32, floats(&reference.gap)),
        ];
        let views = data
            .iter()
            .map(|(name, dtype, bytes)| (*name, TensorView::new(*dtype, vec![bytes.len() / 4], bytes).unwrap()));
        std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
    }

    #[test]
    fn a_reference_reads_back_and_must_fit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ref.safetensors");
        let mut reference =
            Reference { ids: vec![1, 2, 3], logprob: vec![-1.0, -2.0], top: vec![2, 9], gap: vec![0.05, 3.0] };
        write(&path, &reference);
        assert_eq!(Reference::read(&path).unwrap(), reference);
        assert_eq!(reference.clear(), 1);
        assert!((reference.perplexity() - 1.5f64.exp()).abs() < 1e-12);
        let empty = folder.path().join("empty.safetensors");
        write(&empty, &Reference { ids: Vec::new(), ..reference.clone() });
        reference.gap.push(1.0);
        write(&path, &reference);
        for (path, words) in [
            (&path, ["belong together", "reference_logits.py"]),
            (&empty, ["belong together", "empty.safetensors"]),
            (&folder.path().join("none"), ["none", "No such file"]),
        ] {
            let error = Reference::read(path).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
    }

    #[test]
    fn the_model_is_no_distance_from_itself() {
        let cpu = Cpu::new(CpuOptions { threads: Some(1), level: None }).unwrap();
        let model = Arc::new(Model::from_bytes(lethe_reasoner::FILES, CpuBackend::new(cpu)).unwrap());
        let ids = model.tokenizer.as_ref().unwrap().encode("Day 1: 3 + 4 = 7. Day 2: 5 + 6 = 11.", false).unwrap();
        let positions = ids.len() - 1;
        let (logprob, top, gap) = (vec![-1.0; positions], vec![0; positions], vec![1.0; positions]);
        let mut reference = Reference { ids, logprob, top, gap };
        let options = EngineOptions { kv_memory: 16 << 20, ..EngineOptions::default() };
        let measure = |reference: &Reference| Distance::measure(&model, options.clone(), reference).unwrap();
        let (far, saturated) = measure(&reference);
        assert_eq!(saturated, 0);
        assert!(far.max_delta > 0.1 && far.top1 < 1.0, "{far:?}");
        // The same text with the model's own numbers.
        let stretch =
            crate::perplexity::foretell(&model, options.clone(), &[reference.ids.clone()], None, |_| {}).unwrap();
        assert!((far.perplexity / crate::perplexity::perplexity(&stretch) - 1.0).abs() < 1e-6);
        reference.logprob = vec![-far.perplexity.ln() as f32; positions];
        assert!((measure(&reference).0.ratio - 1.0).abs() < 1e-5);
    }
}
