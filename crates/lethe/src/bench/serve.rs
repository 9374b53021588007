//! `lethe bench serve`: load on a running server of the OpenAI API, and how it bears it.

mod cancel;
mod chunk;
mod client;
mod dataset;
mod draws;
mod load;
mod outcome;
mod pace;
mod prompts;
mod quantiles;
mod recipe;
mod server;
mod span;
mod sse;
mod summary;
mod table;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use crate::remote::{Remote, RemoteArgs};
use crate::terminal::{self, STRONG};
use crate::{Fault, bench};

use bench::progress::Progress;
use client::Client;
use dataset::Dataset;
use draws::Draws;
use load::Run;
use outcome::{Counts, End};
use pace::Pace;
use prompts::{Alphabet, Drawn};
use recipe::{Recipe, Source};
use span::Span;
use summary::Summary;

#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    remote: RemoteArgs,
    /// Model to ask for [default: the first that /v1/models lists]
    #[arg(short, long, value_name = "NAME")]
    model: Option<String>,
    /// Which API to ask [default: chat where --prompts has conversations, else completions]
    #[arg(long, value_enum, value_name = "WHICH")]
    endpoint: Option<Endpoint>,
    /// Requests in all [default: 100, or the lines of --prompts]
    #[arg(short = 'n', long, value_name = "N", value_parser = requests)]
    requests: Option<usize>,
    /// Closed loop: so many requests at once, each end begins the next [default: 8, without --rate and --burst]
    #[arg(short, long, value_name = "N", value_parser = requests, conflicts_with_all = ["rate", "burst"])]
    concurrency: Option<usize>,
    /// Open loop: so many requests a second on average, whatever the server does (a Poisson process)
    #[arg(long, value_name = "R", value_parser = rate, conflicts_with = "burst")]
    rate: Option<f64>,
    /// Open loop: all requests at once
    #[arg(long)]
    burst: bool,
    /// Tokens of each prompt: a number, or a range to draw from, such as 64-512
    #[arg(long, value_name = "N|A-B", default_value = "128", value_parser = span::counts)]
    prompt_tokens: Span,
    /// Tokens at the front of each prompt that are the same in all of them
    #[arg(long, value_name = "N", default_value_t = 0)]
    prefix_tokens: usize,
    /// Draw prompts from these token ids [default: those that the server makes of common words]
    #[arg(long, value_name = "A-B", value_parser = token_ids)]
    token_ids: Option<Span>,
    /// Prompts from a file: on each line a text in quotes, or an object with `prompt` or `messages` and other fields of a
    /// request
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prompt_tokens", "prefix_tokens", "token_ids"])]
    prompts: Option<PathBuf>,
    /// Most new tokens of each request: a number, or a range to draw from
    #[arg(long, value_name = "N|A-B", default_value = "128", value_parser = span::counts)]
    new_tokens: Span,
    /// Ask the server to go on past the model's end token, so that answers have the length asked for
    #[arg(long)]
    ignore_eos: bool,
    /// Fields for every request, as a JSON object; they go over all others, null takes one away
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = object)]
    body: Object,
    /// Drop the connection of this share of the requests, 0 to 1
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    cancel: f64,
    /// Half of those are dropped within so many seconds, wherever they are; the others after a number of tokens
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    cancel_within: Duration,
    /// Requests before those that are measured
    #[arg(long, value_name = "N", default_value_t = 1)]
    warmup: usize,
    /// Most seconds of a request
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = seconds)]
    timeout: Duration,
    /// Of every draw: lengths, prompts, arrivals, cancellations
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Write one JSON object a request to this file
    #[arg(long, value_name = "FILE")]
    rows: Option<PathBuf>,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
}

const HELP: &str = "Examples:
  lethe bench serve --concurrency 16 --requests 200 --prompt-tokens 64-512 --new-tokens 256 --ignore-eos
  lethe bench serve --url http://gpu:8000 --model Qwen/Qwen3-8B --rate 4 --requests 500 --json
  lethe bench serve -c 64 -n 2000 --new-tokens 16-400 --cancel 0.33 --rows rows.jsonl
  lethe bench serve --prompts questions.jsonl --endpoint chat --body '{\"kv_policy\": {\"name\": \"lethe\", \"cap\": 512}}'

Requests stream. Throughput and latencies are those of complete answers: `first token` is the time from when a request \
was due until its first text (a chunk that only names a role does not count), `between tokens` that from one text to the \
next, `per token` that from the first text to the last over the tokens after the first, a mean for each request. Tokens \
are those of the server's usage, or chunks with text where it gives none. Percentiles lie between neighbouring samples in \
proportion, as numpy has them.

Prompts are drawn as token ids for /v1/completions and as words for /v1/chat/completions, by the tokens that the server's \
/tokenize makes of common words; without /tokenize they are words, and only about as long as asked for. No two are alike \
beyond --prefix-tokens. Connections are kept between requests and go to the server directly, past any proxy.";

