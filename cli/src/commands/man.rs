//! `annals man`: the manual pages.

use std::fs;
use std::path::PathBuf;

use clap_mangen::Man;

use crate::args;
use crate::failure::{Failure, Result};
use crate::output::{note, print};

/// Print the manual page, or write those of all commands to a directory.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The command whose page is printed [default: the page of annals itself]
    #[arg(value_name = "COMMAND")]
    command: Option<String>,

    /// Write annals.1, annals-append.1 and so on to this directory, instead of printing one page
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut command = args::command();
    command.build();
    if let Some(dir) = &args.dir {
        fs::create_dir_all(dir).map_err(|error| Failure::io("create", dir, &error))?;
        clap_mangen::generate_to(command, dir).map_err(|error| Failure::io("write manual pages to", dir, &error))?;
        note(format_args!("wrote the manual pages to {}", dir.display()));
        return Ok(());
    }
    let page = match &args.command {
        None => command,
        Some(name) => {
            let found = command.get_subcommands().find(|command| command.get_name() == name).cloned();
            found.ok_or_else(|| Failure::Usage(format!("there is no command {name}; see annals --help")))?
        }
    };
    let mut text = Vec::new();
    Man::new(page)
        .render(&mut text)
        .map_err(|error| Failure::Failed(format!("cannot render the manual page: {error}")))?;
    print(&text)
}
