//! `annals hold`: records that retention has to leave alone.

use std::ops::Range;

use annals::{Background, Hold, Log, Options, Reader, Release};
use serde::Serialize;

use crate::args::LogArg;
use crate::commands::append::tell_recovery;
use crate::failure::Result;
use crate::output::{OutputArgs, grid, report};
use crate::range::parse_seqs;
use crate::time::Rfc3339;

/// Make, release or list legal holds: records that `annals retain` leaves alone until they are released.
///
/// The log keeps what was held, when and why, also of the newest 512 holds that were released. Making and releasing need the
/// log's lock; listing doesn't.
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

        /// Why, and who says so
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,

        #[command(flatten)]
        output: OutputArgs,
    },
    /// Release a hold
    Release {
        /// Its name
        name: String,

        /// Why, and who says so
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,

        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the holds
    List {
        /// Those that were released, too
        #[arg(long)]
        released: bool,

        #[command(flatten)]
        output: OutputArgs,
    },
}

/// A hold, or what was one.
#[derive(Serialize)]
#[serde(untagged)]
enum Listed {
    Held(Hold),
    Released(Release),
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let (listed, output) = match &args.action {
        Action::Add { name, seq, reason, output } => {
            let seqs = seq.clone().unwrap_or(0..u64::MAX);
            (vec![Listed::Held(change(args, |log| log.hold(name, seqs, reason))?)], output)
        }
        Action::Release { name, reason, output } => {
            (vec![Listed::Released(change(args, |log| log.release(name, reason))?)], output)
        }
        Action::List { released, output } => (list(&Reader::open(&args.log.log)?, *released)?, output),
    };
    report(output.format(), &listed, || table(&listed))
}

fn list(reader: &Reader, released: bool) -> Result<Vec<Listed>> {
    let mut listed = Vec::new();
    if released {
        listed.extend(reader.releases()?.into_iter().map(Listed::Released));
    }
    listed.extend(reader.holds()?.into_iter().map(Listed::Held));
    Ok(listed)
}

fn change<T>(args: &Args, change: impl FnOnce(&Log) -> annals::Result<T>) -> Result<T> {
    let log = Options::new().background(Background::Manual).open(&args.log.log)?;
    tell_recovery(log.recovery());
    let changed = change(&log)?;
    log.close()?;
    Ok(changed)
}

fn table(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return "no holds".to_owned();
    }
    let was_released = listed.iter().any(|listed| matches!(listed, Listed::Released(_)));
    let header = ["hold", "seqs", "since", "reason", "released", "why"];
    let shown = if was_released { &header[..] } else { &header[..4] };
    let rows = listed.iter().map(|listed| {
        let mut row = match listed {
            Listed::Held(hold) => [row(hold), vec![String::new(); 2]],
            Listed::Released(release) => {
                let released = Rfc3339(release.released).to_string();
                [row(&release.hold), vec![released, release.release_reason.clone()]]
            }
        }
        .concat();
        row.truncate(shown.len());
        row
    });
    grid(shown, &[], rows).to_string()
}

fn row(hold: &Hold) -> Vec<String> {
    let seqs = match hold.end_seq {
        Some(end) => format!("{} to {}", hold.first_seq, end.saturating_sub(1)),
        None => format!("{} on", hold.first_seq),
    };
    vec![hold.name.clone(), seqs, Rfc3339(hold.since).to_string(), hold.reason.clone()]
}
