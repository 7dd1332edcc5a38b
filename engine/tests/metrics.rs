//! What a log tells of itself in numbers: exact values after what is known to have happened.
#![cfg(feature = "metrics")]

use annals::storage::sim::{Fault, SimDisk};
use annals::{
    Background, Batch, Durability, Error, Log, OnLimit, Options, Query, RateLimit, RetentionPolicy, ScanRange, field,
};
use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What was told under one name: the sum of it, and how often.
#[derive(Debug, Default)]
struct Told {
    sum: Mutex<f64>,
    times: AtomicU64,
}

impl Told {
    fn add(&self, value: f64) {
        *self.sum.lock().unwrap() += value;
        self.times.fetch_add(1, Ordering::Relaxed);
    }
}

impl CounterFn for Told {
    fn increment(&self, value: u64) {
        if value > 0 {
            self.add(value as f64);
        }
    }

    fn absolute(&self, _: u64) {
        panic!("a counter of this log only grows");
    }
}

impl HistogramFn for Told {
    fn record(&self, value: f64) {
        self.add(value);
    }
}

/// Keeps all that is told, by name and labels but for that of the log.
#[derive(Debug, Default)]
struct Book {
    told: Mutex<BTreeMap<String, Arc<Told>>>,
    described: Mutex<BTreeMap<String, Option<Unit>>>,
}

impl Book {
    fn entry(&self, key: &Key) -> Arc<Told> {
        let (log, rest): (Vec<_>, Vec<_>) = key.labels().partition(|label| label.key() == "log");
        assert_eq!(log.len(), 1, "{key:?} says of which log it is");
        let labels: String = rest.iter().map(|label| format!(" {}={}", label.key(), label.value())).collect();
        Arc::clone(self.told.lock().unwrap().entry(format!("{}{labels}", key.name())).or_default())
    }

    fn sum(&self, name: &str) -> u64 {
        let told = self.told.lock().unwrap();
        let found = told.get(name).unwrap_or_else(|| panic!("{name} is not told of: {:?}", told.keys()));
        let sum = *found.sum.lock().unwrap();
        sum as u64
    }

    fn times(&self, name: &str) -> u64 {
        self.told.lock().unwrap().get(name).map_or(0, |told| told.times.load(Ordering::Relaxed))
    }

    /// How often anything was told.
    fn all_times(&self) -> u64 {
        self.told.lock().unwrap().values().map(|told| told.times.load(Ordering::Relaxed)).sum()
    }

    fn note(&self, name: &KeyName, unit: Option<Unit>) {
        self.described.lock().unwrap().insert(name.as_str().to_owned(), unit);
    }
}

impl Recorder for Book {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.note(&name, unit);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.note(&name, unit);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.note(&name, unit);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.entry(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        panic!("there are no gauges: {key:?}");
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.entry(key))
    }
}

fn options() -> Options {
    Options::new().background(Background::Manual).segment_bytes(64 << 10)
}

fn open(disk: &SimDisk) -> Log {
    options().open_or_create_on(disk.storage()).unwrap()
}

/// Appends so many records as one batch. Returns how many bytes its frame has.
fn append(log: &Log, count: u64) -> u64 {
    let mut batch = Batch::new();
    for n in 0..count {
        batch.push(&BTreeMap::from([("n", n)])).unwrap();
    }
    log.append_batch(&mut batch).unwrap();
    (72 + batch.bytes() as u64).next_multiple_of(8)
}

#[test]
fn what_was_appended_sealed_and_removed_is_told() {
    for direct in [true, false] {
        let (book, disk) = (Book::default(), SimDisk::new(1));
        disk.take_direct_writes(direct);
        with_local_recorder(&book, || {
            let log = open(&disk);
            let bytes = append(&log, 3) + append(&log, 1);
            assert_eq!(book.sum("annals_recoveries_total outcome=clean"), 1);
            assert_eq!(book.sum("annals_appended_records_total"), 4);
            assert_eq!(book.sum("annals_appended_bytes_total"), bytes);
            assert_eq!((book.times("annals_flight_seconds"), book.times("annals_queue_bytes")), (2, 2));
            assert_eq!(book.sum("annals_queue_bytes"), bytes, "nobody else appends");
            let sealed = log.seal().unwrap();
            assert_eq!(book.sum("annals_appended_records_total"), 4);
            assert_eq!((book.sum("annals_seals_total"), book.times("annals_seal_seconds")), (1, 1));
            assert_eq!(book.sum("annals_sealed_records_total"), 4);
            assert_eq!(book.sum("annals_seal_raw_bytes_total"), sealed.raw_bytes);
            assert_eq!(book.sum("annals_seal_sealed_bytes_total"), sealed.sealed_bytes);
            log.retain(&RetentionPolicy::new().max_records(0).dry_run(true)).unwrap();
            assert_eq!(book.sum("annals_retention_removed_records_total"), 0, "a dry run removes nothing");
            let removal = log.retain(&RetentionPolicy::new().max_records(0)).unwrap().removal.unwrap();
            assert_eq!(book.sum("annals_retention_removed_records_total"), 4);
            assert_eq!(book.sum("annals_retention_removed_segments_total"), 1);
            assert_eq!(book.sum("annals_retention_removed_bytes_total"), removal.bytes);
        });
    }
}

