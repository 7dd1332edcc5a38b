//! Statistics: every answer is that of naive counting over decoded JSON, whatever is kept of earlier ones.

mod asking;

use annals::storage::sim::{Fault, Loss, SimDisk};
use annals::{
    Background, Batch, Codec, Condition, Error, FieldPath, GroupKey, Log, Options, Reader, Result, ScanRange,
    Statistics, StatisticsQuery, Timestamp, Value, field,
};
use asking::{condition, holds, record};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

fn options(codec: Codec) -> Options {
    Options::new().background(Background::Manual).segment_bytes(64 << 10).codec(codec)
}

fn append(log: &Log, records: &[(i64, Json)]) -> Result<()> {
    let mut batch = Batch::new();
    for (time, record) in records {
        let mut body = Vec::new();
        annals::json::to_msgpack(record.to_string().as_bytes(), &mut body).unwrap();
        batch.push_raw(Some(Timestamp::from_micros(*time)), &body)?;
    }
    if records.is_empty() { Ok(()) } else { log.append_batch(&mut batch).map(drop) }
}

fn paths(texts: &[&str]) -> Vec<FieldPath> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// A log in pieces that each are sealed or not, and a question about it.
#[derive(Debug, Clone)]
struct Case {
    pieces: Vec<(Vec<(i64, Json)>, bool)>,
    columns: bool,
    by: Vec<FieldPath>,
    of: Vec<FieldPath>,
    every: Option<u64>,
    condition: Option<Condition>,
    seqs: (u64, u64),
    times: Option<(i64, i64)>,
    threads: usize,
    /// A byte of a sealed segment that is wrong from the beginning.
    damage: Option<(prop::sample::Index, prop::sample::Index)>,
    /// What becomes of a file of answers: a byte is wrong, or it is that of another segment.
    kept: Option<(prop::sample::Index, prop::sample::Index, bool)>,
}

fn drawn_paths(max: usize) -> impl Strategy<Value = Vec<FieldPath>> {
    let path = prop::sample::select(&["a", "b", "a.b", "b.c", "\"a.b\"", "c"][..]);
    prop::collection::vec(path, 0..=max).prop_map(|texts| paths(&texts))
}

fn case() -> impl Strategy<Value = Case> {
    let piece = (prop::collection::vec((-5..20i64, record()), 0..30), prop::bool::weighted(0.8));
    let index = || any::<prop::sample::Index>();
    let asked = (drawn_paths(2), drawn_paths(2), prop::option::of(1..9u64), prop::option::of(condition()));
    let range = (
        prop_oneof![3 => Just((0, u64::MAX)), 1 => (0..40u64, 0..60u64)],
        prop::option::weighted(0.3, (-6..20i64, -6..22i64)),
        1..3usize,
    );
    let harm = (
        prop::option::weighted(0.2, (index(), index())),
        prop::option::weighted(0.5, (index(), index(), any::<bool>())),
    );
    (prop::collection::vec(piece, 1..5), any::<bool>(), asked, range, harm).prop_map(
        |(pieces, columns, (by, of, every, condition), (seqs, times, threads), (damage, kept))| Case {
            pieces,
            columns,
            by,
            of,
            every,
            condition,
            seqs,
            times,
            threads,
            damage,
            kept,
        },
    )
}

/// A file of those with this ending, and its bytes with one of them changed.
fn harm(disk: &SimDisk, ending: &str, file: prop::sample::Index, byte: prop::sample::Index, swap: bool) {
    let files: Vec<_> = disk.files().into_iter().map(|(name, _)| name).filter(|name| name.ends_with(ending)).collect();
    if files.is_empty() {
        return;
    }
    let name = file.get(&files);
    let source: &String = if swap { byte.get(&files) } else { name };
    let mut bytes = disk.read(source).unwrap();
    if !swap {
        *byte.get_mut(&mut bytes) ^= 0x55;
    }
    disk.replace(name, &bytes);
}

impl Case {
    fn disk(&self) -> SimDisk {
        let disk = SimDisk::new(1);
        let codec = if self.columns { Codec::Columns } else { Codec::Rows };
        let log = options(codec).open_or_create_on(disk.storage()).unwrap();
        for (records, sealed) in &self.pieces {
            append(&log, records).unwrap();
            if *sealed {
                log.seal().unwrap();
            }
        }
        log.close().unwrap();
        if let Some((file, byte)) = self.damage {
            harm(&disk, ".seg", file, byte, false);
        }
        disk
    }

    fn range(&self) -> ScanRange {
        let mut range = ScanRange::all().seqs(self.seqs.0..self.seqs.1).threads(self.threads);
        if let Some((since, until)) = self.times {
            range = range.since(Timestamp::from_micros(since)).until(Timestamp::from_micros(until));
        }
        range
    }

    fn query(&self) -> StatisticsQuery {
        let mut query = StatisticsQuery::over(self.range()).by(self.by.clone()).of(self.of.clone());
        if let Some(every) = self.every {
            query = query.every(Duration::from_micros(every));
        }
        match &self.condition {
            Some(condition) => query.filter(condition.clone()),
            None => query,
        }
    }

    /// The records that are asked for, of all that can be read.
    fn records(&self, reader: &Reader) -> Vec<(i64, Json)> {
        let readable = reader.scan(self.range().threads(1)).unwrap().filter_map(|record| match record {
            Ok(record) => Some(record),
            Err(Error::Damaged(_)) => None,
            Err(error) => panic!("{error}"),
        });
        let json = readable.map(|record| {
            let mut text = Vec::new();
            record.as_record().to_json(&mut text).unwrap();
            (record.timestamp().as_micros(), serde_json::from_slice(&text).unwrap())
        });
        json.filter(|(_, json)| self.condition.as_ref().is_none_or(|condition| holds(condition, json))).collect()
    }
}

