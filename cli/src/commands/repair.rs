//! `annals repair`: what can be read of a damaged log is kept, and what can't is recorded as missing.

use std::fmt::Write;

use annals::{Damage, Repair, RepairReport, Replaced, Restorable, StoreRepairReport, StreamName};
use serde::Serialize;

use crate::args::PlaceArg;
use crate::failure::{Failure, Result};
use crate::output::{OutputArgs, count, facts, plural, report, total};
use crate::per_stream::OfStream;
use crate::place::StreamArgs;

/// Lines of a kind shown in the text; JSON has all of them.
const LINES_SHOWN: usize = 50;

/// Repair a damaged log: keep every record that can be read, and record in the log what can't.
///
/// Damaged files are replaced by sealed segments with all that could be read on both sides of the damage. What is missing
/// becomes a gap, which every reader tells of. Every file that is replaced is copied to quarantine/ before. Nothing has to
/// be deleted by hand, and a repair that was interrupted is finished by the next. Of a store, its own identity file is repaired,
/// and then each stream.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("mode").required(true).args(["dry_run", "apply"])))]
pub(crate) struct Args {
    #[command(flatten)]
    place: PlaceArg,

    #[command(flatten)]
    streams: StreamArgs,

    /// Say what would be done, and change nothing (exit code 3 if there is damage)
    #[arg(long)]
    dry_run: bool,

    /// Do it; no other process may have the log open for appending
    #[arg(long)]
    apply: bool,

    /// Also bring back intact records that followed an unfinished write and are kept in quarantine
    #[arg(long)]
    restore: bool,

    #[command(flatten)]
    output: OutputArgs,
}

/// The report as it is printed.
#[derive(Serialize)]
struct Outcome {
    /// Whether the log is sound now, gaps included.
    sound: bool,
    /// Whether there was nothing to repair.
    needless: bool,
    #[serde(flatten)]
    report: RepairReport,
}

impl Outcome {
    fn of(report: RepairReport) -> Self {
        Self { sound: report.is_sound(), needless: report.is_needless(), report }
    }
}

/// The same of a store: of its own file, and of each stream.
#[derive(Serialize)]
struct StoreOutcome {
    store: String,
    sound: bool,
    needless: bool,
    #[serde(flatten)]
    report: StoreRepairReport,
    streams: Vec<OfStream<Outcome>>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let repair = if args.apply { Repair::apply() } else { Repair::dry_run() };
    let repair = repair.restore(args.restore);
    if let Some((_, names)) = args.streams.chosen(&args.place.path)? {
        return store(args, repair, names);
    }
    let outcome = Outcome::of(repair.run(&args.place.path)?);
    let done = &outcome.report;
    report(args.output.format(), &outcome, || text(done))?;
    let log = args.place.path.display();
    match (done.is_sound(), done.applied) {
        (true, _) => Ok(()),
        (false, false) => Err(Failure::Integrity(format!(
            "{log} is damaged in {}. `annals repair --apply` does what is said above",
            plural(done.damage.len() as u64, "place")
        ))),
        (false, true) => Err(Failure::Integrity(format!(
            "{log} is still damaged in {}: {}",
            plural(done.remaining.len() as u64, "place"),
            done.remaining.first().map(ToString::to_string).unwrap_or_default()
        ))),
    }
}

/// Repairs the store's own file, and each stream as the log that it is.
fn store(args: &Args, repair: Repair, names: Vec<StreamName>) -> Result<()> {
    let path = &args.place.path;
    let own = repair.run_store(path)?;
    let mut streams = Vec::with_capacity(names.len());
    let mut failed = Ok(());
    for name in names {
        let directory = path.join(name.folder());
        match OfStream::new(name, repair.run(directory).map(Outcome::of)) {
            Ok(outcome) => streams.push(outcome),
            // What was done to others is told all the same.
            Err(failure) => {
                failed = Err(failure);
                break;
            }
        }
    }
    let is = |told: fn(&Outcome) -> bool| streams.iter().all(|stream| stream.report.as_ref().is_some_and(told));
    let (sound, needless) = (own.is_sound() && is(|of| of.sound), own.is_needless() && is(|of| of.needless));
    let outcome = StoreOutcome { store: path.display().to_string(), sound, needless, report: own, streams };
    report(args.output.format(), &outcome, || store_text(&outcome))?;
    failed?;
    match (sound, args.apply) {
        (true, _) => Ok(()),
        (false, false) => Err(Failure::Integrity(format!(
            "{} is damaged. `annals repair --apply` does what is said above",
            outcome.store
        ))),
        (false, true) => Err(Failure::Integrity(format!("{} is still damaged", outcome.store))),
    }
}