/// Where requests go.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    /// /v1/chat/completions
    Chat,
    /// /v1/completions
    Completions,
}

impl Endpoint {
    fn path(self) -> &'static str {
        match self {
            Endpoint::Chat => "/v1/chat/completions",
            Endpoint::Completions => "/v1/completions",
        }
    }
}

/// A JSON object from the command line.
#[derive(Clone, Debug)]
struct Object(Map<String, Value>);

/// Everything that is known before the load.
struct Plan {
    client: Client,
    recipe: Recipe,
    pace: Pace,
    requests: usize,
}

impl Plan {
    fn new(args: &Args) -> Result<Plan, Fault> {
        let mut file = args.prompts.as_deref().map(Dataset::read).transpose()?;
        let chats = file.as_ref().is_some_and(Dataset::has_messages);
        let endpoint = args.endpoint.unwrap_or(if chats { Endpoint::Chat } else { Endpoint::Completions });
        let chat = endpoint == Endpoint::Chat;
        if let Some(set) = &mut file {
            set.fit(chat)?;
        }
        if chat && args.token_ids.is_some() {
            return Err("--token-ids: only --endpoint completions takes token ids".into());
        }
        if args.prefix_tokens > args.prompt_tokens.low {
            return Err(format!(
                "--prefix-tokens {} are more than the shortest prompt of --prompt-tokens {}",
                args.prefix_tokens, args.prompt_tokens
            )
            .into());
        }
        let requests = args.requests.unwrap_or(file.as_ref().map_or(100, |set| set.lines.len()));
        let pace = match (args.rate, args.burst) {
            (Some(rate), _) => Pace::Poisson { rate },
            (None, true) => Pace::Burst,
            (None, false) => Pace::Closed { concurrency: args.concurrency.unwrap_or(8) },
        };
        let remote = args.remote.remote(args.concurrency.unwrap_or(8).max(64))?;
        let model = server::model(&remote, args.model.as_deref())?;
        let source = match file {
            Some(set) => Source::File(set),
            None => Source::Drawn(Drawn {
                alphabet: alphabet(args, &remote, &model, chat),
                tokens: args.prompt_tokens,
                prefix: args.prefix_tokens,
                chat,
            }),
        };
        let recipe = Recipe {
            model,
            source,
            new_tokens: args.new_tokens,
            ignore_eos: args.ignore_eos,
            extra: args.body.0.clone(),
            draws: Draws { seed: args.seed },
            cancel: (args.cancel, args.cancel_within),
        };
        Ok(Plan { client: Client { remote, path: endpoint.path(), timeout: args.timeout }, recipe, pace, requests })
    }

    /// What the table is about.
    fn header(&self, args: &Args) -> String {
        let prompts = match &self.recipe.source {
            Source::File(set) => format!("prompts of {} lines", set.lines.len()),
            Source::Drawn(_) => format!("prompts of {} tokens", args.prompt_tokens),
        };
        terminal::harmless(&format!(
            "{} at {}{} · {} · {} requests, {prompts}, {} new tokens · seed {}",
            self.recipe.model,
            self.client.remote.root(),
            self.client.path,
            self.pace.name(),
            self.requests,
            args.new_tokens,
            args.seed,
        ))
    }

    /// The part of the object of `--json` that was asked for.
    fn json(&self, args: &Args) -> Map<String, Value> {
        let (mode, concurrency, rate) = match self.pace {
            Pace::Closed { concurrency } => ("closed", Some(concurrency), None),
            Pace::Poisson { rate } => ("poisson", None, Some(rate)),
            Pace::Burst => ("burst", None, None),
        };
        let drawn = matches!(self.recipe.source, Source::Drawn(_));
        let object = json!({
            "url": self.client.remote.root(),
            "endpoint": self.client.path,
            "model": self.recipe.model,
            "pace": mode,
            "concurrency": concurrency,
            "rate": rate,
            "requests": self.requests,
            "asked_prompt_tokens": drawn.then(|| args.prompt_tokens.to_string()),
            "asked_new_tokens": args.new_tokens.to_string(),
            "cancel": args.cancel,
            "body": self.recipe.extra,
            "seed": args.seed,
        });
        let Value::Object(object) = object else { unreachable!("an object was written") };
        object
    }

    /// The requests before the measured ones. All must be answered: what fails here would fail again.
    fn warm_up(&self, n: usize, progress: &mut Progress) -> Result<(), Fault> {
        let orders = self.recipe.warmup(n);
        let pace = Pace::Closed { concurrency: n.min(8) };
        let run = load::run(&self.client, orders, pace, self.recipe.draws, |at| {
            progress.show(|| format!("warm-up: {} of {n}", at.done));
        })?;
        progress.clear();
        for outcome in run.outcomes {
            if let End::Failed(failure) = outcome.end {
                return Err(format!("a request before the measured ones failed: {failure}").into());
            }
        }
        Ok(())
    }

