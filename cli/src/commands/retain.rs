//! `annals retain`: what is old or too much goes, from the beginning of the log on.

use std::fmt::Write;
use std::time::Duration;

use annals::{Options, RetentionPolicy, RetentionReport, StreamName};

use crate::args::PlaceArg;
use crate::commands::append::{parse_size, tell_recovery};
use crate::failure::Result;
use crate::output::{OutputArgs, bytes, count, facts, plural};
use crate::per_stream::print_done;
use crate::place::{Place, StreamArgs};
use crate::time::{Rfc3339, parse_age};

/// Remove whole sealed segments from the beginning of a log, or of each stream of a store, by age, bytes or records.
///
/// A segment goes if any of the limits says so; the first that is not due, is held (`annals hold`), is damaged or isn't sealed ends
/// it. No limit is cut into: the newest records or bytes that it grants stay, and with them what shares a segment with them. The log keeps a durable record of what was removed, when and why, and the hash tree over it, so that what is left can
/// still be verified. Seqs are never given again. It needs the log's lock; with --dry-run it doesn't.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("limit").required(true).multiple(true).args(["older_than", "max_bytes", "max_records"])))]
pub(crate) struct Args {
    #[command(flatten)]
    place: PlaceArg,

    #[command(flatten)]
    streams: StreamArgs,

    /// Segments whose newest record is older than this: 90d, 12h, 2 weeks, 1 year. By the records' own times; a time after the
    /// segment was sealed counts as that of sealing
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    older_than: Option<Duration>,

    /// Segments as long as this much of the log stays on disk without them: 500M, 10G. What is left is that and less than one
    /// segment more
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_bytes: Option<u64>,

    /// Segments as long as this many records stay without them
    #[arg(long, value_name = "N")]
    max_records: Option<u64>,

    /// Why, for the record that the log keeps of it
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,

    /// Say what would be removed, and change nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut policy = RetentionPolicy::new().reason(&args.reason).dry_run(args.dry_run);
    if let Some(age) = args.older_than {
        policy = policy.older_than(age);
    }
    if let Some(bytes) = args.max_bytes {
        policy = policy.max_bytes(bytes);
    }
    if let Some(records) = args.max_records {
        policy = policy.max_records(records);
    }
    let mut done = Vec::new();
    let outcome = if args.dry_run {
        plan(args, &policy, &mut done)
    } else {
        args.streams.each_log(&args.place.path, Options::new(), |name, log| {
            tell_recovery(log.recovery());
            done.push((name.cloned(), log.retain(&policy)?));
            Ok(())
        })
    };
    print_done(args.output.format(), &args.place.path, done, outcome, text)
}

/// What would be removed.
fn plan(args: &Args, policy: &RetentionPolicy, done: &mut Vec<(Option<StreamName>, RetentionReport)>) -> Result<()> {
    match args.streams.open(&args.place.path)? {
        Place::Log(reader) => done.push((None, reader.plan_retention(policy)?)),
        Place::Streams(store, names) => {
            for name in names {
                let planned = store.stream(&name)?.plan_retention(policy)?;
                done.push((Some(name), planned));
            }
        }
    }
    Ok(())
}

fn text(done: &RetentionReport) -> String {
    let mut text = match &done.removal {
        None => "nothing to remove".to_owned(),
        Some(removal) => {
            let times = match (removal.time_min, removal.time_max) {
                (Some(first), Some(last)) => format!("{} to {}", Rfc3339(first), Rfc3339(last)),
                _ => "none".to_owned(),
            };
            let root: String = removal.root.iter().map(|byte| format!("{byte:02x}")).collect();
            facts(vec![
                (if done.dry_run { "would remove" } else { "removed" }, plural(removal.records, "record")),
                ("seqs", format!("{} to {}", removal.first_seq, removal.end_seq - 1)),
                ("times", times),
                ("segments", format!("{}, {}", count(removal.segments), bytes(removal.bytes))),
                ("Merkle root", root),
                ("reason", removal.reason.clone()),
            ])
        }
    };
    let _ = write!(text, "\nfirst seq left: {}", done.first_seq);
    if let Some(stop) = &done.stopped {
        let _ = write!(text, "\nmore is due, but kept: {stop}");
    }
    text
}
