//! One measurement, in a process of its own: memory is its own, and nothing is warm that shouldn't be.

use super::drive::{How, drive, submit};
use super::job::{Job, Latencies, Sample, times};
use super::killed;
use super::measures::{Kind, Measure};
use super::summary::median;
use crate::contenders::{Contender, Index, Reads, Setup};
use crate::items::Source;
use crate::system::{PeakMemory, disk_bytes, drop_page_cache, resident_bytes_max};
use crate::workload::Random;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Events in one append of a store that is only read later.
pub(super) const FILL_BATCH: usize = 1_000;
/// Every how many appends that wait for no disk one is timed.
const UNSYNCED_TIMED: usize = 16;
/// How often a window is read, and aggregates are asked for; the median counts.
const WINDOWS: usize = 5;

/// What is known of a store that was made for reading.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Made {
    events: u64,
    /// The window of time in the middle: from, to, and how many events it has.
    window: (i64, i64, u64),
}

/// Where that is written: beside the store, not in it.
fn made_path(store: &Path) -> PathBuf {
    store.with_extension("json")
}

/// Does the job.
///
/// # Errors
/// Whatever goes wrong, a wrong number of events included.
pub(super) fn run(job: &Job, contender: &dyn Contender) -> Result<Sample> {
    let measure = Measure::find(&job.measure).ok_or("no such measure")?;
    let mut sample = empty(job);
    match measure.kind {
        Kind::Append { threads, batch, durable, .. } => {
            let items = job.source.load(measure.events(job.events))?;
            let setup = Setup { durable, index: Index::None, events: items.len() as u64, threads };
            let timed = if durable { 1 } else { UNSYNCED_TIMED };
            let limit = Duration::from_secs_f64(job.seconds_max);
            let how = How { threads: threads as usize, batch, timed, limit };
            let memory = PeakMemory::of_this_process();
            let store = contender.open(&job.scratch, setup)?;
            let driven = drive(&*store, &items, how)?;
            store.close()?;
            sample.anonymous_bytes_max = memory.end();
            sample.events = driven.events;
            sample.seconds = driven.elapsed.as_secs_f64();
            sample.value = driven.events as f64 / sample.seconds;
            sample.latencies = Some(Latencies::of(&driven.times));
            (sample.disk_bytes, sample.disk_events) = (disk_bytes(&job.scratch), driven.events);
        }
        Kind::Tickets => tickets(job, contender, &mut sample)?,
        Kind::Store { index } => fill(job, contender, index, &mut sample)?,
        Kind::Get { cold } => get(job, contender, cold, &mut sample)?,
        Kind::Find { cold } => find(job, contender, cold, &mut sample)?,
        Kind::Scan => scan(job, contender, &mut sample)?,
        Kind::Window => window(job, contender, &mut sample)?,
        Kind::OpenClean => open_clean(job, contender, &mut sample)?,
        Kind::OpenKilled => killed::open(job, contender, &mut sample)?,
        Kind::Export => export(job, contender, &mut sample)?,
        Kind::Aggregate => aggregate(job, contender, &mut sample)?,
    }
    sample.resident_bytes_max = resident_bytes_max();
    Ok(sample)
}

fn tickets(job: &Job, contender: &dyn Contender, sample: &mut Sample) -> Result<()> {
    let items = job.source.load(job.events)?;
    let memory = PeakMemory::of_this_process();
    let setup = Setup { durable: true, index: Index::None, events: items.len() as u64, threads: 1 };
    let store = contender.open(&job.scratch, setup)?;
    let driven = submit(&*store, &items, Duration::from_secs_f64(job.seconds_max))?;
    store.close()?;
    sample.anonymous_bytes_max = memory.end();
    sample.events = driven.events;
    sample.seconds = driven.elapsed.as_secs_f64();
    sample.value = driven.events as f64 / sample.seconds;
    sample.latencies = Some(Latencies::of(&driven.times));
    (sample.disk_bytes, sample.disk_events) = (disk_bytes(&job.scratch), driven.events);
    Ok(())
}

fn empty(job: &Job) -> Sample {
    Sample {
        measure: job.measure.clone(),
        contender: job.contender.clone(),
        repetition: 0,
        value: 0.0,
        events: job.events,
        seconds: 0.0,
        latencies: None,
        anonymous_bytes_max: 0,
        resident_bytes_max: 0,
        disk_bytes: 0,
        disk_events: job.events,
        notes: Vec::new(),
        busy: 0.0,
    }
}

/// As who reads opens a store.
pub(super) fn reading(events: u64, contender: &dyn Contender, index: Index) -> Setup {
    Setup { durable: contender.facts().durable.is_some(), index, events, threads: 1 }
}

