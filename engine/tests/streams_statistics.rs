//! Statistics across streams: those of one log that has the records of all.

mod random;

use annals::storage::sim::SimDisk;
use annals::{
    Background, Codec, Durability, FieldPath, Group, GroupKey, Log, Options, Query, Reader, ScanRange, StatisticsQuery,
    Store, StoreOptions, StoreReader, StreamName, Timestamp,
};
use random::Random;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const STREAMS: [&str; 5] = ["web", "db", "Tenant/1", "con", "z"];

fn paths(texts: &[&str]) -> Vec<FieldPath> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn record(random: &mut Random, n: u64) -> Value {
    let ms = match random.below(5) {
        0 => json!(random.below(100) as f64 / 7.0),
        1 => json!("none"),
        2 => json!(u64::MAX - random.below(3)),
        _ => json!(random.below(1_000)),
    };
    match random.below(6) {
        0 => json!({"n": n, "ms": ms}),
        _ => json!({"n": n, "kind": format!("k{}", random.below(9)), "ms": ms, "tags": [random.below(4), n % 2]}),
    }
}

/// A store, and a log with the same records in another order of the streams.
struct Both {
    dir: tempfile::TempDir,
    log: Log,
    /// By stream.
    records: BTreeMap<String, Vec<(i64, Value)>>,
}

impl Both {
    fn new(seed: u64, codec: Codec) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::new().background(Background::Manual).segment_bytes(64 << 10).codec(codec);
        let options = options.durability(Durability::Written);
        let open = StoreOptions::new().streams(options.clone()).open_streams(2).memory_bytes(256 << 10);
        let store: Store = open.background(Background::Manual).open_or_create(dir.path().join("store")).unwrap();
        let log = options.create(dir.path().join("log")).unwrap();
        let mut random = Random(seed);
        let mut records: BTreeMap<String, Vec<(i64, Value)>> = BTreeMap::new();
        for n in 0..1_500 {
            let stream = random.choose(&STREAMS[..4]);
            // Now and then the clock goes back.
            let time = n as i64 * 1_000 - if random.below(10) == 0 { random.below(400_000) as i64 } else { 0 };
            let value = record(&mut random, n);
            let appended = store.stream(stream).unwrap().append_at(Timestamp::from_micros(time), &value).unwrap();
            let of_stream = records.entry(stream.to_owned()).or_default();
            assert_eq!(appended, of_stream.len() as u64);
            of_stream.push((time, value));
            if n % 400 == 399 {
                store.stream(stream).unwrap().with(|log| log.seal()).unwrap();
            }
        }
        for (time, value) in records.values().flatten() {
            log.append_at(Timestamp::from_micros(*time), value).unwrap();
        }
        store.close().unwrap();
        Self { dir, log, records }
    }

    fn reader(&self) -> StoreReader {
        StoreReader::open(self.dir.path().join("store")).unwrap()
    }
}

fn questions() -> Vec<StatisticsQuery> {
    let times = || ScanRange::all().since(Timestamp::from_micros(200_000)).until(Timestamp::from_micros(900_000));
    let over = StatisticsQuery::over;
    vec![
        over(ScanRange::all()),
        over(ScanRange::all().threads(3))
            .by(paths(&["kind"]))
            .of(paths(&["ms", "tags"]))
            .quantiles(true)
            .distinct(true),
        over(ScanRange::all()).by(paths(&["tags", "kind"])).every(Duration::from_millis(100)),
        over(times()).of(paths(&["ms"])).every(Duration::from_millis(50)).quantiles(true),
        over(times()).by(paths(&["kind"])).filter("n >= 700".parse().unwrap()),
    ]
}

#[test]
fn every_answer_is_that_of_one_log_with_all_the_records() {
    for (seed, codec) in [(1, Codec::Rows), (2, Codec::Columns)] {
        let both = Both::new(seed, codec);
        let reader = both.reader();
        let streams = reader.streams().unwrap();
        for (question, query) in questions().into_iter().enumerate() {
            let expected = both.log.statistics(&query).unwrap();
            assert!(expected.records > 100);
            // The second time with what was kept of the first.
            for again in 0..2 {
                let found = reader.statistics(&streams, &query).unwrap();
                assert_eq!(found.groups, expected.groups, "seed {seed}, question {question}, again: {again}");
                assert_eq!((found.records, &found.damage[..], &found.gaps[..]), (expected.records, &[][..], &[][..]));
            }
        }
        let kept = reader.statistics(&streams, &questions()[1]).unwrap().work;
        assert!(kept.segments_kept >= 3 && kept.segments_in_range > kept.segments_kept, "{kept:?}");
    }
}

#[test]
fn groups_are_those_of_counting_and_streams_can_be_chosen() {
    let both = Both::new(3, Codec::Rows);
    let reader = both.reader();
    let chosen = ["web", "con", "web"].map(|name| StreamName::new(name).unwrap());
    let mut expected: BTreeMap<Option<String>, u64> = BTreeMap::new();
    for (_, value) in both.records["web"].iter().chain(&both.records["con"]) {
        *expected.entry(value.get("kind").map(|kind| kind.as_str().unwrap().to_owned())).or_default() += 1;
    }
    let query = StatisticsQuery::over(ScanRange::all()).by(paths(&["kind"]));
    let found = reader.statistics(&chosen, &query).unwrap();
    let key = |group: &Group| match &group.keys[0] {
        GroupKey::Value(value) => Some(value.as_str().unwrap().to_owned()),
        _ => None,
    };
    assert_eq!(found.groups.iter().map(|group| (key(group), group.records)).collect::<BTreeMap<_, _>>(), expected);
    assert_eq!(found.records, expected.values().sum::<u64>());

    // A range of seqs is that of each stream, as in a query.
    let range = ScanRange::all().seqs(10..50);
    let found = reader.statistics(&reader.streams().unwrap(), &StatisticsQuery::over(range)).unwrap();
    assert_eq!(found.records, 4 * 40);
    let mut matches = reader.query(&reader.streams().unwrap(), &Query::over(range)).unwrap();
    let mut count = 0;
    while matches.advance().unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, found.records);

    let missing = StreamName::new("missing").unwrap();
    assert!(matches!(reader.statistics(&[missing], &query), Err(annals::Error::NoStream { .. })));
    assert!(reader.statistics(&[], &query).unwrap().groups.is_empty());
    let too_many = query.groups_max(2);
    assert!(matches!(reader.statistics(&chosen, &too_many), Err(annals::Error::StatisticsTooLarge { .. })));
}

