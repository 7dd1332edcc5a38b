//! A fixed workload whose instructions callgrind counts: append, get, scan, seal, export.
//!
//! `.ci/counts` runs it and compares with what is committed in `counts.json`. Counts do not depend on what else the
//! machine does; they do depend on the compiler and on the instructions that the processor has.
// The macros make modules that nobody documents.
#![allow(missing_docs, unused_qualifications)]

use annals::{Background, Batch, Durability, Log, Options, ReadBuffer, Reader, ScanRange, Timestamp};
use annals_bench::items::{Item, Source};
use annals_bench::scratch;
use annals_bench::workload::Random;
use annals_export::{ExportOptions, FileSink, Plan};
use gungraun::prelude::*;
use std::hint::black_box;
use std::num::NonZeroUsize;
use tempfile::TempDir;

const EVENTS: u64 = 5_000;
const GETS: u64 = 500;

fn items(count: u64) -> Vec<Item> {
    Source::Synthetic(42).load(count).expect("synthetic events")
}

/// In this thread alone: what threads in the background do, and when, is not the same twice.
fn empty() -> (TempDir, Log) {
    let directory = scratch::in_memory();
    let options = Options::new().durability(Durability::Written).background(Background::Manual);
    let log = options.create(directory.path().join("log")).expect("a new log");
    (directory, log)
}

fn to_append() -> (TempDir, Log, Vec<Item>) {
    let (directory, log) = empty();
    (directory, log, items(EVENTS))
}

fn appended() -> (TempDir, Log) {
    let (directory, log) = empty();
    let mut batch = Batch::new();
    for item in items(EVENTS) {
        batch.push_at(Timestamp::from_micros(item.timestamp), &item.record).expect("a map");
    }
    log.append_batch(&mut batch).expect("appended");
    (directory, log)
}

fn sealed() -> (TempDir, Log, Reader) {
    let (directory, log) = appended();
    log.seal().expect("sealed");
    // A block is decompressed for each get.
    let reader = log.reader().with_cache(0);
    // Files are opened at the first read.
    assert!(reader.get(0).expect("readable").is_some());
    (directory, log, reader)
}

#[library_benchmark]
#[bench::events_5000(to_append())]
fn append((directory, log, items): (TempDir, Log, Vec<Item>)) -> (TempDir, Log, Vec<Item>) {
    for item in &items {
        let timestamp = Timestamp::from_micros(item.timestamp);
        black_box(log.append_at(timestamp, &item.record).expect("appended"));
    }
    (directory, log, items)
}

#[library_benchmark]
#[bench::records_500_sealed(sealed())]
fn get((directory, log, reader): (TempDir, Log, Reader)) -> (TempDir, Log, Reader) {
    let (mut buffer, mut random) = (ReadBuffer::new(), Random::new(7));
    for _ in 0..GETS {
        let record = reader.get_into(random.below(EVENTS), &mut buffer).expect("readable");
        black_box(record.expect("it is there").body());
    }
    (directory, log, reader)
}

#[library_benchmark]
#[bench::records_5000_sealed(sealed())]
fn scan((directory, log, reader): (TempDir, Log, Reader)) -> (TempDir, Log, Reader) {
    let mut scan = reader.scan(ScanRange::all()).expect("readable");
    while let Some(record) = scan.advance().expect("readable") {
        black_box(record.body());
    }
    (directory, log, reader)
}

#[library_benchmark]
#[bench::records_5000(appended())]
fn seal((directory, log): (TempDir, Log)) -> (TempDir, Log) {
    black_box(log.seal().expect("sealed"));
    (directory, log)
}

#[library_benchmark]
#[bench::records_5000_sealed(sealed())]
fn export((directory, log, reader): (TempDir, Log, Reader)) -> (TempDir, Log, Reader) {
    // In this thread alone, as above.
    let mut options = ExportOptions::default();
    options.threads = NonZeroUsize::new(1);
    let shape = reader.shape(reader.end_seq()).expect("readable");
    let plan = Plan::new(&shape, &options).expect("a schema");
    let out = directory.path().join("events.parquet");
    let mut sink = FileSink::create(&out, &plan, &options, &[]).expect("a new file");
    let mut scan = reader.scan(ScanRange::all()).expect("readable");
    while let Some(record) = scan.advance().expect("readable") {
        sink.push(record.seq(), record.timestamp().as_micros(), record.body()).expect("it fits");
    }
    black_box(sink.finish().expect("written"));
    (directory, log, reader)
}

library_benchmark_group!(name = counts, benchmarks = [append, get, scan, seal, export]);

main!(library_benchmark_groups = counts);
