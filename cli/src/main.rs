//! The program `annals`: append, read, verify and export logs from a shell. docs/cli.md is its manual.
//!
//! Data goes to stdout, everything else to stderr, and the exit code tells scripts what happened.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod condition;
mod failure;
mod groups;
mod ingest;
mod input;
mod interrupt;
mod output;
mod per_stream;
mod place;
mod progress;
mod range;
mod records;
mod time;

use std::process::ExitCode;

use args::Cli;
use clap::FromArgMatches;

fn main() -> ExitCode {
    let parsed = args::command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way, too. Whoever closed the pipe doesn't need them.
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    match commands::run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(message) = failure.message() {
                output::note(format_args!("annals: {message}"));
            }
            failure.exit_code()
        }
    }
}
