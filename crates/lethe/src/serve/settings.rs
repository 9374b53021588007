//! The settings of a server: options, environment variables and keys of a file, all in one.

use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;
use clap::builder::BoolishValueParser;
use lethe_engine::MemoryAmount;
use lethe_policy::PolicySpec;
use lethe_server::Reasoning;
use serde::{Deserialize, Deserializer};

use crate::options::Dtype;
use crate::serve::logging::{LogFormat, LogLevel};

/// Whatever was said; what was not is `None` or empty.
#[derive(clap::Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// GGUF file, Hugging Face folder, or a name on the hub, as with `lethe run -m` [default: the embedded reasoner-s]
    #[arg(value_name = "MODEL", env = "LETHE_MODEL")]
    pub(crate) model: Option<String>,
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS", env = "LETHE_HOST")]
    pub(crate) host: Option<String>,
    /// Port to listen on; 0 takes any that is free [default: 8080]
    #[arg(long, value_name = "N", env = "LETHE_PORT")]
    pub(crate) port: Option<u16>,
    /// Name of the model in the API (may be given several times) [default: the file's or folder's]
    #[arg(long, value_name = "NAME", env = "LETHE_SERVED_MODEL_NAME", value_delimiter = ',')]
    pub(crate) served_model_name: Vec<String>,
    /// Make no request to the hub: the model must be in the cache
    #[arg(long, env = "LETHE_OFFLINE", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    pub(crate) offline: Option<bool>,
    /// Compute threads [default: physical cores this process may use]
    #[arg(short, long, value_name = "N", env = "LETHE_THREADS")]
    pub(crate) threads: Option<usize>,
    /// Multiply quantised weights as they are stored, with activations in f32
    #[arg(long, env = "LETHE_EXACT", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    pub(crate) exact: Option<bool>,

    /// Memory for the KV cache: 512MiB, 4GiB, or a share of what is available after the weights [default: 50%]
    #[arg(long, value_name = "SIZE", env = "LETHE_KV_MEMORY", help_heading = "Cache")]
    #[serde(deserialize_with = "from_text")]
    pub(crate) kv_memory: Option<MemoryAmount>,
    /// Element type of cached keys and values [default: f16]
    #[arg(long, value_enum, value_name = "TYPE", env = "LETHE_KV_DTYPE", help_heading = "Cache")]
    pub(crate) kv_dtype: Option<Dtype>,
    /// Eviction policy where a request names none, NAME[:key=value,...] [default: auto]
    #[arg(long, value_name = "POLICY", env = "LETHE_POLICY", help_heading = "Cache")]
    #[serde(deserialize_with = "from_text")]
    pub(crate) policy: Option<PolicySpec>,
    /// Most slots a layer keeps after a round; without --policy it means lethe:cap=N,trigger=cap
    #[arg(long, value_name = "N", env = "LETHE_CAP", help_heading = "Cache")]
    pub(crate) cap: Option<usize>,
    /// Which prompts are never forgotten: all, newest, none [default: all]
    #[arg(long, value_name = "WHICH", env = "LETHE_PROTECT_PROMPT", help_heading = "Cache")]
    pub(crate) protect_prompt: Option<String>,
    /// Let requests give up the protection of their prompt
    #[arg(long, env = "LETHE_ALLOW_UNPROTECTED_PROMPT", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), value_name = "BOOL", help_heading = "Cache")]
    pub(crate) allow_unprotected_prompt: Option<bool>,
    /// Dropped mass of a round, from 0 to 1, past which the usage of an answer has a warning [default: 0.1]
    #[arg(long, value_name = "SHARE", env = "LETHE_RISK_MASS", help_heading = "Cache")]
    pub(crate) risk_mass: Option<f64>,
    /// Compute every prompt from its first token
    #[arg(long, env = "LETHE_NO_PREFIX_CACHE", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), value_name = "BOOL", help_heading = "Cache")]
    pub(crate) no_prefix_cache: Option<bool>,
    /// Memory outside the pool for requests that are set aside when the pool is full [default: 10%]
    #[arg(long, value_name = "SIZE", env = "LETHE_PARK_MEMORY", help_heading = "Cache")]
    #[serde(deserialize_with = "from_text")]
    pub(crate) park_memory: Option<MemoryAmount>,
    /// Folder for those that this memory does not hold
    #[arg(long, value_name = "DIR", env = "LETHE_PARK_DIR", help_heading = "Cache")]
    pub(crate) park_dir: Option<PathBuf>,

    /// Most sequences that run at once [default: 16]
    #[arg(long, value_name = "N", env = "LETHE_MAX_NUM_SEQS", help_heading = "Limits")]
    pub(crate) max_num_seqs: Option<usize>,
    /// Most tokens of a step, prompts and decodes together [default: 512]
    #[arg(long, value_name = "N", env = "LETHE_MAX_NUM_BATCHED_TOKENS", help_heading = "Limits")]
    pub(crate) max_num_batched_tokens: Option<usize>,
    /// Most positions of a sequence [default: the model's own]
    #[arg(long, value_name = "N", env = "LETHE_MAX_MODEL_LEN", help_heading = "Limits")]
    pub(crate) max_model_len: Option<usize>,
    /// Most requests that wait; more are refused with 429 [default: 256]
    #[arg(long, value_name = "N", env = "LETHE_MAX_QUEUE", help_heading = "Limits")]
    pub(crate) max_queue: Option<usize>,
    /// Seconds from a request to its last token, 0 for no limit [default: 0]
    #[arg(long, value_name = "SECONDS", env = "LETHE_REQUEST_TIMEOUT", help_heading = "Limits")]
    pub(crate) request_timeout: Option<u64>,
    /// Most bytes of a request [default: 8MiB]
    #[arg(long, value_name = "SIZE", env = "LETHE_BODY_LIMIT", help_heading = "Limits")]
    #[serde(deserialize_with = "from_text")]
    pub(crate) body_limit: Option<MemoryAmount>,

    /// Key that clients must send (may be given several times); other users of the machine can see it here
    #[arg(
        long,
        value_name = "KEY",
        env = "LETHE_API_KEY",
        hide_env_values = true,
        value_delimiter = ',',
        help_heading = "Clients"
    )]
    pub(crate) api_key: Vec<String>,
    /// File with such keys, one a line
    #[arg(long, value_name = "FILE", env = "LETHE_API_KEY_FILE", help_heading = "Clients")]
    pub(crate) api_key_file: Option<PathBuf>,
    /// What becomes of thinking in chats [default: split]
    #[arg(long, value_enum, value_name = "FORMAT", env = "LETHE_REASONING_FORMAT", help_heading = "Clients")]
    pub(crate) reasoning_format: Option<ReasoningFormat>,

    /// How the log is written, on stderr [default: text]
    #[arg(long, value_enum, value_name = "FORMAT", env = "LETHE_LOG_FORMAT", help_heading = "Log")]
    pub(crate) log_format: Option<LogFormat>,
    /// What is logged [default: info]
    #[arg(long, value_enum, value_name = "LEVEL", env = "LETHE_LOG_LEVEL", help_heading = "Log")]
    pub(crate) log_level: Option<LogLevel>,
}

