//! Field indexes across crashes: whatever is left of one, answers are those of a scan, and it is made again.

use annals::storage::sim::{Fault, Loss, SimDisk};
use annals::{Background, Error, FieldPath, Log, Options, Query, Reader, Result, field};
use serde::Serialize;

#[derive(Serialize)]
struct Event {
    id: String,
    status: u64,
}

fn fields(paths: &[&str]) -> Vec<FieldPath> {
    paths.iter().map(|path| field(path).unwrap()).collect()
}

fn open(disk: &SimDisk, paths: &[&str]) -> Result<Log> {
    let options = Options::new().background(Background::Manual).segment_bytes(64 << 10);
    options.index_fields(fields(paths)).open_or_create_on(disk.storage())
}

fn append(log: &Log, count: u64) -> Result<()> {
    for _ in 0..count {
        let seq = log.next_seq();
        log.append(&Event { id: format!("id-{seq}"), status: seq % 4 })?;
    }
    Ok(())
}

/// Segments that are indexed when they are sealed, and again when there is a field more.
fn scenario(disk: &SimDisk) -> Result<()> {
    let log = open(disk, &["id"])?;
    append(&log, 8)?;
    log.seal()?;
    append(&log, 6)?;
    log.seal()?;
    log.close()?;
    let log = open(disk, &["id", "status"])?;
    log.maintain()?;
    append(&log, 2)?;
    log.close()
}

/// Every answer of `reader` is that of a scan.
fn check(reader: &Reader, context: &str) {
    for (path, values) in [("id", vec!["id-3", "id-9", "id-15", "none"]), ("status", vec!["1", "3", "7"])] {
        for value in values {
            let condition = match path {
                "id" => field(path).unwrap().is(value),
                _ => field(path).unwrap().is(value.parse::<u64>().unwrap()),
            };
            let query = Query::default();
            let all = reader.query(&query).unwrap().map(|record| record.unwrap());
            let holds =
                |seq: u64| if path == "id" { format!("id-{seq}") == value } else { (seq % 4).to_string() == value };
            let naive: Vec<u64> = all.map(|record| record.seq()).filter(|seq| holds(*seq)).collect();
            let found = reader.query(&query.filter(condition)).unwrap().map(|record| record.unwrap().seq());
            assert_eq!(found.collect::<Vec<_>>(), naive, "{path} = {value}, {context}");
        }
    }
}

fn calls() -> u64 {
    let disk = SimDisk::new(1);
    scenario(&disk).unwrap();
    check(&Reader::open_on(disk.storage()).unwrap(), "no fault");
    let indexes = disk.files().into_iter().filter(|(name, _)| name.ends_with(".fld"));
    assert_eq!(indexes.count(), 2);
    disk.calls()
}

#[test]
fn a_crash_at_any_call_leaves_answers_as_they_are() {
    for call in 0..calls() {
        let disk = SimDisk::new(1);
        disk.fail_at(call, Fault::Stop, true);
        let _ = scenario(&disk);
        for loss in Loss::ALL {
            let context = format!("stop at call {call}, {loss:?}");
            let after = disk.crash(loss, call);
            match Reader::open_on(after.storage()) {
                Ok(reader) => check(&reader, &context),
                Err(Error::NotALog { .. }) => {}
                Err(error) => panic!("{error}, {context}"),
            }
            let log = open(&after, &["id", "status"]).unwrap();
            log.maintain().unwrap();
            check(&log.reader(), &context);
            for (name, _) in after.files().into_iter().filter(|(name, _)| name.ends_with(".seg")) {
                assert!(after.read(&name.replace(".seg", ".fld")).is_some(), "{name}, {context}");
            }
            assert!(after.files().iter().all(|(name, _)| !name.ends_with(".fld.tmp")), "{context}");
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
            let context = format!("{fault:?} at call {call}");
            let log = open(&disk, &["id", "status"]).unwrap();
            log.maintain().unwrap();
            check(&log.reader(), &context);
        }
    }
}
