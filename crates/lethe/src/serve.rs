//! `lethe serve`: a model over HTTP.

mod config;
mod logging;
mod settings;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lethe_engine::{Engine, EngineOptions, MemoryAmount, human_bytes};
use lethe_server::{Options, Served, Server};

use crate::options::{EngineArgs, PolicyArgs};
use crate::serve::settings::{ReasoningFormat, Settings};
use crate::{Fault, load};

#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The model, as in other commands
    #[arg(short = 'm', long = "model", value_name = "MODEL", hide = true)]
    named: Option<String>,
    /// TOML file with settings: a key for each option, such as max_num_seqs = 16
    #[arg(long, value_name = "FILE", env = "LETHE_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

const HELP: &str =
    "An option counts before its environment variable, that before the key in the TOML file, that before the
default. Keys in the file are the names of the options with _ for -; lists are lists, sizes and policies are text.

Examples:
  lethe serve                                           the embedded model on http://127.0.0.1:8080
  lethe serve ./Qwen3-0.6B --kv-memory 4GiB --max-num-seqs 32
  lethe serve Qwen/Qwen3-0.6B-GGUF:Q8_0 --cap 1024 --served-model-name qwen3
  lethe serve model.gguf --host 0.0.0.0 --api-key-file keys.txt --log-format json
  LETHE_PORT=9000 lethe serve --config lethe.toml

Try it:
  curl http://127.0.0.1:8080/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{\"messages\": [{\"role\": \"user\", \"content\": \"Sort 41 7 93 20 58.\"}]}'";

/// Sequences that run at once, where nothing is said.
const MAX_NUM_SEQS: usize = 16;
/// Rows of a step, where nothing is said.
const MAX_BATCHED_TOKENS: usize = 512;
/// Requests that wait, where nothing is said.
const MAX_QUEUE: usize = 256;
/// Dropped mass of a round past which there is a warning, where nothing is said.
const RISK_MASS: f64 = 0.1;
const BODY_LIMIT: MemoryAmount = MemoryAmount::Bytes(8 << 20);
const KV_MEMORY: MemoryAmount = MemoryAmount::Percent(50.0);
const PARK_MEMORY: MemoryAmount = MemoryAmount::Percent(10.0);

pub(crate) fn main(args: Args) -> Result<(), Fault> {
    let mut settings = args.settings;
    if let Some(path) = &args.config {
        settings = settings.or(config::read(path)?);
    }
    if let Some(named) = args.named {
        settings.model = Some(named);
    }
    logging::start(settings.log_format, settings.log_level);
    let options = options(&settings)?;
    let engine = engine_args(&settings);
    let (host, port) = (settings.host.clone().unwrap_or("127.0.0.1".into()), settings.port.unwrap_or(8080));
    let listener =
        TcpListener::bind((host.as_str(), port)).map_err(|e| format!("cannot listen on {host}:{port}: {e}"))?;
    let address = listener.local_addr()?;
    if options.api_keys.is_empty() && !address.ip().is_loopback() {
        tracing::warn!(
            "everybody who reaches {address} may use this server: --api-key or --api-key-file asks for keys"
        );
    }
    tracing::info!(address = %address, model = options.names[0], "listening on http://{address}");
    let load = move || load(&settings, &engine).map_err(|e| e.to_string());
    Ok(Server::new(options).run(listener, true, load)?)
}

/// What the server needs to know before there is a model.
fn options(settings: &Settings) -> Result<Options, Fault> {
    let policy = PolicyArgs {
        policy: settings.policy.clone(),
        cap: settings.cap,
        protect_prompt: settings.protect_prompt.clone(),
    };
    let policy = policy.spec()?;
    let allow_unprotected_prompt = settings.allow_unprotected_prompt.unwrap_or(false);
    if policy.get("protect_prompt") == Some("none") && !allow_unprotected_prompt {
        return Err("protect_prompt=none lets prompts be forgotten, and with them what was asked: say \
                    --allow-unprotected-prompt if that is meant"
            .into());
    }
    let risk_mass = settings.risk_mass.unwrap_or(RISK_MASS);
    if !(0.0..=1.0).contains(&risk_mass) {
        return Err(format!("--risk-mass {risk_mass}: expected a number from 0 to 1").into());
    }
    let body_limit = match settings.body_limit.unwrap_or(BODY_LIMIT) {
        MemoryAmount::Bytes(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
        MemoryAmount::Percent(_) => return Err("--body-limit: expected a size, such as 8MiB, not a share".into()),
    };
    let mut names = settings.served_model_name.clone();
    if names.is_empty() {
        names.push(load::model_name(settings.model.as_deref()));
    }
    let mut api_keys = settings.api_key.clone();
    if let Some(path) = &settings.api_key_file {
        api_keys.extend(keys(path)?);
    }
    if api_keys.iter().any(String::is_empty) {
        return Err("--api-key: a key is empty".into());
    }
    Ok(Options {
        names,
        policy,
        allow_unprotected_prompt,
        risk_mass,
        api_keys,
        reasoning: settings.reasoning_format.unwrap_or(ReasoningFormat::Split).into(),
        request_timeout: settings.request_timeout.filter(|seconds| *seconds > 0).map(Duration::from_secs),
        body_limit,
    })
}

/// The keys in a file, one a line; empty lines and those that begin with # do not count.
fn keys(path: &Path) -> Result<Vec<String>, Fault> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<String> = lines.map(str::to_owned).collect();
    if keys.is_empty() {
        return Err(format!("{}: no key in it; give one a line", path.display()).into());
    }
    Ok(keys)
}

