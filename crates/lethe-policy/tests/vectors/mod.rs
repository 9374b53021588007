//! Conformance: vectors computed elsewhere from the same definitions, replayed through this crate.
//!
//! A file is a JSON array of objects. `kind` says what an object checks; the other fields are inputs and the expected
//! result. Scores must agree within 1e-5 relative + 1e-6, keep sets and counts exactly.

use std::collections::BTreeMap;

use lethe_policy::{
    Allocation, Breakpoint, Claim, Context, LaneSight, LayerState, LayerStatus, Need, Policy, PolicySpec, Reference,
    Scratch, View, allocate, fold, hoyer, pyramid, waterfill,
};
use serde_json::Value;

/// What a run of the vectors found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Vectors that agree.
    pub(crate) passed: usize,
    /// One text per vector that does not: which, expected, got.
    pub(crate) failures: Vec<String>,
    /// Vectors of kinds that this crate has no code for.
    pub(crate) skipped: BTreeMap<String, usize>,
}

/// Replays every vector of a file.
///
/// # Errors
/// Where the text is no array of vectors, or a vector lacks a field it needs.
pub(crate) fn run(text: &str) -> Result<Report, String> {
    let file: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let vectors = file.as_array().ok_or("not a list of vectors: expected a JSON array")?;
    let mut report = Report::default();
    for (index, vector) in vectors.iter().enumerate() {
        let vector = Vector(vector);
        let kind = vector.text("kind").map_err(|error| format!("vector {index}: {error}"))?;
        let result = match kind {
            "rasr" => rasr(vector),
            "lethe" => lethe(vector),
            "hoyer" => sparsity(vector),
            "waterfill" => shares(vector),
            "allocate" => allocation(vector),
            "trace" => trace(vector),
            "random" => random(vector),
            "recency" => recency(vector),
            "h2o" => h2o(vector),
            "tova" => tova(vector),
            "snapkv" => snapkv(vector),
            "gkv" => gkv(vector),
            "pyramid" => budgets(vector),
            "rkv" => rkv(vector),
            other => {
                *report.skipped.entry(other.to_owned()).or_default() += 1;
                continue;
            }
        };
        match result.map_err(|error| format!("vector {index} ({kind}): {error}"))? {
            Ok(()) => report.passed += 1,
            Err(difference) => report.failures.push(format!("vector {index} ({kind}): {difference}")),
        }
    }
    Ok(report)
}

/// Outer error: the vector cannot be read. Inner error: it can, and the crate disagrees.
type Outcome = Result<Result<(), String>, String>;

fn rasr(vector: Vector<'_>) -> Outcome {
    let policy = policy("lethe", &[("half_life", vector.number("half_life")?.to_string()), ("prefill", "sum".into())])?;
    let scoring = policy.scoring().ok_or("lethe asks for no scores")?;
    let mut scores: Vec<f32> = Vec::new();
    for step in vector.list("steps")? {
        let queries = Vector(step).rows()?; // one row of weights per head and query
        let slots = queries.first().ok_or("a step without queries")?.len();
        let mass: Vec<f32> = (0..slots).map(|slot| queries.iter().map(|row| row[slot]).sum::<f64>() as f32).collect();
        scores.resize(slots, 0.0);
        fold(scoring, &mut scores, &mass);
    }
    Ok(close("scores", &vector.numbers("expect")?, &scores))
}

fn lethe(vector: Vector<'_>) -> Outcome {
    let policy = policy("lethe", &vector.lethe_options()?)?;
    let scores = vector.scores("scores")?;
    let found = breakpoint(vector)?.find(&scores);
    let kept = keep(&*policy, &scores, &positions(scores.len()), &vector.counts("pinned")?, 0, LayerState::default());
    Ok(equal("breakpoint", &vector.optional("breakpoint")?, &found).and(equal(
        "keep",
        &vector.counts("expect")?,
        &kept,
    )))
}

fn sparsity(vector: Vector<'_>) -> Outcome {
    Ok(close("hoyer", &[vector.number("expect")?], &[hoyer(&vector.scores("scores")?) as f32]))
}

fn shares(vector: Vector<'_>) -> Outcome {
    let (floors, demands) = (vector.counts("floor")?, vector.counts("demand")?);
    let claims: Vec<Claim> = floors.iter().zip(&demands).map(|(&floor, &demand)| Claim { floor, demand }).collect();
    let mut shares = Vec::new();
    waterfill(&claims, vector.count("total")?, &mut Vec::new(), &mut shares);
    Ok(equal("shares", &vector.counts("expect")?, &shares))
}

