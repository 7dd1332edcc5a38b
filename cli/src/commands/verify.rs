//! `annals verify`: every byte of a log checked.

use std::fmt::Write;

use annals::{Damage, Gap, Reader, StoreReader, StreamName, VerifyReport};
use serde::Serialize;

use crate::args::PlaceArg;
use crate::failure::{Failure, Result};
use crate::output::{OutputArgs, bytes, count, facts, grid, plural, report, total};
use crate::per_stream::{OfStore, OfStream};
use crate::place::{Place, StreamArgs};
use crate::progress::bytes_bar;

/// Damaged places shown in the table; JSON has all of them.
const DAMAGE_SHOWN: usize = 100;

/// What a sound log proves by itself, and what it can't.
const SCOPE: &str = "internally consistent; truncation and rollback not excluded";

/// Read every byte of a log, or of each stream of a store, again and check all checksums, hashes and links.
///
/// A log without damage is internally consistent: nothing in it was altered without recomputing everything after it.
/// Whether records were cut off its end, or the whole log was replaced by an older copy, can't be told without a root
/// that was kept elsewhere, and neither can that its newest segment was put back as it once was: keep the root that this command prints, with the number of records, in another place.
/// Works beside a writer.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: PlaceArg,

    #[command(flatten)]
    streams: StreamArgs,

    #[command(flatten)]
    output: OutputArgs,
}

/// The report as it is printed.
#[derive(Serialize)]
struct Verdict {
    sound: bool,
    /// What soundness means here; `null` if there is damage.
    scope: Option<&'static str>,
    #[serde(flatten)]
    report: VerifyReport,
}

impl Verdict {
    fn of(reader: &Reader) -> annals::Result<Self> {
        let bar = bytes_bar("verifying", Some(reader.info()?.bytes));
        let verified = reader.verify(&mut |bytes| bar.set_position(bytes));
        bar.finish_and_clear();
        let report = verified?;
        let sound = report.is_sound();
        Ok(Self { sound, scope: sound.then_some(SCOPE), report })
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let reader = match args.streams.open(&args.place.path)? {
        Place::Log(reader) => reader,
        Place::Streams(store, names) => return streams(args, &store, names),
    };
    let verdict = Verdict::of(&reader)?;
    let verified = &verdict.report;
    report(args.output.format(), &verdict, || table(verified))?;
    match verdict.sound {
        true => Ok(()),
        false => Err(Failure::Integrity(format!(
            "{} is damaged in {}. What is not damaged can be read as before: `annals cat` leaves out damaged records and \
             names them. `annals repair --dry-run` says what a repair would do.",
            args.place.path.display(),
            plural(verified.damage.len() as u64, "place")
        ))),
    }
}

fn streams(args: &Args, store: &StoreReader, names: Vec<StreamName>) -> Result<()> {
    let mut verdicts = Vec::with_capacity(names.len());
    for name in names {
        let verdict = store.stream(&name).and_then(|reader| Verdict::of(&reader));
        verdicts.push(OfStream::new(name, verdict)?);
    }
    let verified = OfStore::new(store, verdicts);
    verified.print(args.output.format(), |verdict| table(&verdict.report))?;
    verified.check(|verdict| !verdict.sound)
}

fn table(verified: &VerifyReport) -> String {
    let mut rows = vec![
        ("log id", verified.log_id.to_string()),
        ("records", count(verified.records)),
        ("segments", format!("{} sealed, {} raw", count(verified.sealed_segments), count(verified.raw_segments))),
        ("blocks", count(verified.blocks)),
        ("bytes", format!("{} ({})", count(verified.bytes), bytes(verified.bytes))),
        ("Merkle root", verified.root.clone().unwrap_or_else(|| "none, since records are missing".to_owned())),
        ("damage", if verified.is_sound() { "none".to_owned() } else { count(verified.damage.len() as u64) }),
    ];
    if !verified.gaps.is_empty() {
        let missing = plural(total(verified.gaps.iter().map(Gap::count)), "record");
        rows.push(("gaps", format!("{}: {missing} missing", count(verified.gaps.len() as u64))));
        rows.push((
            "unproven",
            format!("{} of the hash tree, over records beside gaps", plural(verified.unproven, "node")),
        ));
    }
    if let Some(last) = verified.removals.last() {
        let removed = plural(verified.removals.iter().map(|removal| removal.records).sum(), "record");
        rows.push((
            "removed",
            format!("{removed} below seq {} by retention; the root stands for them, too", last.end_seq),
        ));
    }
    if !verified.indexes.is_empty() {
        rows.push(("indexes", format!("to be rebuilt by `annals repair`: {}", verified.indexes.join(", "))));
    }
    let mut text = facts(rows);
    for gap in verified.gaps.iter().take(DAMAGE_SHOWN) {
        let _ = write!(text, "\n  {gap}");
    }
    if verified.is_sound() {
        let _ = write!(text, "\n\n{SCOPE}");
        return text;
    }
    let shown = verified.damage.iter().take(DAMAGE_SHOWN).map(row);
    let _ = write!(text, "\n\n{}", grid(&["file", "offset", "records", "what"], &[1], shown));
    if let Some(more @ 1..) = verified.damage.len().checked_sub(DAMAGE_SHOWN) {
        let _ = write!(text, "\nand {} (--output json has all)", plural(more as u64, "more place"));
    }
    text
}

fn row(damage: &Damage) -> Vec<String> {
    let records = match (damage.first_seq, damage.end_seq) {
        (Some(first), Some(end)) if end > first => format!("{first} to {}", end - 1),
        (Some(first), None) => format!("{first} on"),
        _ => String::new(),
    };
    vec![damage.path.clone(), damage.offset.to_string(), records, damage.detail.clone()]
}
