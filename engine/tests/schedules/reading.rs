//! Threads that read while others append, roll and seal.

use crate::ledger::{Ledger, any_durability, below};
use crate::writing::small;
use annals::storage::sim::SimDisk;
use annals::{Background, Durability, Log, Options, Reader};
use shuttle::thread;
use std::time::Duration;

fn open(options: Options) -> (SimDisk, Ledger, Log) {
    let disk = SimDisk::new(7);
    disk.take_direct_writes(below(2) == 0);
    let log = options.open_or_create_on(disk.storage()).unwrap();
    (disk, Ledger::default(), log)
}

/// What counts as visible can be read at once, by seq and in scans, while segments begin and end.
pub(crate) fn publication() {
    let (_, ledger, log) = open(small(true).background(Background::Manual).durability(any_durability()));
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..3 {
                ledger.append(&log, 1, 20, any_durability()).unwrap();
            }
        });
        for backward in [false, true] {
            let (ledger, reader) = (&ledger, log.reader());
            scope.spawn(move || {
                for _ in 0..3 {
                    ledger.check_scan(&reader, backward);
                    if let Some(last) = reader.end_seq().checked_sub(1) {
                        ledger.check(last, &reader.get(last).unwrap().expect("visible and not there"));
                    }
                }
            });
        }
    });
}

/// Records are read from raw segments and from the sealed ones that take their place.
pub(crate) fn seal_under_readers() {
    let (disk, ledger, log) = open(small(true).background(Background::Manual));
    for _ in 0..3 {
        ledger.append(&log, 1, 20, Durability::Durable).unwrap();
    }
    thread::scope(|scope| {
        scope.spawn(|| {
            log.seal().unwrap();
            ledger.append(&log, 1, 20, Durability::Durable).unwrap();
            log.seal().unwrap();
        });
        scope.spawn(|| ledger.append(&log, 2, 20, Durability::Durable).unwrap());
        scope.spawn(|| {
            let mut tail = log.reader().tail(0);
            for seq in 0..6 {
                ledger.check(seq, &tail.next(None).unwrap().unwrap());
            }
        });
        scope.spawn(|| {
            for _ in 0..4 {
                let seq = below(3);
                ledger.check(seq, &log.get(seq).unwrap().unwrap());
            }
        });
        scope.spawn(|| ledger.check_scan(&log.reader(), below(2) == 0));
        scope.spawn(|| {
            let info = log.reader().info().unwrap();
            assert_eq!(info.segments.last().unwrap().end_seq, info.end_seq);
            let verified = log.reader().verify(&mut |_| ()).unwrap();
            assert!(verified.is_sound(), "{:?}", verified.damage);
            assert_eq!(verified.records, verified.end_seq, "records that were not verified");
            assert!(verified.root.is_some());
        });
    });
    assert_eq!(ledger.check_scan(&log.reader(), false), 6);
    log.close().unwrap();
    ledger.check_closed(&disk);
}

/// A reader that has nothing but the directory sees what is durable, without holes, as if it were in another process.
pub(crate) fn attached() {
    let (disk, ledger, log) = open(small(true));
    ledger.append(&log, 1, 20, Durability::Durable).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..2 {
                ledger.append(&log, 1, 20, Durability::Durable).unwrap();
            }
            log.seal().unwrap();
        });
        scope.spawn(|| {
            let reader = Reader::open_on(disk.storage()).unwrap();
            let mut tail = reader.tail(0);
            for seq in 0..3 {
                ledger.check(seq, &tail.next(None).unwrap().unwrap());
                ledger.check_crash(&disk, reader.end_seq());
            }
        });
        scope.spawn(|| {
            let reader = Reader::open_on(disk.storage()).unwrap();
            for backward in [false, true] {
                let seen = ledger.check_scan(&reader, backward);
                ledger.check_crash(&disk, seen);
            }
        });
    });
}

/// Several threads use one such reader.
pub(crate) fn attached_shared() {
    let (disk, ledger, log) = open(small(true).background(Background::Manual));
    ledger.append(&log, 1, 20, Durability::Durable).unwrap();
    let reader = Reader::open_on(disk.storage()).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..2 {
                ledger.append(&log, 1, 20, Durability::Durable).unwrap();
            }
            log.seal().unwrap();
        });
        for backward in [false, true] {
            let (ledger, reader) = (&ledger, &reader);
            scope.spawn(move || {
                for _ in 0..2 {
                    ledger.check_scan(reader, backward);
                    if let Some(record) = reader.get(2).unwrap() {
                        ledger.check(2, &record);
                    }
                }
            });
        }
    });
}

/// Tails get everything and then learn that the log was closed; readers outlive it.
pub(crate) fn drop_under_tails() {
    let (_, ledger, log) = open(small(below(2) == 0).durability(any_durability()));
    let threads: Vec<_> = [None, Some(Duration::from_millis(1))]
        .into_iter()
        .map(|timeout| {
            let (ledger, reader) = (ledger.clone(), log.reader());
            thread::spawn(move || {
                let mut tail = reader.tail(0);
                let mut seq = 0;
                while seq < 3 || timeout.is_none() {
                    match tail.next(timeout).unwrap() {
                        Some(record) => ledger.check(seq, &record),
                        None if timeout.is_none() => break,
                        None => continue,
                    }
                    seq += 1;
                }
                assert_eq!(seq, 3);
                assert_eq!(ledger.check_scan(&reader, true), 3);
            })
        })
        .collect();
    for _ in 0..3 {
        ledger.append(&log, 1, 20, any_durability()).unwrap();
    }
    drop(log);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
