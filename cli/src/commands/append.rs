//! `annals append`: NDJSON into a log.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use annals::{Durability, Log, LogId, OnLimit, RateLimit, RecoveryReport, Store, StoreId, StoreOptions, StreamName};
use clap::ValueEnum;
use serde::Serialize;

use crate::args::{PlaceArg, PresetArg};
use crate::condition::IndexArgs;
use crate::failure::{Failure, Result};
use crate::ingest::{self, Counts, Target};
use crate::input::Source;
use crate::interrupt;
use crate::output::{self, Format, count, note, plural};
use crate::place::{allow_many_files, parse_stream, stream_options};
use crate::time::TimeSource;

/// How long a record may stay unsynced under `--durability buffered`.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// Append NDJSON to a log, or to streams of a store, and create what is missing.
///
/// Input is one JSON object a line, plain, gzip or Zstandard, told by content. Appends in batches and returns when
/// everything is synced; the summary goes to stderr, or with --output json to stdout.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: PlaceArg,

    /// NDJSON files; `-` is standard input, which is also what is read if none is given
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// LOG is a store of streams: append to this one
    #[arg(long, value_name = "NAME", value_parser = parse_stream, conflicts_with = "stream_by")]
    stream: Option<StreamName>,

    /// LOG is a store of streams: append each record to the stream that this field of it names, a string or an integer
    #[arg(long, value_name = "FIELD")]
    stream_by: Option<String>,

    /// How many streams the store may have [default: 10,000]. A record that would need one more is a bad line
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    streams_max: Option<u32>,

    /// The field that holds a record's time; dots lead into objects [default: the common names, as the manual lists them]
    #[arg(long, value_name = "NAME")]
    time_field: Option<String>,

    /// Treat a record without a usable time as a bad line, instead of giving it the time of ingest
    #[arg(long)]
    strict_time: bool,

    /// The field that holds a key, a string or an integer: a record whose key is among the newest records already is skipped.
    /// Each batch is then synced before the next
    #[arg(long, value_name = "NAME")]
    once_key: Option<String>,

    /// Among how many of the newest records --once-key looks
    #[arg(long, value_name = "N", requires = "once_key", value_parser = clap::value_parser!(u64).range(1..))]
    once_records: Option<u64>,

    /// Add bad lines to the end of FILE and go on, instead of stopping at the first
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,

    /// What each batch waits for; everything is synced in the end in any case
    #[arg(long, value_enum, value_name = "LEVEL", default_value = "buffered")]
    durability: Level,

    /// Records in a batch; a batch is in the log whole or not at all
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    batch: u32,

    /// Append no more than N records a second, to each stream of a store, and a burst of so many at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rate_limit: Option<u64>,

    /// What happens to records that come faster
    #[arg(long, value_enum, value_name = "WHAT", default_value = "wait", requires = "rate_limit")]
    on_limit: Beyond,

    /// Size at which a segment ends and the next begins, in bytes; K, M and G multiply by 1024
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    segment_bytes: Option<u64>,

    /// Begin a segment with the first append of each UTC day
    #[arg(long)]
    roll_daily: bool,

    #[command(flatten)]
    preset: PresetArg,

    #[command(flatten)]
    index: IndexArgs,

    /// How to print the summary [default: text on stderr]
    #[arg(long, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
}

/// What an append waits for.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Level {
    /// Each batch is synced to the disk
    Durable,
    /// Each batch is given to the operating system
    Written,
    /// Batches are synced once a second
    Buffered,
}

/// What happens to records beyond the rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Beyond {
    /// They wait, and so does whoever writes to the pipe
    Wait,
    /// They are dropped a batch at a time, and the log tells how many; not with --once-key
    Drop,
}

/// What happened, for people and programs.
#[derive(Serialize)]
struct Summary {
    log: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_id: Option<LogId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store_id: Option<StoreId>,
    #[serde(flatten)]
    counts: Counts,
    seconds: f64,
    /// Whether all records that were appended are synced.
    synced: bool,
    /// Whether all input was read.
    complete: bool,
    /// Why not, if not.
    stopped: Option<String>,
    /// What opening the log found; `null` if there was nothing to recover.
    recovery: Option<RecoveryReport>,
    /// The same of streams.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    recoveries: BTreeMap<StreamName, RecoveryReport>,
}

