//! Threads that append, roll, seal, sync and close.

use crate::ledger::{Ledger, any_durability, below};
use annals::storage::sim::{Fault, SimDisk};
use annals::{Background, Durability, Error, Log, Options};
use shuttle::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn open(options: Options) -> (SimDisk, Ledger, Log) {
    let disk = SimDisk::new(7);
    disk.take_direct_writes(below(2) == 0);
    let log = options.open_or_create_on(disk.storage()).unwrap();
    (disk, Ledger::default(), log)
}

/// A segment of 64 KiB, which few records fill; and one that is too old after every append, if `aged`.
pub(crate) fn small(aged: bool) -> Options {
    let options = Options::new().segment_bytes(64 << 10).unsealed_segments_max(1);
    if aged { options.segment_age(Duration::from_micros(1)) } else { options }
}

/// Two to four threads with appends of all durabilities, singles and batches, share rounds of writing and syncing; at
/// some moment the power is cut.
pub(crate) fn group_commit() {
    let (disk, ledger, log) = open(small(false).durability(any_durability()));
    thread::scope(|scope| {
        for _ in 0..2 + below(3) {
            scope.spawn(|| {
                for _ in 0..2 {
                    let seq = ledger.append(&log, 1 + below(3) as usize, 20, Durability::Durable).unwrap();
                    ledger.check(seq, &log.get(seq).unwrap().expect("durable and not visible"));
                    ledger.append(&log, 1, 20, any_durability()).unwrap();
                }
            });
        }
        scope.spawn(|| ledger.check_crash(&disk, 0));
    });
    log.close().unwrap();
    ledger.check_crash(&disk, 0);
    ledger.check_closed(&disk);
}

/// Whoever appends last closes the log, while its own threads sync, write watermarks and seal.
pub(crate) fn append_and_close() {
    let (disk, ledger, log) = open(small(below(2) == 0).durability(any_durability()));
    let log = Arc::new(log);
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (ledger, log) = (ledger.clone(), Arc::clone(&log));
            thread::spawn(move || {
                ledger.append(&log, 1, 20, any_durability()).unwrap();
            })
        })
        .collect();
    drop(log);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    ledger.check_closed(&disk);
}

/// A call of the disk fails, once or for ever: who waits is told, nobody waits for ever, nothing is acknowledged after
/// the first that failed, and what was acknowledged before is there.
pub(crate) fn failing_disk() {
    let (disk, ledger, log) = open(small(below(2) == 0).durability(any_durability()));
    let fault = if below(4) == 0 { Fault::Full } else { Fault::Io };
    disk.fail_at(disk.calls() + below(25), fault, below(2) == 0);
    let poisoned = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..2 {
                    let before = poisoned.load(Ordering::SeqCst);
                    match ledger.append(&log, 1, 20, any_durability()) {
                        Ok(_) => assert!(!before, "acknowledged after a failure"),
                        Err(Error::Poisoned(_)) => poisoned.store(true, Ordering::SeqCst),
                        Err(Error::DiskFull { .. }) if fault == Fault::Full => assert!(!before),
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        scope.spawn(|| drop(log.seal()));
    });
    let closed = log.close();
    assert!(closed.is_err() || !poisoned.load(Ordering::SeqCst));
    ledger.check_crash(&disk, 0);
}

/// The sync that nobody waits for fails: nobody's sync after it proves anything, as it would succeed.
pub(crate) fn failing_sync_aside() {
    let options = small(false).background(Background::Manual).durability(Durability::Written);
    let (disk, ledger, log) = open(options);
    ledger.append(&log, 2, 20, Durability::Written).unwrap();
    let end = log.next_seq();
    disk.fail_at(disk.calls(), Fault::Io, false);
    thread::scope(|scope| {
        scope.spawn(|| assert!(log.maintain().is_err()));
        for _ in 0..2 {
            scope.spawn(|| {
                if log.sync().is_ok() {
                    ledger.check_crash(&disk, end);
                }
            });
        }
    });
    assert!(log.close().is_err());
    ledger.check_crash(&disk, 0);
}

/// Every append begins another segment, which may have to wait for sealing; others append and seal meanwhile.
pub(crate) fn roll_and_seal() {
    let (disk, ledger, log) = open(small(true).durability(any_durability()));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..2 {
                    ledger.append(&log, 1, 20, any_durability()).unwrap();
                }
            });
        }
        scope.spawn(|| {
            log.seal().unwrap();
            ledger.check_crash(&disk, 0);
        });
    });
    log.close().unwrap();
    ledger.check_closed(&disk);
}

/// The queue holds one and a half records: who appends waits for room, and gets it.
pub(crate) fn queue_full() {
    let options = Options::new().queue_bytes(64 << 10).segment_bytes(256 << 10);
    let (disk, ledger, log) = open(options.durability(Durability::Buffered { interval: Duration::from_millis(1) }));
    thread::scope(|scope| {
        for bytes in [40_000, 30_000, 60_000] {
            let (ledger, log) = (&ledger, &log);
            scope.spawn(move || {
                for _ in 0..2 {
                    ledger.append(log, 1, bytes, any_durability()).unwrap();
                }
            });
        }
    });
    log.close().unwrap();
    ledger.check_closed(&disk);
}

/// What is only buffered, or written, becomes durable though nobody asks for it, as often as something is appended.
pub(crate) fn buffered_interval() {
    let durability = [Durability::Written, Durability::Buffered { interval: Duration::from_millis(1) }];
    let (disk, ledger, log) = open(small(false).durability(durability[below(2) as usize]));
    for _ in 0..2 {
        let end = std::sync::atomic::AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let seq = ledger.append(&log, 1, 20, durability[1]).unwrap();
                    end.fetch_max(seq + 1, Ordering::SeqCst);
                });
            }
        });
        while log.durable_seq() < end.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        ledger.check_crash(&disk, log.durable_seq());
    }
    log.close().unwrap();
    ledger.check_closed(&disk);
}

/// A log without threads of its own, kept by two of its user's.
pub(crate) fn maintain_and_seal() {
    let options = small(below(2) == 0).background(Background::Manual).durability(any_durability());
    let (disk, ledger, log) = open(options);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..2 {
                    ledger.append(&log, 1, 20, any_durability()).unwrap();
                }
            });
        }
        scope.spawn(|| log.maintain().unwrap());
        scope.spawn(|| {
            log.seal().unwrap();
            log.maintain().unwrap();
        });
    });
    assert_eq!(ledger.check_scan(&log.reader(), true), log.reader().end_seq());
    log.close().unwrap();
    ledger.check_closed(&disk);
}
