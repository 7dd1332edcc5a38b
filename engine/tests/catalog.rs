//! The catalog of a log: holds, what is left where it is damaged, and its repair.

use annals::storage::sim::{Fault, Loss, SimDisk};
use annals::{Background, Error, FieldPath, Hold, Log, Options, Reader, Repair, ScanRange, field};
use std::collections::BTreeMap;

fn options() -> Options {
    Options::new().background(Background::Manual).segment_bytes(64 << 10)
}

fn open(disk: &SimDisk) -> Log {
    options().open_or_create_on(disk.storage()).unwrap()
}

fn append(log: &Log, count: usize) {
    for n in 0..count {
        log.append(&BTreeMap::from([("n", n)])).unwrap();
    }
}

/// A closed log of three sealed records and two others, with two holds.
fn held() -> SimDisk {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    append(&log, 3);
    log.seal().unwrap();
    log.hold("case 7", 1..3, "a court asked").unwrap();
    log.hold("all", .., "").unwrap();
    append(&log, 2);
    log.close().unwrap();
    disk
}

fn names(holds: &[Hold]) -> Vec<&str> {
    holds.iter().map(|hold| hold.name.as_str()).collect()
}

#[test]
fn holds_last_until_they_are_released() {
    let disk = held();
    let log = open(&disk);
    assert!(log.recovery().clean);
    assert_eq!(names(&log.holds().unwrap()), ["case 7", "all"]);
    let again = log.hold("all", 5.., "another");
    assert!(matches!(&again, Err(Error::InvalidOption { option: "hold", .. })), "{again:?}");
    let before = disk.clock();
    let released = log.release("case 7", "ada: the case is closed").unwrap();
    let hold = &released.hold;
    assert_eq!((hold.first_seq, hold.end_seq, hold.reason.as_str()), (1, Some(3), "a court asked"));
    assert!((before..=disk.clock()).contains(&released.released) && hold.since < released.released);
    assert_eq!(released.release_reason, "ada: the case is closed");
    assert!(matches!(log.release("case 7", ""), Err(Error::InvalidOption { option: "hold", .. })));
    let long = log.release("all", &"r".repeat(1_025));
    assert!(matches!(long, Err(Error::InvalidOption { option: "hold", .. })), "{long:?}");
    let reader = Reader::open_on(disk.storage()).unwrap();
    assert_eq!(names(&reader.holds().unwrap()), ["all"]);
    // It stays on record, whoever opens the log, and whatever is held under the name again.
    assert_eq!(reader.releases().unwrap(), std::slice::from_ref(&released));
    log.hold("case 7", 2.., "").unwrap();
    log.close().unwrap();
    let log = open(&disk);
    assert_eq!(names(&log.holds().unwrap()), ["all", "case 7"]);
    assert_eq!(log.releases().unwrap(), std::slice::from_ref(&released));
    let info = reader.info().unwrap();
    assert_eq!((info.releases, info.releases_forgotten), (vec![released], 0));
    assert!(reader.verify(&mut |_| ()).unwrap().is_sound());
}

#[test]
fn of_very_many_releases_the_newest_are_kept() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    for n in 0..514 {
        log.hold("again", n.., "").unwrap();
        log.release("again", &format!("{n}")).unwrap();
    }
    let info = Reader::open_on(disk.storage()).unwrap().info().unwrap();
    assert_eq!((info.releases.len(), info.releases_forgotten), (512, 2));
    assert_eq!((info.releases[0].release_reason.as_str(), info.releases[511].hold.first_seq), ("2", 513));
}

#[test]
fn a_log_without_a_catalog_has_no_holds() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    append(&log, 1);
    assert_eq!(log.holds().unwrap(), []);
    assert_eq!(Reader::open_on(disk.storage()).unwrap().holds().unwrap(), []);
    log.close().unwrap();
    assert!(disk.read("catalog").is_none());
}