fn allocation(vector: Vector<'_>) -> Outcome {
    let kind = match vector.text("allocation")? {
        "breakpoint" => Allocation::Breakpoint,
        "hoyer" => Allocation::Hoyer,
        "uniform" => Allocation::Uniform,
        other => return Err(format!("unknown allocation `{other}`")),
    };
    let (held, floors) = (vector.counts("n")?, vector.counts("floor")?);
    let (demands, sparsities) = (vector.counts("demand")?, vector.numbers("hoyer")?);
    let needs: Vec<Need> = held
        .iter()
        .zip(&floors)
        .zip(demands.iter().zip(&sparsities))
        .map(|((&held, &floor), (&salient, &sparsity))| Need { held, floor, salient, weight: 1.0 - sparsity })
        .collect();
    let mut shares = Vec::new();
    allocate(kind, &needs, vector.count("total")?, &mut Vec::new(), &mut Vec::new(), &mut shares);
    Ok(equal("shares", &vector.counts("expect")?, &shares))
}

fn random(vector: Vector<'_>) -> Outcome {
    let policy = policy(
        "random",
        &[vector.option("budget", "B")?, vector.option("sinks", "S")?, vector.option("seed", "seed")?],
    )?;
    let positions: Vec<u32> = vector.numbers("positions")?.iter().map(|position| *position as u32).collect();
    let state = LayerState { round: vector.count("round")? as u32, ..policy.start() };
    let kept = keep(&*policy, &[], &positions, &vector.counts("pinned")?, vector.count("layer")?, state);
    Ok(equal("keep", &vector.counts("expect")?, &kept))
}

fn recency(vector: Vector<'_>) -> Outcome {
    let policy = policy("recency", &[vector.option("budget", "B")?, vector.option("sinks", "S")?])?;
    let positions = positions(vector.count("n")?);
    let kept = keep(&*policy, &[], &positions, &vector.counts("pinned")?, 0, policy.start());
    Ok(equal("keep", &vector.counts("expect")?, &kept))
}

fn h2o(vector: Vector<'_>) -> Outcome {
    let policy = policy("h2o", &[vector.option("budget", "B")?, vector.option("sinks", "S")?])?;
    let scores = vector.scores("scores")?;
    let kept = keep(&*policy, &scores, &positions(scores.len()), &vector.counts("pinned")?, 0, policy.start());
    Ok(equal("keep", &vector.counts("expect")?, &kept))
}

fn tova(vector: Vector<'_>) -> Outcome {
    let policy = policy("tova", &[vector.option("budget", "B")?, vector.option("sinks", "S")?])?;
    let heads = vector.list("last")?.iter().map(|head| Vector(head).values()).collect::<Result<Vec<_>, _>>()?;
    let slots = heads.first().ok_or("no heads")?.len();
    let mass: Vec<f32> = (0..slots).map(|slot| heads.iter().map(|head| head[slot]).sum::<f64>() as f32).collect();
    let mut scores = vec![9.0; slots]; // what was before does not count
    fold(policy.scoring().ok_or("tova asks for no scores")?, &mut scores, &mass);
    let kept = keep(&*policy, &scores, &positions(slots), &vector.counts("pinned")?, 0, policy.start());
    Ok(equal("keep", &vector.counts("expect")?, &kept))
}

fn snapkv(vector: Vector<'_>) -> Outcome {
    let options = [vector.option("budget", "B")?, vector.option("sinks", "S")?, vector.option("window", "w")?];
    let policy = policy("snapkv", &options)?;
    let scratch = observed(&*policy, vector, vector.attention("window")?, &[], &[])?;
    Ok(equal("keep", &vector.counts("expect")?, &scratch.keep))
}

fn gkv(vector: Vector<'_>) -> Outcome {
    let (old, logits) = (vector.scores("old")?, vector.attention("window")?);
    let alpha = ("alpha", vector.number("alpha")?.to_string());
    let policy = policy("gkv", &[("budget", "64".to_owned()), alpha])?;
    let scratch = observed(&*policy, vector, logits, &old, &[])?;
    Ok(close("scores", &vector.numbers("expect")?, &scratch.scores))
}

fn budgets(vector: Vector<'_>) -> Outcome {
    let (layers, floor) = (vector.count("L")?, vector.count("w")? + vector.count("S")?);
    let mean = vector.count("B")?;
    let found: Vec<usize> = (0..layers).map(|layer| pyramid(layer, layers, mean, floor)).collect();
    Ok(equal("budgets", &vector.counts("expect")?, &found))
}

