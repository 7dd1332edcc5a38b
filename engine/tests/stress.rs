//! Everything at once, on a real directory with real threads: eight writers of all durabilities, readers, tails in this
//! process and beside it, sealing all the time, and a verifier now and then.
//!
//! `ANNALS_SECONDS` says for how long; `ANNALS_CASES` of records at least, if that is set; `ANNALS_SEED` what is drawn.

mod random;

use annals::{Batch, Durability, Log, Options, Reader, RecordBuf, ScanRange, Tail};
use random::Random;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const WRITERS: u64 = 8;

/// A record, which says itself what it has to be.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Event {
    writer: u64,
    number: u64,
    text: String,
}

fn event(writer: u64, number: u64) -> Event {
    let mut random = Random(writer << 32 | number);
    let len = 20 + random.below(400) as usize;
    let text = (0..len).map(|_| char::from(b'a' + random.below(26) as u8)).collect();
    Event { writer, number, text }
}

/// Leaves the processor to those who write.
fn pause() {
    std::thread::sleep(Duration::from_millis(1));
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

/// What all threads share.
struct Stress<'a> {
    log: &'a Log,
    path: &'a Path,
    seed: u64,
    stop: AtomicBool,
    /// Writers that are still at it.
    writing: AtomicU64,
    /// How many records were read by everybody.
    read: AtomicU64,
    /// The event at each seq, as the append that returned it said: acknowledged.
    acknowledged: Mutex<HashMap<u64, (u64, u64)>>,
}

