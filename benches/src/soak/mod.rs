//! A soak: durable appends at a steady rate for a long time, with readers, a tail and sealing beside them. What it prints, a line of
//! JSON an interval, shows whether waiting times and memory stay what they were.

mod chart;
mod load;

use crate::system::{Machine, anonymous_bytes, disk_bytes};
use crate::{Error, Result};
use annals::{Durability, Options, Reader};
use clap::{Parser, ValueEnum};
use load::{Load, Times};
use serde::Serialize;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Appends durable events at a steady rate, with readers and sealing beside, and tells how long appends took.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Folder for the log, which is made and removed: on the disk that is to be measured
    #[arg(value_name = "DATA_DIR")]
    dir: PathBuf,
    /// Folder for soak.json and soak.svg
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How long, in seconds
    #[arg(long, default_value_t = 1_800)]
    seconds: u64,
    /// Events a second, of all threads together
    #[arg(long, default_value_t = 10_000)]
    rate: u64,
    /// Threads that append
    #[arg(long, default_value_t = 8)]
    threads: u64,
    /// Seconds of each line
    #[arg(long, default_value_t = 10)]
    interval: u64,
    /// Options of the log
    #[arg(long, value_enum, default_value_t = Preset::Defaults)]
    preset: Preset,
    /// Seed of the synthetic events
    #[arg(long, default_value_t = 42)]
    seed: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Preset {
    Defaults,
    Throughput,
    Latency,
    Storage,
}

/// What a time of the soak was like.
#[derive(Debug, Clone, Serialize)]
struct Interval {
    /// Seconds from the beginning to its end.
    at_seconds: f64,
    events_per_second: f64,
    /// Times of appends, in µs: from when each was due, if the thread was late, or from when it began.
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
    /// Anonymous memory of the process, in MiB, workload included.
    anonymous_mib: f64,
    /// Segments that wait to be sealed, the active one included.
    unsealed_segments: u64,
    /// Records that were read by seq, by scans, and by the tail.
    gets: u64,
    scanned: u64,
    tailed: u64,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    seconds: u64,
    rate: u64,
    threads: u64,
    preset: Preset,
    seed: u64,
    bytes_per_event: f64,
    total: Interval,
    intervals: Vec<Interval>,
}

/// The program.
pub fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    if args.rate == 0 || args.threads == 0 || args.interval == 0 || args.seconds < args.interval {
        return Err("rate, threads, interval and seconds are at least 1, and a soak has at least an interval".into());
    }
    fs::create_dir_all(&args.out)?;
    let path = args.dir.join(format!("soak-{}", std::process::id()));
    let machine = Machine::look(&args.dir);
    let log = options(args.preset).durability(Durability::Durable).create(&path)?;
    let load = Load::new(args.rate, args.threads, args.seed);
    let (intervals, total) = std::thread::scope(|scope| {
        let threads = load.start(scope, &log);
        let watched = watch(args, &load, &log.reader());
        load.stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().unwrap_or_else(|_| Err("a thread panicked".into()))?;
        }
        watched
    })?;
    let events = log.next_seq();
    log.close()?;
    let bytes_per_event = disk_bytes(&path) as f64 / events.max(1) as f64;
    fs::remove_dir_all(&path)?;
    let (seconds, rate, threads, preset, seed) = (args.seconds, args.rate, args.threads, args.preset, args.seed);
    let report = Report { machine, seconds, rate, threads, preset, seed, bytes_per_event, total, intervals };
    fs::write(args.out.join("soak.json"), serde_json::to_vec_pretty(&report)?)?;
    chart::write(&report, &args.out.join("soak.svg"))?;
    println!("{}", serde_json::to_string(&report.total)?);
    Ok(())
}

fn options(preset: Preset) -> Options {
    match preset {
        Preset::Defaults => Options::new(),
        Preset::Throughput => Options::throughput(),
        Preset::Latency => Options::latency(),
        Preset::Storage => Options::storage(),
    }
}

/// Prints a line for each interval, and returns them with one for all.
fn watch(args: &Args, load: &Load, reader: &Reader) -> Result<(Vec<Interval>, Interval)> {
    let (begun, mut intervals, mut all) = (Instant::now(), Vec::new(), load::times());
    let mut before = load.counts();
    for number in 1..=args.seconds / args.interval {
        let end = Duration::from_secs(number * args.interval);
        while begun.elapsed() < end && !load.has_failed() {
            std::thread::sleep(Duration::from_millis(100).min(end.saturating_sub(begun.elapsed())));
        }
        if load.has_failed() {
            break;
        }
        let (times, now) = (load.take_times()?, load.counts());
        all.add(&times)?;
        let done = now.since(before);
        before = now;
        let interval = interval(begun.elapsed(), args.interval as f64, &times, reader, done)?;
        println!("{}", serde_json::to_string(&interval)?);
        intervals.push(interval);
    }
    let total = interval(begun.elapsed(), begun.elapsed().as_secs_f64(), &all, reader, before)?;
    Ok((intervals, total))
}

fn interval(at: Duration, seconds: f64, times: &Times, reader: &Reader, done: load::Counts) -> Result<Interval, Error> {
    let micros = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
    let unsealed = reader.info()?.segments.iter().filter(|segment| !segment.sealed).count();
    Ok(Interval {
        at_seconds: at.as_secs_f64(),
        events_per_second: times.len() as f64 / seconds,
        p50_us: micros(0.5),
        p99_us: micros(0.99),
        p999_us: micros(0.999),
        max_us: times.max() as f64 / 1e3,
        anonymous_mib: anonymous_bytes(None) as f64 / f64::from(1 << 20),
        unsealed_segments: unsealed as u64,
        gets: done.gets,
        scanned: done.scanned,
        tailed: done.tailed,
    })
}