fn engine_args(settings: &Settings) -> EngineArgs {
    EngineArgs {
        model: settings.model.clone(),
        offline: settings.offline.unwrap_or(false),
        threads: settings.threads,
        exact: settings.exact.unwrap_or(false),
        kv_memory: settings.kv_memory.unwrap_or(KV_MEMORY),
        kv_dtype: settings.kv_dtype.unwrap_or(crate::options::Dtype::F16),
    }
}

/// The model and its engine, while the server listens already.
fn load(settings: &Settings, args: &EngineArgs) -> Result<Served, Fault> {
    let model = load::model(args)?;
    let rows = settings.max_num_batched_tokens.unwrap_or(MAX_BATCHED_TOKENS);
    let options = EngineOptions {
        kv_memory: args.kv_memory.resolve(model.mapped_bytes),
        kv_dtype: args.kv_dtype.into(),
        max_num_seqs: settings.max_num_seqs.unwrap_or(MAX_NUM_SEQS),
        max_batched_tokens: rows,
        prefill_chunk: rows,
        max_model_len: settings.max_model_len,
        max_queue: settings.max_queue.unwrap_or(MAX_QUEUE),
        prefix_cache: !settings.no_prefix_cache.unwrap_or(false),
        park_memory: settings.park_memory.unwrap_or(PARK_MEMORY).resolve(model.mapped_bytes),
        park_dir: settings.park_dir.clone(),
    };
    let max_num_seqs = options.max_num_seqs;
    let engine = Engine::start(Arc::clone(&model), options)?;
    tracing::info!("{}", load::describe(args, &model, &engine));
    let policy = self::options(settings)?.policy.build(&engine.context())?;
    let chosen: Vec<String> = policy.options().into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    tracing::info!(
        "policy {} {} · at most {max_num_seqs} sequences at once in {}",
        policy.name(),
        chosen.join(" "),
        human_bytes(engine.pool_bytes())
    );
    Ok(Served::new(model, engine)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(toml: &str) -> Settings {
        config::parse(toml).unwrap()
    }

    #[test]
    fn settings_become_options() {
        let made = options(&settings("cap = 512\nserved_model_name = ['a', 'b']\nrequest_timeout = 30")).unwrap();
        assert_eq!(made.policy.to_string(), "lethe:trigger=cap,cap=512");
        assert_eq!(made.names, ["a", "b"]);
        assert_eq!(made.request_timeout, Some(Duration::from_secs(30)));
        let bare = options(&Settings::default()).unwrap();
        assert_eq!((bare.names[0].as_str(), bare.policy.name()), ("reasoner-s", "auto"));
        assert_eq!(bare.request_timeout, None);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (toml, word) in [
            ("protect_prompt = 'none'", "--allow-unprotected-prompt"),
            ("policy = 'lethe:cap=64,protect_prompt=none'", "--allow-unprotected-prompt"),
            ("risk_mass = 3.0", "--risk-mass"),
            ("body_limit = '50%'", "--body-limit"),
            ("api_key = ['']", "--api-key"),
            ("api_key_file = '/no/such/file'", "/no/such/file"),
        ] {
            let e = options(&settings(toml)).unwrap_err().to_string();
            assert!(e.contains(word), "{toml}: {e}");
        }
        assert!(options(&settings("protect_prompt = 'none'\nallow_unprotected_prompt = true")).is_ok());
    }

    #[test]
    fn a_file_of_keys_has_one_a_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "# ours\n one \n\ntwo\n").unwrap();
        assert_eq!(keys(file.path()).unwrap(), ["one", "two"]);
        std::fs::write(file.path(), "# none\n").unwrap();
        assert!(keys(file.path()).is_err());
    }
}
