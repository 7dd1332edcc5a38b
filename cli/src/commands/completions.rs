//! `annals completions`: a completion script for a shell.

use clap_complete::Shell;

use crate::args;
use crate::failure::Result;
use crate::output::print;

/// Print a completion script for a shell.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(), "annals", &mut script);
    print(&script)
}