/// The values that a path leads to, in place of arrays their elements.
fn values_of<'a>(keys: &[String], json: &'a Json, found: &mut Vec<&'a Json>) {
    match (keys, json) {
        (_, Json::Array(elements)) => elements.iter().for_each(|element| values_of(keys, element, found)),
        ([], json) => found.push(json),
        ([key, rest @ ..], Json::Object(pairs)) => {
            if let Some(value) = pairs.get(key) {
                values_of(rest, value, found);
            }
        }
        _ => {}
    }
}

/// What of a value decides whether it is the same as another; `None` for an object.
fn spelled(json: &Json) -> Option<String> {
    match json {
        Json::Object(_) | Json::Array(_) => None,
        Json::Number(_) => Some(number(json).map_or_else(|| json.to_string(), |(int, _)| int)),
        json => Some(json.to_string()),
    }
}

/// A number, as text of its exact value and as a double.
fn number(json: &Json) -> Option<(String, f64)> {
    let float = json.as_f64()?;
    let int = json.as_i64().map(i128::from).or(json.as_u64().map(i128::from));
    let int = int.or_else(|| (float.fract() == 0.0).then_some(float as i128));
    Some((int.map_or_else(|| format!("{float:?}"), |int| int.to_string()), float))
}

/// What a group adds up to.
#[derive(Debug, Clone, Default, PartialEq)]
struct Expected {
    records: u64,
    fields: Vec<ExpectedField>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct ExpectedField {
    values: u64,
    numbers: Vec<String>,
    distinct: BTreeSet<String>,
}

type Key = (Option<i64>, Vec<String>);

fn expected(case: &Case, records: &[(i64, Json)]) -> BTreeMap<Key, Expected> {
    let mut groups: BTreeMap<Key, Expected> = BTreeMap::new();
    for (time, json) in records {
        let mut keys = vec![Vec::new()];
        for path in &case.by {
            let mut found = Vec::new();
            values_of(path.keys(), json, &mut found);
            let mut own: BTreeSet<String> =
                found.into_iter().map(|json| spelled(json).unwrap_or_else(|| "(other)".to_owned())).collect();
            if own.is_empty() {
                own.insert("(missing)".to_owned());
            }
            keys = keys.iter().flat_map(|key| own.iter().map(|one| [key, &[one.clone()][..]].concat())).collect();
        }
        let bucket = case.every.map(|every| time.div_euclid(every as i64) * every as i64);
        for key in keys {
            let group = groups.entry((bucket, key)).or_default();
            group.records += 1;
            group.fields.resize_with(case.of.len(), ExpectedField::default);
            for (path, field) in case.of.iter().zip(&mut group.fields) {
                let mut found = Vec::new();
                values_of(path.keys(), json, &mut found);
                field.values += found.len() as u64;
                field.distinct.extend(found.iter().filter_map(|json| spelled(json)));
                field.numbers.extend(found.iter().filter_map(|json| number(json)).map(|(text, _)| text));
            }
        }
    }
    for field in groups.values_mut().flat_map(|group| &mut group.fields) {
        field.numbers.sort_by_key(|number| quarters(number));
    }
    groups
}

/// Four times the number: all that are drawn are quarters.
fn quarters(text: &str) -> i128 {
    text.parse::<i128>().map_or_else(|_| (text.parse::<f64>().unwrap() * 4.0) as i128, |int| int * 4)
}

fn check(case: &Case, found: &Statistics, records: &[(i64, Json)]) {
    let expected = expected(case, records);
    assert_eq!(found.records, records.len() as u64);
    let key = |group: &annals::Group| -> Key {
        (group.bucket.map(Timestamp::as_micros), group.keys.iter().map(ToString::to_string).collect())
    };
    assert_eq!(found.groups.iter().map(key).collect::<BTreeSet<_>>(), expected.keys().cloned().collect());
    for group in &found.groups {
        let wanted = &expected[&key(group)];
        assert_eq!(group.records, wanted.records, "{:?}", group.keys);
        for (field, wanted) in group.fields.iter().zip(&wanted.fields) {
            check_field(field, wanted);
        }
    }
}

fn check_field(found: &annals::FieldStatistics, wanted: &ExpectedField) {
    let text = |value: &Option<Value>| value.as_ref().map(ToString::to_string);
    assert_eq!(found.values, wanted.values);
    assert_eq!(found.distinct, Some(wanted.distinct.len() as u64));
    assert_eq!(found.numbers, wanted.numbers.len() as u64);
    assert_eq!(text(&found.min), wanted.numbers.first().cloned());
    assert_eq!(text(&found.max), wanted.numbers.last().cloned());
    if wanted.numbers.is_empty() {
        assert!(found.sum.is_none() && found.avg.is_none() && found.quantiles.is_none());
        return;
    }
    let sum: i128 = wanted.numbers.iter().map(|number| quarters(number)).sum();
    match sum % 4 {
        0 if wanted.numbers.iter().all(|number| quarters(number) % 4 == 0) => {
            assert_eq!(text(&found.sum), Some((sum / 4).to_string()));
        }
        _ => assert_eq!(found.sum.as_ref().unwrap().as_f64(), Some(sum as f64 / 4.0)),
    }
    let avg = sum as f64 / 4.0 / wanted.numbers.len() as f64;
    assert!((found.avg.unwrap() - avg).abs() <= avg.abs() * f64::EPSILON);
    let quantiles = found.quantiles.as_ref().unwrap();
    assert!(quantiles.is_exact && found.is_sum_exact && found.is_distinct_exact);
    for (percent, value) in [(50, &quantiles.p50), (90, &quantiles.p90), (95, &quantiles.p95), (99, &quantiles.p99)] {
        let rank = (wanted.numbers.len() * percent).div_ceil(100).max(1);
        assert_eq!(value.to_string(), wanted.numbers[rank - 1], "p{percent}");
    }
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
    #![proptest_config(config(256))]
    #[test]
    fn every_answer_is_that_of_naive_counting(case in case()) {
        let disk = case.disk();
        let reader = Reader::open_on(disk.storage()).unwrap();
        let records = case.records(&reader);
        let mut damaged = Vec::new();
        for damage in reader.scan(case.range().threads(1)).unwrap().filter_map(|record| record.err()) {
            damaged.push(damage.to_string());
        }
        // Asked for the first time, again, and with something wrong with what was kept: by readers that know nothing of each other.
        for round in 0..3 {
            let reader = Reader::open_on(disk.storage()).unwrap();
            let found = reader.statistics(&case.query()).unwrap();
            check(&case, &found, &records);
            let told: Vec<String> = found.damage.iter().map(|damage| Error::Damaged(damage.clone()).to_string()).collect();
            prop_assert_eq!(&told, &damaged);
            if let (1, Some((file, byte, swap))) = (round, case.kept) {
                harm(&disk, ".sts", file, byte, swap);
            }
        }
    }
}

/// Three sealed segments and ten records more.
fn sample(disk: &SimDisk) -> Log {
    let log = options(Codec::Rows).open_or_create_on(disk.storage()).unwrap();
    for piece in 0..4 {
        let events =
            (0..10).map(|n| (piece * 100 + n, json!({ "kind": n % 3, "ms": piece * 10 + n }))).collect::<Vec<_>>();
        append(&log, &events).unwrap();
        if piece < 3 {
            log.seal().unwrap();
        }
    }
    log
}

fn by_kind() -> StatisticsQuery {
    StatisticsQuery::over(ScanRange::all()).by(paths(&["kind"])).of(paths(&["ms"]))
}

#[test]
fn what_was_asked_once_is_kept_of_sealed_segments() {
    let disk = SimDisk::new(1);
    let log = sample(&disk);
    let first = log.statistics(&by_kind()).unwrap();
    assert_eq!((first.work.segments_in_range, first.work.segments_kept, first.work.segments_stored), (4, 0, 3));
    assert_eq!(first.work.query.records_examined, 40);
    let again = Reader::open_on(disk.storage()).unwrap().statistics(&by_kind()).unwrap();
    assert_eq!((again.work.segments_kept, again.work.segments_stored, again.work.query.records_examined), (3, 0, 10));
    assert_eq!(again.groups, first.groups);
    // Another question, another range of part of a segment, and one that isn't to be kept.
    let other = log.statistics(&by_kind().distinct(false)).unwrap();
    assert_eq!((other.work.segments_kept, other.work.segments_stored), (0, 3));
    let range = ScanRange::all().seqs(5..);
    let part = log.statistics(&StatisticsQuery::over(range).by(paths(&["kind"])).of(paths(&["ms"]))).unwrap();
    assert_eq!((part.work.segments_kept, part.records), (2, 35));
    let none = log.statistics(&by_kind().keep(false)).unwrap();
    assert_eq!((none.work.segments_kept, none.work.query.records_examined), (0, 40));
    assert_eq!(none.groups, first.groups);
}

#[test]
fn a_bucket_of_time_has_a_rate() {
    let disk = SimDisk::new(1);
    let log = sample(&disk);
    let found = log.statistics(&by_kind().by([]).every(Duration::from_micros(100))).unwrap();
    let told: Vec<_> = found.groups.iter().map(|group| (group.bucket.unwrap().as_micros(), group.per_second)).collect();
    assert_eq!(told, [0, 100, 200, 300].map(|start| (start, Some(100_000.0))));
    let range = ScanRange::all().since(Timestamp::from_micros(0)).until(Timestamp::from_micros(2_000_000));
    let found = log.statistics(&StatisticsQuery::over(range)).unwrap();
    assert_eq!((found.groups.len(), found.groups[0].per_second), (1, Some(20.0)));
}

#[test]
fn values_of_every_type_have_their_place() {
    let disk = SimDisk::new(1);
    let log = options(Codec::Rows).open_or_create_on(disk.storage()).unwrap();
    let texts = [
        r#"{"v":9007199254740993}"#,
        r#"{"v":18446744073709551615}"#,
        r#"{"v":"5"}"#,
        r#"{"v":null}"#,
        r#"{}"#,
        r#"{"v":[]}"#,
        r#"{"v":[1,1,[2.5]]}"#,
        r#"{"v":{"w":1}}"#,
        r#"{"v":1e400}"#,
        r#"{"v":true}"#,
    ];
    let mut batch = Batch::new();
    for text in texts {
        let mut body = Vec::new();
        annals::json::to_msgpack(text.as_bytes(), &mut body).unwrap();
        batch.push_raw(None, &body).unwrap();
    }
    log.append_batch(&mut batch).unwrap();
    let query = StatisticsQuery::over(ScanRange::all()).of(paths(&["v"]));
    let all = log.statistics(&query).unwrap().groups.remove(0);
    let field = &all.fields[0];
    assert_eq!((all.records, field.values, field.numbers, field.distinct), (10, 10, 6, Some(8)));
    assert_eq!(field.min.as_ref().unwrap().to_string(), "1");
    assert_eq!(field.max.as_ref().unwrap().to_string(), "0.1e401");
    assert!(!field.is_sum_exact);
    let small = query.filter("v < 1e300".parse().unwrap());
    let field = log.statistics(&small).unwrap().groups.remove(0).fields.remove(0);
    // The sum has a fraction, and so is the double next to it.
    assert_eq!(field.sum.unwrap().as_f64(), Some(18_455_751_272_964_292_612.5));
    let grouped = log.statistics(&StatisticsQuery::over(ScanRange::all()).by(paths(&["v"]))).unwrap();
    let told: Vec<_> = grouped.groups.iter().map(|group| (group.keys[0].to_string(), group.records)).collect();
    let told: Vec<_> = told.iter().map(|(key, records)| (key.as_str(), *records)).collect();
    assert_eq!(
        told,
        [
            ("null", 1),
            ("true", 1),
            ("1", 1),
            ("2.5", 1),
            ("9007199254740993", 1),
            ("18446744073709551615", 1),
            ("0.1e401", 1),
            ("\"5\"", 1),
            ("(other)", 1),
            ("(missing)", 2)
        ]
    );
    assert_eq!(grouped.records, 10);
    assert_eq!(grouped.groups[9].keys[0], GroupKey::Missing);
}

#[test]
fn many_values_are_told_within_their_error() {
    let disk = SimDisk::new(1);
    let log = Options::new().background(Background::Manual).open_or_create_on(disk.storage()).unwrap();
    let mut values: Vec<f64> =
        (0..30_000u64).map(|n| (n.wrapping_mul(0x9E37_79B9) % 100_003) as f64 / 7.0 - 300.0).collect();
    for piece in values.chunks(7_000) {
        append(&log, &piece.iter().map(|value| (0, json!({ "v": value }))).collect::<Vec<_>>()).unwrap();
        log.seal().unwrap();
    }
    values.sort_by(f64::total_cmp);
    for round in 0..2 {
        let found = log.statistics(&StatisticsQuery::over(ScanRange::all()).of(paths(&["v"]))).unwrap();
        assert_eq!(found.work.segments_kept, 5 * round);
        let field = &found.groups[0].fields[0];
        let distinct = field.distinct.unwrap() as f64;
        let true_distinct = values.iter().map(|value| value.to_bits()).collect::<BTreeSet<_>>().len() as f64;
        assert!(!field.is_distinct_exact && (distinct - true_distinct).abs() < 0.04 * true_distinct, "{distinct}");
        let quantiles = field.quantiles.as_ref().unwrap();
        assert!(!quantiles.is_exact);
        for (percent, value) in [(50, &quantiles.p50), (90, &quantiles.p90), (95, &quantiles.p95), (99, &quantiles.p99)]
        {
            let (exact, value) = (values[values.len() * percent / 100 - 1], value.as_f64().unwrap());
            assert!((value - exact).abs() <= exact.abs() / 512.0, "p{percent}: {value}, exactly {exact}");
        }
    }
}

/// Records of a few shapes, with values of every type in the same fields.
fn mixed(count: u64) -> Vec<(i64, Json)> {
    let one = |n: u64| {
        let kind = format!("event.type.number.{}", n % 5);
        let ms = (n.wrapping_mul(0x9E37_79B9) % 400_000) as f64 / 1_000.0;
        let status = [json!("ok"), json!("failed"), json!(null), json!(404)][n as usize % 4].clone();
        let record = match n % 97 {
            0 => json!({ "kind": kind, "status": status }),
            1 => json!({ "kind": [kind, "x"], "ms": [n, "y"], "status": {} }),
            2 => json!({ "kind": kind, "ms": "1.5", "size": u64::MAX, "status": status }),
            _ => json!({ "kind": kind, "ms": ms, "size": n % 1_000, "status": status, "id": format!("req-{n:032x}") }),
        };
        (n as i64 * 10, record)
    };
    // Long runs of one shape, and some in which shapes change.
    (0..count).map(|n| one(if n % 1_500 < 1_000 { n / 97 * 97 + 5 + n % 90 } else { n })).collect()
}

#[test]
fn columns_are_added_up_as_records_are() {
    let (disks, records) = ([SimDisk::new(1), SimDisk::new(2)], mixed(6_000));
    let logs = [Codec::Rows, Codec::Columns].map(|codec| {
        let disk = &disks[usize::from(codec == Codec::Columns)];
        let log = options(codec).segment_bytes(8 << 20).open_or_create_on(disk.storage()).unwrap();
        append(&log, &records).unwrap();
        log.seal().unwrap();
        log
    });
    let mut by_column = 0;
    let groups =
        [&[][..], &["kind"], &["status"], &["kind", "status"], &["status", "none", "status"], &["size"], &["status.a"]];
    for by in groups {
        for of in [&[][..], &["ms"], &["size", "ms"], &["none"], &["status", "kind", "status"], &["id"]] {
            for every in [None, Some(7_000)] {
                let query = StatisticsQuery::over(ScanRange::all()).by(paths(by)).of(paths(of)).keep(false);
                let query = every.map_or(query.clone(), |every| query.every(Duration::from_micros(every)));
                let [rows, columns] = logs.each_ref().map(|log| log.statistics(&query).unwrap());
                assert_eq!((columns.records, &columns.groups), (rows.records, &rows.groups), "{by:?} {of:?}");
                assert_eq!(columns.work.query.records_examined, 6_000);
                by_column += columns.work.blocks_by_column;
            }
        }
    }
    assert!(by_column > 100, "{by_column}");
}

/// Records of shapes that take turns, with numbers of every kind in the same field: in few and in many different values.
fn turns(count: u64) -> Vec<(i64, Json)> {
    let spread = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    let one = |n: u64| {
        let (kind, few) = (format!("event.type.number.{}", spread(n) % 7), spread(n) % 3);
        let float = (spread(n) % 1_000_000) as f64 / 1_000.0;
        let value = match n / 512 % 8 {
            0 => json!(float),
            1 => json!(spread(n) % 100_000),
            2 => json!(1.0 / (n + 1) as f64),
            3 => json!(few),
            4 => [json!(float), json!(few), json!(null), json!("x"), json!(-(spread(n) as i64 % 9_000))]
                [n as usize % 5]
                .clone(),
            5 => json!((spread(n) % 1_000) as f64 * 1e300 * if few == 0 { -1.0 } else { 1.0 }),
            6 => json!(u64::MAX - spread(n) % 1_000_000),
            _ => json!(-(few as i64) * 1_000_000),
        };
        let record = match spread(n) % 4 {
            0 => json!({ "id": n, "kind": kind, "value": value }),
            1 => json!({ "kind": kind, "level": few, "value": value, "text": format!("took {float} ms") }),
            2 => json!({ "value": value, "level": few }),
            _ => json!({ "kind": kind, "id": n, "text": "none" }),
        };
        (n as i64 * 3 - spread(n) as i64 % 50, record)
    };
    (0..count).map(one).collect()
}

#[test]
fn shapes_and_numbers_that_take_turns_are_added_up_by_column() {
    let records = turns(40_000);
    let logs = [Codec::Rows, Codec::Columns].map(|codec| {
        let options = options(codec).segment_bytes(32 << 20);
        let log = options.open_or_create_on(SimDisk::new(1).storage()).unwrap();
        append(&log, &records).unwrap();
        log.seal().unwrap();
        log
    });
    let mut by_column = 0;
    for by in [&[][..], &["kind"], &["level", "kind"]] {
        for of in [&["value"][..], &["level", "value", "id"]] {
            for every in [None, Some(500), Some(50_000)] {
                let query = |threads| {
                    let range = ScanRange::all().threads(threads);
                    let query = StatisticsQuery::over(range).by(paths(by)).of(paths(of)).keep(false);
                    every.map_or(query.clone(), |every| query.every(Duration::from_micros(every)))
                };
                let rows = logs[0].statistics(&query(1)).unwrap();
                for (log, threads) in [(&logs[0], 3), (&logs[1], 1), (&logs[1], 4)] {
                    let found = log.statistics(&query(threads)).unwrap();
                    assert_eq!((found.records, &found.groups), (rows.records, &rows.groups), "{by:?} {of:?} {every:?}");
                    assert_eq!(found.work.query.records_examined, 40_000);
                    by_column += found.work.blocks_by_column;
                }
            }
        }
    }
    assert!(by_column > 1_000, "{by_column}");
}

#[test]
fn records_that_are_not_sealed_are_remembered() {
    let disk = SimDisk::new(1);
    let log = sample(&disk);
    let remembered = |reader: &Reader, query: &StatisticsQuery| {
        let found = reader.statistics(query).unwrap();
        let plain = Reader::open_on(disk.storage()).unwrap().statistics(&query.clone().keep(false)).unwrap();
        assert_eq!((found.records, &found.groups), (plain.records, &plain.groups));
        (found.work.records_remembered, found.work.query.records_examined)
    };
    let more =
        |from: i64| append(&log, &(from..from + 5).map(|n| (n, json!({ "kind": 1, "ms": n }))).collect::<Vec<_>>());
    log.statistics(&by_kind()).unwrap();
    // By all readers of the log in this process, and by each that was opened by itself.
    for reader in [log.reader(), Reader::open_on(disk.storage()).unwrap()] {
        remembered(&reader, &by_kind());
        assert_eq!(remembered(&reader.clone(), &by_kind()), (10, 0));
    }
    let reader = log.reader();
    more(500).unwrap();
    assert_eq!(remembered(&reader, &by_kind()), (10, 5));
    assert_eq!(remembered(&reader, &by_kind()), (15, 0));
    // About fewer records, about others, about some times only, and not to be kept at all.
    let over = |range| StatisticsQuery::over(range).by(paths(&["kind"])).of(paths(&["ms"]));
    assert_eq!(remembered(&reader, &over(ScanRange::all().seqs(..38))), (0, 8));
    assert_eq!(remembered(&reader, &over(ScanRange::all().seqs(33..))), (0, 12));
    assert_eq!(remembered(&reader, &over(ScanRange::all().since(Timestamp::from_micros(503)))).0, 0);
    assert_eq!(remembered(&reader, &by_kind().distinct(false)), (0, 45));
    assert_eq!(remembered(&reader, &by_kind().keep(false)), (0, 45));
    assert_eq!(remembered(&reader, &by_kind()), (15, 0));
    log.seal().unwrap();
    assert_eq!(remembered(&reader, &by_kind()).0, 0);
    more(900).unwrap();
    assert_eq!(remembered(&reader, &by_kind()), (0, 5));
    assert_eq!(remembered(&reader, &by_kind()), (5, 0));
}

#[test]
fn threads_share_records_that_are_not_sealed() {
    let (disk, records) = (SimDisk::new(1), turns(20_000));
    let log = options(Codec::Rows).segment_bytes(32 << 20).open_or_create_on(disk.storage()).unwrap();
    let query = |threads| {
        let range = ScanRange::all().threads(threads);
        StatisticsQuery::over(range).by(paths(&["kind"])).of(paths(&["value", "id"]))
    };
    for (n, part) in records.chunks(8_000).enumerate() {
        append(&log, part).unwrap();
        let one = log.statistics(&query(1).keep(false)).unwrap();
        for query in [query(2).keep(false), query(4)] {
            let found = log.statistics(&query).unwrap();
            assert_eq!((found.records, &found.groups), (one.records, &one.groups));
        }
        assert_eq!(
            log.statistics(&query(4)).unwrap().work.records_remembered,
            records.len().min(8_000 * (n + 1)) as u64
        );
    }
    log.close().unwrap();
    // Of those of which some can't be read, all others.
    let (name, bytes) = disk.files().into_iter().find(|(name, _)| name.ends_with(".log")).unwrap();
    let mut damaged = disk.read(&name).unwrap();
    damaged[bytes / 2] ^= 1;
    disk.replace(&name, &damaged);
    let reader = Reader::open_on(disk.storage()).unwrap();
    let readable = reader.scan(ScanRange::all()).unwrap().filter(Result::is_ok).count() as u64;
    assert!((1..20_000).contains(&readable), "{readable}");
    for _ in 0..2 {
        let found = reader.statistics(&query(4)).unwrap();
        assert_eq!((found.records, found.damage.len(), found.work.records_remembered), (readable, 1, 0));
    }
}

#[test]
fn what_is_asked_again_is_one_answer_of_all_sealed_segments() {
    let disk = SimDisk::new(1);
    let log = sample(&disk);
    let ask = || {
        let reader = Reader::open_on(disk.storage()).unwrap();
        let (found, plain) =
            (reader.statistics(&by_kind()).unwrap(), reader.statistics(&by_kind().keep(false)).unwrap());
        assert_eq!((found.records, &found.groups), (plain.records, &plain.groups));
        (found.work.segments_kept, found.work.segments_stored)
    };
    let files = || -> Vec<String> {
        let mut names: Vec<_> = disk.files().into_iter().map(|(name, _)| name).collect();
        names.retain(|name| name.ends_with(".sts"));
        names.sort();
        names
    };
    assert_eq!([ask(), ask()], [(0, 3), (3, 0)]);
    // What the others keep is not needed from here on.
    files()[..2].iter().for_each(|name| disk.replace(name, b"nothing"));
    assert_eq!(ask(), (3, 0));
    log.seal().unwrap();
    assert_eq!([ask(), ask()], [(3, 1), (4, 0)]);
    let few = Reader::open_on(disk.storage()).unwrap().statistics(&by_kind().groups_max(2));
    assert!(matches!(few, Err(Error::StatisticsTooLarge { .. })));
    disk.replace(&files()[2], b"nothing");
    assert_eq!(ask(), (4, 0));
    // It is about all of these segments: without the first one, what each keeps counts again.
    log.retain(&annals::RetentionPolicy::new().max_records(30)).unwrap();
    assert_eq!([ask(), ask(), ask()], [(1, 2), (3, 0), (3, 0)]);
    // One that is damaged, or another's, is not believed.
    let last = files().pop().unwrap();
    let mut bytes = disk.read(&last).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    disk.replace(&last, &bytes);
    ask();
    disk.replace(&last, &disk.read(&files()[0]).unwrap());
    assert_eq!([ask(), ask()], [(2, 1), (3, 0)]);
}

proptest! {
    #![proptest_config(config(128))]
    #[test]
    fn nothing_that_is_remembered_changes_an_answer(case in case(), retains: bool) {
        let disk = SimDisk::new(1);
        let open = || options(if case.columns { Codec::Columns } else { Codec::Rows }).open_or_create_on(disk.storage()).unwrap();
        let mut log = open();
        let beside = Reader::open_on(disk.storage()).unwrap();
        for (n, (records, is_sealed)) in case.pieces.iter().enumerate() {
            for part in records.chunks(7) {
                append(&log, part).unwrap();
                for reader in [&log.reader(), &beside] {
                    let found = reader.statistics(&case.query()).unwrap();
                    check(&case, &found, &case.records(reader));
                }
            }
            match (is_sealed, n % 2) {
                (true, _) => _ = log.seal().unwrap(),
                // What the writer before left is closed as it is, or written anew.
                (false, 0) => {
                    log.close().unwrap();
                    log = open();
                }
                (false, _) => {}
            }
            if retains {
                log.retain(&annals::RetentionPolicy::new().max_records(12)).unwrap();
            }
        }
    }
}

#[test]
fn limits_are_errors_that_say_what_to_do() {
    let disk = SimDisk::new(1);
    let log = sample(&disk);
    let by_ms = StatisticsQuery::over(ScanRange::all()).by(paths(&["ms"]));
    let error = log.statistics(&by_ms.clone().groups_max(5)).unwrap_err().to_string();
    assert!(error.contains("more than 5 groups") && error.contains("limit of groups"), "{error}");
    assert!(matches!(log.statistics(&by_ms.memory_max(100)), Err(Error::StatisticsTooLarge { .. })));
    let error = log.statistics(&by_kind().every(Duration::ZERO)).unwrap_err();
    assert!(matches!(error, Error::InvalidOption { option: "every", .. }));
}

#[test]
fn the_oldest_answers_make_room_for_new_ones() {
    let disk = SimDisk::new(1);
    let log = sample(&disk);
    for n in 0..300 {
        log.statistics(&by_kind().filter(field("ms").unwrap().is(n))).unwrap();
    }
    let kept = |n: u64| log.statistics(&by_kind().filter(field("ms").unwrap().is(n))).unwrap().work.segments_kept;
    assert_eq!((kept(299), kept(100), kept(0)), (3, 3, 0));
    let bytes = disk.files().into_iter().filter(|(name, _)| name.ends_with(".sts")).map(|(_, bytes)| bytes);
    assert!(bytes.max().unwrap() <= 2 << 20);
}

#[test]
fn what_is_kept_goes_with_its_segment_and_is_repaired_away() {
    let disk = SimDisk::new(1);
    let log = sample(&disk);
    log.statistics(&by_kind()).unwrap();
    let files = || disk.files().into_iter().filter(|(name, _)| name.ends_with(".sts")).count();
    assert_eq!(files(), 3);
    log.retain(&annals::RetentionPolicy::new().max_records(20)).unwrap();
    assert_eq!(files(), 1);
    log.close().unwrap();
    let name = disk.files().into_iter().map(|(name, _)| name).find(|name| name.ends_with(".sts")).unwrap();
    let mut bytes = disk.read(&name).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    disk.replace(&name, &bytes);
    let reader = Reader::open_on(disk.storage()).unwrap();
    assert_eq!(reader.verify(&mut |_| ()).unwrap().indexes.len(), 1);
    annals::Repair::apply().run_on(disk.storage()).unwrap();
    assert_eq!(files(), 0);
    assert!(reader.verify(&mut |_| ()).unwrap().indexes.is_empty());
}

/// Answers are kept, and others take their place.
fn scenario(disk: &SimDisk) -> Result<()> {
    let log = options(Codec::Rows).open_or_create_on(disk.storage())?;
    append(&log, &(0..8).map(|n| (n, json!({ "kind": n % 2, "ms": n }))).collect::<Vec<_>>())?;
    log.seal()?;
    log.statistics(&by_kind())?;
    log.statistics(&by_kind().distinct(false))?;
    append(&log, &[(9, json!({ "kind": 7, "ms": 1.5 }))])?;
    log.seal()?;
    // What the two add up to is kept when it is asked for again.
    log.statistics(&by_kind())?;
    log.statistics(&by_kind())?;
    append(&log, &[(10, json!({ "kind": 7, "ms": 2.5 }))])?;
    log.close()
}

/// What was appended is added up as it is without anything that was kept.
fn check_after(disk: &SimDisk, context: &str) {
    let Ok(reader) = Reader::open_on(disk.storage()) else { return };
    for query in [by_kind(), by_kind().distinct(false)] {
        let plain = reader.statistics(&query.clone().keep(false)).unwrap();
        let seen: u64 = plain.groups.iter().map(|group| group.records).sum();
        assert_eq!(seen, reader.end_seq(), "{context}");
        for _ in 0..2 {
            assert_eq!(reader.statistics(&query).unwrap().groups, plain.groups, "{context}");
        }
    }
}

fn calls() -> u64 {
    let disk = SimDisk::new(1);
    scenario(&disk).unwrap();
    assert_eq!(disk.files().into_iter().filter(|(name, _)| name.ends_with(".sts")).count(), 2);
    disk.calls()
}

#[test]
fn a_crash_at_any_call_changes_no_answer() {
    for call in 0..calls() {
        let disk = SimDisk::new(1);
        disk.fail_at(call, Fault::Stop, true);
        let _ = scenario(&disk);
        for loss in Loss::ALL {
            let context = format!("stop at call {call}, {loss:?}");
            let after = disk.crash(loss, call);
            check_after(&after, &context);
            let log = options(Codec::Rows).open_or_create_on(after.storage()).unwrap();
            assert!(after.files().iter().all(|(name, _)| !name.ends_with(".sts.tmp")), "{context}");
            log.close().unwrap();
            check_after(&after, &context);
        }
    }
}

#[test]
fn a_call_that_fails_costs_no_answer() {
    for fault in [Fault::Io, Fault::Full] {
        for call in 0..calls() {
            let disk = SimDisk::new(1);
            disk.fail_at(call, fault, false);
            let _ = scenario(&disk);
            disk.heal();
            disk.restart();
            check_after(&disk, &format!("{fault:?} at call {call}"));
        }
    }
}

#[test]
fn numbers_that_no_double_has_count_as_what_they_are() {
    for codec in [Codec::Rows, Codec::Columns] {
        let disk = SimDisk::new(1);
        let log = options(codec).open_or_create_on(disk.storage()).unwrap();
        // An exponent beyond those that are told apart; and a token that Annals itself writes for no JSON: the double isn't 0.1.
        append(&log, &[(1, json!({ "v": 2 }))]).unwrap();
        let mut body = Vec::new();
        annals::json::to_msgpack(br#"{"v":1e99999999999999999999}"#, &mut body).unwrap();
        log.append_raw(None, &body).unwrap();
        log.append_raw(None, b"\x81\xA1v\xC7\x03\x4A0.1").unwrap();
        let query = StatisticsQuery::over(ScanRange::all()).of(paths(&["v"]));
        for sealed in [false, true] {
            if sealed {
                log.seal().unwrap();
            }
            let field = log.statistics(&query).unwrap().groups.remove(0).fields.remove(0);
            assert_eq!(field.min.unwrap().to_string(), "0.1e0");
            assert!(field.max.unwrap().to_string().starts_with("0.1e7"));
            assert_eq!((field.sum.unwrap().as_f64(), field.is_sum_exact), (Some(f64::INFINITY), false));
            let small = query.clone().filter("v < 1".parse().unwrap());
            let field = log.statistics(&small).unwrap().groups.remove(0).fields.remove(0);
            assert_eq!((field.sum.unwrap().as_f64(), field.avg, field.numbers), (Some(0.1), Some(0.1), 1));
            let grouped = log.statistics(&StatisticsQuery::over(ScanRange::all()).by(paths(&["v"]))).unwrap();
            let keys: Vec<String> = grouped.groups.iter().map(|group| group.keys[0].to_string()).collect();
            assert_eq!((&keys[..2], keys.len()), (&["0.1e0".to_owned(), "2".to_owned()][..], 3));
        }
    }
}

#[test]
fn what_always_holds_and_what_never_does_are_two_questions() {
    let disk = SimDisk::new(1);
    let log = sample(&disk);
    let (always, never) = (Condition::And(Vec::new()), Condition::Or(Vec::new()));
    let count = |condition: &Condition| {
        let query = StatisticsQuery::over(ScanRange::all()).filter(condition.clone());
        log.statistics(&query).unwrap().records
    };
    for _ in 0..2 {
        assert_eq!((count(&always), count(&never)), (40, 0));
        assert_eq!((count(&never.clone().negated()), count(&always.clone().negated())), (40, 0));
    }
}

#[test]
fn long_numbers_and_long_keys_count_as_memory() {
    let disk = SimDisk::new(1);
    let log = options(Codec::Rows).segment_bytes(8 << 20).open_or_create_on(disk.storage()).unwrap();
    for n in 0..24 {
        let mut body = Vec::new();
        let text = format!(r#"{{"v":{}{n:02}}}"#, "7".repeat(512 << 10));
        annals::json::to_msgpack(text.as_bytes(), &mut body).unwrap();
        log.append_raw(None, &body).unwrap();
    }
    let query = StatisticsQuery::over(ScanRange::all()).distinct(false).memory_max(8 << 20);
    for query in [query.clone().of(paths(&["v"])), query.by(paths(&["v"]))] {
        let refused = log.statistics(&query);
        assert!(matches!(refused, Err(Error::StatisticsTooLarge { option: "memory", .. })), "{refused:?}");
    }
}

#[test]
fn nothing_is_before_the_earliest_moment_whatever_is_said_first() {
    let disk = SimDisk::new(1);
    let log = sample(&disk);
    let count = |range: ScanRange| {
        let counted = log.statistics(&StatisticsQuery::over(range)).unwrap().records;
        assert_eq!(log.reader().scan(range).unwrap().count() as u64, counted);
        counted
    };
    let (never, later) = (Timestamp::MIN, Timestamp::from_micros(100));
    assert_eq!(count(ScanRange::all().seqs(..).until(never)), 0);
    assert_eq!(count(ScanRange::all().until(never).seqs(..)), 0);
    assert_eq!(count(ScanRange::all().until(never).until(later)), 10);
}

/// Values as programs may write them, those that JSON hasn't among them.
const ENCODED: [&[u8]; 33] = [
    b"\xC0",
    b"\xC2",
    b"\xC3",
    b"\x00",
    b"\x01",
    b"\x7F",
    b"\xE0",
    b"\xCF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
    b"\xD3\x80\x00\x00\x00\x00\x00\x00\x00",
    b"\xCF\x00\x20\x00\x00\x00\x00\x00\x01",
    b"\xCE\x00\x00\x00\x01",
    b"\xCB\x80\x00\x00\x00\x00\x00\x00\x00",
    b"\xCB\x7F\xF8\x00\x00\x00\x00\x00\x00",
    b"\xCB\x7F\xF0\x00\x00\x00\x00\x00\x00",
    b"\xCB\xFF\xF0\x00\x00\x00\x00\x00\x00",
    b"\xCB\x00\x00\x00\x00\x00\x00\x00\x01",
    b"\xCB\x3F\xB9\x99\x99\x99\x99\x99\x9A",
    b"\xCB\x3F\xF0\x00\x00\x00\x00\x00\x00",
    b"\xCB\x43\xE0\x00\x00\x00\x00\x00\x00",
    b"\xCB\x7F\xEF\xFF\xFF\xFF\xFF\xFF\xFF",
    b"\xCA\x3F\x00\x00\x00",
    b"\xCA\x7F\xC0\x00\x00",
    b"\xA0",
    b"\xA2ab",
    b"\xA215",
    b"\xC4\x01\xFF",
    b"\xD4\x05\x01",
    b"\xD4\x4A5",
    b"\xC7\x03\x4A0.1",
    b"\x90",
    b"\x93\x01\xA1a\x91\x02",
    b"\x81\xA1a\x01",
    b"\xC7\x06\x4A\"\\ud8\"",
];

fn encoded_records() -> impl Strategy<Value = Vec<(i64, Vec<u8>)>> {
    let time = prop_oneof![4 => -20..20i64, 1 => prop::sample::select(&[i64::MIN, i64::MIN + 1, i64::MAX][..])];
    // Few shapes, so that there are columns; numbers that go on from record to record; and now and then anything.
    let pair = (prop::sample::select(&["a", "b", "c"][..]), prop::sample::select(&ENCODED[..]));
    let any_body = prop::collection::vec(pair, 0..4).prop_map(|pairs| {
        let mut body = vec![0x80 | pairs.len() as u8];
        pairs.iter().for_each(|(key, value)| body.extend([&[0xA1], key.as_bytes(), value].concat()));
        body
    });
    let alike = (0..6u8, prop::sample::select(&ENCODED[..]))
        .prop_map(|(n, value)| [b"\x83\xA1a", &[n][..], b"\xA1b\xA1x\xA1c", value].concat());
    prop::collection::vec((time, prop_oneof![5 => alike, 1 => any_body]), 0..120)
}

proptest! {
    #![proptest_config(config(96))]
    #[test]
    fn however_records_are_kept_they_add_up_to_the_same(
        records in encoded_records(), by in drawn_paths(2), of in drawn_paths(2),
        every in prop::option::of(prop::sample::select(&[1, 7, 1 << 40, i64::MAX as u64][..])), at: prop::sample::Index,
    ) {
        let mut query = StatisticsQuery::over(ScanRange::all()).by(by).of(of);
        if let Some(every) = every {
            query = query.every(Duration::from_micros(every));
        }
        let mut answers = Vec::new();
        for (codec, seals) in [(Codec::Rows, 0), (Codec::Rows, 1), (Codec::Columns, 1), (Codec::Columns, 2)] {
            let disk = SimDisk::new(1);
            let log = options(codec).open_or_create_on(disk.storage()).unwrap();
            for (n, (time, body)) in records.iter().enumerate() {
                if seals == 2 && n == at.index(records.len()) {
                    log.seal().unwrap();
                }
                log.append_raw(Some(Timestamp::from_micros(*time)), body).unwrap();
            }
            if seals > 0 {
                log.seal().unwrap();
            }
            for query in [&query, &query, &query.clone().keep(false)] {
                let found = log.statistics(query).unwrap();
                answers.push((found.records, found.groups));
            }
        }
        for answer in &answers {
            prop_assert_eq!(answer, &answers[0]);
        }
        prop_assert_eq!(answers[0].0, records.len() as u64);
    }
}
