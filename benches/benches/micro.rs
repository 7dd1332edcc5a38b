//! Micro-benchmarks of what a record passes through: encode, frame, commit, block, index, scan, export.
//!
//! `cargo bench -p annals-bench --bench micro [-- FILTER]`. Files are in memory, so the disk is not in it.

use annals::{Background, Batch, Codec, Durability, Log, Options, ReadBuffer, ScanRange, Timestamp};
use annals_bench::items::{Item, Source};
use annals_bench::scratch;
use annals_bench::workload::Random;
use annals_export::{ExportOptions, FileSink, Plan};
use annals_index::{Binding, Bytes, FileHeader, FileKind, IndexBuilder, IndexReader, SPECIFIC_BYTES};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

const EVENTS: u64 = 20_000;
/// Nothing is written before so many bytes wait; so this is not the disk's time.
const BUFFERED: Durability = Durability::Buffered { interval: Duration::from_secs(3_600) };

fn items() -> Vec<Item> {
    Source::Synthetic(42).load(EVENTS).expect("synthetic events")
}

fn batch(items: &[Item]) -> Batch {
    let mut batch = Batch::new();
    for item in items {
        batch.push_at(Timestamp::from_micros(item.timestamp), &item.record).expect("a map");
    }
    batch
}

fn log(path: &Path, durability: Durability) -> Log {
    // No threads: what they would do is a benchmark of its own.
    Options::new().durability(durability).background(Background::Manual).create(path).expect("a new log")
}

/// The forms in which records are read: sealed by this codec, or as they were appended.
const FORMS: [(&str, Option<Codec>); 3] =
    [("sealed", Some(Codec::Rows)), ("by column", Some(Codec::Columns)), ("unsealed", None)];

/// Two of the fields of an event.
const FIELDS: [&str; 2] = ["event_type", "latency_ms"];

/// A log of all events in blocks of this codec, or as they were appended.
fn filled(path: &Path, items: &[Item], sealed: Option<Codec>) -> Log {
    let options = Options::new().durability(Durability::Written).background(Background::Manual);
    let log = options.codec(sealed.unwrap_or_default()).create(path).expect("a new log");
    for part in items.chunks(500) {
        log.append_batch(&mut batch(part)).expect("appended");
    }
    if sealed.is_some() {
        log.seal().expect("sealed");
    }
    log
}

/// An event to its MessagePack body in a batch.
fn encode(criterion: &mut Criterion) {
    let items = items();
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("1000 events", |bencher| {
        let mut batch = Batch::new();
        bencher.iter(|| {
            batch.clear();
            for item in &items[..1_000] {
                batch.push_at(Timestamp::from_micros(item.timestamp), &item.record).expect("a map");
            }
            black_box(batch.bytes())
        });
    });
    let mut body = Vec::new();
    let bodies: Vec<Vec<u8>> = items[..1_000]
        .iter()
        .map(|item| {
            item.encode(&mut body).expect("a map");
            body.clone()
        })
        .collect();
    group.bench_function("1000 encoded events", |bencher| {
        let mut batch = Batch::new();
        bencher.iter(|| {
            batch.clear();
            for body in &bodies {
                batch.push_raw(None, body).expect("a map");
            }
            black_box(batch.bytes())
        });
    });
    group.finish();
}

/// An encoded batch to a frame that waits to be written: checksums, seqs, the queue.
fn frame(criterion: &mut Criterion) {
    let items = items();
    let mut group = criterion.benchmark_group("frame");
    for size in [1, 100] {
        let directory = scratch::in_memory();
        let log = log(&directory.path().join("log"), BUFFERED);
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(format!("batch of {size}, buffered"), |bencher| {
            bencher.iter_batched_ref(
                || batch(&items[..size]),
                |batch| log.append_batch(batch).expect("appended"),
                BatchSize::SmallInput,
            );
            // Full segments are left to nobody here.
            log.maintain().expect("maintained");
        });
    }
    group.finish();
}

/// A single record all the way, at each durability; the sync costs nothing in memory.
fn commit(criterion: &mut Criterion) {
    let items = items();
    let mut group = criterion.benchmark_group("commit");
    group.throughput(Throughput::Elements(1));
    for (name, durability) in
        [("buffered", BUFFERED), ("written", Durability::Written), ("durable", Durability::Durable)]
    {
        let directory = scratch::in_memory();
        let log = log(&directory.path().join("log"), durability);
        let mut next = items.iter().cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let item = next.next().expect("it goes on for ever");
                log.append_at(Timestamp::from_micros(item.timestamp), &item.record).expect("appended")
            });
            log.maintain().expect("maintained");
        });
    }
    group.finish();
}

