//! Frames that an opening left behind the end of the log, and that may have been acknowledged: brought back, once.

mod mending;

use annals::storage::sim::{Fault, Loss, SimDisk};
use annals::{Durability, Reader, RecordBuf, Repair, ScanRange, Timestamp};
use mending::{Files, Fixture, append, check, disk_of, files, options};
use std::collections::BTreeSet;
use std::time::Duration;

/// The record that the unfinished write was of.
const TORN: u64 = 13;
/// The record after the last.
const END: u64 = 18;

/// A log of which the record `TORN` is what an unfinished write leaves, with intact records behind it.
fn torn() -> (Files, Vec<RecordBuf>) {
    let disk = SimDisk::new(6);
    let log = options().open_or_create_on(disk.storage()).unwrap();
    append(&log, 10, 100);
    log.close().unwrap();
    let buffered = Durability::Buffered { interval: Duration::from_secs(1) };
    let log = options().durability(buffered).open_or_create_on(disk.storage()).unwrap();
    append(&log, END - 10, 1_500);
    log.sync().unwrap();
    let records = log.reader().scan(ScanRange::all()).unwrap().map(|record| record.unwrap()).collect();
    log.close().unwrap();

    let mut files = files(&disk);
    let (_, bytes) = files.iter_mut().rfind(|(name, _)| name.ends_with(".log")).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    // Without the final marker, nothing says that the records were durable.
    bytes[end - 72..].fill(0);
    bytes.truncate(end + 600);
    let frames: Vec<usize> = (8_192..end).step_by(8).filter(|&at| bytes[at..].starts_with(b"aFrm")).collect();
    let sector = (frames[(TORN - 10) as usize] + 80).next_multiple_of(512);
    assert!(sector + 512 <= frames[(TORN - 10) as usize + 1]);
    bytes[sector..sector + 512].fill(0);
    (files, records)
}

/// Times and bodies of all records, in order.
fn contents(disk: &SimDisk) -> Vec<(Timestamp, Vec<u8>)> {
    let scan = Reader::open_on(disk.storage()).unwrap().scan(ScanRange::all()).unwrap();
    scan.map(|record| record.unwrap()).map(|record| (record.timestamp(), record.body().to_vec())).collect()
}

#[test]
fn nothing_is_restored_unless_it_is_asked_for() {
    let (files, records) = torn();
    let disk = disk_of(&files, 1);
    let report = Repair::apply().run_on(disk.storage()).unwrap();
    assert_eq!((report.next_seq, report.restorable.len()), (TORN, 1), "{report:?}");
    let tail = &report.restorable[0];
    assert_eq!((tail.records, tail.first_seq, tail.end_seq), (END - TORN - 1, TORN + 1, END));
    assert!(tail.restored.is_empty());
    assert_eq!(check(&disk, &records, "not restored").found, (0..TORN).collect::<BTreeSet<_>>());
}

#[test]
fn where_nothing_was_appended_since_the_records_get_their_own_place_again() {
    let (files, records) = torn();
    for opened_before in [false, true] {
        let disk = disk_of(&files, 1);
        if opened_before {
            drop(options().open_or_create_on(disk.storage()).unwrap());
        }
        let report = Repair::apply().restore(true).run_on(disk.storage()).unwrap();
        assert_eq!(report.restorable[0].restored, [(TORN + 1, END, TORN + 1)], "{report:?}");
        let left = check(&disk, &records, "restored in place");
        assert_eq!(left.missing, BTreeSet::from([TORN]));
        assert_eq!(left.found.len() as u64, END - 1);
        let again = Repair::apply().restore(true).run_on(disk.storage()).unwrap();
        assert!(again.restorable.is_empty() && again.is_needless(), "{again:?}");
    }
}

/// Opens the log, so that the tail is left out, and appends three records in its place.
fn overtaken(files: &Files) -> SimDisk {
    let disk = disk_of(files, 1);
    let log = options().open_or_create_on(disk.storage()).unwrap();
    assert_eq!((log.next_seq(), log.recovery().dropped[0].possibly_acknowledged), (TORN, END - TORN - 1));
    append(&log, 3, 40);
    log.close().unwrap();
    disk
}

#[test]
fn where_others_took_their_place_they_are_appended_with_their_own_times() {
    let (files, records) = torn();
    let disk = overtaken(&files);
    let before = contents(&disk);
    let report = Repair::apply().restore(true).run_on(disk.storage()).unwrap();
    assert_eq!(report.restorable[0].restored, [(TORN + 1, END, TORN + 3)], "{report:?}");
    let own = records[TORN as usize + 1..].iter().map(|record| (record.timestamp(), record.body().to_vec()));
    let expected: Vec<_> = before.into_iter().chain(own).collect();
    assert_eq!(contents(&disk), expected);
    let again = Repair::apply().restore(true).run_on(disk.storage()).unwrap();
    assert!(again.restorable.is_empty() && again.is_needless(), "{again:?}");
    assert_eq!(contents(&disk), expected);
}

#[test]
fn a_crash_during_restoring_brings_nothing_back_twice() {
    let (files, _) = torn();
    let mut crashes = 0;
    for overtake in [false, true] {
        let begin = || if overtake { overtaken(&files) } else { disk_of(&files, 1) };
        let whole = begin();
        let first = whole.calls();
        Repair::apply().restore(true).run_on(whole.storage()).unwrap();
        let expected = contents(&whole);
        for call in first..whole.calls() {
            let disk = begin();
            disk.fail_at(call, Fault::Stop, true);
            let _ = Repair::apply().restore(true).run_on(disk.storage());
            for loss in Loss::ALL {
                let after = disk.crash(loss, call);
                let replay = "cargo test -p annals --test restore a_crash";
                let context = format!("{replay} # overtaken {overtake}, stop at call {call}, {loss:?}");
                let report = Repair::apply().restore(true).run_on(after.storage());
                let report = report.unwrap_or_else(|error| panic!("{context}: {error}"));
                assert!(report.is_sound(), "{context}: {report:?}");
                assert!(contents(&after) == expected, "{context}: {report:?}");
                crashes += 1;
            }
        }
    }
    println!("trust: crashes while restoring: {crashes} images, 0 failures, seed 1");
}

