//! `annals demo`.

use std::path::PathBuf;

use crate::failure::{Failure, Result};

/// Run the main job on a small real sample, and say where things are.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A directory to work in; it must not exist yet [default: a new one among the temporary files]
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let _ = &args.dir;
    Err(Failure::Failed("not there yet".to_owned()))
}