/// What is appended to, open.
enum Opened {
    Log(Log),
    Store(Store),
}

pub(crate) fn run(args: Args) -> Result<()> {
    if args.on_limit == Beyond::Drop && args.once_key.is_some() {
        let why = "records with a key are not dropped, since whoever has one asks again: leave out --on-limit drop or --once-key";
        return Err(Failure::Usage(why.to_owned()));
    }
    let sources = sources(&args.files)?;
    interrupt::install()?;
    let started = Instant::now();
    let opened = args.open()?;
    let (counts, outcome) = ingest::ingest(args.target(&opened)?, sources, args.ingest());
    let (log_id, store_id, recovery) = match &opened {
        Opened::Log(log) => (Some(log.id()), None, Some(log.recovery().clone()).filter(|recovery| !recovery.clean)),
        Opened::Store(store) => (None, Some(store.id()), None),
    };
    let (synced, recoveries) = opened.close();

    let summary = Summary {
        log: args.place.path.display().to_string(),
        log_id,
        store_id,
        counts,
        seconds: started.elapsed().as_secs_f64(),
        synced: synced.is_ok(),
        complete: outcome.is_ok(),
        stopped: outcome.as_ref().err().map(|failure| match failure {
            Failure::Interrupted => "interrupted".to_owned(),
            failure => failure.to_string(),
        }),
        recovery,
        recoveries,
    };
    let printed = match args.output {
        None | Some(Format::Table) => {
            note(summary.text());
            Ok(())
        }
        Some(format) => output::report(format, &summary, String::new),
    };
    synced.and(outcome).and(printed)
}

impl Args {
    /// Opens the log, or the store if streams are named.
    fn open(&self) -> Result<Opened> {
        let is_store = self.stream.is_some() || self.stream_by.is_some();
        let mut options = self.preset.options();
        if is_store {
            options = stream_options(options);
        }
        options = options.roll_daily(self.roll_daily).durability(match self.durability {
            Level::Durable => Durability::Durable,
            Level::Written => Durability::Written,
            Level::Buffered => Durability::Buffered { interval: SYNC_INTERVAL },
        });
        if let Some(bytes) = self.segment_bytes {
            options = options.segment_bytes(bytes);
        }
        if let Some(records) = self.once_records {
            options = options.once_records(records);
        }
        if let Some(rate) = self.rate_limit {
            let on_limit = if self.on_limit == Beyond::Drop { OnLimit::Drop } else { OnLimit::Wait };
            options = options.rate_limit(RateLimit::records(rate).on_limit(on_limit));
        }
        options = self.index.apply(options);
        if is_store {
            allow_many_files();
            let mut store = StoreOptions::new().streams(options);
            if let Some(most) = self.streams_max {
                store = store.streams_max(most as usize);
            }
            return Ok(Opened::Store(store.open_or_create(&self.place.path)?));
        }
        if self.streams_max.is_some() {
            return Err(Failure::Usage("--streams-max is for stores: it goes with --stream or --stream-by".to_owned()));
        }
        let log = options.open_or_create(&self.place.path)?;
        tell_recovery(log.recovery());
        Ok(Opened::Log(log))
    }

    /// Where the records go.
    fn target<'a>(&self, opened: &'a Opened) -> Result<Target<'a>> {
        Ok(match (opened, &self.stream, &self.stream_by) {
            (Opened::Log(log), _, _) => Target::Log(log),
            (Opened::Store(store), Some(name), _) => Target::Stream(store.stream(name.as_str())?),
            (Opened::Store(store), None, field) => Target::By(store, field.clone().unwrap_or_default()),
        })
    }

    fn ingest(&self) -> ingest::Options {
        // What waits or is dropped does so by the batch: one of more records than the limit has a second would be too coarse, and
        // nobody would be heard who interrupts it meanwhile.
        let most = self.rate_limit.unwrap_or(u64::MAX);
        ingest::Options {
            times: self.time_field.clone().map_or(TimeSource::CommonNames, TimeSource::Field),
            strict_time: self.strict_time,
            batch_records: u64::from(self.batch).min(most) as usize,
            rejects: self.rejects.clone(),
            once_key: self.once_key.clone(),
        }
    }
}