/// A repair is killed, another one goes on beside what the system still remembers of it, and then the power goes.
#[test]
fn a_repair_that_follows_a_killed_one_brings_nothing_back_twice_and_loses_nothing() {
    let (files, _) = torn();
    for overtake in [false, true] {
        let begin = || if overtake { overtaken(&files) } else { disk_of(&files, 1) };
        let whole = begin();
        let first = whole.calls();
        Repair::apply().restore(true).run_on(whole.storage()).unwrap();
        let expected = contents(&whole);
        for call in first..whole.calls() {
            let disk = begin();
            disk.fail_at(call, Fault::Stop, true);
            let _ = Repair::apply().restore(true).run_on(disk.storage());
            disk.heal();
            disk.restart();
            Repair::apply().restore(true).run_on(disk.storage()).unwrap();
            for loss in Loss::ALL {
                let context = format!("overtaken {overtake}, killed at call {call}, {loss:?}");
                let after = disk.crash(loss, call);
                let report = Repair::apply().restore(true).run_on(after.storage());
                let report = report.unwrap_or_else(|error| panic!("{context}: {error}"));
                assert!(contents(&after) == expected, "{context}: {report:?}");
            }
        }
    }
}

#[test]
fn an_active_segment_without_either_header_is_restored_by_its_frames() {
    let fixture = Fixture::new();
    let active = fixture.names(".log").pop().unwrap();
    let mut bytes = fixture.file(&active).clone();
    bytes[..8_192].fill(0);
    let disk = disk_of(&fixture.with(&active, Some(bytes)), 1);
    let report = Repair::apply().restore(true).run_on(disk.storage()).unwrap();
    let left = check(&disk, &fixture.records, "restored");
    assert_eq!((left.found.len(), left.missing.len()), (fixture.records.len(), 0), "{report:?}");
}

/// The file in quarantine that an opening of `files` makes, and its bytes.
fn tail_of(files: &Files) -> (String, Vec<u8>) {
    let disk = disk_of(files, 1);
    drop(options().open_or_create_on(disk.storage()).unwrap());
    let kept: Vec<_> = disk.files().into_iter().filter(|(name, _)| name.starts_with("quarantine/")).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    (kept[0].0.clone(), disk.read(&kept[0].0).unwrap())
}

#[test]
fn a_name_in_quarantine_that_stands_for_other_bytes_is_not_believed() {
    let (files, records) = torn();
    let (name, bytes) = tail_of(&files);
    let mut changed = bytes.clone();
    changed[bytes.len() - 1] ^= 1;
    let longer = [&bytes[..], &[0]].concat();
    for stray in [b"a stray file".to_vec(), Vec::new(), bytes[..bytes.len() - 1].to_vec(), longer, changed] {
        let disk = disk_of(&files, 1);
        disk.replace(&name, &stray);
        let log = options().open_or_create_on(disk.storage()).unwrap();
        let kept_in = log.recovery().dropped[0].kept_in.clone().unwrap();
        assert!(kept_in.ends_with(&format!("{name}.1")), "{kept_in}");
        drop(log);
        assert_eq!((disk.read(&name), disk.read(&format!("{name}.1"))), (Some(stray), Some(bytes.clone())));
        let report = Repair::apply().restore(true).run_on(disk.storage()).unwrap();
        assert_eq!(report.restorable.len(), 1, "{report:?}");
        assert_eq!(report.restorable[0].restored, [(TORN + 1, END, TORN + 1)], "{report:?}");
        assert_eq!(check(&disk, &records, "restored").missing, BTreeSet::from([TORN]));
        let again = Repair::apply().restore(true).run_on(disk.storage()).unwrap();
        assert!(again.restorable.is_empty() && again.is_needless(), "{again:?}");
    }
}

#[test]
fn a_copy_that_an_opening_before_has_made_will_do() {
    let (files, _) = torn();
    let (name, bytes) = tail_of(&files);
    let disk = disk_of(&files, 1);
    disk.replace(&name, &bytes);
    drop(options().open_or_create_on(disk.storage()).unwrap());
    assert_eq!((disk.read(&name), disk.read(&format!("{name}.1"))), (Some(bytes), None));
}

#[test]
fn of_two_copies_with_the_same_records_each_is_restored_once() {
    let (files, records) = torn();
    let (name, bytes) = tail_of(&files);
    // As an opening leaves it that saw the last record cut off.
    let cut = bytes[..bytes.len() - 2_000].to_vec();
    for is_overtaken in [false, true] {
        let disk = disk_of(&files, 1);
        disk.replace(&name, &cut);
        let log = options().open_or_create_on(disk.storage()).unwrap();
        if is_overtaken {
            append(&log, 3, 40);
        }
        log.close().unwrap();
        let before = contents(&disk).len();
        for round in 0..3 {
            Repair::apply().restore(true).run_on(disk.storage()).unwrap();
            let found = contents(&disk);
            let tail: BTreeSet<_> = records[TORN as usize + 1..].iter().map(|own| own.body().to_vec()).collect();
            let restored: Vec<_> = found.iter().filter(|(_, body)| tail.contains(body)).collect();
            assert_eq!(
                (restored.len(), found.len()),
                (tail.len(), before + tail.len()),
                "round {round}, {is_overtaken}"
            );
        }
    }
}
