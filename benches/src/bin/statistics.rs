//! How long statistics take: asked for the first time, again, and after one percent more was appended.
//!
//! `statistics DIR SEED COUNT` makes a log of rows and one of columns with so many events in `DIR` (or uses those there), and prints a
//! line of JSON for each: medians, in milliseconds, of count, average and p99 of `latency_ms` by `event_type`, with two threads;
//! each with a reader that was just opened, whose opening counts.

use annals::{Batch, Codec, Durability, Options, Reader, ScanRange, StatisticsQuery, Timestamp, field};
use annals_bench::workload::Events;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const REPETITIONS: usize = 9;
const BATCH: usize = 500;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: statistics DIR SEED COUNT";
    let dir = PathBuf::from(args.next().ok_or(usage)?);
    let seed: u64 = args.next().ok_or(usage)?.parse()?;
    let count: usize = args.next().ok_or(usage)?.parse()?;
    for (name, codec) in [("rows", Codec::Rows), ("columns", Codec::Columns)] {
        let path = dir.join(format!("statistics-{name}-{seed}-{count}"));
        let options =
            || Options::new().codec(codec).durability(Durability::Buffered { interval: Duration::from_secs(1) });
        if !path.join("identity").exists() {
            append(options(), &path, &mut Events::new(seed).take(count), true)?;
        }
        let first = median(&path, &query()?.keep(false))?;
        Reader::open(&path)?.statistics(&query()?)?;
        let again = median(&path, &query()?)?;
        append(options(), &path, &mut Events::new(seed + 1).take(count / 100), false)?;
        let more = median(&path, &query()?)?;
        println!(
            "{}",
            serde_json::json!({ "codec": name, "events": count, "first_ms": first, "again_ms": again, "again_with_1_percent_more_ms": more })
        );
    }
    Ok(())
}

fn query() -> Result<StatisticsQuery, Box<dyn Error>> {
    let query = StatisticsQuery::over(ScanRange::all().threads(2));
    Ok(query.by([field("event_type")?]).of([field("latency_ms")?]).distinct(false))
}

/// Appends `events`, and seals them if that is asked for.
fn append(
    options: Options,
    path: &Path,
    events: &mut dyn Iterator<Item = annals_bench::workload::Event>,
    seal: bool,
) -> Result<(), Box<dyn Error>> {
    let log = options.open_or_create(path)?;
    let mut batch = Batch::new();
    loop {
        batch.clear();
        for event in (&mut *events).take(BATCH) {
            batch.push_at(Timestamp::from_micros(event.timestamp), &event)?;
        }
        if batch.is_empty() {
            break;
        }
        log.append_batch(&mut batch)?;
    }
    if seal {
        log.seal()?;
    }
    log.close()?;
    Ok(())
}

/// Milliseconds to open the log and ask.
fn median(path: &Path, query: &StatisticsQuery) -> Result<f64, Box<dyn Error>> {
    let mut times = Vec::new();
    for _ in 0..REPETITIONS {
        let begun = Instant::now();
        let found = Reader::open(path)?.statistics(query)?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        assert!(found.damage.is_empty() && found.groups.len() > 1, "{} groups", found.groups.len());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[REPETITIONS / 2])
}
