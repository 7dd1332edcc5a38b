//! How long statistics take: asked for the first time, again, and after one percent more was appended.
//!
//! `statistics DIR SEED COUNT` makes a log of rows and one of columns with so many events in `DIR` (or uses those there), and prints a
//! line of JSON for each: medians, in milliseconds, of count, average and p99 of `latency_ms` by `event_type`, with two threads;
//! each with a reader that was just opened, whose opening counts, but for `handle`: that is one reader asked again and again, after one
//! percent more each time. `first_cpu` is processor time of all threads, a mean.

use annals::{Batch, Codec, Durability, Log, Options, Reader, ScanRange, StatisticsQuery, Timestamp, field};
use annals_bench::workload::{Event, Events};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const REPETITIONS: usize = 9;
/// Fewer, since each leaves records that aren't sealed.
const HANDLE_REPETITIONS: usize = 5;
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
        let before = cpu_ms();
        let first = median(&path, &query()?.keep(false))?;
        let first_cpu = (cpu_ms() - before) / REPETITIONS as f64;
        Reader::open(&path)?.statistics(&query()?)?;
        let again = median(&path, &query()?)?;
        append(options(), &path, &mut Events::new(seed + 1).take(count / 100), false)?;
        let more = median(&path, &query()?)?;
        let handle = median_of_handle(options(), &path, &query()?, &mut Events::new(seed + 2), count / 100)?;
        println!(
            "{}",
            serde_json::json!({
                "codec": name, "events": count, "first_ms": first, "first_cpu_ms": first_cpu, "again_ms": again,
                "again_with_1_percent_more_ms": more, "handle_with_1_percent_more_ms": handle,
            })
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
    events: &mut dyn Iterator<Item = Event>,
    seal: bool,
) -> Result<(), Box<dyn Error>> {
    let log = options.open_or_create(path)?;
    append_to(&log, events)?;
    if seal {
        log.seal()?;
    }
    log.close()?;
    Ok(())
}

fn append_to(log: &Log, events: &mut dyn Iterator<Item = Event>) -> Result<(), Box<dyn Error>> {
    let mut batch = Batch::new();
    loop {
        batch.clear();
        for event in (&mut *events).take(BATCH) {
            batch.push_at(Timestamp::from_micros(event.timestamp), &event)?;
        }
        if batch.is_empty() {
            return Ok(());
        }
        log.append_batch(&mut batch)?;
    }
}

/// Milliseconds to ask a reader that has been asked before, after `count` more of `events` each time.
fn median_of_handle(
    options: Options,
    path: &Path,
    query: &StatisticsQuery,
    events: &mut Events,
    count: usize,
) -> Result<f64, Box<dyn Error>> {
    let (log, reader) = (options.open_or_create(path)?, Reader::open(path)?);
    reader.statistics(query)?;
    let mut times = Vec::new();
    for _ in 0..HANDLE_REPETITIONS {
        append_to(&log, &mut events.take(count))?;
        log.sync()?;
        let begun = Instant::now();
        let found = reader.statistics(query)?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        assert_eq!(found.records, log.reader().end_seq());
    }
    log.close()?;
    times.sort_by(f64::total_cmp);
    Ok(times[HANDLE_REPETITIONS / 2])
}

/// Processor time of this process so far, in steps of the system's clock; 0 where nothing tells it.
fn cpu_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the program's name, in which anything may stand, the twelfth and the thirteenth: hundredths of a second.
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() * 10.0
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
