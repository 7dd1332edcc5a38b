//! `annals inspect`: one file of a log, piece by piece.

use std::path::PathBuf;

use crate::failure::{Failure, Result};
use crate::output::OutputArgs;

/// Show what is in one file of a log: headers, frames, blocks, offsets. For debugging.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A file in a log's directory
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let _ = (&args.file, args.output);
    Err(Failure::Failed("not there yet".to_owned()))
}
