//! The threads: those that append when it is time to, and those that read what has been appended.

use crate::Result;
use crate::workload::{Event, Events, Random};
use annals::{Log, ReadBuffer, Reader, ScanRange};
use hdrhistogram::Histogram;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{Scope, ScopedJoinHandle, sleep};
use std::time::{Duration, Instant};

/// Times in ns to a hundredth, up to a minute.
pub(super) type Times = Histogram<u64>;

/// An empty histogram.
pub(super) fn times() -> Times {
    // Both are valid: one below the other, and two digits.
    Histogram::new_with_bounds(1, 60_000_000_000, 2).expect("the bounds of a histogram")
}

/// Events that each thread makes before it begins, and appends again and again: making them isn't what is measured.
const EVENTS: usize = 4_096;
/// Pause between two reads by seq, and between two scans.
const GET_PAUSE: Duration = Duration::from_millis(1);
const SCAN_PAUSE: Duration = Duration::from_secs(5);
/// Newest records that a scan reads.
const SCANNED: u64 = 50_000;

/// What all threads share.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) stop: AtomicBool,
    failed: AtomicBool,
    times: Mutex<Times>,
    gets: AtomicU64,
    scanned: AtomicU64,
    tailed: AtomicU64,
    /// Time between two events of a thread.
    period: Duration,
    threads: u64,
    seed: u64,
}

/// How many records were read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts {
    pub(super) gets: u64,
    pub(super) scanned: u64,
    pub(super) tailed: u64,
}

impl Counts {
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            gets: self.gets - before.gets,
            scanned: self.scanned - before.scanned,
            tailed: self.tailed - before.tailed,
        }
    }
}

type Handle<'scope> = ScopedJoinHandle<'scope, Result<()>>;

impl Load {
    pub(super) fn new(rate: u64, threads: u64, seed: u64) -> Self {
        Self {
            stop: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            times: Mutex::new(times()),
            gets: AtomicU64::new(0),
            scanned: AtomicU64::new(0),
            tailed: AtomicU64::new(0),
            period: Duration::from_secs_f64(threads as f64 / rate as f64),
            threads,
            seed,
        }
    }

    /// Starts those that append, one that reads by seq, one that scans, and one that follows the end.
    pub(super) fn start<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        log: &'scope Log,
    ) -> Vec<Handle<'scope>> {
        let begun = Instant::now();
        let mut threads: Vec<_> =
            (0..self.threads).map(|number| scope.spawn(move || self.note(self.append(log, begun, number)))).collect();
        threads.push(scope.spawn(move || self.note(self.get(&log.reader()))));
        threads.push(scope.spawn(move || self.note(self.scan(&log.reader()))));
        threads.push(scope.spawn(move || self.note(self.follow(&log.reader()))));
        threads
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    pub(super) fn counts(&self) -> Counts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts { gets: of(&self.gets), scanned: of(&self.scanned), tailed: of(&self.tailed) }
    }

    /// The times since the last call.
    pub(super) fn take_times(&self) -> Result<Times> {
        Ok(std::mem::replace(&mut *self.times.lock().unwrap_or_else(PoisonError::into_inner), times()))
    }

    fn note(&self, outcome: Result<()>) -> Result<()> {
        self.failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
        outcome
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed) && !self.has_failed()
    }

    /// Appends an event whenever one is due. A thread that is late appends at once, and the time that it is late counts: else
    /// one long wait would hide all those that should have begun in it.
    fn append(&self, log: &Log, begun: Instant, number: u64) -> Result<()> {
        let events: Vec<Event> = Events::new(self.seed + number).take(EVENTS).collect();
        let mut due = begun + self.period.mul_f64(number as f64 / self.threads as f64);
        for event in events.iter().cycle() {
            if !self.goes_on() {
                break;
            }
            let early = due.saturating_duration_since(Instant::now());
            let from = if early.is_zero() {
                due
            } else {
                sleep(early);
                Instant::now()
            };
            log.append(event)?;
            let nanos = from.elapsed().as_nanos() as u64;
            self.times.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(nanos);
            due += self.period;
        }
        Ok(())
    }

    fn get(&self, reader: &Reader) -> Result<()> {
        let (mut random, mut buffer) = (Random::new(self.seed), ReadBuffer::new());
        while self.goes_on() {
            let end = reader.end_seq();
            if end > 0 {
                let seq = random.below(end);
                reader.get_into(seq, &mut buffer)?.ok_or_else(|| format!("record {seq} is missing"))?;
                self.gets.fetch_add(1, Ordering::Relaxed);
            }
            sleep(GET_PAUSE);
        }
        Ok(())
    }

    fn scan(&self, reader: &Reader) -> Result<()> {
        while self.goes_on() {
            let end = reader.end_seq();
            let (from, mut count) = (end.saturating_sub(SCANNED), 0);
            let mut scan = reader.scan(ScanRange::all().seqs(from..end))?;
            while scan.advance()?.is_some() {
                count += 1;
            }
            if count != end - from {
                return Err(format!("a scan of {from}..{end} found {count} records").into());
            }
            self.scanned.fetch_add(count, Ordering::Relaxed);
            let until = Instant::now() + SCAN_PAUSE;
            while self.goes_on() && Instant::now() < until {
                sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }

    fn follow(&self, reader: &Reader) -> Result<()> {
        let mut tail = reader.tail(0);
        while self.goes_on() {
            let expected = tail.next_seq();
            let Some(record) = tail.next(Some(Duration::from_millis(50)))? else { continue };
            if record.seq() != expected {
                return Err(format!("the tail went from {expected} to {}", record.seq()).into());
            }
            self.tailed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
