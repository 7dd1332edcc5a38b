//! A log that an early version wrote, committed byte for byte, which every later version has to read.
//!
//! `tests/golden/v1` holds a log of format version 1: a sealed segment with a dictionary, one without that holds
//! two incarnations, their indexes, and a raw segment with a batch and a final marker. It is never written anew: a change
//! of the format gets a log of its own beside it. `ANNALS_WRITE_GOLDEN=DIR cargo test -p annals --test golden` writes
//! such a log into `DIR`.
#![cfg(feature = "json")]

use annals::storage::sim::SimDisk;
use annals::{Background, Batch, Log, Options, Reader, ScanRange, Timestamp, VerifyReport};
use std::path::{Path, PathBuf};

/// Records of the first segment: enough of them that a dictionary pays.
const ORDERS: u64 = 700;
/// Records of the second segment.
const VALUES: [(i64, &str); 6] = [
    (1_600_000_000_000_000, r#"{}"#),
    (i64::MIN, r#"{"earliest":true,"nothing":null}"#),
    (i64::MAX, r#"{"latest":[1,-1,18446744073709551615,-9223372036854775808]}"#),
    (-1, r#"{"numbers":[0.5,1.0,-0.0,1e+300],"tokens":[-0,1e400,123456789012345678901234567890]}"#),
    (0, r#"{"same":1,"same":2,"text":"snow ☃ and \u0000","lone":"\ud800"}"#),
    (0, r#"{"nested":{"list":[[],{},[{"deep":{}}]]},"":"empty key"}"#),
];
/// The incarnation changes before this record of the second segment.
const SECOND_RUN: usize = 3;
/// Records of the raw segment: one alone, then a batch of two, then one.
const EVENTS: [(i64, &str); 4] = [
    (1_700_000_000_000_000, r#"{"user":"ada","ok":true}"#),
    (-86_400_000_000, r#"{"user":"bob","ok":false,"tries":3}"#),
    (1_700_000_000_000_001, r#"{"user":"eve"}"#),
    (1_700_000_000_000_002, r#"{"user":"ada","ok":null}"#),
];

const LOG_ID: &str = "63f1ee08469ccdac9ff735ab278a84ba";
const INCARNATIONS: [&str; 3] =
    ["737a74e5f8908fafafcc5252147fbc5b", "85f8ed96704095d6d213ecf2eab32315", "a682389045859a5d2ee0671df37f3be5"];
const ROOT: &str = "4c3ba5b2dec27ccb91efd24ced2783717d92419cb3d844a607cbf3a8b26044b3";
const SEGMENTS: [&str; 3] = [
    "00000000000000000000-0000000002.seg",
    "00000000000000000700-0000000005.seg",
    "00000000000000000706-0000000006.log",
];

fn order(n: u64) -> (i64, String) {
    let customer = n * n % 89;
    let note = "The customer asked to be told when the parcel leaves the warehouse; no signature is needed. ".repeat(4);
    let text = format!(
        r#"{{"event":"order.placed","order":{n},"customer":{{"id":{customer},"country":"NL"}},"amount":{}.25,"note":"{note}"}}"#,
        n % 50
    );
    (1_650_000_000_000_000 + n as i64 * 1_000, text)
}

/// Every record of the log: its time, its JSON, and which opening of the writer appended it.
fn records() -> Vec<(i64, String, &'static str)> {
    let orders = (0..ORDERS).map(order).map(|(time, text)| (time, text, INCARNATIONS[0]));
    let values = VALUES.iter().enumerate().map(|(n, &(time, text))| {
        (time, text.to_owned(), if n < SECOND_RUN { INCARNATIONS[0] } else { INCARNATIONS[1] })
    });
    let events = EVENTS.map(|(time, text)| (time, text.to_owned(), INCARNATIONS[2]));
    orders.chain(values).chain(events).collect()
}

fn body(text: &str) -> Vec<u8> {
    let mut body = Vec::new();
    annals::json::to_msgpack(text.as_bytes(), &mut body).unwrap();
    body
}

fn options() -> Options {
    Options::new().background(Background::Manual).segment_bytes(1 << 20)
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

/// Writes the log into `dir`. Ids and times of creation come from a seed, so it is the same every time.
fn write(dir: &Path) {
    let disk = SimDisk::new(1);
    let append = |log: &Log, time: i64, text: &str| {
        log.append_raw(Some(Timestamp::from_micros(time)), &body(text)).unwrap();
    };
    let log = options().open_or_create_on(disk.storage()).unwrap();
    (0..ORDERS).map(order).for_each(|(time, text)| append(&log, time, &text));
    log.seal().unwrap();
    VALUES[..SECOND_RUN].iter().for_each(|(time, text)| append(&log, *time, text));
    log.close().unwrap();

    let log = options().open_or_create_on(disk.storage()).unwrap();
    VALUES[SECOND_RUN..].iter().for_each(|(time, text)| append(&log, *time, text));
    log.seal().unwrap();
    log.close().unwrap();

    let log = options().open_or_create_on(disk.storage()).unwrap();
    append(&log, EVENTS[0].0, EVENTS[0].1);
    let mut batch = Batch::new();
    for (time, text) in &EVENTS[1..3] {
        batch.push_raw(Some(Timestamp::from_micros(*time)), &body(text)).unwrap();
    }
    log.append_batch(&mut batch).unwrap();
    log.maintain().unwrap();
    append(&log, EVENTS[3].0, EVENTS[3].1);
    log.close().unwrap();

    std::fs::create_dir_all(dir).unwrap();
    for (name, _) in disk.files() {
        let mut bytes = disk.read(&name).unwrap();
        if name.ends_with(".log") {
            // Unused space is zeros or the end of the file; one page of it will do.
            let used = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
            bytes.truncate(used.next_multiple_of(4096));
        }
        std::fs::write(dir.join(name), bytes).unwrap();
    }
}

fn copy() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(golden()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    dir
}

fn check_records(reader: &Reader) {
    let expected = records();
    assert_eq!((reader.first_seq(), reader.end_seq()), (0, expected.len() as u64));
    let mut scan = reader.scan(ScanRange::all()).unwrap();
    for (seq, (time, text, incarnation)) in expected.iter().enumerate() {
        let record = scan.advance().unwrap().unwrap_or_else(|| panic!("record {seq} is missing"));
        assert_eq!((record.seq(), record.timestamp().as_micros()), (seq as u64, *time));
        assert_eq!(record.incarnation().to_string(), *incarnation, "record {seq}");
        assert_eq!(record.body(), body(text), "record {seq}");
        let mut json = Vec::new();
        record.to_json(&mut json).unwrap();
        assert_eq!(String::from_utf8(json).unwrap(), *text, "record {seq}");
        assert_eq!(reader.get(seq as u64).unwrap().unwrap(), record.to_owned());
    }
    assert!(scan.advance().unwrap().is_none());
    let backwards = reader.scan(ScanRange::all().reverse()).unwrap().map(|record| record.unwrap().seq());
    assert!(backwards.eq((0..expected.len() as u64).rev()));
}

fn check_report(report: &VerifyReport, sealed_segments: u64, raw_segments: u64) {
    assert_eq!(report.damage, []);
    assert_eq!(report.indexes, [""; 0]);
    assert_eq!((report.records, report.end_seq), (710, 710));
    assert_eq!((report.sealed_segments, report.raw_segments), (sealed_segments, raw_segments));
    assert_eq!(report.log_id.to_string(), LOG_ID);
    assert_eq!(report.root.as_deref(), Some(ROOT));
}

#[test]
fn version_1_is_read_whole() {
    if let Some(dir) = std::env::var_os("ANNALS_WRITE_GOLDEN") {
        return write(Path::new(&dir));
    }
    let reader = Reader::open(golden()).unwrap();
    check_records(&reader);
    let report = reader.verify(&mut |_| ()).unwrap();
    check_report(&report, 2, 1);
    let info = reader.info().unwrap();
    assert_eq!(info.segments.iter().map(|segment| segment.name.as_str()).collect::<Vec<_>>(), SEGMENTS);
}

#[test]
fn version_1_is_appended_to_and_sealed() {
    if std::env::var_os("ANNALS_WRITE_GOLDEN").is_some() {
        return;
    }
    let dir = copy();
    let log = options().open(dir.path()).unwrap();
    assert!(log.recovery().clean, "{:?}", log.recovery());
    log.seal().unwrap();
    check_records(&log.reader());
    check_report(&log.reader().verify(&mut |_| ()).unwrap(), 3, 0);
    assert_eq!(log.append_raw(None, &body(r#"{"more":1}"#)).unwrap(), 710);
    log.close().unwrap();
    assert_eq!(Reader::open(dir.path()).unwrap().verify(&mut |_| ()).unwrap().records, 711);
}

/// The hex dumps in docs/format.md are those of the golden log's raw segment.
#[test]
fn the_worked_example_is_what_stands_in_the_file() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/format.md")).unwrap();
    let file = std::fs::read(golden().join(SEGMENTS[2])).unwrap();
    let mut shown = 0;
    for line in page.lines() {
        let Some((offset, rest)) = line.split_once("  ") else { continue };
        let Some(offset) = Some(offset).filter(|o| o.len() == 8).and_then(|o| usize::from_str_radix(o, 16).ok()) else {
            continue;
        };
        let hex = rest.trim_start().split("  ").next().unwrap_or_default();
        let bytes: Vec<u8> = hex.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        assert_eq!(file[offset..offset + bytes.len()], bytes, "{line}");
        shown += bytes.len();
    }
    assert!(shown > 200, "{shown} bytes of the example were found");
}
