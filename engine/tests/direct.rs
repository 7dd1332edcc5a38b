//! Direct writes, several in flight, and writes through the cache: the same promises both ways; and tickets.

mod random;

use annals::storage::sim::{Fault, Loss, SimDisk};
use annals::{Background, Batch, Error, Log, Options, Reader, ScanRange};
use random::Random;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Event {
    thread: u64,
    number: u64,
    text: String,
}

fn event(thread: u64, number: u64) -> Event {
    let len = Random(thread << 32 | number).below(900) as usize;
    Event { thread, number, text: "x".repeat(len) }
}

/// Stops those who append, also when a check has failed: they would go on until there is no memory.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What was acknowledged, by seq.
type Acknowledged = Mutex<BTreeMap<u64, (u64, u64)>>;

/// Appends until told to stop, or until the log fails.
fn append(log: &Log, thread: u64, seed: u64, stop: &AtomicBool, acknowledged: &Acknowledged) {
    let (mut random, mut number) = (Random(seed ^ thread << 8), 0);
    let mut batch = Batch::new();
    while !stop.load(Ordering::Relaxed) {
        let count = if random.below(3) == 0 { 1 + random.below(60) } else { 1 };
        batch.clear();
        (number..number + count).for_each(|number| batch.push(&event(thread, number)).unwrap());
        let appended = match random.below(4) {
            0 => log.submit_batch(&mut batch).and_then(|ticket| ticket.wait().map(|()| ticket.seqs())),
            _ => log.append_batch(&mut batch),
        };
        let Ok(seqs) = appended else { return };
        let mut acknowledged = acknowledged.lock().unwrap();
        for (seq, number) in seqs.zip(number..) {
            assert_eq!(acknowledged.insert(seq, (thread, number)), None, "seq {seq} was given twice");
        }
        number += count;
    }
}

/// Checks what a crash of `disk` leaves against what was acknowledged before it, and what a reader saw that was there.
fn check(disk: &SimDisk, loss: Loss, seed: u64, acknowledged: &BTreeMap<u64, (u64, u64)>, context: &str) {
    let seen = Reader::open_on(disk.copy().storage()).unwrap().end_seq();
    let log =
        Options::new().background(Background::Manual).open_or_create_on(disk.crash(loss, seed).storage()).unwrap();
    assert!(log.recovery().is_complete(), "{context}: {:?}", log.recovery());
    assert!(seen <= log.next_seq(), "{context}: a reader saw {seen} records, and recovery found {}", log.next_seq());
    let mut found = BTreeMap::new();
    for record in log.reader().scan(ScanRange::all()).unwrap() {
        let record = record.unwrap();
        let known: Event = record.decode().unwrap();
        assert_eq!(known, event(known.thread, known.number), "{context}");
        found.insert(record.seq(), (known.thread, known.number));
    }
    assert!(acknowledged.iter().all(|(seq, known)| found.get(seq) == Some(known)), "{context}: a record is lost");
}

/// Many threads, and the power fails at random moments. At each, everything that had been acknowledged by then is there.
fn survives_power_cuts(direct: bool, seed: u64) {
    let disk = SimDisk::new(seed);
    disk.take_direct_writes(direct);
    let options = Options::new().segment_bytes(256 << 10);
    let log = options.open_or_create_on(disk.storage()).unwrap();
    let (stop, acknowledged) = (AtomicBool::new(false), Acknowledged::default());
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let (log, stop, acknowledged) = (&log, &stop, &acknowledged);
            scope.spawn(move || append(log, thread, seed, stop, acknowledged));
        }
        let stopping = Stop(&stop);
        let mut random = Random(seed);
        for cut in 0..6 {
            std::thread::sleep(Duration::from_millis(random.below(12)));
            let before = acknowledged.lock().unwrap().clone();
            let image = disk.copy();
            for loss in Loss::ALL {
                let context = format!("direct {direct}, seed {seed}, cut {cut}, {loss:?}");
                check(&image, loss, random.next(), &before, &context);
            }
        }
        drop(stopping);
    });
    let next_seq = log.next_seq();
    log.close().unwrap();
    let acknowledged = acknowledged.into_inner().unwrap();
    assert_eq!(next_seq, acknowledged.len() as u64);
    check(&disk, Loss::Everything, 0, &acknowledged, "closed");
}

#[test]
fn both_ways_lose_nothing_when_the_power_fails_under_many_threads() {
    for direct in [true, false] {
        for seed in 0..2 {
            survives_power_cuts(direct, seed);
        }
    }
}