fn rkv(vector: Vector<'_>) -> Outcome {
    let policy = policy(
        "rkv",
        &[
            vector.option("budget", "B")?,
            vector.option("sinks", "S")?,
            vector.option("window", "w")?,
            ("lambda", vector.number("lam")?.to_string()),
            ("similarity", vector.number("sim")?.to_string()),
        ],
    )?;
    // Logits and keys are of the candidates; what the window's own are does not matter.
    let window = vector.count("w")?;
    let mut logits = vector.planes("logits")?;
    logits.iter_mut().flatten().for_each(|row| row.extend(vec![3.0; window]));
    let mut keys = vector.list("keys")?.iter().map(|key| Vector(key).values()).collect::<Result<Vec<_>, _>>()?;
    let dim = keys.first().ok_or("no keys")?.len();
    keys.resize(keys.len() + window, vec![1.0; dim]);
    let keys: Vec<f32> = keys.into_iter().flatten().map(|x| x as f32).collect();
    let scratch = observed(&*policy, vector, logits, &[], &keys)?;
    let scores: Vec<f32> = scratch.rank[..scratch.rank.len() - window].iter().map(|&score| score as f32).collect();
    Ok(equal("keep", &vector.counts("expect")?, &scratch.keep).and(close(
        "scores",
        &vector.numbers("scores")?,
        &scores,
    )))
}

/// A round of a policy that sees the newest queries of one lane. `logits [heads][queries][slots]`; scores are 0 from the end
/// of `old` on.
fn observed(
    policy: &dyn Policy,
    vector: Vector<'_>,
    logits: Vec<Vec<Vec<f64>>>,
    old: &[f32],
    keys: &[f32],
) -> Result<Scratch, String> {
    let (queries, slots) = (logits[0].len(), logits[0][0].len());
    let logits: Vec<f32> = logits.into_iter().flatten().flatten().map(|x| x as f32).collect();
    let pins = if vector.0.get("pinned").is_some() { vector.counts("pinned")? } else { Vec::new() };
    let pinned: Vec<bool> = (0..slots).map(|slot| pins.contains(&slot)).collect();
    let mut scores = old.to_vec();
    scores.resize(slots, 0.0);
    let lanes = [LaneSight { queries, logits: &logits, keys, values: &[] }];
    let view = View {
        lane: Some(0),
        scores: &scores,
        positions: &positions(slots),
        pinned: &pinned,
        lanes: &lanes,
        ..View::default()
    };
    let mut scratch = Scratch::default();
    policy.keep(&view, None, policy.start(), &mut scratch);
    Ok(scratch)
}

/// A layer of a trace: what an engine would store for it.
struct Layer {
    scores: Vec<f32>,
    positions: Vec<u32>,
    pinned: Vec<bool>,
    state: LayerState,
}

