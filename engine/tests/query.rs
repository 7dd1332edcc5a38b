//! Queries: every answer is that of a naive look at every record that can be read.

mod asking;

use annals::storage::sim::SimDisk;
use annals::{
    Background, Batch, Codec, Condition, Error, FieldPath, Log, Options, Query, QueryStats, Reader, Repair, ScanRange,
    Timestamp, field,
};
use asking::{condition, holds, record};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::Value as Json;

fn options(codec: Codec) -> Options {
    Options::new().background(Background::Manual).segment_bytes(64 << 10).codec(codec)
}

fn append(log: &Log, records: &[(i64, Json)]) {
    let mut batch = Batch::new();
    for (time, record) in records {
        let mut body = Vec::new();
        annals::json::to_msgpack(record.to_string().as_bytes(), &mut body).unwrap();
        batch.push_raw(Some(Timestamp::from_micros(*time)), &body).unwrap();
    }
    if !records.is_empty() {
        log.append_batch(&mut batch).unwrap();
    }
}

/// Some of the paths that conditions are about.
fn indexed() -> impl Strategy<Value = Vec<FieldPath>> {
    prop::collection::vec(prop::sample::select(&["a", "b", "a.b", "b.c", "\"a.b\"", "a.a.b"][..]), 0..4).prop_map(
        |mut paths| {
            paths.sort_unstable();
            paths.dedup();
            paths.into_iter().map(|path| path.parse().unwrap()).collect()
        },
    )
}

/// A log on `disk`, in pieces that each are sealed or not, the first of them damaged, or repaired after that.
#[derive(Debug, Clone)]
struct Case {
    pieces: Vec<(Vec<(i64, Json)>, bool)>,
    columns: bool,
    /// What is indexed from the beginning, and what from the second half on, with the segments before.
    indexed: (Vec<FieldPath>, Vec<FieldPath>),
    /// What is wrong with field indexes: a byte in one of them, or that it is that of another segment.
    index_damage: Option<(prop::sample::Index, prop::sample::Index, bool)>,
    /// A byte of a sealed segment that is wrong, and whether that is repaired.
    damage: Option<(prop::sample::Index, prop::sample::Index, bool)>,
    seqs: (u64, u64),
    times: Option<(i64, i64)>,
    reverse: bool,
    limit: Option<u64>,
}

fn case() -> impl Strategy<Value = Case> {
    let piece = (prop::collection::vec((-5..20i64, record()), 0..30), prop::bool::weighted(0.7));
    let damage =
        prop::option::weighted(0.4, (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>()));
    let seqs = prop_oneof![3 => Just((0, u64::MAX)), 1 => (0..40u64, 0..60u64)];
    let times = prop::option::weighted(0.3, (-6..20i64, -6..22i64));
    let rest = (any::<bool>(), damage, seqs, times, any::<bool>(), prop::option::weighted(0.3, 0..6u64));
    let index_damage =
        prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>()));
    let pieces = (prop::collection::vec(piece, 1..5), (indexed(), indexed()), index_damage);
    (pieces, rest).prop_map(|((pieces, indexed, index_damage), (columns, damage, seqs, times, reverse, limit))| Case {
        pieces,
        columns,
        indexed,
        index_damage,
        damage,
        seqs,
        times,
        reverse,
        limit,
    })
}