/// What becomes of thinking.
#[derive(ValueEnum, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ReasoningFormat {
    /// Apart from the answer, in `reasoning` and `reasoning_content`
    Split,
    /// In the text as generated, with its tags
    None,
}

impl From<ReasoningFormat> for Reasoning {
    fn from(format: ReasoningFormat) -> Reasoning {
        match format {
            ReasoningFormat::Split => Reasoning::Split,
            ReasoningFormat::None => Reasoning::Verbatim,
        }
    }
}

/// A value that is written as text, such as `4GiB`, or as a plain number.
fn from_text<'de, D: Deserializer<'de>, T: FromStr<Err: std::fmt::Display>>(from: D) -> Result<Option<T>, D::Error> {
    let text = match toml::Value::deserialize(from)? {
        toml::Value::String(text) => text,
        other => other.to_string(),
    };
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

impl Settings {
    /// These settings, and those of `other` where nothing was said.
    pub(crate) fn or(self, other: Settings) -> Settings {
        let list = |mine: Vec<String>, other: Vec<String>| if mine.is_empty() { other } else { mine };
        Settings {
            model: self.model.or(other.model),
            host: self.host.or(other.host),
            port: self.port.or(other.port),
            served_model_name: list(self.served_model_name, other.served_model_name),
            offline: self.offline.or(other.offline),
            threads: self.threads.or(other.threads),
            exact: self.exact.or(other.exact),
            kv_memory: self.kv_memory.or(other.kv_memory),
            kv_dtype: self.kv_dtype.or(other.kv_dtype),
            policy: self.policy.or(other.policy),
            cap: self.cap.or(other.cap),
            protect_prompt: self.protect_prompt.or(other.protect_prompt),
            allow_unprotected_prompt: self.allow_unprotected_prompt.or(other.allow_unprotected_prompt),
            risk_mass: self.risk_mass.or(other.risk_mass),
            no_prefix_cache: self.no_prefix_cache.or(other.no_prefix_cache),
            park_memory: self.park_memory.or(other.park_memory),
            park_dir: self.park_dir.or(other.park_dir),
            max_num_seqs: self.max_num_seqs.or(other.max_num_seqs),
            max_num_batched_tokens: self.max_num_batched_tokens.or(other.max_num_batched_tokens),
            max_model_len: self.max_model_len.or(other.max_model_len),
            max_queue: self.max_queue.or(other.max_queue),
            request_timeout: self.request_timeout.or(other.request_timeout),
            body_limit: self.body_limit.or(other.body_limit),
            api_key: list(self.api_key, other.api_key),
            api_key_file: self.api_key_file.or(other.api_key_file),
            reasoning_format: self.reasoning_format.or(other.reasoning_format),
            log_format: self.log_format.or(other.log_format),
            log_level: self.log_level.or(other.log_level),
        }
    }
}