/// Holds are changed on a disk that ends or fails at every call.
#[test]
fn a_change_of_the_catalog_takes_place_or_does_not() {
    let change = |log: &Log| -> Result<u32, (u32, Error)> {
        log.hold("new", 2.., "asked").map_err(|error| (0, error))?;
        log.release("all", "").map_err(|error| (1, error))?;
        Ok(2)
    };
    let states: [&[&str]; 3] = [&["case 7", "all"], &["case 7", "all", "new"], &["case 7", "new"]];
    let calls = |disk: &SimDisk| disk.calls();
    let whole = held();
    let log = open(&whole);
    let before = calls(&whole);
    assert_eq!(change(&log).unwrap(), 2);
    let made = calls(&whole) - before;
    assert!(made > 8, "{made} calls");
    for call in 0..made {
        for fault in [Fault::Stop, Fault::Io, Fault::Full, Fault::Zero] {
            let disk = held();
            let log = open(&disk);
            disk.fail_at(calls(&disk) + call, fault, fault == Fault::Stop);
            let done = change(&log);
            let least = match &done {
                Ok(done) | Err((done, _)) => *done as usize,
            };
            for loss in Loss::ALL {
                for seed in 0..2 {
                    let context = format!("{fault:?} at call {call}, {loss:?}, {seed}: {done:?}");
                    let after = disk.crash(loss, seed);
                    let reader = Reader::open_on(after.storage()).unwrap();
                    assert!(reader.verify(&mut |_| ()).unwrap().is_sound(), "{context}");
                    let log = open(&after);
                    let (seen, found) = (reader.holds().unwrap(), log.holds().unwrap());
                    assert_eq!(seen, found, "{context}");
                    let possible = &states[least..states.len().min(least + 2)];
                    assert!(possible.contains(&&names(&found)[..]), "{context}: {found:?}");
                    assert!(log.recovery().is_complete(), "{context}");
                    log.hold("later", .., "").unwrap_or_else(|error| panic!("{context}: {error}"));
                    assert!(after.read("catalog.tmp").is_none(), "{context}");
                }
            }
        }
    }
}

#[test]
fn a_lost_catalog_keeps_nobody_from_the_records_and_changes_only_by_a_repair() {
    let disk = held();
    disk.replace("catalog", &[7; 5_000]);
    let reader = Reader::open_on(disk.storage()).unwrap();
    assert!(matches!(reader.holds(), Err(Error::Damaged(_))));
    let verified = reader.verify(&mut |_| ()).unwrap();
    assert_eq!((verified.damage.len(), verified.records), (2, 5), "{:?}", verified.damage);
    assert!(verified.damage[0].detail.contains("holds"), "{:?}", verified.damage);

    let log = open(&disk);
    assert_eq!(log.recovery().damaged.len(), 2);
    append(&log, 1);
    assert!(matches!(log.hold("new", .., ""), Err(Error::Damaged(_))));
    assert!(matches!(log.holds(), Err(Error::Damaged(_))));
    log.close().unwrap();

    let planned = Repair::dry_run().run_on(disk.storage()).unwrap();
    assert_eq!(planned.replaced[0].files, ["catalog"]);
    let repaired = Repair::apply().run_on(disk.storage()).unwrap();
    assert!(repaired.is_sound() && repaired.gaps.is_empty(), "{repaired:?}");
    assert_eq!(repaired.replaced[0].kept, ["quarantine/catalog.from-0"]);
    assert_eq!(disk.read("quarantine/catalog.from-0").unwrap(), [7; 5_000]);
    let log = open(&disk);
    assert_eq!(log.holds().unwrap(), []);
    log.hold("new", .., "").unwrap();
    assert_eq!(log.reader().scan(ScanRange::all()).unwrap().count(), 6);
}

#[test]
fn one_damaged_copy_costs_nothing_and_is_repaired() {
    let disk = held();
    let mut bytes = disk.read("catalog").unwrap();
    bytes[140] ^= 1;
    disk.replace("catalog", &bytes);
    let log = open(&disk);
    assert_eq!((names(&log.holds().unwrap()), log.recovery().damaged.len()), (vec!["case 7", "all"], 1));
    log.close().unwrap();
    let repaired = Repair::apply().run_on(disk.storage()).unwrap();
    assert!(repaired.is_sound() && repaired.damage.len() == 1, "{repaired:?}");
    assert_eq!(names(&open(&disk).holds().unwrap()), ["case 7", "all"]);
    assert!(Repair::dry_run().run_on(disk.storage()).unwrap().is_needless());
}

#[test]
fn no_seq_is_given_again_because_the_catalog_is_lost() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    log.hold("all", .., "").unwrap();
    log.close().unwrap();
    disk.replace("catalog", &[7; 5_000]);
    for _ in 0..2 {
        let refused = options().open_or_create_on(disk.storage());
        assert!(matches!(&refused, Err(Error::Damaged(damage)) if damage.path.ends_with("catalog")), "{refused:?}");
        assert!(matches!(Repair::apply().run_on(disk.storage()), Err(Error::Damaged(_))));
    }
}