#[test]
fn nothing_is_told_for_each_record() {
    let (book, disk) = (Book::default(), SimDisk::new(1));
    with_local_recorder(&book, || {
        let buffered = Durability::Buffered { interval: Duration::from_secs(1) };
        let log = options().segment_bytes(1 << 20).durability(buffered).open_or_create_on(disk.storage()).unwrap();
        append(&log, 1);
        log.sync().unwrap();
        let before = book.all_times();
        for _ in 0..500 {
            append(&log, 1);
        }
        assert_eq!(book.all_times(), before);
        log.sync().unwrap();
        assert_eq!(book.sum("annals_appended_records_total"), 501);
        assert!(book.all_times() < before + 20, "{} told after {before}", book.all_times());
    });
}

#[test]
fn what_reading_costs_is_told() {
    let (book, disk) = (Book::default(), SimDisk::new(1));
    with_local_recorder(&book, || {
        let log = options().index_fields([field("n").unwrap()]).open_or_create_on(disk.storage()).unwrap();
        for _ in 0..2 {
            append(&log, 500);
            log.seal().unwrap();
        }
        for _ in 0..10 {
            log.get(7).unwrap();
        }
        let (hits, misses) = (book.sum("annals_cache_hits_total"), book.sum("annals_cache_misses_total"));
        assert_eq!(hits + misses, 10);
        assert!((1..10).contains(&misses), "{misses} misses");
        let mut found = log.query(&Query::over(ScanRange::all()).filter("n = 7".parse().unwrap())).unwrap();
        while found.advance().unwrap().is_some() {}
        let stats = found.stats();
        assert_eq!((stats.records_matched, stats.records_examined), (2, 2));
        assert_eq!(book.times("annals_query_records_matched_total"), 0, "a query tells when it ends");
        drop(found);
        assert_eq!(book.sum("annals_query_records_matched_total"), 2);
        assert_eq!(book.sum("annals_query_records_examined_total"), 2);
        let ways = ["by_index", "skipped_by_index", "skipped_by_time", "whole"];
        let segments = ways.map(|way| book.sum(&format!("annals_query_segments_total way={way}")));
        assert_eq!(segments, [2, 0, 0, 0]);
    });
}

#[test]
fn errors_are_told_and_what_recovery_found() {
    let (book, disk) = (Book::default(), SimDisk::new(1));
    with_local_recorder(&book, || {
        let log = open(&disk);
        append(&log, 1);
        disk.fail_at(disk.calls(), Fault::Io, false);
        for _ in 0..3 {
            assert!(log.append(&BTreeMap::from([("n", 1)])).is_err());
        }
        assert_eq!(book.sum("annals_poisonings_total"), 1);
        drop(log);
        let log = open(&disk);
        let report = log.recovery();
        assert!(!report.clean && report.is_complete(), "{report:?}");
        assert_eq!(book.sum("annals_recoveries_total outcome=recovered"), 1);
        let rewritten = report.rewritten.map_or(0, |rewritten| rewritten.end_seq - rewritten.first_seq);
        assert_eq!(book.sum("annals_recovery_rewritten_records_total"), rewritten);
        log.close().unwrap();

        disk.replace("catalog", &[7; 5_000]);
        assert_eq!(open(&disk).recovery().damaged.len(), 2);
        assert_eq!(book.sum("annals_recoveries_total outcome=damaged"), 1);
        assert_eq!(book.sum("annals_recovery_damages_total"), 2);
    });
}