/// Streams without damage are only counted.
fn store_text(outcome: &StoreOutcome) -> String {
    let own = &outcome.report;
    let mut text = facts(vec![
        ("streams", count(outcome.streams.len() as u64)),
        ("damage of the store's own file", count(own.damage.len() as u64)),
        ("store id", own.store_id.map_or_else(|| "to be drawn anew".to_owned(), |id| id.to_string())),
    ]);
    section(&mut text, "damage", own.damage.iter().map(Damage::to_string));
    section(&mut text, "files", own.replaced.iter().map(own_replaced));
    for stream in outcome.streams.iter() {
        match &stream.report {
            Some(done) if done.needless => {}
            Some(done) => {
                let _ = write!(text, "\n\nstream {}\n{}", stream.stream, self::text(&done.report));
            }
            None => {
                let _ = write!(text, "\n\nstream {}\n{}", stream.stream, stream.error.clone().unwrap_or_default());
            }
        }
    }
    if outcome.needless {
        text += "\n\nnothing to repair";
    }
    text
}

/// The store's identity file.
fn own_replaced(replaced: &Replaced) -> String {
    let mut text = replaced.files.join(", ");
    if let Some(by) = &replaced.by {
        let _ = write!(text, ": now {by}, written anew");
    }
    if !replaced.kept.is_empty() {
        let _ = write!(text, "; as it was in {}", replaced.kept.join(", "));
    }
    text
}

fn text(done: &RepairReport) -> String {
    let missing = total(done.gaps.iter().map(annals::Gap::count));
    let gaps = match done.gaps.len() {
        0 => "none".to_owned(),
        gaps => format!("{}: {} missing", count(gaps as u64), plural(missing, "record")),
    };
    let mut text = facts(vec![
        ("damage found", count(done.damage.len() as u64)),
        (if done.applied { "files replaced" } else { "files to replace" }, count(done.replaced.len() as u64)),
        (if done.applied { "indexes rebuilt" } else { "indexes to rebuild" }, count(done.indexes.len() as u64)),
        (if done.applied { "gaps in the log" } else { "new gaps" }, gaps),
        ("next seq", count(done.next_seq)),
    ]);
    section(&mut text, "damage", done.damage.iter().map(Damage::to_string));
    section(&mut text, "files", done.replaced.iter().map(replaced));
    section(&mut text, "gaps", done.gaps.iter().map(annals::Gap::to_string));
    section(&mut text, "possibly acknowledged", done.restorable.iter().map(restorable));
    if done.is_needless() {
        text += "\n\nnothing to repair";
    }
    text
}

fn section(text: &mut String, title: &str, lines: impl ExactSizeIterator<Item = String>) {
    let all = lines.len();
    if all > 0 {
        let _ = write!(text, "\n\n{title}:");
    }
    for line in lines.take(LINES_SHOWN) {
        let _ = write!(text, "\n  {line}");
    }
    if let Some(more @ 1..) = all.checked_sub(LINES_SHOWN) {
        let _ = write!(text, "\n  and {} more (--output json has all)", count(more as u64));
    }
}

fn replaced(replaced: &Replaced) -> String {
    let files = if replaced.files.is_empty() { "no file".to_owned() } else { replaced.files.join(", ") };
    let mut text = format!("{files}: {} kept, {} missing", plural(replaced.records, "record"), count(replaced.missing));
    if let Some(by) = &replaced.by {
        let _ = write!(text, "; now {by}");
    }
    if !replaced.kept.is_empty() {
        let _ = write!(text, "; as it was in {}", replaced.kept.join(", "));
    }
    text
}

fn restorable(tail: &Restorable) -> String {
    let mut text = format!(
        "{}: {}, seqs {} to {}",
        tail.file,
        plural(tail.records, "record"),
        tail.first_seq,
        tail.end_seq.saturating_sub(1)
    );
    if tail.restored.is_empty() {
        text += "; --restore brings them back";
    }
    for (first, end, new) in &tail.restored {
        let _ = write!(text, "; {first} to {} restored as {new} to {}", end - 1, new + (end - first) - 1);
    }
    text
}
