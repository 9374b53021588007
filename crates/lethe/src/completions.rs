//! `lethe completions`: what a shell needs to complete commands and options.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::Fault;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// For this shell
    shell: Shell,
}

pub(crate) fn main(args: &Args) -> Result<(), Fault> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::Cli::command(), "lethe", &mut script);
    Ok(std::io::Write::write_all(&mut anstream::stdout(), &script)?)
}
