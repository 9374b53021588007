//! `lethe quantize`: a Hugging Face folder as one GGUF file with smaller numbers.

use std::fs::{self, File};
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use lethe_engine::human_bytes;
use lethe_model::{GgmlType, gguf};

use crate::Fault;
use crate::find::find;
use crate::terminal;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Hugging Face folder (config.json, *.safetensors, tokenizer.json), or its name on the hub
    #[arg(value_name = "DIR")]
    dir: String,
    /// The file to write
    #[arg(value_name = "OUT.gguf")]
    out: PathBuf,
    /// q8_0 (34 bytes for 32 numbers), q4_0 (18; the output projection stays at eight bits), or f16
    #[arg(long = "type", value_name = "TYPE", default_value = "q8_0")]
    dtype: String,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
    /// Make no request to the hub
    #[arg(long)]
    offline: bool,
}

const EXAMPLES: &str = "Examples:
  lethe quantize ./Qwen3-0.6B qwen3-0.6b-q8_0.gguf
  lethe quantize deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B r1-1.5b-q4_0.gguf --type q4_0
The file is written beside itself and renamed when it is whole. llama.cpp reads it too.";

pub(crate) fn main(args: &Args) -> Result<(), Fault> {
    let dtype = GgmlType::from_name(&args.dtype)
        .ok_or_else(|| format!("`{}` is no type: q8_0, q4_0 and f16 are", args.dtype))?;
    if args.out.extension().is_none_or(|extension| extension != "gguf") || args.out.is_dir() {
        return Err(format!("{}: name the file to write, ending in .gguf", args.out.display()).into());
    }
    if args.out.exists() && !args.force {
        return Err(format!("{} is there already: --force writes over it", args.out.display()).into());
    }
    let dir = find(&args.dir, args.offline)?;
    if !dir.is_dir() {
        return Err(format!("{} is no folder: give one with config.json and *.safetensors", dir.display()).into());
    }
    let part = partial(&args.out);
    let renamed = |done| match fs::rename(&part, &args.out) {
        Ok(()) => Ok(done),
        Err(e) => Err(format!("{}: {e}", args.out.display()).into()),
    };
    let written = write(&dir, dtype, &part).and_then(renamed);
    if written.is_err() {
        let _ = fs::remove_file(&part); // nothing half done stays behind
    }
    let done = written?;
    for notice in &done.notices {
        terminal::notice(notice);
    }
    let types: Vec<String> = done.tensors.iter().map(|(dtype, count)| format!("{count} {dtype}")).collect();
    let bytes = fs::metadata(&args.out).map(|m| m.len()).unwrap_or(0);
    writeln!(anstream::stdout(), "{}: {}, {} tensors", args.out.display(), human_bytes(bytes), types.join(", "))?;
    Ok(())
}

fn partial(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    out.with_file_name(name)
}

fn write(dir: &Path, dtype: GgmlType, part: &Path) -> Result<gguf::Conversion, Fault> {
    let file = File::create(part).map_err(|e| format!("{}: {e}", part.display()))?;
    let live = std::io::stderr().is_terminal();
    let mut progress = |done: usize, total: usize| {
        if live {
            let end = if done < total { "" } else { "\r\x1b[K" };
            let _ = write!(anstream::stderr(), "\rtensor {done} of {total}{end}");
        }
    };
    Ok(gguf::convert(dir, dtype, BufWriter::with_capacity(1 << 20, file), &mut progress)?)
}
