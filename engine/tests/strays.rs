//! Files that are in a log's directory and none of the log, under names and with claims that lead far away: nothing is
//! lost to them, and nothing goes on for ever because of them.

#[path = "../../fuzz/cases/src/forge.rs"]
#[allow(dead_code, reason = "the fuzz targets use more of it")]
mod forge;

use annals::storage::sim::SimDisk;
use annals::{Background, Error, Log, Options, Reader, ScanRange};
use std::collections::BTreeMap;

fn append(log: &Log) {
    for n in 0..3 {
        log.append(&BTreeMap::from([("n", n)])).unwrap();
    }
}

fn options() -> Options {
    Options::new().background(Background::Manual).segment_bytes(64 << 10)
}

/// A log with three sealed records, three in a closed raw segment, and three in one that was not closed.
fn log_on(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    let log = options().open_or_create_on(disk.storage()).unwrap();
    append(&log);
    log.seal().unwrap();
    append(&log);
    log.close().unwrap();
    let log = options().open_or_create_on(disk.storage()).unwrap();
    append(&log);
    std::mem::forget(log);
    disk.crash(annals::storage::sim::Loss::Nothing, 1)
}

/// The seqs that can be read, and how many errors stand for the others.
fn read(disk: &SimDisk) -> (Vec<u64>, usize) {
    let reader = Reader::open_on(disk.storage()).unwrap();
    let (mut found, mut errors) = (Vec::new(), 0);
    for record in reader.scan(ScanRange::all()).unwrap().take(100) {
        match record {
            Ok(record) => found.push(record.seq()),
            Err(Error::Damaged(_)) => errors += 1,
            Err(error) => panic!("{error}"),
        }
    }
    (found, errors)
}

#[test]
fn a_head_that_tells_of_records_that_are_not_there_costs_one_error() {
    // The disk that the head was written on: it is believed.
    let disk = SimDisk::new(7);
    let log = options().open_or_create_on(disk.storage()).unwrap();
    append(&log);
    let mut head = disk.read("head").unwrap();
    head[8..24].copy_from_slice(&[(1u64 << 62).to_le_bytes(); 2].concat());
    let crc = crc32fast::hash(&head[..68]).to_le_bytes();
    head[68..].copy_from_slice(&crc);
    disk.replace("head", &head);
    assert_eq!(read(&disk), (vec![0, 1, 2], 1));
    let verified = Reader::open_on(disk.storage()).unwrap().verify(&mut |_| ()).unwrap();
    assert_eq!((verified.records, verified.damage.len()), (3, 1), "{:?}", verified.damage);
}

/// Opens the log beside `stray`, verifies and seals it; then takes the stray away: all records are there.
fn nothing_is_lost_to(stray: &str, bytes: &[u8]) {
    let disk = log_on(1);
    disk.replace(stray, bytes);
    Reader::open_on(disk.storage()).unwrap().verify(&mut |_| ()).unwrap();
    let log = options().open_or_create_on(disk.storage()).unwrap();
    let _ = log.seal();
    let _ = log.append(&BTreeMap::from([("n", 9)]));
    drop(log);
    let without = SimDisk::new(2);
    for (name, _) in disk.files().into_iter().filter(|(name, _)| name != stray) {
        without.replace(&name, &disk.read(&name).unwrap());
    }
    let (found, _) = read(&without);
    assert_eq!(found[..9], [0, 1, 2, 3, 4, 5, 6, 7, 8], "{stray}");
}

#[test]
fn a_stray_sealed_segment_costs_no_record_of_the_log() {
    let foreign = log_on(5).files().into_iter().find(|(name, _)| name.ends_with(".seg")).unwrap().0;
    let foreign = log_on(5).read(&foreign).unwrap();
    for base in [0, 3, 4, 6, 9, 10, 1u64 << 40, 1 << 62] {
        for bytes in [&b"anything"[..], &foreign] {
            nothing_is_lost_to(&format!("{base:020}-0000000099.seg"), bytes);
        }
    }
}

#[test]
fn a_stray_raw_segment_costs_no_record_of_the_log() {
    for base in [0, 3, 4, 6, 9, 10, 1u64 << 40, 1 << 62] {
        nothing_is_lost_to(&format!("{base:020}-0000000099.log"), b"anything");
        nothing_is_lost_to(&format!("{base:020}-0000000001.log"), b"anything");
    }
}

#[test]
fn a_stray_raw_segment_that_begins_within_a_batch_costs_none_of_it() {
    let disk = SimDisk::new(1);
    let buffered = annals::Durability::Buffered { interval: std::time::Duration::from_secs(1) };
    let log = options().durability(buffered).open_or_create_on(disk.storage()).unwrap();
    append(&log);
    let mut batch = annals::Batch::new();
    (0..10).for_each(|n| batch.push(&BTreeMap::from([("n", n)])).unwrap());
    log.append_batch(&mut batch).unwrap();
    log.sync().unwrap();
    let disk = disk.crash(annals::storage::sim::Loss::Nothing, 1);
    for base in 0..=13u64 {
        let beside = disk.copy();
        let stray = format!("{base:020}-0000000099.log");
        beside.replace(&stray, b"anything");
        for _ in 0..2 {
            let log = options().open_or_create_on(beside.storage()).unwrap();
            assert_eq!(log.next_seq(), 13, "{stray}: {:?}", log.recovery());
        }
        assert_eq!(read(&beside), ((0..13).collect(), 0), "{stray}");
    }
}

#[test]
fn a_summary_that_tells_of_too_many_bytes_adds_up_to_no_small_number() {
    let disk = log_on(1);
    let log = options().open_or_create_on(disk.storage()).unwrap();
    log.seal().unwrap();
    log.close().unwrap();
    let sealed: Vec<_> = disk.files().into_iter().map(|(name, _)| name).filter(|name| name.ends_with(".seg")).collect();
    assert!(sealed.len() > 1);
    let mut bytes = disk.read(&sealed[0]).unwrap();
    // The summary is the last section, and bytes of bodies the last of its numbers.
    let directory = forge::u64_at(&bytes, bytes.len() - forge::TRAILER_BYTES + 136) as usize;
    bytes[directory - 8..directory].fill(0xff);
    forge::repair_sealed(&mut bytes);
    disk.replace(&sealed[0], &bytes);
    let info = Reader::open_on(disk.storage()).unwrap().info().unwrap();
    assert_eq!(info.sealed_body_bytes, u64::MAX);
}