    fn measure(&self, progress: &mut Progress) -> Result<Run, Fault> {
        let n = self.requests;
        let run = load::run(&self.client, self.recipe.orders(n), self.pace, self.recipe.draws, |at| {
            progress.show(|| shown(at, n));
        });
        progress.clear();
        Ok(run?)
    }
}

/// What prompts are drawn from, and a notice where their lengths are uncertain.
fn alphabet(args: &Args, remote: &Remote, model: &str, chat: bool) -> Alphabet {
    if let Some(span) = args.token_ids {
        return Alphabet::IdSpan(span);
    }
    let Some(ids) = server::tokenize(remote, model, &Alphabet::text()) else {
        terminal::notice("the server has no /tokenize: prompts are words, counted as one token each");
        return Alphabet::Words { tokens_per_word: 1.0 };
    };
    let words = Alphabet::of_words(ids.len());
    if chat { words } else { Alphabet::of_ids(ids).unwrap_or(words) }
}

/// How far a run is, in a line.
fn shown(at: &load::Progress, n: usize) -> String {
    let seconds = at.elapsed.as_secs_f64();
    let failed = if at.failed > 0 { format!(", {} failed", at.failed) } else { String::new() };
    let left = match at.done {
        0 => String::new(),
        done => {
            let left = (seconds / done as f64 * (n - done) as f64).round() as u64;
            format!(" · {}:{:02} left", left / 60, left % 60)
        }
    };
    format!(
        "{} of {n} done{failed} · {} running · {:.0} tokens/s{left}",
        at.done,
        at.running,
        at.chunks as f64 / seconds.max(0.1)
    )
}

pub(crate) fn main(args: &Args) -> Result<(), Fault> {
    let plan = Plan::new(args)?;
    // whatever cannot be written is said before the load
    let rows = args.rows.as_ref().map(|path| {
        File::create(path).map(BufWriter::new).map_err(|error| format!("--rows {}: {error}", path.display()))
    });
    let mut rows = rows.transpose()?;
    let header = plan.header(args);
    let mut out = anstream::stdout();
    if args.json {
        terminal::notice(header);
    } else {
        writeln!(out, "{STRONG}{header}{STRONG:#}\n")?;
        out.flush()?;
    }
    let mut progress = Progress::new();
    if args.warmup > 0 {
        plan.warm_up(args.warmup, &mut progress)?;
    }
    let run = plan.measure(&mut progress)?;
    if let Some(rows) = &mut rows {
        for outcome in &run.outcomes {
            writeln!(rows, "{}", outcome.json())?;
        }
        rows.flush()?;
    }
    let summary = Summary::of(&run);
    if args.json {
        let mut object = plan.json(args);
        if let Value::Object(measured) = summary.json() {
            object.extend(measured);
        }
        writeln!(out, "{}", Value::Object(object))?;
    } else {
        write!(out, "{}", table::lines(&summary))?;
    }
    out.flush()?;
    useless(&summary.counts).map_or(Ok(()), |said| Err(said.into()))
}

/// What to say when nothing was measured.
fn useless(counts: &Counts) -> Option<String> {
    let (_, (_, first)) = counts.kinds.first_key_value().filter(|_| counts.ok == 0)?;
    Some(format!("none of the requests was answered completely, {} failed: {first}", counts.failed))
}

/// Reads a number of requests.
fn requests(text: &str) -> Result<usize, String> {
    let n = bench::positive(text)?;
    if n <= 1_000_000 { Ok(n) } else { Err(format!("{n} are too many: 1000000 at most")) }
}

/// Reads requests per second.
fn rate(text: &str) -> Result<f64, String> {
    let fits = |rate: &f64| (0.001..=1e6).contains(rate);
    text.parse().ok().filter(fits).ok_or_else(|| format!("`{text}` is no number of requests a second from 0.001 on"))
}

/// Reads a share.
fn share(text: &str) -> Result<f64, String> {
    let fits = |share: &f64| (0.0..=1.0).contains(share);
    text.parse().ok().filter(fits).ok_or_else(|| format!("`{text}` is no share from 0 to 1"))
}

/// Reads a time.
fn seconds(text: &str) -> Result<Duration, String> {
    let fits = |seconds: &f64| (0.001..=1e6).contains(seconds);
    let seconds = text.parse().ok().filter(fits);
    seconds.map(Duration::from_secs_f64).ok_or_else(|| format!("`{text}` is no time from 0.001 to 1000000 seconds"))
}

/// Reads a span of token ids.
fn token_ids(text: &str) -> Result<Span, String> {
    let span: Span = text.parse()?;
    if span.high <= u32::MAX as usize { Ok(span) } else { Err(format!("`{text}`: ids end at {}", u32::MAX)) }
}

/// Reads a JSON object.
fn object(text: &str) -> Result<Object, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(Object(object)),
        Ok(other) => Err(format!("`{other}` is no JSON object: give one such as {{\"temperature\": 0}}")),
        Err(error) => Err(format!("`{text}` is no JSON object ({error}): give one such as {{\"temperature\": 0}}")),
    }
}
