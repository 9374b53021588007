//! The RoPE part of `config.json`, in both layouts: `rope_theta` beside `rope_scaling`, and the newer `rope_parameters`.

use lethe_kernels::{Pairing, RopeError, RopeScaling};
use serde_json::Value;

use crate::config::{ConfigError, out_of_range, unsupported};
use crate::json::Object;

/// Rotary position embedding: its base and how its frequencies are stretched.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Base of the frequencies: `inv_freq[i] = theta^(-2i / head_dim)` before scaling.
    pub theta: f64,
    /// How the frequencies are stretched, with the defaults of absent keys filled in.
    pub scaling: RopeScaling,
    /// Which coordinates of a head turn together, as the weights were laid out.
    pub pairing: Pairing,
}

impl Rope {
    /// The frequencies for heads of `head_dim` values.
    ///
    /// # Errors
    /// [`RopeError`] for parameters that cannot be used; those of a [`Config`](crate::Config) that was read always can.
    pub fn frequencies(&self, head_dim: usize) -> Result<lethe_kernels::Rope, RopeError> {
        Ok(lethe_kernels::Rope::new(head_dim, self.theta, &self.scaling)?.paired(self.pairing))
    }

    /// Reads the RoPE keys of a whole config.
    pub(crate) fn from_config(top: &Object, max_positions: usize) -> Result<Self, ConfigError> {
        // A non-empty `rope_scaling` wins over `rope_parameters`, as in transformers.
        let older = table(top, "rope_scaling")?;
        let table = match older {
            Some(table) => Some(table),
            None => table(top, "rope_parameters")?,
        };
        let in_table = |key| table.map_or(Ok(None), |table| table.number(key));

        let theta = in_table("rope_theta")?.or(top.number("rope_theta")?).unwrap_or(10_000.0);
        if !(theta > 1.0 && theta.is_finite()) {
            return Err(out_of_range("rope_theta", theta, "a finite number above 1"));
        }
        let partial = in_table("partial_rotary_factor")?.or(top.number("partial_rotary_factor")?).unwrap_or(1.0);
        if partial != 1.0 {
            return Err(unsupported("partial_rotary_factor", partial, "RoPE is applied to whole heads"));
        }
        let original = top.size("original_max_position_embeddings")?;
        let scaling = match table {
            Some(table) => scaling(&table, original, max_positions)?,
            None => RopeScaling::Default,
        };
        Ok(Self { theta, scaling, pairing: Pairing::Halves })
    }
}

/// What a table says. The pretraining length beside the table (`original`) wins over the one inside.
fn scaling(table: &Object, original: Option<usize>, max_positions: usize) -> Result<RopeScaling, ConfigError> {
    let rope_type = table.text("rope_type")?.or(table.text("type")?).unwrap_or("default");
    if rope_type == "default" {
        return Ok(RopeScaling::Default);
    }
    let original_max_position = original.or(table.size("original_max_position_embeddings")?).unwrap_or(max_positions);
    if original_max_position == 0 {
        return Err(out_of_range(table.path("original_max_position_embeddings"), 0, "at least 1"));
    }
    match rope_type {
        "linear" => Ok(RopeScaling::Linear { factor: required(table, "factor")? }),
        "llama3" => {
            let factor = required(table, "factor")?;
            let low_freq_factor = required(table, "low_freq_factor")?;
            let high_freq_factor = required(table, "high_freq_factor")?;
            if high_freq_factor <= low_freq_factor {
                let allowed = format!("above low_freq_factor, which is {low_freq_factor}");
                return Err(out_of_range(table.path("high_freq_factor"), high_freq_factor, allowed));
            }
            Ok(RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position })
        }
        "yarn" => yarn(table, original_max_position, max_positions),
        other => Err(ConfigError::UnknownRopeType { found: other.to_owned() }),
    }
}

fn yarn(table: &Object, original_max_position: usize, max_positions: usize) -> Result<RopeScaling, ConfigError> {
    // Zero counts as absent for these four: the reference tests them for truth.
    let given = |key| -> Result<Option<f64>, ConfigError> {
        if table.number(key)? == Some(0.0) { Ok(None) } else { positive(table, key) }
    };
    let beta_fast = given("beta_fast")?.unwrap_or(32.0);
    let beta_slow = given("beta_slow")?.unwrap_or(1.0);
    if beta_fast < beta_slow {
        let allowed = format!("at least beta_slow, which is {beta_slow}");
        return Err(out_of_range(table.path("beta_fast"), beta_fast, allowed));
    }
    Ok(RopeScaling::Yarn {
        factor: positive(table, "factor")?.unwrap_or(max_positions as f64 / original_max_position as f64),
        original_max_position,
        beta_fast,
        beta_slow,
        attention_factor: positive(table, "attention_factor")?,
        mscale: given("mscale")?,
        mscale_all_dim: given("mscale_all_dim")?,
        truncate: table.flag("truncate")?.unwrap_or(true),
    })
}

/// The table under `key`, unless it is absent or empty. A table per layer type is taken when all its entries agree.
fn table<'a>(top: &Object<'a>, key: &'a str) -> Result<Option<Object<'a>>, ConfigError> {
    let Some(table) = top.object(key)? else { return Ok(None) };
    let nested: Vec<&'a Value> = table.values().map(|(_, value)| value).filter(|value| value.is_object()).collect();
    match nested.first().and_then(|first| first.as_object()) {
        None => Ok(table.values().next().map(|_| table)),
        Some(first) if nested.iter().all(|other| *other == nested[0]) => Ok(Some(Object::named(first, key))),
        Some(_) => Err(unsupported(key, "one table per layer type", "every layer must use the same RoPE")),
    }
}

fn positive(table: &Object, key: &str) -> Result<Option<f64>, ConfigError> {
    match table.number(key)? {
        Some(value) if !(value > 0.0 && value.is_finite()) => {
            Err(out_of_range(table.path(key), value, "a finite number above 0"))
        }
        value => Ok(value),
    }
}

fn required(table: &Object, key: &str) -> Result<f64, ConfigError> {
    positive(table, key)?.ok_or_else(|| ConfigError::MissingKey { key: table.path(key) })
}
