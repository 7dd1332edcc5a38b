//! `annals streams`: what is in a store.

use annals::{LogInfo, StoreReader, Timestamp};
use serde::Serialize;

use crate::args::StoreArg;
use crate::failure::Result;
use crate::output::{OutputArgs, bytes, count, grid, plural, report};
use crate::per_stream::{OfStore, OfStream};
use crate::place::allow_many_files;
use crate::time::Rfc3339;

/// List the streams of a store: records, bytes, times.
///
/// Each stream is a log in a directory of its own, which the column `directory` names: every command that takes a log takes
/// that. Reads headers and trailers only.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,

    #[command(flatten)]
    output: OutputArgs,
}

/// One stream, in short.
#[derive(Serialize)]
struct Summary {
    directory: String,
    records: u64,
    bytes: u64,
    time_min: Option<Timestamp>,
    time_max: Option<Timestamp>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let reader = StoreReader::open(&args.store.store)?;
    allow_many_files();
    let mut streams = Vec::new();
    for name in reader.streams()? {
        let info = reader.stream(&name).and_then(|stream| stream.info());
        streams.push(OfStream::new(name, info.map(|info| Summary::of(&info)))?);
    }
    let listed = OfStore::new(&reader, streams);
    report(args.output.format(), &listed, || table(&listed))?;
    listed.check(|_| false)
}

impl Summary {
    fn of(info: &LogInfo) -> Self {
        let missing: u64 = info.segments.iter().map(|segment| segment.missing + segment.drop_notes).sum();
        Self {
            directory: info.path.clone(),
            records: (info.end_seq - info.first_seq).saturating_sub(missing),
            bytes: info.bytes,
            time_min: info.segments.iter().filter_map(|segment| segment.time_min).min(),
            time_max: info.segments.iter().filter_map(|segment| segment.time_max).max(),
        }
    }
}

fn table(listed: &OfStore<Summary>) -> String {
    let time = |time: Option<Timestamp>| time.map_or(String::new(), |time| Rfc3339(time).to_string());
    let row = |stream: &OfStream<Summary>| match &stream.report {
        Some(of) => vec![
            stream.stream.to_string(),
            count(of.records),
            bytes(of.bytes),
            time(of.time_min),
            time(of.time_max),
            of.directory.clone(),
        ],
        None => vec![stream.stream.to_string(), stream.error.clone().unwrap_or_default()],
    };
    let header = ["stream", "records", "bytes", "from", "to", "directory"];
    format!(
        "{}\n{}",
        plural(listed.streams.len() as u64, "stream"),
        grid(&header, &[1, 2], listed.streams.iter().map(row))
    )
}