impl Stress<'_> {
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn check(&self, seq: u64, record: &RecordBuf) {
        assert_eq!(record.seq(), seq, "not dense");
        let found: Event = record.decode().unwrap();
        assert_eq!(found, event(found.writer, found.number), "record {seq}");
        if let Some(&known) = self.acknowledged.lock().unwrap().get(&seq) {
            assert_eq!((found.writer, found.number), known, "record {seq} is another one");
        }
        self.read.fetch_add(1, Ordering::Relaxed);
    }

    fn write(&self, writer: u64) -> u64 {
        let mut random = Random(self.seed ^ (writer << 8));
        let mut next = 0;
        let mut batch = Batch::new();
        let _done = Done(&self.writing);
        while !self.is_over() {
            let durability = match (writer + random.below(2)) % 3 {
                0 => Durability::Durable,
                1 => Durability::Written,
                _ => Durability::Buffered { interval: Duration::from_millis(5) },
            };
            let count = if random.below(2) == 0 { 1 } else { 1 + random.below(40) };
            batch.clear();
            for number in next..next + count {
                batch.push(&event(writer, number)).unwrap();
            }
            let seqs = self.log.append_batch_with(&mut batch, durability).unwrap();
            assert_eq!(seqs.end - seqs.start, count);
            assert!(durability != Durability::Durable || self.log.durable_seq() >= seqs.end);
            let mut acknowledged = self.acknowledged.lock().unwrap();
            for (seq, number) in seqs.zip(next..) {
                assert_eq!(acknowledged.insert(seq, (writer, number)), None, "seq {seq} was given twice");
            }
            drop(acknowledged);
            next += count;
        }
        next
    }

    fn get(&self, reader: &Reader, seed: u64) {
        let mut random = Random(seed);
        while !self.is_over() {
            for _ in 0..20 {
                let Some(seq) = reader.end_seq().checked_sub(1).map(|last| random.below(last + 1)) else { break };
                self.check(seq, &reader.get(seq).unwrap().expect("below the end"));
            }
            reader.refresh().unwrap();
            pause();
        }
    }

    fn scan(&self, reader: &Reader, seed: u64, backward: bool) {
        let mut random = Random(seed);
        while !self.is_over() {
            let end = reader.end_seq();
            let first = random.below(end.max(1)).min(end.saturating_sub(1));
            let range = ScanRange::all().seqs(first..first.saturating_add(2_000));
            let scan = reader.scan(if backward { range.reverse() } else { range }).unwrap();
            let records: Vec<_> = scan.map(|record| record.unwrap()).collect();
            assert!(records.len() as u64 >= (end - first).min(2_000), "{} from {first} to {end}", records.len());
            for (n, record) in records.iter().enumerate() {
                let n = if backward { records.len() - 1 - n } else { n };
                self.check(first + n as u64, record);
            }
            pause();
        }
    }

    /// Follows to the very end, which is known once all writers are done.
    fn tail(&self, mut tail: Tail) -> u64 {
        let mut seq = 0;
        let mut last = Instant::now();
        loop {
            let over = self.writing.load(Ordering::SeqCst) == 0;
            match tail.next(Some(Duration::from_millis(50))).unwrap() {
                Some(record) => {
                    self.check(seq, &record);
                    (seq, last) = (seq + 1, Instant::now());
                }
                // The log's own durability decides what is visible, and its threads that it becomes so.
                None if over && seq == self.log.next_seq() => return seq,
                None => assert!(last.elapsed() < Duration::from_secs(60), "record {seq} doesn't come"),
            }
        }
    }

    fn verify(&self) {
        while !self.is_over() {
            for reader in [self.log.reader(), Reader::open(self.path).unwrap()] {
                let report = reader.verify(&mut |_| ()).unwrap();
                assert!(report.is_sound(), "{:?}", report.damage);
                assert_eq!(report.records, report.end_seq, "records that were not verified");
                assert!(report.root.is_some());
                // A segment may be sealed before what it holds is told to readers, so verifying may be ahead of them.
                let seen = reader.end_seq();
                assert!(reader.info().unwrap().end_seq >= seen);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn seal(&self) {
        let mut random = Random(self.seed);
        while !self.is_over() {
            self.log.seal().unwrap();
            std::thread::sleep(Duration::from_millis(random.below(40)));
        }
    }
}

/// A writer ends, be it by a panic.
struct Done<'a>(&'a AtomicU64);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One log, opened with `durability`, under everything for `seconds` and until it has `least` records.
fn stress(durability: Durability, seconds: f64, least: u64, seed: u64) -> (u64, u64) {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::new().segment_bytes(64 << 10).queue_bytes(64 << 10).durability(durability);
    let log = options.create(dir.path()).unwrap();
    let stress = Stress {
        log: &log,
        path: dir.path(),
        seed,
        stop: AtomicBool::new(false),
        writing: AtomicU64::new(WRITERS),
        read: AtomicU64::new(0),
        acknowledged: Mutex::default(),
    };
    let stress = &stress;
    let began = Instant::now();
    let appended: u64 = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || stress.write(writer))).collect();
        let live = log.reader();
        let beside = Reader::open(dir.path()).unwrap();
        let tails: Vec<_> =
            [live.tail(0), beside.tail(0)].map(|tail| scope.spawn(move || stress.tail(tail))).into_iter().collect();
        for (n, reader) in [live, beside].into_iter().enumerate() {
            let scanned = reader.clone();
            scope.spawn(move || stress.get(&reader, seed + n as u64));
            scope.spawn(move || stress.scan(&scanned, seed + n as u64, n == 0));
        }
        scope.spawn(|| stress.verify());
        scope.spawn(|| stress.seal());
        while began.elapsed().as_secs_f64() < seconds || log.next_seq() < least {
            std::thread::sleep(Duration::from_millis(10));
            if tails.iter().any(|tail| tail.is_finished()) || writers.iter().any(|writer| writer.is_finished()) {
                break;
            }
        }
        stress.stop.store(true, Ordering::SeqCst);
        let appended = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
        for tail in tails {
            assert_eq!(tail.join().unwrap(), appended, "what a tail has seen");
        }
        appended
    });
    let read = stress.read.load(Ordering::SeqCst);
    let acknowledged = std::mem::take(&mut *stress.acknowledged.lock().unwrap());
    assert_eq!(acknowledged.len() as u64, appended);
    log.close().unwrap();

    let log = options.open(dir.path()).unwrap();
    assert!(log.recovery().clean, "{:?}", log.recovery());
    assert_eq!(log.next_seq(), appended);
    let mut numbers = HashMap::new();
    for (seq, record) in log.reader().scan(ScanRange::all()).unwrap().enumerate() {
        let record = record.unwrap();
        let found: Event = record.decode().unwrap();
        assert_eq!((record.seq(), acknowledged[&(seq as u64)]), (seq as u64, (found.writer, found.number)));
        // A writer waits for its seqs before it appends more, so its records stand in its own order.
        let next = numbers.entry(found.writer).or_insert(0);
        assert_eq!(found.number, *next);
        assert_eq!(found, event(found.writer, *next));
        *next += 1;
    }
    assert_eq!(numbers.values().sum::<u64>(), appended);
    assert!(log.reader().verify(&mut |_| ()).unwrap().is_sound());
    // An open log may be writing a segment's temporary file; a closed one has none.
    log.close().unwrap();
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.iter().all(|path| path.extension().is_none_or(|ending| ending != "tmp")), "{left:?}");
    (appended, read)
}

#[test]
fn everything_at_once_loses_doubles_and_changes_nothing() {
    let seconds = number("ANNALS_SECONDS", 3);
    let least = number("ANNALS_CASES", 0);
    let seed = number("ANNALS_SEED", 42);
    let outcome = std::panic::catch_unwind(|| {
        let kinds =
            [Durability::Durable, Durability::Written, Durability::Buffered { interval: Duration::from_millis(5) }];
        let rounds = kinds.map(|kind| stress(kind, seconds as f64 / 3.0, least.div_ceil(3), seed));
        rounds.iter().fold((0, 0), |sum, round| (sum.0 + round.0, sum.1 + round.1))
    });
    match outcome {
        Ok((appended, read)) => {
            println!("{appended} records appended, {read} reads");
            println!("trust: stress: {appended} records, 0 failures, seed {seed}");
        }
        Err(_) => panic!(
            "ANNALS_SECONDS={seconds} ANNALS_CASES={least} ANNALS_SEED={seed} cargo test --release -p annals --test stress"
        ),
    }
}
