//! `annals info`: what a log holds.

use std::fmt::Write;

use annals::{LogInfo, SegmentInfo, Timestamp};

use crate::args::PlaceArg;
use crate::failure::{Failure, Result};
use crate::output::{OutputArgs, bytes, count, facts, grid, plural, report, total};
use crate::per_stream::{OfStore, OfStream};
use crate::place::{Place, StreamArgs};
use crate::time::Rfc3339;

/// Segments shown in the table; JSON has all of them.
const SEGMENTS_SHOWN: usize = 40;

/// Show what a log holds, or each stream of a store: records, times, segments, sizes.
///
/// Reads headers and trailers only, so it is quick however large the log is. `annals verify` reads everything.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: PlaceArg,

    #[command(flatten)]
    streams: StreamArgs,

    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let reader = match args.streams.open(&args.place.path)? {
        Place::Log(reader) => reader,
        Place::Streams(store, names) => {
            let info = |name| {
                let info = store.stream(&name).and_then(|stream| stream.info());
                OfStream::new(name, info)
            };
            let listed = OfStore::new(&store, names.into_iter().map(info).collect::<Result<Vec<_>>>()?);
            listed.print(args.output.format(), table)?;
            return listed.check(|info| unreadable(info) > 0);
        }
    };
    let info = reader.info()?;
    report(args.output.format(), &info, || table(&info))?;
    match unreadable(&info) {
        0 => Ok(()),
        damaged => Err(Failure::Integrity(format!(
            "{} of {} can't be read; `annals verify` says where and why",
            plural(damaged as u64, "segment"),
            info.path
        ))),
    }
}

/// How many segments can't be read.
fn unreadable(info: &LogInfo) -> usize {
    info.segments.iter().filter(|segment| segment.error.is_some()).count()
}

fn table(info: &LogInfo) -> String {
    // Those by which the log tells of dropped ones are none of anybody's.
    let notes: u64 = info.segments.iter().map(|segment| segment.drop_notes).sum();
    let records = (info.end_seq - info.first_seq).saturating_sub(notes);
    let sealed: Vec<_> = info.segments.iter().filter(|segment| segment.sealed).collect();
    let mut rows = vec![
        ("log", info.path.clone()),
        ("id", info.log_id.to_string()),
        ("created", Rfc3339(info.created).to_string()),
        ("records", if records == 0 { "none".to_owned() } else { format!("{} (seqs {})", count(records), seqs(info)) }),
        ("times", times(info)),
        ("on disk", bytes(info.bytes)),
        ("segments", format!("{} sealed, {} raw", sealed.len(), info.segments.len() - sealed.len())),
    ];
    if let Some(direct) = info.direct_io {
        let way = if direct { "past the system's cache, several writes at once" } else { "through the system's cache" };
        rows.push(("written", way.to_owned()));
    }
    let sealed_bytes: u64 = sealed.iter().map(|segment| segment.bytes).sum();
    if info.sealed_body_bytes > 0 && sealed_bytes > 0 {
        let ratio = info.sealed_body_bytes as f64 / sealed_bytes as f64;
        let of = bytes(info.sealed_body_bytes);
        rows.push(("sealed", format!("{} for {of} of records: {ratio:.1} times smaller", bytes(sealed_bytes))));
    }
    if !info.quarantine.is_empty() {
        let kept = plural(info.quarantine.len() as u64, "file");
        rows.push(("quarantine", format!("{kept} with bytes that recovery took out of the log")));
    }
    let missing = total(info.segments.iter().map(|segment| segment.missing));
    if missing > 0 {
        rows.push(("gaps", format!("{} missing, as `annals verify` lists", plural(missing, "record"))));
    }
    let dropped = total(info.segments.iter().map(|segment| segment.dropped));
    if dropped > 0 {
        rows.push(("dropped", format!("{} beyond limits, as `annals verify` lists", plural(dropped, "record"))));
    }
    if let (Some(last), removed) = (info.removals.last(), info.removals.iter().map(|removal| removal.records).sum()) {
        let (removed, end) = (plural(removed, "record"), last.end_seq);
        let when = Rfc3339(last.removed);
        rows.push(("removed", format!("{removed} below seq {end} by retention, the last {when}: {}", last.reason)));
    }
    if !info.holds.is_empty() {
        let holds: Vec<_> = info.holds.iter().map(|hold| hold.name.as_str()).collect();
        rows.push(("held", holds.join(", ")));
    }
    if let Some(last) = info.releases.last() {
        let released = plural(info.releases.len() as u64 + info.releases_forgotten, "hold");
        rows.push(("released", format!("{released}, the last {}: {}", Rfc3339(last.released), last.hold.name)));
    }
    if !info.indexed_fields.is_empty() {
        rows.push(("indexed", info.indexed_fields.join(", ")));
    }
    let mut text = facts(rows);

    let skipped = info.segments.len().saturating_sub(SEGMENTS_SHOWN);
    let shown = info.segments.iter().skip(skipped).map(row);
    let header = ["segment", "state", "records", "bytes", "from", "to"];
    let _ = write!(text, "\n\n{}", grid(&header, &[2, 3], shown));
    if skipped > 0 {
        let _ = write!(text, "\nand {} before these (--output json has all)", plural(skipped as u64, "segment"));
    }
    text
}

fn seqs(info: &LogInfo) -> String {
    format!("{} to {}", info.first_seq, info.end_seq - 1)
}

fn times(info: &LogInfo) -> String {
    let first = info.segments.iter().filter_map(|segment| segment.time_min).min();
    let last = info.segments.iter().filter_map(|segment| segment.time_max).max();
    match (first, last) {
        (Some(first), Some(last)) => format!("{} to {}", Rfc3339(first), Rfc3339(last)),
        _ => "none".to_owned(),
    }
}

fn row(segment: &SegmentInfo) -> Vec<String> {
    let time = |time: Option<Timestamp>| time.map_or(String::new(), |time| Rfc3339(time).to_string());
    let state = match (&segment.error, segment.sealed) {
        (Some(_), _) => "unreadable",
        (None, true) => "sealed",
        (None, false) => "raw",
    };
    vec![
        segment.name.clone(),
        state.to_owned(),
        count(segment.end_seq.saturating_sub(segment.first_seq).saturating_sub(segment.drop_notes)),
        bytes(segment.bytes),
        time(segment.time_min),
        time(segment.time_max),
    ]
}