/// Two layers through a prompt and many steps, as an engine would drive them.
fn trace(vector: Vector<'_>) -> Outcome {
    let mut options = vector.lethe_options()?;
    options.push(("half_life", vector.number("half_life")?.to_string()));
    options.push(("prefill", "sum".into()));
    options.push(vector.option("trigger", "trigger")?);
    options.push(vector.option("interval", "interval")?);
    let policy = policy("lethe", &options)?;
    let scoring = policy.scoring().ok_or("lethe asks for no scores")?;
    let rule = breakpoint(vector)?;
    let (prompt, pins) = (vector.count("prompt")?, vector.counts("pinned")?);

    let expected: Vec<Vector<'_>> = vector.list("layers")?.iter().map(Vector).collect();
    let mut masses = Vec::new();
    let mut rounds: Vec<_> = Vec::new();
    for layer in &expected {
        masses.push(layer.list("masses")?.iter().map(|mass| Vector(mass).values()).collect::<Result<Vec<_>, _>>()?);
        rounds.push(layer.list("rounds")?.iter().map(Vector));
    }
    let new = || Layer { scores: vec![], positions: vec![], pinned: vec![], state: policy.start() };
    let mut layers: Vec<Layer> = expected.iter().map(|_| new()).collect();
    let mut scratch = Scratch::default();
    let mut next = 0;

    for step in 0..masses.first().map_or(0, Vec::len) {
        let fed = if step == 0 { prompt } else { 1 };
        for (index, layer) in layers.iter_mut().enumerate() {
            layer.positions.extend((next..next + fed).map(|position| position as u32));
            layer.pinned.extend((next..next + fed).map(|position| pins.contains(&position)));
            layer.scores.resize(layer.positions.len(), 0.0);
            let mass: Vec<f32> =
                masses[index].get(step).ok_or("layers of unequal length")?.iter().map(|mass| *mass as f32).collect();
            if let Err(difference) = equal("slots", &mass.len(), &layer.scores.len()) {
                return Ok(Err(format!("layer {index}, step {step}: {difference}")));
            }
            fold(scoring, &mut layer.scores, &mass);
        }
        next += fed;

        let status = |layer: &Layer| LayerStatus {
            n: layer.positions.len(),
            pinned: layer.pinned.iter().filter(|pinned| **pinned).count(),
            state: layer.state,
        };
        let mut due = Vec::new();
        policy.due(&layers.iter().map(status).collect::<Vec<_>>(), &mut due);
        for index in due {
            let layer = &mut layers[index];
            let here = |difference: String| Ok(Err(format!("layer {index}, step {step}: {difference}")));
            let Some(round) = rounds[index].next() else { return here("expected no further round, got one".into()) };
            let found = rule.find(&layer.scores);
            let view = View {
                layer: index,
                scores: &layer.scores,
                positions: &layer.positions,
                pinned: &layer.pinned,
                ..View::default()
            };
            layer.state = policy.keep(&view, None, layer.state, &mut scratch);
            let same = equal("step of the round", &round.count("step")?, &step)
                .and(equal("slots", &round.count("n")?, &layer.positions.len()))
                .and(equal("breakpoint", &round.optional("breakpoint")?, &found))
                .and(equal("keep", &round.counts("keep")?, &scratch.keep))
                .and(equal("trigger", &round.count("trigger")?, &layer.state.trigger));
            if let Err(difference) = same {
                return here(difference);
            }
            layer.scores = scratch.keep.iter().map(|&slot| layer.scores[slot]).collect();
            layer.positions = scratch.keep.iter().map(|&slot| layer.positions[slot]).collect();
            layer.pinned = scratch.keep.iter().map(|&slot| layer.pinned[slot]).collect();
        }
    }
    for (index, (layer, expected)) in layers.iter().zip(&expected).enumerate() {
        let positions: Vec<usize> = layer.positions.iter().map(|position| *position as usize).collect();
        let same = equal("rounds still expected", &0, &rounds[index].len())
            .and(equal("positions", &expected.counts("positions")?, &positions))
            .and(close("scores", &expected.numbers("scores")?, &layer.scores));
        if let Err(difference) = same {
            return Ok(Err(format!("layer {index}, at the end: {difference}")));
        }
    }
    Ok(Ok(()))
}

fn policy(name: &str, options: &[(&str, String)]) -> Result<Box<dyn Policy>, String> {
    let context = Context { layers: 1, slots_per_layer: 1 << 16, max_num_seqs: 1, max_positions: 1 << 16 };
    options
        .iter()
        .try_fold(PolicySpec::new(name).map_err(|error| error.to_string())?, |spec, (key, value)| spec.set(key, value))
        .and_then(|spec| spec.build(&context))
        .map_err(|error| error.to_string())
}

fn breakpoint(vector: Vector<'_>) -> Result<Breakpoint, String> {
    Ok(Breakpoint {
        sparse_ratio: vector.number("tau")?,
        segments: vector.count("D")?,
        reference: if vector.text("reference")? == "top" { Reference::Top } else { Reference::TopNonSink },
        sinks: vector.count("S")?,
    })
}

fn keep(
    policy: &dyn Policy,
    scores: &[f32],
    positions: &[u32],
    pins: &[usize],
    layer: usize,
    state: LayerState,
) -> Vec<usize> {
    let pinned: Vec<bool> = (0..positions.len()).map(|slot| pins.contains(&slot)).collect();
    let mut scratch = Scratch::default();
    policy.keep(&View { layer, scores, positions, pinned: &pinned, ..View::default() }, None, state, &mut scratch);
    scratch.keep
}

fn positions(n: usize) -> Vec<u32> {
    (0..n as u32).collect()
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, got: &T) -> Result<(), String> {
    if expected == got { Ok(()) } else { Err(format!("{what}: expected {expected:?}, got {got:?}")) }
}

fn close(what: &str, expected: &[f64], got: &[f32]) -> Result<(), String> {
    equal(&format!("number of {what}"), &expected.len(), &got.len())?;
    for (index, (&expected, &got)) in expected.iter().zip(got).enumerate() {
        let difference = (f64::from(got) - expected).abs();
        if difference.is_nan() || difference > 1e-6 + 1e-5 * expected.abs() {
            return Err(format!("{what}[{index}]: expected {expected}, got {got}"));
        }
    }
    Ok(())
}

