//! The catalog of a log: holds, what is left where it is damaged, and its repair.

use annals::storage::sim::{Fault, Loss, SimDisk};
use annals::{Background, Error, Hold, Log, Options, Reader, Repair, ScanRange};
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
    let released = log.release("case 7").unwrap();
    assert_eq!((released.first_seq, released.end_seq, released.reason.as_str()), (1, Some(3), "a court asked"));
    assert!(matches!(log.release("case 7"), Err(Error::InvalidOption { option: "hold", .. })));
    let reader = Reader::open_on(disk.storage()).unwrap();
    assert_eq!(names(&reader.holds().unwrap()), ["all"]);
    log.close().unwrap();
    assert_eq!(names(&open(&disk).holds().unwrap()), ["all"]);
    assert!(reader.verify(&mut |_| ()).unwrap().is_sound());
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
        log.release("all").map_err(|error| (1, error))?;
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
