//! Replays a file of test vectors: `conformance FILE`. Exits with 1 if any vector disagrees, 2 if the file is no good.

#[path = "../tests/vectors/mod.rs"]
mod vectors;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: conformance FILE");
        return ExitCode::from(2);
    };
    let read = std::fs::read_to_string(&path).map_err(|error| error.to_string());
    match read.and_then(|text| vectors::run(&text)) {
        Ok(report) => {
            for (kind, count) in &report.skipped {
                println!("skipped {kind}: {count}");
            }
            for failure in &report.failures {
                println!("FAILED {failure}");
            }
            println!("{} passed, {} failed", report.passed, report.failures.len());
            ExitCode::from(u8::from(!report.failures.is_empty()))
        }
        Err(error) => {
            eprintln!("{path}: {error}");
            ExitCode::from(2)
        }
    }
}