/// Makes the store that others read, without loading the events: memory is that of the store.
fn fill(job: &Job, contender: &dyn Contender, index: Index, sample: &mut Sample) -> Result<()> {
    // Not zeros, which would take no memory before they are overwritten.
    let mut stamps = vec![i64::MAX; job.events as usize];
    let memory = PeakMemory::of_this_process();
    let begun = Instant::now();
    let store = contender.open(&job.store, Setup { durable: false, index, events: job.events, threads: 1 })?;
    let mut appender = store.appender()?;
    let (mut items, mut batch, mut seq) = (job.source.items()?.take(job.events as usize), Vec::new(), 0);
    loop {
        batch.clear();
        for item in items.by_ref().take(FILL_BATCH) {
            let item = item?;
            stamps[seq] = item.timestamp;
            seq += 1;
            batch.push(item);
        }
        if batch.is_empty() {
            break;
        }
        appender.append(&batch)?;
    }
    drop(appender);
    store.settle()?;
    let events = store.len().unwrap_or(job.events);
    store.close()?;
    expect("events in the store", events, job.events)?;
    sample.anonymous_bytes_max = memory.end();
    sample.seconds = begun.elapsed().as_secs_f64();
    sample.disk_bytes = disk_bytes(&job.store);
    sample.value = sample.disk_bytes as f64 / events as f64;

    stamps.sort_unstable();
    let at = |share: f64| stamps[((events as f64 * share) as usize).min(stamps.len() - 1)];
    let (from, to) = (at(0.495), at(0.505).max(at(0.495) + 1));
    let inside = stamps.iter().filter(|stamp| (from..to).contains(*stamp)).count() as u64;
    fs::write(made_path(&job.store), serde_json::to_vec(&Made { events, window: (from, to, inside) })?)?;
    Ok(())
}

fn made(job: &Job) -> Result<Made> {
    Ok(serde_json::from_slice(&fs::read(made_path(&job.store))?)?)
}

/// Looks at a byte of each cache line, so that bytes that were only pointed at are really there.
fn touch(bytes: &[u8]) {
    black_box(bytes.iter().step_by(64).fold(0, |sum: u8, byte| sum.wrapping_add(*byte)));
}

fn get(job: &Job, contender: &dyn Contender, cold: bool, sample: &mut Sample) -> Result<()> {
    let mut random = Random::new(7);
    let seqs: Vec<u64> = (0..asked(job, cold)).map(|_| random.below(job.events)).collect();
    look_up(job, contender, Index::None, (&seqs, cold), |reader, seq| reader.get(*seq, &mut touch), sample)
}

fn find(job: &Job, contender: &dyn Contender, cold: bool, sample: &mut Sample) -> Result<()> {
    let ids = random_ids(job, asked(job, cold))?;
    look_up(job, contender, Index::Ids, (&ids, cold), |reader, id| reader.find(id, &mut touch), sample)
}

/// How many events are asked for: what is timed comes last, and isn't what was read to warm.
fn asked(job: &Job, cold: bool) -> u64 {
    if cold { timed(job, cold) } else { 2 * timed(job, cold) }
}

/// How many of them are timed.
fn timed(job: &Job, cold: bool) -> u64 {
    if cold { job.gets.div_ceil(20) } else { job.gets }
}

/// Asks for each of `keys`, the last of them timed; `cold` with the page cache dropped once the store is open.
fn look_up<K: Debug>(
    job: &Job,
    contender: &dyn Contender,
    index: Index,
    (keys, cold): (&[K], bool),
    one: impl Fn(&mut dyn Reads, &K) -> Result<bool>,
    sample: &mut Sample,
) -> Result<()> {
    let gets = timed(job, cold);
    let (warming, timed) = keys.split_at(keys.len() - gets as usize);
    let memory = PeakMemory::of_this_process();
    let store = contender.open(&job.store, reading(job.events, contender, index))?;
    let mut reader = store.reader()?;
    if cold {
        sample.notes.push(format!("page cache dropped by {}", drop_page_cache(&job.store)?));
    }
    for key in warming {
        one(&mut *reader, key)?;
    }
    let mut times = times();
    let begun = Instant::now();
    for key in timed {
        let before = Instant::now();
        let found = one(&mut *reader, key)?;
        times.saturating_record(before.elapsed().as_nanos() as u64);
        if !found {
            return Err(format!("event {key:?} is missing").into());
        }
    }
    sample.seconds = begun.elapsed().as_secs_f64();
    drop(reader);
    store.close()?;
    sample.anonymous_bytes_max = memory.end();
    let latencies = Latencies::of(&times);
    (sample.events, sample.value, sample.latencies) = (gets, latencies.p50, Some(latencies));
    sample.disk_bytes = disk_bytes(&job.store);
    Ok(())
}

/// The ids of `count` random events, in an order that is random, too.
fn random_ids(job: &Job, count: u64) -> Result<Vec<String>> {
    let mut random = Random::new(7);
    let mut asked: Vec<(u64, usize)> = (0..count as usize).map(|place| (random.below(job.events), place)).collect();
    asked.sort_unstable();
    let mut ids = vec![String::new(); asked.len()];
    let mut asked = asked.into_iter().peekable();
    for (seq, item) in (0..job.events).zip(job.source.items()?) {
        let item = item?;
        while let Some((_, place)) = asked.next_if(|(next, _)| *next == seq) {
            ids[place] = item.id().ok_or("events have no request_id to find them by")?.to_owned();
        }
    }
    Ok(ids)
}

