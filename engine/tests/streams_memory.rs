//! What a thousand streams cost in memory. A program of its own, since what is measured is the most that the process ever had.
#![cfg(target_os = "linux")]

use annals::{Batch, Query, Store, StoreOptions, StoreReader};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeMap;

const STREAMS: usize = 1_000;
const LIMIT_BYTES: u64 = 256 << 20;
/// Files that a thousand open streams hold open, and some for the test.
const FILES: u64 = 9 * STREAMS as u64 + 100;

/// The most memory that this process has had so far, in bytes.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

/// Appends `records` records to every stream, from four threads, each batch durable when it returns.
fn append(store: &Store, records: usize, first_seq: u64) {
    let record =
        BTreeMap::from([("user", "ada"), ("text", "a record of an ordinary length, as audit logs have many of them")]);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let record = &record;
            scope.spawn(move || {
                let mut batch = Batch::new();
                (0..records).for_each(|_| batch.push(record).unwrap());
                for n in (0..STREAMS).filter(|n| n % 4 == thread) {
                    let seqs = store.stream(&format!("tenant-{n}")).unwrap().append_batch(&mut batch).unwrap();
                    assert_eq!(seqs.start, first_seq);
                    batch.clear();
                    (0..records).for_each(|_| batch.push(record).unwrap());
                }
            });
        }
    });
}

#[test]
fn a_thousand_streams_stay_within_256_mib() {
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|maximum| maximum < FILES) {
        println!("SKIPPED: a thousand open streams: this process may not open {FILES} files");
        return;
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(limit.current.unwrap_or(FILES).max(FILES)), ..limit }).unwrap();
    let dir = tempfile::tempdir().unwrap();

    // As a store is by default: 64 of them are open at a time.
    let store = StoreOptions::new().open_or_create(dir.path()).unwrap();
    append(&store, 1, 0);
    assert!(store.open_streams() <= 64);
    store.close().unwrap();
    let few = peak_bytes();

    // All of them open, with the bytes that were written last in memory.
    let store = StoreOptions::new().open_streams(STREAMS).memory_bytes(128 << 20).open(dir.path()).unwrap();
    append(&store, 200, 1);
    append(&store, 1, 201);
    assert_eq!(store.open_streams(), STREAMS);
    let all = peak_bytes();

    // And read beside that, all at once, merged.
    let reader = StoreReader::open(dir.path()).unwrap();
    let mut matches = reader.query(&reader.streams().unwrap(), &Query::default()).unwrap();
    let mut count = 0;
    while matches.advance().unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, STREAMS * 202);
    let read = peak_bytes();
    drop(matches);
    store.close().unwrap();

    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "peak memory: {:.1} MiB with 64 of {STREAMS} streams open at a time, {:.1} MiB with all open, {:.1} MiB with all read as well",
        mib(few),
        mib(all),
        mib(read)
    );
    assert!(read < LIMIT_BYTES, "{:.1} MiB", mib(read));
}
