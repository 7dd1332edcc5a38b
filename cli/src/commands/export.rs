//! `annals export`: Parquet for analysts.

use std::path::PathBuf;

use crate::args::LogArg;
use crate::failure::{Failure, Result};
use crate::output::OutputArgs;
use crate::range::RangeArgs;

/// Export records to Parquet: one file if OUT ends with .parquet, otherwise a dataset directory.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    log: LogArg,

    /// A file that ends with .parquet, or a directory
    #[arg(value_name = "OUT")]
    out: PathBuf,

    #[command(flatten)]
    range: RangeArgs,

    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let _ = (&args.log, &args.out, &args.range, args.output);
    Err(Failure::Failed("not there yet".to_owned()))
}
