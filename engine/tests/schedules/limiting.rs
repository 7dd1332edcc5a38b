//! Threads that append to a log that drops, while it tells of what it dropped, ends segments, and is closed.

use crate::ledger::{any_durability, below};
use crate::writing::small;
use annals::storage::sim::SimDisk;
use annals::{Background, Batch, Error, Log, OnLimit, Options, RateLimit, Reader, ScanRange};
use shuttle::thread;
use std::sync::atomic::{AtomicU64, Ordering};

/// Appends so many records, and counts which were taken and which were dropped. A ticket may outlive the log.
fn offer(log: &Log, records: u64, [taken, dropped]: [&AtomicU64; 2]) -> Option<annals::Ticket> {
    let mut batch = Batch::new();
    (0..records).for_each(|_| batch.push_raw(None, &[0x80]).unwrap());
    let (outcome, ticket) = match below(2) == 0 {
        true => (log.append_batch_with(&mut batch, any_durability()).map(drop), None),
        false => match log.submit_batch(&mut batch) {
            Ok(ticket) => (Ok(()), Some(ticket)),
            Err(error) => (Err(error), None),
        },
    };
    match outcome {
        Ok(()) => taken.fetch_add(records, Ordering::SeqCst),
        Err(Error::Dropped { records: own, .. }) if own == records => dropped.fetch_add(records, Ordering::SeqCst),
        Err(error) => panic!("{error}"),
    };
    ticket
}

/// Whoever tells of drops, the keeper, an append or the one who closes the log: they are told once, all of them, and the log is
/// closed as it should be.
pub(crate) fn drop_and_close() {
    let disk = SimDisk::new(7);
    disk.take_direct_writes(below(2) == 0);
    let limit = RateLimit::records(1).burst(1 + below(3)).on_limit(OnLimit::Drop);
    let options = small(below(2) == 0).durability(any_durability()).rate_limit(limit);
    let log = options.open_or_create_on(disk.storage()).unwrap();
    let counts = [AtomicU64::new(0), AtomicU64::new(0)];
    let mut waits = Vec::new();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..2 {
                    drop(offer(&log, 1 + below(2), counts.each_ref()));
                }
            });
        }
        if below(2) == 0 {
            scope.spawn(|| {
                // What follows needs another segment.
                log.seal().unwrap();
            });
        }
    });
    if let Some(ticket) = offer(&log, 1, counts.each_ref()) {
        waits.push(thread::spawn(move || drop(ticket.wait())));
    }
    log.close().unwrap();
    waits.into_iter().for_each(|wait| wait.join().unwrap());
    check(&disk, counts.map(AtomicU64::into_inner));
}

fn check(disk: &SimDisk, [taken, dropped]: [u64; 2]) {
    let log = Options::new().background(Background::Manual).open_or_create_on(disk.storage()).unwrap();
    assert!(log.recovery().clean, "{:?}", log.recovery());
    let reader: Reader = log.reader();
    let mut scan = reader.scan(ScanRange::all()).unwrap();
    let mut found = 0;
    while scan.advance().unwrap().is_some() {
        found += 1;
    }
    let told: u64 = scan.gaps().iter().map(|gap| gap.dropped.unwrap().records).sum();
    assert_eq!((found, told), (taken, dropped));
    assert!(reader.verify(&mut |_| ()).unwrap().is_sound());
}