/// One JSON value with accessors that name what is missing.
#[derive(Clone, Copy)]
struct Vector<'a>(&'a Value);

impl<'a> Vector<'a> {
    fn field<T>(self, key: &str, what: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<T, String> {
        let value = self.0.get(key).ok_or_else(|| format!("field `{key}` is missing"))?;
        read(value).ok_or_else(|| format!("field `{key}` is not {what}"))
    }

    fn text(self, key: &str) -> Result<&'a str, String> {
        self.field(key, "a text", Value::as_str)
    }

    fn number(self, key: &str) -> Result<f64, String> {
        self.field(key, "a number", Value::as_f64)
    }

    fn count(self, key: &str) -> Result<usize, String> {
        self.field(key, "a whole number", count)
    }

    /// A count or null.
    fn optional(self, key: &str) -> Result<Option<usize>, String> {
        self.field(
            key,
            "a whole number or null",
            |value| if value.is_null() { Some(None) } else { count(value).map(Some) },
        )
    }

    fn list(self, key: &str) -> Result<&'a [Value], String> {
        self.field(key, "a list", |value| value.as_array().map(Vec::as_slice))
    }

    fn counts(self, key: &str) -> Result<Vec<usize>, String> {
        self.field(key, "a list of whole numbers", |value| value.as_array()?.iter().map(count).collect())
    }

    fn numbers(self, key: &str) -> Result<Vec<f64>, String> {
        self.field(key, "a list of numbers", |value| Vector(value).values().ok())
    }

    fn scores(self, key: &str) -> Result<Vec<f32>, String> {
        Ok(self.numbers(key)?.into_iter().map(|score| score as f32).collect())
    }

    /// A list of numbers.
    fn values(self) -> Result<Vec<f64>, String> {
        let values = self.0.as_array().ok_or("not a list of numbers")?;
        values.iter().map(|value| value.as_f64().ok_or_else(|| "not a list of numbers".to_owned())).collect()
    }

    /// `[heads][queries][slots]`, flattened to rows of slots; all rows of equal length.
    fn rows(self) -> Result<Vec<Vec<f64>>, String> {
        let heads = self.0.as_array().ok_or("a step is not a list of heads")?;
        let mut rows = Vec::new();
        for head in heads {
            for query in head.as_array().ok_or("a head is not a list of queries")? {
                rows.push(Vector(query).values()?);
            }
        }
        if rows.windows(2).any(|pair| pair[0].len() != pair[1].len()) {
            return Err("queries of one step differ in length".to_owned());
        }
        Ok(rows)
    }

    /// `[heads][queries][slots]`.
    fn planes(self, key: &str) -> Result<Vec<Vec<Vec<f64>>>, String> {
        let head = |head| {
            Vector(head)
                .0
                .as_array()
                .ok_or("a head is not a list of queries")?
                .iter()
                .map(|q| Vector(q).values())
                .collect()
        };
        let planes = self.list(key)?.iter().map(head).collect::<Result<Vec<Vec<Vec<f64>>>, String>>()?;
        if planes.first().and_then(|head| head.first()).is_none() {
            return Err(format!("field `{key}` holds no queries"));
        }
        Ok(planes)
    }

    /// The logits whose softmax is the attention in the field, `[heads][queries][slots]`.
    fn attention(self, key: &str) -> Result<Vec<Vec<Vec<f64>>>, String> {
        let mut planes = self.planes(key)?;
        planes.iter_mut().flatten().flatten().for_each(|weight| *weight = weight.ln());
        Ok(planes)
    }

    /// The field as the text of a policy option.
    fn option(self, option: &'static str, key: &str) -> Result<(&'static str, String), String> {
        Ok((option, self.count(key)?.to_string()))
    }

    fn lethe_options(self) -> Result<Vec<(&'static str, String)>, String> {
        let mut options = vec![
            ("sparse_ratio", self.number("tau")?.to_string()),
            ("recent_ratio", self.number("recent_ratio")?.to_string()),
            ("reference", self.text("reference")?.to_owned()),
            self.option("segments", "D")?,
            self.option("sinks", "S")?,
        ];
        if let Some(cap) = self.optional("cap")? {
            options.push(("cap", cap.to_string()));
        }
        Ok(options)
    }
}

fn count(value: &Value) -> Option<usize> {
    value.as_u64().map(|count| count as usize)
}
