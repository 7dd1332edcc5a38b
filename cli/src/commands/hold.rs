//! `annals hold`: records that retention has to leave alone.

use std::ops::Range;

use annals::{Background, Hold, Log, Options, Reader};

use crate::args::LogArg;
use crate::commands::append::tell_recovery;
use crate::failure::Result;
use crate::output::{OutputArgs, grid, report};
use crate::range::parse_seqs;
use crate::time::Rfc3339;

/// Make, release or list legal holds: records that `annals retain` leaves alone until they are released.
///
/// Making and releasing need the log's lock; listing doesn't.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    log: LogArg,

    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Hold records
    Add {
        /// A name that no other hold of the log has
        name: String,

        /// Which: A..B (without B), A.. (those to come, too), ..B, or A alone; without it, all
        #[arg(long, value_name = "A..B", value_parser = parse_seqs)]
        seq: Option<Range<u64>>,

        /// Why
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,

        #[command(flatten)]
        output: OutputArgs,
    },
    /// Release a hold
    Release {
        /// Its name
        name: String,

        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the holds
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let (holds, output) = match &args.action {
        Action::Add { name, seq, reason, output } => {
            let seqs = seq.clone().unwrap_or(0..u64::MAX);
            (vec![change(args, |log| log.hold(name, seqs, reason))?], output)
        }
        Action::Release { name, output } => (vec![change(args, |log| log.release(name))?], output),
        Action::List { output } => (Reader::open(&args.log.log)?.holds()?, output),
    };
    report(output.format(), &holds, || table(&holds))
}

fn change(args: &Args, change: impl FnOnce(&Log) -> annals::Result<Hold>) -> Result<Hold> {
    let log = Options::new().background(Background::Manual).open(&args.log.log)?;
    tell_recovery(&log);
    let hold = change(&log)?;
    log.close()?;
    Ok(hold)
}

fn table(holds: &[Hold]) -> String {
    if holds.is_empty() {
        return "no holds".to_owned();
    }
    let row = |hold: &Hold| {
        let seqs = match hold.end_seq {
            Some(end) => format!("{} to {}", hold.first_seq, end.saturating_sub(1)),
            None => format!("{} on", hold.first_seq),
        };
        vec![hold.name.clone(), seqs, Rfc3339(hold.since).to_string(), hold.reason.clone()]
    };
    grid(&["hold", "seqs", "since", "reason"], &[], holds.iter().map(row)).to_string()
}
