//! `annals repair`: what can be read of a damaged log is kept, and what can't is recorded as missing.

use std::fmt::Write;

use annals::{Damage, Repair, RepairReport, Replaced, Restorable};
use serde::Serialize;

use crate::args::LogArg;
use crate::failure::{Failure, Result};
use crate::output::{OutputArgs, count, facts, plural, report};

/// Lines of a kind shown in the text; JSON has all of them.
const LINES_SHOWN: usize = 50;

/// Repair a damaged log: keep every record that can be read, and record in the log what can't.
///
/// Damaged files are replaced by sealed segments with all that could be read on both sides of the damage. What is missing
/// becomes a gap, which every reader tells of. Every file that is replaced is copied to quarantine/ before. Nothing has to
/// be deleted by hand, and a repair that was interrupted is finished by the next.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("mode").required(true).args(["dry_run", "apply"])))]
pub(crate) struct Args {
    #[command(flatten)]
    log: LogArg,

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
struct Outcome<'a> {
    /// Whether the log is sound now, gaps included.
    sound: bool,
    /// Whether there was nothing to repair.
    needless: bool,
    #[serde(flatten)]
    report: &'a RepairReport,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let repair = if args.apply { Repair::apply() } else { Repair::dry_run() };
    let done = repair.restore(args.restore).run(&args.log.log)?;
    let outcome = Outcome { sound: done.is_sound(), needless: done.is_needless(), report: &done };
    report(args.output.format(), &outcome, || text(&done))?;
    let log = args.log.log.display();
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

fn text(done: &RepairReport) -> String {
    let missing: u64 = done.gaps.iter().map(annals::Gap::count).sum();
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