#[test]
fn damage_is_told_by_stream_and_the_others_are_counted() {
    let both = Both::new(4, Codec::Rows);
    let store = both.dir.path().join("store");
    // One that can't be opened, and one with a damaged block.
    for entry in std::fs::read_dir(store.join("db")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::write(path, b"gone").unwrap();
        }
    }
    let web = store.join("web");
    let log = Options::new().background(Background::Manual).open(&web).unwrap();
    log.seal().unwrap();
    log.close().unwrap();
    let segment = std::fs::read_dir(&web).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.into_iter().filter(|path| path.extension().is_some_and(|end| end == "seg")).min().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[600] ^= 1;
    std::fs::write(&segment, bytes).unwrap();

    let reader = both.reader();
    let found = reader.statistics(&reader.streams().unwrap(), &StatisticsQuery::over(ScanRange::all())).unwrap();
    let readable = Reader::open(&web).unwrap().scan(ScanRange::all()).unwrap().filter(Result::is_ok).count();
    let whole: usize = ["Tenant/1", "con"].iter().map(|stream| both.records[*stream].len()).sum();
    assert!(readable < both.records["web"].len());
    assert_eq!(found.records as usize, readable + whole);
    let told: Vec<_> = found.damage.iter().map(|(stream, _)| stream.as_str()).collect();
    assert_eq!(told, ["db", "web"]);
}

/// The next to come of several streams is always the earliest; within a stream, the order is that of the seqs.
fn merged(streams: &BTreeMap<String, Vec<i64>>) -> Vec<(String, u64)> {
    let mut next: BTreeMap<&str, usize> = streams.keys().map(|stream| (stream.as_str(), 0)).collect();
    let mut order = Vec::new();
    let head = |next: &BTreeMap<&str, usize>| {
        let heads = next.iter().filter_map(|(&stream, &at)| Some((*streams[stream].get(at)?, stream)));
        heads.min().map(|(_, stream)| stream.to_owned())
    };
    while let Some(stream) = head(&next) {
        let at = next.get_mut(stream.as_str()).unwrap();
        order.push((stream.clone(), *at as u64));
        *at += 1;
    }
    order
}

#[test]
fn a_clock_that_goes_back_changes_no_count_and_no_order_within_a_stream() {
    for seed in 0..6 {
        let disk = SimDisk::new(seed);
        // To just after 1970, so that it goes back to before that too.
        disk.advance_clock(2_000_000 - disk.clock().as_micros());
        let options = Options::new().segment_bytes(64 << 10).codec(Codec::Columns);
        let open = StoreOptions::new().streams(options).open_streams(2).memory_bytes(256 << 10);
        let store = open.background(Background::Manual).open_or_create_on(disk.storage()).unwrap();
        let mut random = Random(seed);
        let mut times: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for n in 0..400 {
            disk.advance_clock(match random.below(12) {
                0 => -(random.below(3_000_000) as i64),
                1 => -(random.below(9) as i64),
                _ => random.below(200_000) as i64,
            });
            let stream = random.choose(&STREAMS);
            let log = store.stream(stream).unwrap();
            let seq = log.append(&json!({"n": n})).unwrap();
            if random.below(40) == 0 {
                log.with(|log| log.seal()).unwrap();
            }
            let time = log.with(|log| log.get(seq)).unwrap().unwrap().timestamp().as_micros();
            times.entry(stream.to_owned()).or_default().push(time);
        }
        let reader = store.reader().unwrap();
        let streams = reader.streams().unwrap();
        let mut found = Vec::new();
        let mut matches = reader.query(&streams, &Query::default()).unwrap();
        while let Some((stream, record)) = matches.advance().unwrap() {
            found.push((stream.to_string(), record.seq()));
        }
        assert_eq!(found, merged(&times), "seed {seed}");

        let mut expected: BTreeMap<i64, u64> = BTreeMap::new();
        for time in times.values().flatten() {
            *expected.entry(time.div_euclid(500_000) * 500_000).or_default() += 1;
        }
        let query = StatisticsQuery::over(ScanRange::all()).every(Duration::from_millis(500));
        for _ in 0..2 {
            let found = reader.statistics(&streams, &query).unwrap();
            let buckets = found.groups.iter().map(|group| (group.bucket.unwrap().as_micros(), group.records));
            assert_eq!(buckets.collect::<BTreeMap<_, _>>(), expected, "seed {seed}");
        }
        let since = expected.keys().nth(expected.len() / 2).copied().unwrap();
        let range = ScanRange::all().since(Timestamp::from_micros(since));
        let found = reader.statistics(&streams, &StatisticsQuery::over(range)).unwrap();
        assert_eq!(found.records, expected.range(since..).map(|(_, records)| records).sum::<u64>(), "seed {seed}");
    }
}