fn indexed(log: &Log) -> Vec<String> {
    log.indexed_fields().iter().map(ToString::to_string).collect()
}

fn open_indexed(disk: &SimDisk, paths: &[&str]) -> Log {
    let fields = paths.iter().map(|path| field(path).unwrap());
    options().index_fields(fields).open_or_create_on(disk.storage()).unwrap()
}

/// How many files of the log have this ending.
fn count(disk: &SimDisk, ending: &str) -> usize {
    disk.files().iter().filter(|(name, _)| name.ends_with(ending)).count()
}

#[test]
fn fields_are_remembered_before_anything_is_sealed() {
    let disk = SimDisk::new(1);
    let log = open_indexed(&disk, &["n", "user.\"full name\""]);
    append(&log, 3);
    log.close().unwrap();
    assert_eq!(count(&disk, ".fld"), 0);
    let log = open(&disk);
    assert_eq!(indexed(&log), ["n", "user.\"full name\""]);
    log.seal().unwrap();
    assert_eq!(count(&disk, ".fld"), 1);
    log.close().unwrap();
    let after = disk.crash(Loss::Everything, 1);
    let reader = Reader::open_on(after.storage()).unwrap();
    assert_eq!(reader.info().unwrap().indexed_fields, ["n", "user.\"full name\""]);
}

#[test]
fn an_end_of_indexing_is_remembered_too() {
    let disk = SimDisk::new(1);
    let log = open_indexed(&disk, &["n"]);
    append(&log, 3);
    log.seal().unwrap();
    log.close().unwrap();
    open_indexed(&disk, &[]).close().unwrap();
    let log = open(&disk);
    assert_eq!(indexed(&log), [""; 0]);
    append(&log, 3);
    log.seal().unwrap();
    assert_eq!((count(&disk, ".seg"), count(&disk, ".fld")), (2, 1), "what is there stays");
    assert_eq!(log.reader().info().unwrap().indexed_fields, [""; 0]);
    log.hold("all", .., "").unwrap();
    log.close().unwrap();
    assert_eq!(indexed(&open(&disk)), [""; 0]);
}

#[test]
fn naming_the_same_fields_again_writes_nothing() {
    let disk = SimDisk::new(1);
    open_indexed(&disk, &["n"]).close().unwrap();
    let before = disk.read("catalog").unwrap();
    open_indexed(&disk, &["n"]).close().unwrap();
    assert_eq!(disk.read("catalog").unwrap(), before);
}

#[test]
fn a_lost_catalog_keeps_nobody_from_indexing() {
    let disk = SimDisk::new(1);
    let log = open_indexed(&disk, &["n"]);
    append(&log, 3);
    log.seal().unwrap();
    log.close().unwrap();
    disk.replace("catalog", &[7; 5_000]);
    assert_eq!(indexed(&open(&disk)), ["n"], "the newest segment tells");
    assert_eq!(indexed(&open_indexed(&disk, &["m"])), ["m"], "for this opening");
    assert_eq!(disk.read("catalog").unwrap(), [7; 5_000]);
}

#[test]
fn fields_are_remembered_by_an_opening_that_succeeds() {
    let whole = held();
    let before = whole.calls();
    open_indexed(&whole, &["m"]);
    for call in 0..whole.calls() - before {
        for fault in [Fault::Stop, Fault::Io, Fault::Full] {
            let disk = held();
            disk.fail_at(disk.calls() + call, fault, fault == Fault::Stop);
            let options = options().index_fields([field("m").unwrap()]);
            let opened = options.open_or_create_on(disk.storage()).is_ok();
            for loss in Loss::ALL {
                let context = format!("{fault:?} at call {call}, {loss:?}");
                let log = open(&disk.crash(loss, call));
                let found = indexed(&log);
                assert!(found == ["m"] || !opened && found.is_empty(), "{context}: {found:?}");
                assert_eq!(names(&log.holds().unwrap()), ["case 7", "all"], "{context}");
            }
        }
    }
}

#[test]
fn a_path_that_is_too_long_to_be_kept_is_refused() {
    let disk = SimDisk::new(1);
    let long = FieldPath::new(["\u{1}".repeat(400)]).unwrap();
    let refused = options().index_fields([long]).open_or_create_on(disk.storage());
    assert!(matches!(&refused, Err(Error::InvalidOption { option: "index_fields", .. })), "{refused:?}");
}