impl Opened {
    /// Syncs and closes it. Returns what opening streams of a store has found.
    fn close(self) -> (Result<()>, BTreeMap<StreamName, RecoveryReport>) {
        match self {
            Self::Log(log) => {
                let synced = log.sync().map(|_| ()).and_then(|()| log.close());
                (synced.map_err(Failure::from), BTreeMap::new())
            }
            Self::Store(store) => {
                let recoveries: BTreeMap<_, _> = store.recoveries().into_iter().collect();
                recoveries.values().for_each(tell_recovery);
                // Closing a stream syncs it.
                (store.close().map_err(Failure::from), recoveries)
            }
        }
    }
}

fn sources(files: &[PathBuf]) -> Result<Vec<Source>> {
    if files.is_empty() {
        return Ok(vec![Source::Stdin]);
    }
    if files.iter().filter(|file| *file == Path::new("-")).count() > 1 {
        return Err(Failure::Usage("`-` is given twice, but standard input can be read only once".to_owned()));
    }
    let sources: Vec<_> = files.iter().cloned().map(Source::from_argument).collect();
    sources.iter().try_for_each(|source| source.check().map(|_| ()))?;
    Ok(sources)
}

/// Tells the person what opening the log found, if that was anything but a clean end.
pub(crate) fn tell_recovery(recovery: &RecoveryReport) {
    for damage in &recovery.damaged {
        note(format_args!("annals: warning: {damage}; `annals verify` checks the whole log"));
    }
    for dropped in &recovery.dropped {
        let kept = dropped.kept_in.as_ref().map_or(String::new(), |file| format!("; they are kept in {file}"));
        note(format_args!(
            "annals: warning: {} has {} at byte {} that an unfinished write left behind ({}){kept}",
            dropped.path,
            plural(dropped.bytes, "byte"),
            dropped.offset,
            dropped.detail
        ));
    }
}

impl Summary {
    fn text(&self) -> String {
        let counts = &self.counts;
        let streams = match counts.streams.len() as u64 {
            0 => String::new(),
            streams => format!(" in {}", plural(streams, "stream")),
        };
        let seqs = match (counts.seqs.first_seq, counts.seqs.end_seq) {
            (Some(first), Some(end)) => format!(" (seqs {first} to {})", end - 1),
            _ => String::new(),
        };
        let synced = if self.synced { "synced" } else { "NOT all synced" };
        let mut text =
            format!("appended {} to {}{streams}{seqs}, {synced}", plural(counts.seqs.records, "record"), self.log);
        let rate = counts.bytes_plain as f64 / self.seconds.max(1e-6);
        text += &format!(
            "\n  {}, {} blank, {} rejected; {} in {:.2} s ({}/s)",
            plural(counts.lines, "line"),
            count(counts.blank_lines),
            count(counts.rejected_lines),
            output::bytes(counts.bytes_plain),
            self.seconds,
            output::bytes(rate as u64),
        );
        let mut times: Vec<_> =
            counts.time_fields.iter().map(|(field, records)| format!("{field} {}", count(*records))).collect();
        if counts.time_of_ingest > 0 {
            times.push(format!("time of ingest {}", count(counts.time_of_ingest)));
        }
        if counts.dropped_records > 0 {
            let dropped = plural(counts.dropped_records, "record");
            text += &format!("\n  {dropped} dropped beyond the rate limit, as the log tells in gaps");
        }
        if counts.known_keys > 0 {
            text += &format!("\n  {} skipped: their keys are in the log", plural(counts.known_keys, "line"));
        }
        if !times.is_empty() {
            text += &format!("\n  times from: {}", times.join(", "));
        }
        if !self.complete {
            text += "\n  stopped before the end of the input";
        }
        text
    }
}

/// Reads a number of bytes: `1048576`, `1024K`, `1M`.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let expected = || "expected a number of bytes such as 33554432 or 32M".to_owned();
    let digits = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    let factor: u64 = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KIB" => 1 << 10,
        "M" | "MIB" => 1 << 20,
        "G" | "GIB" => 1 << 30,
        _ => return Err(expected()),
    };
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_with_and_without_units() {
        assert_eq!(parse_size("65536"), Ok(65536));
        assert_eq!(parse_size("64k"), Ok(65536));
        assert_eq!(parse_size("32MiB"), Ok(32 << 20));
        assert_eq!(parse_size("1G"), Ok(1 << 30));
        for text in ["", "M", "1.5M", "-1", "1T", "99999999999G"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