#[test]
fn a_full_disk_is_told() {
    let (book, disk) = (Book::default(), SimDisk::new(1));
    with_local_recorder(&book, || {
        let log = open(&disk);
        disk.fail_at(disk.calls(), Fault::Full, true);
        let refused = log.append(&BTreeMap::from([("n", 1)]));
        assert!(matches!(refused, Err(Error::DiskFull { .. })), "{refused:?}");
        assert_eq!(book.sum("annals_append_refusals_total cause=disk_full"), 1);
        assert_eq!(book.sum("annals_append_refusals_total cause=out_of_files"), 0);
        disk.heal();
        append(&log, 1);
        assert_eq!(book.sum("annals_poisonings_total"), 0);
    });
}

#[test]
fn appends_that_wait_for_the_queue_are_told() {
    let (book, disk) = (Book::default(), SimDisk::new(1));
    with_local_recorder(&book, || {
        let buffered = Durability::Buffered { interval: Duration::from_secs(1) };
        let options = options().segment_bytes(8 << 20).durability(buffered).queue_bytes(64 << 10);
        let log = options.open_or_create_on(disk.storage()).unwrap();
        // Fewer bytes than are written without being asked for, more than may wait.
        while append(&log, 100) > 0 && log.next_seq() < 10_000 {}
        assert!(book.sum("annals_append_waits_total cause=queue") > 0);
        let waited = book.times("annals_append_wait_seconds cause=queue");
        assert_eq!(book.sum("annals_append_waits_total cause=queue"), waited);
        assert_eq!(book.sum("annals_append_waits_total cause=sealing"), 0);
    });
}

#[test]
fn what_is_beyond_a_limit_is_told_by_its_cause() {
    for on_limit in [OnLimit::Refuse, OnLimit::Drop] {
        let (book, disk) = (Book::default(), SimDisk::new(1));
        with_local_recorder(&book, || {
            let rate = RateLimit::records(10).burst(10).on_limit(on_limit);
            let options = options().segment_bytes(1 << 20).queue_bytes(64 << 10).on_queue_full(on_limit);
            let log = options.rate_limit(rate).open_or_create_on(disk.storage()).unwrap();
            let (mut few, mut large) = (Batch::new(), Batch::new());
            (0..8).for_each(|n| few.push(&BTreeMap::from([("n", n)])).unwrap());
            large.push(&BTreeMap::from([("text", "x".repeat(60_000))])).unwrap();
            drop(log.submit_batch(&mut large).unwrap());
            log.submit_batch(&mut large).unwrap_err();
            log.append_batch(&mut few).unwrap();
            log.append_batch(&mut few).unwrap_err();
            log.append_once(b"key", &BTreeMap::from([("n", 1)])).unwrap();
            log.append_once(b"other", &BTreeMap::from([("n", 1)])).unwrap_err();
            let sum = |name: &str, cause| book.sum(&format!("annals_{name}_total cause={cause}"));
            let all = ["rate", "queue"]
                .map(|cause| ["append_refusals", "dropped_records", "dropped_bytes"].map(|name| sum(name, cause)));
            match on_limit {
                OnLimit::Drop => {
                    let (few, large) = (few.bytes() as u64, large.bytes() as u64);
                    assert_eq!(all, [[1, 8, few], [0, 1, large]]);
                }
                _ => assert_eq!(all, [[2, 0, 0], [1, 0, 0]]),
            }
        });
    }
}

#[test]
fn the_page_lists_every_name_with_its_unit() {
    let (book, disk) = (Book::default(), SimDisk::new(1));
    with_local_recorder(&book, || drop(open(&disk)));
    let page = include_str!("../../docs/metrics.md");
    let described = book.described.lock().unwrap();
    for name in book.told.lock().unwrap().keys() {
        let name = name.split(' ').next().unwrap();
        assert!(described.get(name).is_some_and(Option::is_some), "{name} has a unit");
    }
    let unit = |unit: &Option<Unit>| unit.as_ref().map_or("", Unit::as_str);
    let rows: Vec<String> = page.lines().filter(|line| line.starts_with("| `annals_")).map(str::to_owned).collect();
    assert_eq!(rows.len(), described.len());
    for (name, told) in &*described {
        let begins = format!("| `{name}` | {} |", unit(told));
        assert!(rows.iter().any(|row| row.starts_with(&begins)), "{begins} is not on the page");
    }
}
