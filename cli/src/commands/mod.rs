//! The commands, one file each: its options, and what it does.

pub(crate) mod append;
pub(crate) mod cat;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod export;
pub(crate) mod get;
pub(crate) mod hold;
pub(crate) mod index;
pub(crate) mod info;
pub(crate) mod inspect;
pub(crate) mod man;
pub(crate) mod query;
pub(crate) mod repair;
pub(crate) mod retain;
pub(crate) mod seal;
pub(crate) mod stats;
pub(crate) mod streams;
pub(crate) mod tail;
pub(crate) mod verify;

use crate::args::Command;
use crate::failure::Result;

/// Runs one command.
pub(crate) fn run(command: Command) -> Result<()> {
    match command {
        Command::Append(args) => append::run(args),
        Command::Get(args) => get::run(&args),
        Command::Cat(args) => cat::run(&args),
        Command::Query(args) => query::run(&args),
        Command::Stats(args) => stats::run(&args),
        Command::Tail(args) => tail::run(&args),
        Command::Index(args) => index::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Repair(args) => repair::run(&args),
        Command::Streams(args) => streams::run(&args),
        Command::Seal(args) => seal::run(&args),
        Command::Retain(args) => retain::run(&args),
        Command::Hold(args) => hold::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}