/// Raw segments to sealed ones.
fn seal(criterion: &mut Criterion) {
    let items = items();
    let mut group = criterion.benchmark_group("seal");
    group.throughput(Throughput::Elements(EVENTS)).sample_size(10);
    group.bench_function("20000 events", |bencher| {
        bencher.iter_batched(
            || {
                let directory = scratch::in_memory();
                let log = filled(&directory.path().join("log"), &items, None);
                (directory, log)
            },
            |(directory, log)| {
                log.seal().expect("sealed");
                (directory, log)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// Which block has a seq: the index alone.
fn index(criterion: &mut Criterion) {
    let segment = Binding { log_id: [1; 16], base_seq: 0, ordinal: 0, source_file_id: [2; 16], source_bytes: u64::MAX };
    let header = FileHeader {
        kind: FileKind::Index,
        compatible: 0,
        incompatible: 0,
        log_id: segment.log_id,
        file_id: [3; 16],
        base_seq: 0,
        ordinal: 0,
        created_us: 0,
        specific: [0; SPECIFIC_BYTES],
    };
    let build = || {
        let mut builder = IndexBuilder::new(&header, &segment);
        for block in 0..2_000u64 {
            builder.push(block * 40, 40, 128 + block * 4_000, 4_000).expect("blocks in order");
        }
        builder.finish()
    };
    let mut group = criterion.benchmark_group("index");
    group.bench_function("build, 2000 blocks", |bencher| bencher.iter(build));
    let index = IndexReader::new(Bytes::Read(build()), &segment).expect("what was just built");
    let mut random = Random::new(7);
    group.bench_function("find, 2000 blocks", |bencher| bencher.iter(|| index.find(random.below(80_000))));
    group.finish();
}

/// A random record: of a sealed log, where a block is read and decompressed for each, or kept; and of one that is not sealed.
fn block(criterion: &mut Criterion) {
    let items = items();
    let mut group = criterion.benchmark_group("block");
    for (form, codec) in FORMS {
        let directory = scratch::in_memory();
        let log = filled(&directory.path().join("log"), &items, codec);
        let caches = [("", 0), (", kept", 256 << 20)];
        for (kept, bytes) in caches.into_iter().take(if codec.is_some() { 2 } else { 1 }) {
            for (what, mut buffer) in [("", ReadBuffer::new()), (", two fields", ReadBuffer::only(FIELDS))] {
                let (reader, mut random) = (log.reader().with_cache(bytes), Random::new(7));
                group.bench_function(format!("get, {form}{kept}{what}"), |bencher| {
                    bencher.iter(|| {
                        let record = reader.get_into(random.below(EVENTS), &mut buffer).expect("readable");
                        record.expect("it is there").body().len()
                    });
                });
            }
        }
    }
    group.finish();
}

/// All records in order, borrowed and decoded.
fn scan(criterion: &mut Criterion) {
    let items = items();
    let source = Source::Synthetic(42);
    let mut group = criterion.benchmark_group("scan");
    group.throughput(Throughput::Elements(EVENTS)).sample_size(20);
    for (form, codec) in FORMS {
        let directory = scratch::in_memory();
        let log = filled(&directory.path().join("log"), &items, codec);
        let reader = log.reader();
        let ways =
            [("borrowed", 1, false, false), ("to owned structs", 1, true, false), ("two fields", 1, false, true)];
        let by_two = [("borrowed, 2 threads", 2, false, false), ("to owned structs, 2 threads", 2, true, false)];
        for (what, threads, decodes, projects) in ways.into_iter().chain(by_two.into_iter().filter(|_| codec.is_some()))
        {
            group.bench_function(format!("{form}, {what}"), |bencher| {
                bencher.iter(|| {
                    let mut scan = reader.scan(ScanRange::all().threads(threads)).expect("readable");
                    if projects {
                        scan = scan.only(FIELDS);
                    }
                    let mut count = 0;
                    while let Some(record) = scan.advance().expect("readable") {
                        if decodes {
                            let encoding = annals_bench::items::Encoding::MessagePack;
                            black_box(source.decode(encoding, record.body()).expect("an event"));
                        }
                        count += 1;
                    }
                    assert_eq!(count, EVENTS);
                });
            });
        }
    }
    group.finish();
}

/// A sealed log to a Parquet file.
fn export(criterion: &mut Criterion) {
    let items = items();
    let directory = scratch::in_memory();
    let log = filled(&directory.path().join("log"), &items, Some(Codec::Rows));
    let reader = log.reader();
    let mut options = ExportOptions::default();
    options.overwrite = true;
    let out = directory.path().join("events.parquet");
    let mut group = criterion.benchmark_group("export");
    group.throughput(Throughput::Elements(EVENTS)).sample_size(10);
    group.bench_function("20000 events", |bencher| {
        bencher.iter(|| {
            let shape = reader.shape(reader.end_seq()).expect("readable");
            let plan = Plan::new(&shape, &options).expect("a schema");
            let mut sink = FileSink::create(&out, &plan, &options, &[]).expect("a new file");
            let mut scan = reader.scan(ScanRange::all()).expect("readable");
            while let Some(record) = scan.advance().expect("readable") {
                sink.push(record.seq(), record.timestamp().as_micros(), record.body()).expect("it fits");
            }
            sink.finish().expect("written").rows
        });
    });
    group.finish();
}

criterion_group!(benches, encode, frame, commit, seal, index, block, scan, export);
criterion_main!(benches);
