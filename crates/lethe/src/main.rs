//! Lethe: a reasoning engine whose KV cache forgets on purpose.
#![forbid(unsafe_code)]

mod bars;
mod bench;
mod chat;
mod completions;
mod demo;
mod eval;
mod find;
mod inspect;
mod load;
mod models;
mod options;
mod plan;
mod policies;
mod prompt;
mod quantize;
mod remote;
mod report;
mod run;
mod serve;
mod show;
mod terminal;
mod top;
mod trace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Reasoning models whose KV cache forgets on purpose.
#[derive(Parser)]
#[command(name = "lethe", version, max_term_width = 110, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  lethe demo                                  watch the embedded model think with the full cache and with Lethe
  lethe run \"Sort 41 7 93 20.\"                one answer from the embedded model
  lethe run -m model.gguf --cap 1024 \"...\"   a GGUF file, at most 1024 slots per layer
  lethe run -m Qwen/Qwen3-0.6B-GGUF \"...\"    by name: from the cache, or fetched
  lethe chat ./Qwen3-0.6B --hide-thinking     a conversation, thinking not shown
  lethe serve ./Qwen3-0.6B --port 8080        the OpenAI API over HTTP
  lethe models plan Qwen/Qwen3-8B             what a model needs, before it is fetched
  lethe bench --cap 256 --context 128,3000    how fast it decodes there, and on how much memory
  lethe bench serve --concurrency 16          load on a running server, and how it bears it
  lethe eval --budgets 25%,50% --out results  every policy on problems with one right answer each
  lethe top                                   a running server, live
  lethe trace --task cards --seed 7           one run and everything it forgot; lethe trace view shows it
  lethe policies                              every policy with its keys, defaults and cost";

#[derive(Subcommand)]
enum Command {
    /// A few generated problems, full cache and Lethe side by side
    Demo(demo::Args),
    /// Answer one prompt; the text streams to stdout, statistics go to stderr
    Run(Box<run::Args>),
    /// Talk with a model, a line a turn; works with piped stdin too
    Chat(Box<chat::Args>),
    /// Serve a model over HTTP, as the OpenAI API does
    Serve(Box<serve::Args>),
    /// What the cache of the hub holds; `models plan` says what a model needs
    Models(models::Args),
    /// What is in a GGUF file, and whether it runs here
    Inspect(inspect::Args),
    /// Write a Hugging Face folder as one GGUF file with smaller numbers
    Quantize(quantize::Args),
    /// Time decoding under a policy: at given positions, or with many requests at once; `bench serve` loads a server
    Bench(Box<bench::Args>),
    /// Compare eviction policies on problems with one right answer each
    Eval(Box<eval::Args>),
    /// Watch a running server: tokens per second, requests, pages, slots per layer
    Top(top::Args),
    /// Run one problem and write down everything the cache forgets; `trace view` makes a page of it
    Trace(Box<trace::Args>),
    /// List the eviction policies with their keys, defaults and cost
    Policies(policies::Args),
    /// Print a script with which a shell completes commands and options
    Completions(completions::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Demo(args) => demo::main(&args),
        Command::Run(args) => run::main(*args),
        Command::Chat(args) => chat::main(*args),
        Command::Serve(args) => serve::main(*args),
        Command::Models(args) => models::main(&args),
        Command::Inspect(args) => inspect::main(&args),
        Command::Quantize(args) => quantize::main(&args),
        Command::Bench(args) => bench::main(&args),
        Command::Eval(args) => eval::main(*args),
        Command::Top(args) => top::main(&args),
        Command::Trace(args) => trace::main(&args),
        Command::Policies(args) => policies::main(&args),
        Command::Completions(args) => completions::main(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) if terminal::is_broken_pipe(e.as_ref()) => ExitCode::SUCCESS, // the reader has seen enough
        Err(e) => {
            terminal::error(e.as_ref());
            ExitCode::FAILURE
        }
    }
}

/// Any error that ends the program.
type Fault = Box<dyn std::error::Error>;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