/// Counts and decodes.
fn decoder<'a>(
    source: &'a Source,
    contender: &dyn Contender,
    count: &'a mut u64,
) -> impl FnMut(&[u8]) -> Result<()> + 'a {
    let encoding = contender.facts().encoding;
    move |bytes| {
        black_box(source.decode(encoding, bytes)?);
        *count += 1;
        Ok(())
    }
}

fn scan(job: &Job, contender: &dyn Contender, sample: &mut Sample) -> Result<()> {
    let memory = PeakMemory::of_this_process();
    let store = contender.open(&job.store, reading(job.events, contender, Index::None))?;
    let mut reader = store.reader()?;
    reader.scan(&mut |bytes| {
        touch(bytes);
        Ok(())
    })?;
    let mut count = 0;
    let begun = Instant::now();
    reader.scan(&mut decoder(&job.source, contender, &mut count))?;
    sample.seconds = begun.elapsed().as_secs_f64();
    expect("events scanned", count, job.events)?;
    drop(reader);
    store.close()?;
    sample.anonymous_bytes_max = memory.end();
    sample.value = count as f64 / sample.seconds;
    sample.disk_bytes = disk_bytes(&job.store);
    Ok(())
}

fn window(job: &Job, contender: &dyn Contender, sample: &mut Sample) -> Result<()> {
    let (from, to, inside) = made(job)?.window;
    let memory = PeakMemory::of_this_process();
    let index = if contender.facts().time_index { Index::Times } else { Index::None };
    let store = contender.open(&job.store, reading(job.events, contender, index))?;
    let mut reader = store.reader()?;
    let mut seconds = Vec::new();
    // The first only warms.
    for _ in 0..=WINDOWS {
        let mut count = 0;
        let begun = Instant::now();
        reader.window(from, to, &mut decoder(&job.source, contender, &mut count))?;
        seconds.push(begun.elapsed().as_secs_f64());
        expect("events in the window", count, inside)?;
    }
    drop(reader);
    store.close()?;
    sample.anonymous_bytes_max = memory.end();
    seconds.remove(0);
    seconds.sort_by(f64::total_cmp);
    (sample.events, sample.seconds) = (inside, seconds[WINDOWS / 2]);
    sample.value = sample.seconds * 1e3;
    sample.disk_bytes = disk_bytes(&job.store);
    Ok(())
}

fn open_clean(job: &Job, contender: &dyn Contender, sample: &mut Sample) -> Result<()> {
    sample.notes.push(format!("page cache dropped by {}", drop_page_cache(&job.store)?));
    let memory = PeakMemory::of_this_process();
    let begun = Instant::now();
    let store = contender.open(&job.store, reading(job.events, contender, Index::None))?;
    let events = store.len()?;
    sample.seconds = begun.elapsed().as_secs_f64();
    expect("events found", events, job.events)?;
    store.close()?;
    sample.anonymous_bytes_max = memory.end();
    sample.value = sample.seconds * 1e3;
    sample.disk_bytes = disk_bytes(&job.store);
    Ok(())
}

fn export(job: &Job, contender: &dyn Contender, sample: &mut Sample) -> Result<()> {
    fs::create_dir_all(&job.scratch)?;
    let out = job.scratch.join("events.parquet");
    let memory = PeakMemory::of_this_process();
    let exported = contender.export(&job.store, &job.ndjson, &out)?;
    let ours = memory.end();
    sample.anonymous_bytes_max = exported.anonymous_bytes_max.unwrap_or(ours);
    (sample.seconds, sample.value) = (exported.seconds, exported.seconds);
    sample.disk_bytes = disk_bytes(&out);
    Ok(())
}

fn aggregate(job: &Job, contender: &dyn Contender, sample: &mut Sample) -> Result<()> {
    fs::create_dir_all(&job.scratch)?;
    let memory = PeakMemory::of_this_process();
    let aggregated = contender.aggregate(&job.store, &job.ndjson, &job.scratch, WINDOWS)?;
    let ours = memory.end();
    expect("events counted", aggregated.events, job.events)?;
    sample.anonymous_bytes_max = aggregated.anonymous_bytes_max.unwrap_or(ours);
    sample.seconds = median(aggregated.seconds.into_iter());
    sample.value = sample.seconds * 1e3;
    Ok(())
}

/// An error unless they are equal: a measurement of something else is worse than none.
pub(super) fn expect(what: &str, found: u64, expected: u64) -> Result<()> {
    match found == expected {
        true => Ok(()),
        false => Err(Error::from(format!("{what}: {found}, expected {expected}"))),
    }
}
