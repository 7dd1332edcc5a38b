//! What recovery makes of damage: reported, kept, and never taken for the end of the log.

use annals::storage::sim::{Loss, SimDisk};
use annals::{Background, Durability, Log, Options, Reader, ScanRange};
use std::collections::BTreeMap;

fn options() -> Options {
    Options::new().background(Background::Manual).segment_bytes(64 << 10)
}

fn append(log: &Log, count: u64) {
    for _ in 0..count {
        log.append(&BTreeMap::from([("n", log.next_seq())])).unwrap();
    }
}

fn name_with(disk: &SimDisk, ending: &str) -> String {
    disk.files().into_iter().map(|(name, _)| name).rfind(|name| name.ends_with(ending)).unwrap()
}

#[test]
fn a_sealed_segment_that_was_cut_short_is_reported_though_nothing_follows_it() {
    let disk = SimDisk::new(1);
    let log = options().open_or_create_on(disk.storage()).unwrap();
    append(&log, 2_000);
    log.seal().unwrap();
    log.close().unwrap();
    let name = name_with(&disk, ".seg");
    let bytes = disk.read(&name).unwrap();
    for len in [bytes.len() - 1, bytes.len() * 3 / 4, bytes.len() / 2] {
        let cut = disk.crash(Loss::Nothing, 1);
        cut.replace(&name, &bytes[..len]);
        let log = options().open_or_create_on(cut.storage()).unwrap();
        let report = log.recovery().clone();
        assert!(!report.clean && report.damaged.iter().any(|damage| damage.path.contains(&name)), "{report:?}");
        append(&log, 3);
        log.close().unwrap();
        let reader = Reader::open_on(cut.storage()).unwrap();
        assert!(!reader.verify(&mut |_| ()).unwrap().is_sound());
        let found = reader.scan(ScanRange::all()).unwrap().filter(|record| record.is_ok()).count() as u64;
        assert_eq!(found, report.next_seq + 3, "what can be read and what was appended since");
    }
}

#[test]
fn what_is_set_aside_is_never_overwritten() {
    let disk = SimDisk::new(1);
    drop(options().open_or_create_on(disk.storage()).unwrap());
    for round in 1..=3 {
        let log = options().open_or_create_on(disk.storage()).unwrap();
        append(&log, 5);
        log.close().unwrap();
        // Both copies of the newest segment's header are gone, and with them all that it holds.
        let name = name_with(&disk, ".log");
        let mut bytes = disk.read(&name).unwrap();
        bytes[..8_192].fill(round);
        disk.replace(&name, &bytes);
        let log = options().open_or_create_on(disk.storage()).unwrap();
        assert!(!log.recovery().is_complete(), "round {round}: {:?}", log.recovery());
        let kept: Vec<_> = disk.files().into_iter().filter(|(name, _)| name.starts_with("quarantine/")).collect();
        assert_eq!(kept.len(), usize::from(round), "{kept:?}");
    }
}

#[test]
fn a_damaged_frame_in_the_middle_costs_its_own_records_and_is_reported_at_every_opening() {
    let disk = SimDisk::new(1);
    let log = options().open_or_create_on(disk.storage()).unwrap();
    append(&log, 50);
    let disk = disk.crash(Loss::Nothing, 1);
    let name = name_with(&disk, ".log");
    let mut bytes = disk.read(&name).unwrap();
    bytes[8_192 + 72 + 21] ^= 1;
    disk.replace(&name, &bytes);
    for appended in [3, 5] {
        let log = options().open_or_create_on(disk.storage()).unwrap();
        let damage = &log.recovery().damaged;
        assert_eq!((damage.len(), damage[0].first_seq, damage[0].end_seq), (1, Some(0), Some(1)), "{damage:?}");
        append(&log, appended);
        let outcomes: Vec<_> = log.reader().scan(ScanRange::all()).unwrap().collect();
        assert!(outcomes[0].is_err() && outcomes[1..].iter().all(Result::is_ok));
        assert_eq!(outcomes.len() as u64, log.next_seq());
        assert!(log.seal().is_err(), "what is missing is not sealed away");
        append(&log, 1);
    }
}

#[test]
fn recovery_rewrites_no_more_than_was_written_since_the_file_last_grew() {
    let disk = SimDisk::new(1);
    let options = options().segment_bytes(64 << 20).durability(Durability::Written);
    let log = options.open_or_create_on(disk.storage()).unwrap();
    let body = BTreeMap::from([("text", "x".repeat(64 << 10))]);
    for _ in 0..600 {
        log.append(&body).unwrap();
    }
    let disk = disk.crash(Loss::Nothing, 1);
    drop(log);
    let log = options.open_or_create_on(disk.storage()).unwrap();
    assert_eq!(log.next_seq(), 600);
    let rewritten = log.recovery().rewritten.expect("nobody has asked for a sync");
    // Files grow by 8 MiB, and are synced for that.
    assert!((rewritten.end_seq - rewritten.first_seq) * (64 << 10) <= 8 << 20, "{rewritten:?}");
}

#[test]
fn a_last_write_that_stopped_at_any_sector_is_unfinished_and_not_damage() {
    for size in (0..700).step_by(3) {
        let disk = SimDisk::new(1);
        let log = options().open_or_create_on(disk.storage()).unwrap();
        append(&log, 2);
        let name = name_with(&disk, ".log");
        let end_of_data = |bytes: &[u8]| bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
        let before = end_of_data(&disk.read(&name).unwrap());
        log.append(&BTreeMap::from([("text", "x".repeat(size))])).unwrap();
        let bytes = disk.read(&name).unwrap();
        for sector in (before.next_multiple_of(512)..end_of_data(&bytes)).step_by(512) {
            let torn = disk.crash(Loss::Nothing, 1);
            let mut bytes = bytes.clone();
            bytes[sector..].fill(0);
            torn.replace(&name, &bytes);
            let log = options().open_or_create_on(torn.storage()).unwrap();
            let report = log.recovery();
            assert!(report.is_complete(), "{size} bytes, cut at {sector}: {report:?}");
            assert_eq!(log.next_seq(), 2, "{size} bytes, cut at {sector}");
        }
    }
}