impl Case {
    /// The log, as a process finds it that reads beside its writer, or after it.
    fn reader(&self) -> Reader {
        let disk = SimDisk::new(1);
        let options = options(if self.columns { Codec::Columns } else { Codec::Rows });
        let (first, second) = self.pieces.split_at(self.pieces.len() / 2);
        for (pieces, fields) in [(first, &self.indexed.0), (second, &self.indexed.1)] {
            let log = options.clone().index_fields(fields.clone()).open_or_create_on(disk.storage()).unwrap();
            for (records, sealed) in pieces {
                append(&log, records);
                if *sealed {
                    log.seal().unwrap();
                }
            }
            log.maintain().unwrap();
            log.close().unwrap();
        }
        let indexes: Vec<_> = disk.files().into_iter().filter(|(name, _)| name.ends_with(".fld")).collect();
        if let (Some((file, byte, foreign)), false) = (self.index_damage, indexes.is_empty()) {
            let name = &file.get(&indexes).0;
            let mut bytes = disk.read(if foreign { &byte.get(&indexes).0 } else { name }).unwrap();
            if !foreign {
                *byte.get_mut(&mut bytes) ^= 0x55;
            }
            disk.replace(name, &bytes);
        }
        let sealed: Vec<_> = disk.files().into_iter().filter(|(name, _)| name.ends_with(".seg")).collect();
        if let (Some((file, byte, repair)), false) = (self.damage, sealed.is_empty()) {
            let name = &file.get(&sealed).0;
            let mut bytes = disk.read(name).unwrap();
            *byte.get_mut(&mut bytes) ^= 0x55;
            disk.replace(name, &bytes);
            if repair {
                Repair::apply().run_on(disk.storage()).unwrap();
            }
        }
        Reader::open_on(disk.storage()).unwrap()
    }

    fn range(&self) -> ScanRange {
        let mut range = ScanRange::all().seqs(self.seqs.0..self.seqs.1);
        if let Some((since, until)) = self.times {
            range = range.since(Timestamp::from_micros(since)).until(Timestamp::from_micros(until));
        }
        if self.reverse { range.reverse() } else { range }
    }

    fn query(&self, condition: &Condition) -> Query {
        let query = Query::over(self.range()).filter(condition.clone());
        self.limit.map_or(query.clone(), |limit| query.limit(limit))
    }

    /// The seqs of the records that are asked for, of all that a scan returns.
    fn naive(&self, reader: &Reader, condition: &Condition) -> Vec<u64> {
        let readable = reader.scan(self.range()).unwrap().filter_map(|record| match record {
            Ok(record) => Some(record),
            Err(Error::Damaged(_)) => None,
            Err(error) => panic!("{error}"),
        });
        let asked = readable.filter(|record| {
            let mut text = Vec::new();
            record.as_record().to_json(&mut text).unwrap();
            holds(condition, &serde_json::from_slice(&text).unwrap())
        });
        asked.map(|record| record.seq()).take(self.limit.map_or(usize::MAX, |limit| limit as usize)).collect()
    }
}

fn found_by(reader: &Reader, query: &Query) -> Vec<u64> {
    let matches = reader.query(query).unwrap().filter_map(|record| match record {
        Ok(record) => Some(record.seq()),
        Err(Error::Damaged(_)) => None,
        Err(error) => panic!("{error}"),
    });
    matches.collect()
}

fn config(cases: u32) -> ProptestConfig {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    ProptestConfig {
        cases: number("ANNALS_CASES").map_or(cases, |cases| cases as u32),
        rng_seed: RngSeed::Fixed(number("ANNALS_SEED").unwrap_or(42)),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(192))]
    #[test]
    fn every_answer_is_that_of_a_naive_scan(case in case(), conditions in prop::collection::vec(condition(), 8)) {
        let reader = case.reader();
        for condition in conditions {
            let naive = case.naive(&reader, &condition);
            for _ in 0..2 {
                prop_assert_eq!(&found_by(&reader, &case.query(&condition)), &naive, "{}", condition);
            }
        }
    }
}

#[test]
fn a_query_tells_what_it_did() {
    let disk = SimDisk::new(1);
    let log = options(Codec::Rows).open_or_create_on(disk.storage()).unwrap();
    for piece in 0..3 {
        append(&log, &(0..10).map(|n| (piece * 100 + n, serde_json::json!({ "n": n }))).collect::<Vec<_>>());
        log.seal().unwrap();
    }
    let query = Query::over(ScanRange::all().since(Timestamp::from_micros(100))).filter(field("n").unwrap().is(3));
    let mut matches = log.query(&query).unwrap();
    assert_eq!(matches.by_ref().map(|record| record.unwrap().seq()).collect::<Vec<_>>(), [13, 23]);
    let stats = matches.stats();
    assert_eq!((stats.segments, stats.segments_skipped_by_time, stats.blocks_read), (3, 1, 2));
    assert_eq!((stats.records_examined, stats.records_matched), (20, 2));
}

