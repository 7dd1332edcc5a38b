//! The command line: what can be asked for, and the options that several commands share.

use std::path::PathBuf;

use clap::{CommandFactory, Parser, Subcommand};

use crate::commands;
use crate::failure::EXIT_CODES_HELP;

/// An append-only log for audit and event records: append NDJSON, read it back unchanged, prove that nothing was
/// altered, and hand analysts Parquet.
#[derive(Debug, Parser)]
#[command(name = "annals", version, propagate_version = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Append(commands::append::Args),
    Get(commands::get::Args),
    Cat(commands::cat::Args),
    Query(commands::query::Args),
    Tail(commands::tail::Args),
    Info(commands::info::Args),
    Verify(commands::verify::Args),
    Repair(commands::repair::Args),
    Seal(commands::seal::Args),
    Retain(commands::retain::Args),
    Hold(commands::hold::Args),
    Index(commands::index::Args),
    Export(commands::export::Args),
    Inspect(commands::inspect::Args),
    Demo(commands::demo::Args),
    Completions(commands::completions::Args),
    Man(commands::man::Args),
}

/// The log a command works on.
#[derive(Debug, clap::Args)]
pub(crate) struct LogArg {
    /// The log's directory
    #[arg(value_name = "LOG")]
    pub(crate) log: PathBuf,
}

/// The whole command line for clap, with the exit codes in every help text.
pub(crate) fn command() -> clap::Command {
    Cli::command().after_help(EXIT_CODES_HELP).mut_subcommands(|command| command.after_help(EXIT_CODES_HELP))
}
