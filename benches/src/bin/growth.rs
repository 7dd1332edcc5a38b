//! How opening, memory and `get` change as a log grows.
//!
//! `growth DIR SEED COUNT…` makes one log for each count in `DIR` (or uses the one there), and prints a line of JSON for
//! each: append rate, bytes an event, time to open, resident memory, and the time of a random `get`. Counts are
//! interleaved, and medians of the repetitions are printed.

use annals::{Batch, Durability, Options, ReadBuffer, Reader, Timestamp};
use annals_bench::workload::{Events, Random};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const REPETITIONS: usize = 5;
const GETS: usize = 20_000;
const BATCH: usize = 500;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: growth DIR SEED COUNT…";
    let dir = PathBuf::from(args.next().ok_or(usage)?);
    let seed: u64 = args.next().ok_or(usage)?.parse()?;
    let counts = args.map(|count| count.parse()).collect::<Result<Vec<u64>, _>>()?;
    if counts.is_empty() {
        return Err(usage.into());
    }
    let mut measured: Vec<Measured> = Vec::new();
    for &count in &counts {
        let path = dir.join(format!("growth-{seed}-{count}"));
        let append_seconds = if path.join("identity").exists() { None } else { Some(make(&path, seed, count)?) };
        measured.push(Measured { count, path, append_seconds, open: Vec::new(), get: Vec::new(), rss_kib: 0 });
    }
    for repetition in 0..REPETITIONS {
        for one in &mut measured {
            one.measure(seed + repetition as u64)?;
        }
    }
    for one in &mut measured {
        one.print()?;
    }
    Ok(())
}

/// Appends `count` events, and seals them. Returns the seconds it took.
fn make(path: &Path, seed: u64, count: u64) -> Result<f64, Box<dyn Error>> {
    let durability = Durability::Buffered { interval: Duration::from_secs(1) };
    let log = Options::new().durability(durability).create(path)?;
    let mut events = Events::new(seed);
    let mut batch = Batch::new();
    let begun = Instant::now();
    let mut left = count as usize;
    while left > 0 {
        batch.clear();
        for event in events.by_ref().take(left.min(BATCH)) {
            batch.push_at(Timestamp::from_micros(event.timestamp), &event)?;
        }
        left -= batch.len();
        log.append_batch(&mut batch)?;
    }
    log.seal()?;
    log.close()?;
    Ok(begun.elapsed().as_secs_f64())
}

struct Measured {
    count: u64,
    path: PathBuf,
    append_seconds: Option<f64>,
    open: Vec<Duration>,
    get: Vec<Duration>,
    rss_kib: u64,
}

impl Measured {
    fn measure(&mut self, seed: u64) -> Result<(), Box<dyn Error>> {
        let begun = Instant::now();
        let log = Options::new().open(&self.path)?;
        self.open.push(begun.elapsed());
        assert_eq!(log.next_seq(), self.count, "the log has another length than its name says");
        log.close()?;

        let reader = Reader::open(&self.path)?;
        let mut buffer = ReadBuffer::new();
        let mut random = Random::new(seed);
        for round in 0..2 {
            for _ in 0..GETS {
                let seq = random.below(self.count);
                let begun = Instant::now();
                let found = reader.get_into(seq, &mut buffer)?.is_some();
                // The first round warms the caches.
                if round == 1 {
                    self.get.push(begun.elapsed());
                }
                assert!(found, "record {seq} is missing");
            }
        }
        self.rss_kib = self.rss_kib.max(resident_kib());
        Ok(())
    }

    fn print(&mut self) -> Result<(), Box<dyn Error>> {
        self.open.sort_unstable();
        self.get.sort_unstable();
        let bytes: u64 =
            std::fs::read_dir(&self.path)?.map(|e| e.and_then(|e| e.metadata()).map_or(0, |m| m.len())).sum();
        println!(
            "{{\"events\":{},\"append_and_seal_seconds\":{},\"bytes_per_event\":{:.1},\"open_ms_p50\":{:.2},\
             \"get_us_p50\":{:.2},\"get_us_p99\":{:.2},\"rss_mib\":{:.1}}}",
            self.count,
            self.append_seconds.map_or("null".to_owned(), |seconds| format!("{seconds:.2}")),
            bytes as f64 / self.count as f64,
            self.open[self.open.len() / 2].as_secs_f64() * 1e3,
            self.get[self.get.len() / 2].as_secs_f64() * 1e6,
            self.get[self.get.len() * 99 / 100].as_secs_f64() * 1e6,
            self.rss_kib as f64 / 1024.0,
        );
        Ok(())
    }
}

/// Resident memory of this process; 0 where the system doesn't tell.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