#[test]
fn a_write_that_fails_among_others_poisons_and_what_was_acknowledged_stays() {
    for direct in [true, false] {
        for call in 60..120 {
            let disk = SimDisk::new(call);
            disk.take_direct_writes(direct);
            disk.fail_at(call, Fault::Io, call % 2 == 0);
            let acknowledged = Acknowledged::default();
            if let Ok(log) = Options::new().segment_bytes(64 << 10).open_or_create_on(disk.storage()) {
                let stop = AtomicBool::new(false);
                std::thread::scope(|scope| {
                    for thread in 0..4 {
                        let (log, stop, acknowledged) = (&log, &stop, &acknowledged);
                        scope.spawn(move || append(log, thread, call, stop, acknowledged));
                    }
                    std::thread::sleep(Duration::from_millis(20));
                    stop.store(true, Ordering::Relaxed);
                });
            }
            disk.heal();
            disk.restart();
            let acknowledged = acknowledged.into_inner().unwrap();
            for loss in Loss::ALL {
                let log = Options::new().open_or_create_on(disk.crash(loss, call).storage()).unwrap();
                let found: Vec<_> = log.reader().scan(ScanRange::all()).unwrap().map(Result::unwrap).collect();
                for (seq, known) in &acknowledged {
                    let record: Event = found[*seq as usize].decode().unwrap();
                    assert_eq!((record.thread, record.number), *known, "direct {direct}, call {call}, {loss:?}");
                }
            }
        }
    }
}

#[test]
fn a_ticket_tells_when_its_records_are_durable() {
    for direct in [true, false] {
        let disk = SimDisk::new(1);
        disk.take_direct_writes(direct);
        let options = Options::new().background(Background::Manual);
        let log = options.open_or_create_on(disk.storage()).unwrap();
        let first = log.submit(&event(0, 0)).unwrap();
        let second = log.submit(&event(0, 1)).unwrap();
        assert!(!first.is_durable() && !second.is_durable());
        assert_eq!((first.seqs(), second.seqs()), (0..1, 1..2));
        second.wait().unwrap();
        assert!(first.is_durable() && second.is_durable());
        let third = log.submit(&event(0, 2)).unwrap();
        log.close().unwrap();
        assert!(third.is_durable(), "closing writes what waits");
        third.wait().unwrap();
        let log = options.open_or_create_on(disk.crash(Loss::Everything, 1).storage()).unwrap();
        assert_eq!(log.next_seq(), 3);
    }
}

#[test]
fn a_ticket_of_a_log_that_failed_says_so() {
    let disk = SimDisk::new(1);
    let log = Options::new().background(Background::Manual).open_or_create_on(disk.storage()).unwrap();
    log.append(&event(0, 0)).unwrap();
    let ticket = log.submit(&event(0, 1)).unwrap();
    disk.fail_at(disk.calls(), Fault::Io, false);
    assert!(matches!(ticket.wait(), Err(Error::Poisoned(_))));
    assert!(!ticket.is_durable());
    assert!(matches!(log.submit(&event(0, 2)), Err(Error::Poisoned(_))));
}

#[test]
fn tickets_become_durable_without_anybody_who_waits() {
    let dir = tempfile::tempdir().unwrap();
    let log = Options::new().queue_bytes(64 << 10).create(dir.path()).unwrap();
    let tickets: Vec<_> = (0..3_000).map(|number| log.submit(&event(0, number)).unwrap()).collect();
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !tickets.iter().all(annals::Ticket::is_durable) {
        assert!(std::time::Instant::now() < deadline, "durable below {}", log.durable_seq());
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(tickets.last().unwrap().seqs(), 2_999..3_000);
}

#[test]
fn a_real_log_is_written_the_way_that_was_asked_for() {
    for direct in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::new().direct_io(direct).segment_bytes(128 << 10);
        let log = options.create(dir.path()).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let log = &log;
                scope.spawn(move || {
                    for number in 0..200 {
                        log.append(&event(thread, number)).unwrap();
                    }
                });
            }
        });
        let told = Reader::open(dir.path()).unwrap().info().unwrap().direct_io;
        // Not every file system takes direct writes; but none is written directly without being asked to.
        assert!(told == Some(direct) || told == Some(false), "{told:?}");
        log.close().unwrap();
        let log = options.open(dir.path()).unwrap();
        assert!(log.recovery().clean);
        assert_eq!(log.reader().scan(ScanRange::all()).unwrap().filter(|record| record.is_ok()).count(), 800);
        assert!(log.reader().verify(&mut |_| ()).unwrap().is_sound());
    }
}