/// Three segments of 40 records: unique ids, one of four values, a field that few have; and ten records that aren't sealed.
fn indexed_log(disk: &SimDisk) -> Log {
    let fields = ["id", "status", "rare"].map(|path| field(path).unwrap());
    let log = options(Codec::Rows).index_fields(fields).open_or_create_on(disk.storage()).unwrap();
    for piece in 0..4 {
        let record = |n: i64| {
            let status = ["a", "b", "c", "d"][n as usize % 4];
            let mut record = serde_json::json!({ "id": format!("id-{n}"), "status": status });
            if n % 40 == 7 {
                record["rare"] = serde_json::json!(n as f64 / 2.0);
            }
            (n, record)
        };
        let count = if piece == 3 { 10 } else { 40 };
        append(&log, &(piece * 40..piece * 40 + count).map(record).collect::<Vec<_>>());
        if piece < 3 {
            log.seal().unwrap();
        }
    }
    log
}

fn asked(reader: &Reader, condition: &str) -> (Vec<u64>, QueryStats) {
    let mut matches = reader.query(&Query::default().filter(condition.parse().unwrap())).unwrap();
    let found = matches.by_ref().map(|record| record.unwrap().seq()).collect();
    (found, matches.stats())
}

#[test]
fn an_index_leaves_out_segments_blocks_and_records() {
    let disk = SimDisk::new(1);
    let log = indexed_log(&disk);
    for reader in [log.reader(), Reader::open_on(disk.storage()).unwrap()] {
        let (found, stats) = asked(&reader, r#"id = "id-57""#);
        assert_eq!(found, [57]);
        assert_eq!((stats.segments, stats.segments_skipped_by_index, stats.segments_by_index), (4, 2, 1));
        assert_eq!((stats.blocks_read, stats.records_examined), (1, 1 + 10));

        let (found, stats) = asked(&reader, r#"id in ("id-3", "id-99", "id-125", "x") and status != "zz""#);
        assert_eq!((found, stats.segments_skipped_by_index), (vec![3, 99, 125], 1));
        let (found, stats) = asked(&reader, r#"rare > 20 or id = "id-1""#);
        assert_eq!((found, stats.records_examined), (vec![1, 47, 87, 127], 4 + 1));
        let (found, stats) = asked(&reader, r#"status = "b" and rare >= 0"#);
        assert_eq!((found, stats.records_examined), (vec![], 0));
        let (found, stats) = asked(&reader, r#"status = "b""#);
        assert_eq!((found.len(), stats.records_examined), (33, 30 + 3));
        // No index helps, and none gets in the way.
        let (found, stats) = asked(&reader, r#"not exists(rare)"#);
        assert_eq!((found.len(), stats.segments_by_index), (126, 0));
    }
}

#[test]
fn an_index_is_not_read_again_while_the_cache_keeps_its_pages() {
    let disk = SimDisk::new(1);
    let log = indexed_log(&disk);
    let reads = |reader: &Reader, id: u64| {
        let query = Query::default().filter(field("id").unwrap().is(format!("id-{id}"))).limit(1);
        let before = disk.reads();
        assert_eq!(found_by(reader, &query), [id]);
        disk.reads() - before
    };
    for (reader, expected) in [(log.reader(), 0), (log.reader().with_cache(0), 2)] {
        // What is read once of each segment.
        [3, 43, 83].into_iter().for_each(|id| _ = reads(&reader, id));
        // A page of the first and of the second. The block lies in the end of its file, which has been read.
        assert_eq!(reads(&reader, 57), expected);
    }
}

#[test]
fn fields_that_are_named_later_are_indexed_too_and_remembered() {
    let disk = SimDisk::new(1);
    let log = options(Codec::Rows).open_or_create_on(disk.storage()).unwrap();
    for piece in 0..3 {
        append(&log, &(0..40).map(|n| (n, serde_json::json!({ "n": piece * 40 + n, "m": n }))).collect::<Vec<_>>());
        log.seal().unwrap();
    }
    // One reader that looks before there are indexes, and one that looks while they are of another field.
    let reader = Reader::open_on(disk.storage()).unwrap();
    assert_eq!(asked(&reader, "n = 50").1.records_examined, 120);
    log.close().unwrap();
    for fields in [vec![field("m").unwrap()], vec![field("m").unwrap(), field("n").unwrap()]] {
        let log = options(Codec::Rows).index_fields(fields).open_or_create_on(disk.storage()).unwrap();
        log.maintain().unwrap();
        let (found, stats) = asked(&reader, "m = 10");
        assert_eq!((found, stats.records_examined), (vec![10, 50, 90], 3));
        log.close().unwrap();
    }
    assert_eq!(asked(&reader, "n = 50").1.records_examined, 1);
    // Who names no fields goes on with those that the newest segment has.
    let log = options(Codec::Rows).open_or_create_on(disk.storage()).unwrap();
    append(&log, &(120..160).map(|n| (n, serde_json::json!({ "n": n }))).collect::<Vec<_>>());
    log.seal().unwrap();
    assert_eq!(asked(&log.reader(), "n = 130").1.records_examined, 1);
}

#[test]
fn an_index_that_is_lost_is_made_again() {
    let disk = SimDisk::new(1);
    let log = indexed_log(&disk);
    log.close().unwrap();
    let names =
        || disk.files().into_iter().map(|(name, _)| name).filter(|name| name.ends_with(".fld")).collect::<Vec<_>>();
    for name in names() {
        disk.replace(&name, b"no index at all");
    }
    let fields = ["id", "status", "rare"].map(|path| field(path).unwrap());
    let log = options(Codec::Rows).index_fields(fields).open_or_create_on(disk.storage()).unwrap();
    assert_eq!(asked(&log.reader(), r#"id = "id-57""#).1.records_examined, 130);
    log.maintain().unwrap();
    assert_eq!(asked(&log.reader(), r#"id = "id-57""#).1.segments_by_index, 1);
    assert_eq!(names().len(), 3);
}

#[test]
fn an_index_goes_with_its_segment() {
    let disk = SimDisk::new(1);
    let log = indexed_log(&disk);
    log.close().unwrap();
    let name = disk.files().into_iter().map(|(name, _)| name).find(|name| name.ends_with(".seg")).unwrap();
    let mut bytes = disk.read(&name).unwrap();
    bytes[200..400].fill(0);
    disk.replace(&name, &bytes);
    let reader = Reader::open_on(disk.storage()).unwrap();
    let damaged = reader.query(&Query::default().filter(r#"id = "id-5""#.parse().unwrap())).unwrap().next();
    assert!(damaged.unwrap().is_err_and(|error| error.is_damage()));
    assert!(Repair::apply().run_on(disk.storage()).unwrap().applied);
    assert!(disk.read(&name.replace(".seg", ".fld")).is_none(), "{:?}", disk.files());
    let reader = Reader::open_on(disk.storage()).unwrap();
    let mut matches = reader.query(&Query::default().filter(r#"id = "id-57""#.parse().unwrap())).unwrap();
    assert_eq!(matches.by_ref().map(|record| record.unwrap().seq()).collect::<Vec<_>>(), [57]);
    assert_eq!(matches.gaps().len(), 1, "what is missing is told");
}

#[test]
fn a_projection_changes_bodies_and_nothing_else() {
    let disk = SimDisk::new(1);
    let log = options(Codec::Rows).open_or_create_on(disk.storage()).unwrap();
    append(&log, &[(7, serde_json::json!({ "a": { "b": 1, "c": 2 }, "d": 3 }))]);
    let query = Query::default().project([field("a.b").unwrap()]);
    let record = log.query(&query).unwrap().next().unwrap().unwrap();
    let mut text = Vec::new();
    record.as_record().to_json(&mut text).unwrap();
    assert_eq!((record.seq(), record.timestamp().as_micros(), &text[..]), (0, 7, &br#"{"a":{"b":1}}"#[..]));
    assert_eq!(record.as_record().incarnation(), log.incarnation());
}

#[test]
fn a_limit_ends_the_reading() {
    let disk = SimDisk::new(1);
    let log = options(Codec::Rows).open_or_create_on(disk.storage()).unwrap();
    append(&log, &(0..100).map(|n| (n, serde_json::json!({ "n": n }))).collect::<Vec<_>>());
    let mut matches = log.query(&Query::default().limit(2)).unwrap();
    assert_eq!(matches.by_ref().count(), 2);
    assert_eq!(matches.stats().records_examined, 2);
    let none = log.query(&Query::default().limit(0)).unwrap();
    assert_eq!(none.stats().records_examined, 0);
}

#[test]
fn what_is_not_sealed_yet_is_indexed_when_it_is_asked_for_again() {
    let disk = SimDisk::new(1);
    let log = indexed_log(&disk);
    let (condition, other) = (r#"id = "id-125" or rare = 63.5"#, r#"id in ("id-131", "id-2")"#);
    for reader in [log.reader(), Reader::open_on(disk.storage()).unwrap()] {
        assert_eq!(asked(&reader, condition).0, [125, 127]);
        let (found, stats) = asked(&reader, condition);
        assert_eq!((found, stats.records_examined, stats.segments_by_index), (vec![125, 127], 2, 1));
        let reverse = Query::over(ScanRange::all().reverse()).filter(condition.parse().unwrap());
        assert_eq!(found_by(&reader, &reverse), [127, 125]);
        assert_eq!(asked(&reader, r#"id = "none""#).1.segments_skipped_by_index, 4);
    }
    // It grows, and what is added is found; so it is by a reader that had asked before.
    let reader = Reader::open_on(disk.storage()).unwrap();
    asked(&reader, condition);
    asked(&reader, condition);
    append(&log, &(130..140).map(|n| (n, serde_json::json!({ "id": format!("id-{n}") }))).collect::<Vec<_>>());
    for reader in [log.reader(), reader] {
        let (found, stats) = asked(&reader, other);
        assert_eq!((found, stats.records_examined), (vec![2, 131], 2));
    }
}

#[test]
fn a_raw_segment_with_many_values_is_indexed_in_order_too() {
    let disk = SimDisk::new(1);
    let options = options(Codec::Rows).segment_bytes(8 << 20).index_fields([field("n").unwrap()]);
    let log = options.open_or_create_on(disk.storage()).unwrap();
    for batch in 0..7 {
        append(
            &log,
            &(batch * 1_000..batch * 1_000 + 1_000)
                .map(|n| (n, serde_json::json!({ "n": n % 3_500 })))
                .collect::<Vec<_>>(),
        );
        for value in [0, 1, 3_499] {
            let naive: Vec<u64> = (0..(batch as u64 + 1) * 1_000).filter(|n| n % 3_500 == value).collect();
            let (found, stats) = asked(&log.reader(), &format!("n = {value}"));
            assert_eq!(found, naive);
            assert!(stats.records_examined <= naive.len() as u64 || batch == 0, "{stats:?}");
        }
    }
}

#[test]
fn a_damaged_index_is_found_by_verifying_and_made_again_by_a_repair() {
    let disk = SimDisk::new(1);
    indexed_log(&disk).close().unwrap();
    let name = disk.files().into_iter().map(|(name, _)| name).find(|name| name.ends_with(".fld")).unwrap();
    let good = disk.read(&name).unwrap();
    assert!(Reader::open_on(disk.storage()).unwrap().verify(&mut |_| ()).unwrap().indexes.is_empty());
    for at in [20, 140, good.len() / 2, good.len() - 40] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        disk.replace(&name, &bad);
        let reader = Reader::open_on(disk.storage()).unwrap();
        assert_eq!(asked(&reader, r#"id = "id-5""#).0, [5], "byte {at}");
        let verified = reader.verify(&mut |_| ()).unwrap();
        assert!(verified.is_sound() && verified.indexes.len() == 1, "byte {at}: {verified:?}");
        assert_eq!(Repair::apply().run_on(disk.storage()).unwrap().indexes, std::slice::from_ref(&name));
        assert!(Reader::open_on(disk.storage()).unwrap().verify(&mut |_| ()).unwrap().indexes.is_empty());
        let log = options(Codec::Rows).open_or_create_on(disk.storage()).unwrap();
        log.maintain().unwrap();
        assert_eq!(asked(&log.reader(), r#"id = "id-5""#).1.segments_by_index, 1, "byte {at}");
    }
}
