//! A process that can open no more files. A program of its own, since the limit is the whole process's.
#![cfg(target_os = "linux")]

use annals::{Background, Durability, Error, Log, Options, Reader, ScanRange};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const SEGMENT_BYTES: u64 = 64 << 10;
const RECORD_BYTES: usize = 2_000;

fn append(log: &Log) -> Result<u64, Error> {
    log.append(&BTreeMap::from([("text", "x".repeat(RECORD_BYTES))]))
}

/// Runs `act` while no file can be opened; those that are open stay so.
fn without_files<T>(act: impl FnOnce() -> T) -> T {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..limit }).unwrap();
    assert!(std::fs::File::open("/dev/null").is_err(), "the limit does nothing");
    let outcome = act();
    setrlimit(Resource::Nofile, limit).unwrap();
    outcome
}

/// The seqs that were appended until the log refused one, and again after that.
fn append_until_refused(log: &Log) -> u64 {
    let mut end = 0;
    let refused = loop {
        match append(log) {
            Ok(seq) => end = seq + 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::OutOfFiles { .. }), "{refused}");
    assert!(refused.to_string().contains("raise the limit"), "{refused}");
    for _ in 0..3 {
        let again = append(log);
        assert!(matches!(again, Err(Error::OutOfFiles { .. })), "{again:?}");
    }
    end
}

fn check(path: &Path, options: &Options) {
    let log = options.create(path).unwrap();
    for _ in 0..SEGMENT_BYTES as usize / RECORD_BYTES * 2 / 3 {
        append(&log).unwrap();
    }
    // Prepares the next segment, of which more than half of this one makes a need.
    log.maintain().unwrap();
    let end = without_files(|| append_until_refused(&log));
    assert!(
        end * RECORD_BYTES as u64 > SEGMENT_BYTES,
        "{end} records: the segment that was prepared is begun all the same"
    );
    log.sync().unwrap();
    assert_eq!(log.next_seq(), end);
    for n in 0..100 {
        assert_eq!(append(&log).unwrap(), end + n, "the log goes on as soon as there are files");
    }
    log.close().unwrap();
    let reader = Reader::open(path).unwrap();
    let seqs: Vec<u64> = reader.scan(ScanRange::all()).unwrap().map(|record| record.unwrap().seq()).collect();
    assert_eq!(seqs, (0..end + 100).collect::<Vec<_>>());
    assert!(reader.verify(&mut |_| ()).unwrap().is_sound());
}

#[test]
fn appends_are_refused_until_files_can_be_opened_again() {
    let home = tempfile::tempdir().unwrap();
    let options = Options::new().segment_bytes(SEGMENT_BYTES);
    let buffered = Durability::Buffered { interval: Duration::from_secs(1) };
    for (n, background) in [Background::Manual, Background::Threads].into_iter().enumerate() {
        let options = options.clone().background(background);
        check(&home.path().join(format!("durable {n}")), &options);
        check(&home.path().join(format!("written {n}")), &options.clone().durability(Durability::Written));
        check(&home.path().join(format!("cached {n}")), &options.clone().direct_io(false));
        check(&home.path().join(format!("buffered {n}")), &options.durability(buffered));
    }
}
