//! The command line: what can be asked for, and the options that several commands share.

use std::path::PathBuf;

use annals::Options;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

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
    Stats(commands::stats::Args),
    Tail(commands::tail::Args),
    Info(commands::info::Args),
    Verify(commands::verify::Args),
    Repair(commands::repair::Args),
    Streams(commands::streams::Args),
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

/// The store that a command works on.
#[derive(Debug, clap::Args)]
pub(crate) struct StoreArg {
    /// The store's directory
    #[arg(value_name = "STORE")]
    pub(crate) store: PathBuf,
}

/// The log a command works on, or the store.
#[derive(Debug, clap::Args)]
pub(crate) struct PlaceArg {
    /// The log's directory, or that of a store of streams
    #[arg(value_name = "LOG")]
    pub(crate) path: PathBuf,
}

/// The log a command works on.
#[derive(Debug, clap::Args)]
pub(crate) struct LogArg {
    /// The log's directory
    #[arg(value_name = "LOG")]
    pub(crate) log: PathBuf,
}

/// The option that chooses a set of options for whoever writes.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct PresetArg {
    /// What the log is written for; it counts for what this command writes and seals
    #[arg(long, value_enum, value_name = "PRESET", default_value = "default")]
    preset: Preset,
}

/// A set of options.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Preset {
    /// Records found soonest, with little memory
    Default,
    /// Bursts: segments of 128 MiB, eight of which may wait to be sealed, at zstd level 1
    Throughput,
    /// Short waits: sixteen segments may wait to be sealed
    Latency,
    /// Small: sealed by column; slower to seal, and about three times a segment's size in memory meanwhile
    Storage,
}

impl PresetArg {
    /// The options.
    pub(crate) fn options(self) -> Options {
        match self.preset {
            Preset::Default => Options::new(),
            Preset::Throughput => Options::throughput(),
            Preset::Latency => Options::latency(),
            Preset::Storage => Options::storage(),
        }
    }
}

/// The whole command line for clap, with the exit codes in every help text.
pub(crate) fn command() -> clap::Command {
    Cli::command().after_help(EXIT_CODES_HELP).mut_subcommands(|command| command.after_help(EXIT_CODES_HELP))
}
