//! Everything at once, on a real directory with real threads: eight writers of all durabilities, readers, tails in this
//! process and beside it, sealing and indexing all the time, retention behind them, and a verifier now and then.
//!
//! `ANNALS_SECONDS` says for how long; `ANNALS_CASES` of records at least, if that is set; `ANNALS_SEED` what is drawn.

mod random;

use annals::{
    Batch, Durability, Error, Log, Options, Query, Reader, RecordBuf, Removal, RetentionPolicy, ScanRange, Tail, field,
};
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
    /// The removals that somebody was told of who asked for a record, and which record.
    told: Mutex<Vec<(u64, Removal)>>,
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

    /// Notes that the record `seq` is said to be removed; whether that is so is looked at in the end.
    fn note(&self, seq: u64, removal: &Removal) {
        assert!((removal.first_seq..removal.end_seq).contains(&seq), "{seq}: {removal:?}");
        self.told.lock().unwrap().push((seq, removal.clone()));
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
                match reader.get(seq) {
                    Err(Error::Removed(removal)) => self.note(seq, &removal),
                    found => self.check(seq, &found.unwrap().expect("below the end")),
                }
            }
            reader.refresh().unwrap();
            pause();
        }
    }

    /// Scans in the writer's process: what has begun is not disturbed, so nothing is missing but what was removed before.
    fn scan_backward(&self, reader: &Reader, seed: u64) {
        let mut random = Random(seed);
        while !self.is_over() {
            let (begin, end) = (reader.first_seq(), reader.end_seq());
            let first = random.below(end.max(1)).min(end.saturating_sub(1));
            let range = ScanRange::all().seqs(first..first.saturating_add(2_000));
            let scan = reader.scan(range.reverse()).unwrap();
            let removed = reader.first_seq();
            let mut records: Vec<_> = scan.map(|record| record.unwrap()).collect();
            records.reverse();
            let from = records.first().map_or(removed, RecordBuf::seq);
            let to = from + records.len() as u64;
            assert!((first.max(begin)..=first.max(removed)).contains(&from), "{from}, {first}, {begin} to {removed}");
            assert!(to >= end.min(first + 2_000) || to <= removed, "{from} to {to} of {end}, from {first}");
            records.iter().zip(from..).for_each(|(record, seq)| self.check(seq, record));
            pause();
        }
    }

    /// Scans beside the writer's process: what is removed meanwhile is told, and the scan goes on behind it.
    fn scan_forward(&self, reader: &Reader, seed: u64) {
        let mut random = Random(seed);
        while !self.is_over() {
            let end = reader.end_seq();
            let first = random.below(end.max(1)).min(end.saturating_sub(1));
            let range = ScanRange::all().seqs(first..first.saturating_add(2_000));
            let mut next = None;
            for record in reader.scan(range).unwrap() {
                match record {
                    Err(Error::Removed(removal)) => {
                        self.note(next.unwrap_or(first).max(removal.first_seq), &removal);
                        next = Some(removal.end_seq);
                    }
                    record => {
                        let record = record.unwrap();
                        self.check(next.unwrap_or(record.seq()), &record);
                        next = Some(record.seq() + 1);
                    }
                }
            }
            let is_whole = next.is_some_and(|next| next >= end.min(first + 2_000));
            assert!(is_whole || reader.first_seq() >= end.min(first + 2_000), "to {next:?} of {end}, from {first}");
            pause();
        }
    }

    /// Asks for acknowledged records by their fields, which are indexed as segments are sealed.
    fn ask(&self, reader: &Reader, seed: u64) {
        let mut random = Random(seed);
        while !self.is_over() {
            let seq = random.below(reader.end_seq().max(1));
            if let Some((writer, number)) = self.acknowledged.lock().unwrap().get(&seq).copied() {
                let is_it = field("writer").unwrap().is(writer).and(field("number").unwrap().is(number));
                let found: Vec<u64> = reader
                    .query(&Query::over(ScanRange::all()).filter(is_it))
                    .unwrap()
                    .filter_map(|record| match record {
                        Err(Error::Removed(_)) => None,
                        record => Some(record.unwrap().seq()),
                    })
                    .collect();
                let is_removed = found.is_empty() && reader.removals().unwrap().last().is_some_and(|r| seq < r.end_seq);
                assert!(found == [seq] || is_removed, "record {seq}: {found:?}");
            }
            pause();
        }
    }

    /// Removes what is old, never what is held.
    fn retain(&self) {
        let mut random = Random(self.seed ^ 7);
        while !self.is_over() {
            let first_seq = self.log.reader().first_seq();
            let held = first_seq + random.below(self.log.next_seq() - first_seq + 1);
            let is_held = random.below(3) == 0;
            if is_held {
                self.log.hold("case", held..=held, "asked").unwrap();
            }
            let least = random.below(6_000);
            let report = self.log.retain(&RetentionPolicy::new().max_records(least).reason("stress")).unwrap();
            let left = self.log.next_seq() - report.first_seq;
            assert!(report.removal.is_none() || left >= least, "{left} records are left of {least}: {report:?}");
            assert!(!is_held || report.first_seq <= held, "{held} is held: {report:?}");
            if is_held {
                assert!(self.log.reader().first_seq() <= held);
                assert_eq!(self.log.release("case", "answered").unwrap().hold.name, "case");
            }
            std::thread::sleep(Duration::from_millis(random.below(60)));
        }
    }

    /// Follows to the very end, which is known once all writers are done.
    fn tail(&self, mut tail: Tail) -> u64 {
        let mut seq = 0;
        let mut last = Instant::now();
        loop {
            let over = self.writing.load(Ordering::SeqCst) == 0;
            match tail.next(Some(Duration::from_millis(50))) {
                Err(Error::Removed(removal)) => {
                    self.note(seq, &removal);
                    seq = removal.end_seq;
                    assert_eq!(tail.next_seq(), seq);
                }
                Err(error) => panic!("a tail at {seq}: {error}"),
                Ok(Some(record)) => {
                    self.check(seq, &record);
                    (seq, last) = (seq + 1, Instant::now());
                }
                // The log's own durability decides what is visible, and its threads that it becomes so.
                Ok(None) if over && seq == self.log.next_seq() => return seq,
                Ok(None) => assert!(last.elapsed() < Duration::from_secs(60), "record {seq} doesn't come"),
            }
        }
    }

    fn verify(&self) {
        while !self.is_over() {
            for reader in [self.log.reader(), Reader::open(self.path).unwrap()] {
                let report = reader.verify(&mut |_| ()).unwrap();
                assert!(report.is_sound(), "{:?}", report.damage);
                // What was removed meanwhile may have been read before.
                let removed = report.removals.last().map_or(0, |removal| removal.end_seq);
                let records = report.end_seq - removed..=report.end_seq;
                assert!(records.contains(&report.records), "{} records verified of {records:?}", report.records);
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
    let options = options.index_fields(["writer", "number"].map(|name| field(name).unwrap()));
    let log = options.create(dir.path()).unwrap();
    let stress = Stress {
        log: &log,
        path: dir.path(),
        seed,
        stop: AtomicBool::new(false),
        writing: AtomicU64::new(WRITERS),
        read: AtomicU64::new(0),
        acknowledged: Mutex::default(),
        told: Mutex::default(),
    };
    let stress = &stress;
    let began = Instant::now();
    let appended: u64 = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || stress.write(writer))).collect();
        let live = log.reader();
        let beside = Reader::open(dir.path()).unwrap();
        let tails: Vec<_> =
            [live.tail(0), beside.tail(0)].map(|tail| scope.spawn(move || stress.tail(tail))).into_iter().collect();
        for reader in [&live, &beside] {
            let (got, asked) = (reader.clone(), reader.clone());
            scope.spawn(move || stress.get(&got, seed));
            scope.spawn(move || stress.ask(&asked, seed));
        }
        scope.spawn(move || stress.scan_backward(&live, seed));
        scope.spawn(move || stress.scan_forward(&beside, seed + 1));
        scope.spawn(|| stress.retain());
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
    let told = std::mem::take(&mut *stress.told.lock().unwrap());
    assert_eq!(acknowledged.len() as u64, appended);
    log.close().unwrap();

    let log = options.open(dir.path()).unwrap();
    assert!(log.recovery().clean, "{:?}", log.recovery());
    assert_eq!(log.next_seq(), appended);
    let first_seq = check_removals(&log.reader(), &told);
    // A writer waits for its seqs before it appends more, so its records stand in its own order.
    let mut numbers = HashMap::new();
    let mut expect = |seq: u64| {
        let (writer, number) = acknowledged[&seq];
        let next = numbers.entry(writer).or_insert(0);
        assert_eq!(number, *next, "record {seq}");
        *next += 1;
        event(writer, number)
    };
    (0..first_seq).for_each(|seq| drop(expect(seq)));
    let mut seq = first_seq;
    for record in log.reader().scan(ScanRange::all()).unwrap() {
        let record = record.unwrap();
        assert_eq!((record.seq(), record.decode::<Event>().unwrap()), (seq, expect(seq)));
        seq += 1;
    }
    assert_eq!(seq, appended);
    assert!(log.reader().verify(&mut |_| ()).unwrap().is_sound());
    // An open log may be writing a segment's temporary file; a closed one has none.
    log.close().unwrap();
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.iter().all(|path| path.extension().is_none_or(|ending| ending != "tmp")), "{left:?}");
    (appended, read)
}

/// The removals that the log tells of cover what is not there any more, and nothing else; whoever was told of one before was
/// told of one of these. Returns the first seq that is left.
fn check_removals(reader: &Reader, told: &[(u64, Removal)]) -> u64 {
    let removals = reader.removals().unwrap();
    let mut next = 0;
    for removal in &removals {
        assert_eq!((removal.first_seq, removal.end_seq - removal.first_seq), (next, removal.records), "{removal:?}");
        assert!(removal.segments > 0 && removal.time_min <= removal.time_max, "{removal:?}");
        next = removal.end_seq;
    }
    assert_eq!(reader.first_seq(), next);
    assert!(told.iter().all(|(_, told)| removals.contains(told)), "{removals:?}");
    println!("{} removals of {next} records, {} readers told of one", removals.len(), told.len());
    next
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
