//! A small log with everything in it that a log can have, and what has to be true of it after it was damaged.
#![allow(dead_code, reason = "each test file uses a part of it")]

#[path = "../random/mod.rs"]
mod random;

#[path = "../codec/mod.rs"]
mod codec;

use annals::storage::sim::{Loss, SimDisk};
use annals::{
    Background, Batch, Damage, Durability, Error, Log, Options, ReadBuffer, Reader, RecordBuf, RecoveryReport,
    ScanRange, Timestamp, VerifyReport,
};
pub(crate) use random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The seed of the disk that fixtures are made on: a reader on another one believes that the machine was restarted.
pub(crate) const SEED: u64 = 11;

pub(crate) fn options() -> Options {
    Options::new().background(Background::Manual).segment_bytes(64 << 10).codec(codec::codec())
}

/// The record `n` of the log `salt`: about `size` bytes.
pub(crate) fn record(salt: u64, n: u64, size: usize) -> (Timestamp, BTreeMap<String, String>) {
    let word = format!("{:x}-{n}-", Random(salt << 32 | n).next());
    let text = word.repeat(size / word.len() + 1);
    (Timestamp::from_micros(n as i64 * 1_000 - 7), BTreeMap::from([("text".to_owned(), text)]))
}

/// The files of a log, and what it holds.
#[derive(Debug, Clone)]
pub(crate) struct Fixture {
    pub(crate) files: Vec<(String, Vec<u8>)>,
    pub(crate) records: Vec<RecordBuf>,
    /// The records that stand or fall together: those of one frame or block.
    pub(crate) groups_max: usize,
    pub(crate) active: String,
    /// Whether the disk with the seed [`SEED`] is that of the machine that wrote the head.
    pub(crate) same_boot: bool,
    /// Stale bytes of the active segment, from when it held fewer records, and how many there were in the log then.
    pub(crate) stale_active: (Vec<u8>, u64),
}

fn append(log: &Log, salt: u64, count: u64, size: usize) {
    for _ in 0..count {
        let (at, body) = record(salt, log.next_seq(), size);
        log.append_at(at, &body).unwrap();
    }
}

fn append_batch(log: &Log, salt: u64, count: u64, size: usize) {
    let mut batch = Batch::new();
    for n in log.next_seq()..log.next_seq() + count {
        let (at, body) = record(salt, n, size);
        batch.push_at(at, &body).unwrap();
    }
    log.append_batch(&mut batch).unwrap();
}

/// Names of the raw segments on `disk`.
pub(crate) fn raws(disk: &SimDisk) -> Vec<String> {
    disk.files().into_iter().map(|(name, _)| name).filter(|name| name.ends_with(".log")).collect()
}

impl Fixture {
    /// A catalog with a hold, two sealed segments with their indexes, a closed raw segment, and an active one that was not closed.
    pub(crate) fn small(salt: u64) -> Self {
        Self::small_on(SEED, salt)
    }

    /// As [`Fixture::small`], made on another disk.
    pub(crate) fn small_on(seed: u64, salt: u64) -> Self {
        let disk = SimDisk::new(seed);
        let log = options().open_or_create_on(disk.storage()).unwrap();
        append(&log, salt, 12, 4_000);
        append_batch(&log, salt, 3, 50);
        log.seal().unwrap();
        log.hold("case 7", 3..9, "a court asked").unwrap();
        append(&log, salt, 3, 80);
        log.seal().unwrap();
        append_batch(&log, salt, 4, 60);
        append(&log, salt, 2, 300);
        log.close().unwrap();
        let log = options().open_or_create_on(disk.storage()).unwrap();
        append(&log, salt, 2, 40);
        append_batch(&log, salt, 4, 70);
        log.maintain().unwrap();
        append(&log, salt, 1, 700);
        let active = raws(&disk).pop().unwrap();
        let stale_active = (trimmed(disk.read(&active).unwrap(), 128), log.next_seq());
        append(&log, salt, 2, 60);
        Self::of(&disk, &log, 7, active, stale_active)
    }

    /// A sealed segment, a raw one that a crash ended, the one in which recovery gave its last records a new place, and
    /// an active one.
    pub(crate) fn recovered(salt: u64) -> Self {
        let disk = SimDisk::new(SEED);
        let log = options().open_or_create_on(disk.storage()).unwrap();
        append(&log, salt, 3, 500);
        log.seal().unwrap();
        append(&log, salt, 3, 200);
        drop(log);
        let log = options().durability(Durability::Written).open_or_create_on(disk.storage()).unwrap();
        append(&log, salt, 2, 90);
        append_batch(&log, salt, 3, 60);
        // As after a kill: what was written is there, and nothing says that it is durable.
        let disk = disk.crash(Loss::Nothing, 1);
        drop(log);
        let log = options().open_or_create_on(disk.storage()).unwrap();
        assert!(log.recovery().rewritten.is_some(), "{:?}", log.recovery());
        append(&log, salt, 2, 60);
        let active = raws(&disk).pop().unwrap();
        Self { same_boot: false, ..Self::of(&disk, &log, 7, active, (Vec::new(), 0)) }
    }

    /// One sealed segment with a dictionary and many blocks.
    pub(crate) fn with_dictionary(salt: u64) -> Self {
        let disk = SimDisk::new(SEED);
        let log = options().segment_bytes(1 << 20).open_or_create_on(disk.storage()).unwrap();
        for n in 0..2_000u64 {
            let mut random = Random(salt << 32 | n);
            let body = BTreeMap::from([
                ("user", format!("user-{}@example.com", random.below(500))),
                ("action", ["login", "logout", "read", "write"][random.below(4) as usize].to_owned()),
                ("request", format!("{:016x}{:016x}", random.next(), random.next())),
                ("agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)".to_owned()),
            ]);
            log.append_at(Timestamp::from_micros(n as i64), &body).unwrap();
        }
        log.seal().unwrap();
        append(&log, salt, 2, 60);
        let active = raws(&disk).pop().unwrap();
        Self::of(&disk, &log, 200, active, (Vec::new(), 0))
    }

    fn of(disk: &SimDisk, log: &Log, groups_max: usize, active: String, stale_active: (Vec<u8>, u64)) -> Self {
        let files = disk.files().into_iter().map(|(name, _)| {
            let bytes = disk.read(&name).unwrap();
            // Unused space is all alike: a little of it is enough.
            let bytes = if name.ends_with(".log") { trimmed(bytes, 128) } else { bytes };
            (name, bytes)
        });
        let files = files.collect();
        let records = log.reader().scan(ScanRange::all()).unwrap().map(|record| record.unwrap()).collect();
        Self { files, records, groups_max, active, same_boot: true, stale_active }
    }

    pub(crate) fn file(&self, name: &str) -> &[u8] {
        &self.files.iter().find(|(file, _)| file == name).unwrap().1
    }

    pub(crate) fn names(&self, ending: &str) -> Vec<String> {
        self.files.iter().map(|(name, _)| name.clone()).filter(|name| name.ends_with(ending)).collect()
    }

    /// Where the bytes of a file end that are not just unused space. The gap after a frame is part of it.
    pub(crate) fn data_end(&self, name: &str) -> usize {
        self.file(name).iter().rposition(|&byte| byte != 0).map_or(0, |last| (last + 1).next_multiple_of(8))
    }

    /// Where in a raw segment that isn't the last the frames begin that have another place, in the segment after it.
    pub(crate) fn superseded_from(&self, name: &str) -> Option<usize> {
        let bytes = self.file(name);
        let next = self.names(".log").into_iter().find(|other| other.as_str() > name)?;
        let next_base: u64 = next[..20].parse().unwrap();
        let mut at = 8_192;
        while bytes.get(at..at + 4) == Some(b"aFrm") {
            let field = |from: usize, len: usize| {
                let mut number = [0; 8];
                number[..len].copy_from_slice(&bytes[at + from..at + from + len]);
                u64::from_le_bytes(number)
            };
            if field(16, 8) >= next_base {
                return Some(at);
            }
            at += (72 + field(8, 4) as usize).next_multiple_of(8);
        }
        None
    }

    /// A disk with these files, but `bytes` in place of those of `name`.
    pub(crate) fn disk(&self, seed: u64, name: &str, bytes: &[u8]) -> SimDisk {
        let disk = SimDisk::new(seed);
        for (file, original) in &self.files {
            disk.replace(file, if file == name { bytes } else { original });
        }
        disk
    }
}

/// `bytes` without the zeros at their end, but for `kept` of them.
pub(crate) fn trimmed(mut bytes: Vec<u8>, kept: usize) -> Vec<u8> {
    let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(end + kept);
    bytes
}

/// What a reader could not return, and what verifying says.
pub(crate) struct Seen {
    pub(crate) lost: BTreeSet<u64>,
    pub(crate) end_seq: u64,
    pub(crate) verified: VerifyReport,
}

/// Reads everything in every way. No record may differ from what was appended, and what a way of reading does not
/// return it has to name.
pub(crate) fn read_everything(reader: &Reader, records: &[RecordBuf], context: &str) -> BTreeSet<u64> {
    let check = |record: &RecordBuf| {
        let expected = records.get(record.seq() as usize);
        assert!(expected == Some(record), "{context}: record {} is not what was appended", record.seq());
    };
    let end_seq = reader.end_seq();
    let mut lost = BTreeSet::new();
    let mut buffer = ReadBuffer::new();
    for seq in 0..end_seq {
        match reader.get_into(seq, &mut buffer) {
            Ok(Some(record)) => {
                assert_eq!(record.seq(), seq, "{context}");
                check(&record.to_owned());
            }
            Err(Error::Damaged(damage)) => {
                assert!(names(&damage, seq), "{context}: get({seq}) names other records: {damage}");
                lost.insert(seq);
            }
            other => panic!("{context}: get({seq}): {other:?}"),
        }
    }
    for reverse in [false, true] {
        let range = if reverse { ScanRange::all().reverse() } else { ScanRange::all() };
        let (mut found, mut named) = (BTreeSet::new(), BTreeSet::new());
        let mut steps = 0;
        let mut scan = reader.scan(range).unwrap_or_else(|error| panic!("{context}: {error}"));
        loop {
            steps += 1;
            assert!(steps < 10_000, "{context}: the scan does not end");
            match scan.next() {
                None => break,
                Some(Ok(record)) => {
                    check(&record);
                    assert!(found.insert(record.seq()), "{context}: record {} twice", record.seq());
                }
                Some(Err(Error::Damaged(damage))) => {
                    named.extend((0..end_seq).filter(|&seq| names(&damage, seq)));
                }
                Some(Err(error)) => panic!("{context}: scan: {error}"),
            }
        }
        let missing: BTreeSet<u64> = (0..end_seq).filter(|seq| !found.contains(seq)).collect();
        assert_eq!(missing, lost, "{context}: a scan and get differ (reverse: {reverse})");
        assert!(missing.is_subset(&named), "{context}: lost {missing:?}, named {named:?} (reverse: {reverse})");
    }
    lost
}

/// Whether a damage is about the record `seq`.
pub(crate) fn names(damage: &Damage, seq: u64) -> bool {
    damage.first_seq.is_some_and(|first| first <= seq) && damage.end_seq.is_none_or(|end| seq < end)
}

/// Whether recovery has said that `seq` is or may be lost.
pub(crate) fn is_reported(report: &RecoveryReport, seq: u64) -> bool {
    report.damaged.iter().any(|damage| names(damage, seq)) || report.dropped.iter().any(|d| d.first_seq <= seq)
}

/// Opens the log for writing and checks that nothing is lost without a word, now and after sealing and reopening.
/// Returns what can't be read.
pub(crate) fn write_after(disk: &SimDisk, records: &[RecordBuf], context: &str) -> BTreeSet<u64> {
    let log = options().open_or_create_on(disk.storage()).unwrap_or_else(|error| panic!("{context}: open: {error}"));
    let report = log.recovery().clone();
    let first_new = log.next_seq();
    let readable = readable(&log, records, first_new.min(records.len() as u64), context);
    let lost: BTreeSet<u64> = (0..records.len() as u64).filter(|seq| !readable.contains(seq)).collect();
    for &seq in &lost {
        assert!(
            is_reported(&report, seq) || matches!(log.get(seq), Err(Error::Damaged(_))) && seq < first_new,
            "{context}: record {seq} is lost without a word: {report:#?}"
        );
    }
    let mut all: BTreeMap<u64, RecordBuf> =
        records.iter().filter(|record| readable.contains(&record.seq())).map(|r| (r.seq(), r.clone())).collect();
    let mut go_on = |log: &Log| {
        for _ in 0..2 {
            let (at, body) = record(99, log.next_seq() + 1_000, 100);
            let seq = log.append_at(at, &body).unwrap_or_else(|error| panic!("{context}: append: {error}"));
            assert!(!all.contains_key(&seq), "{context}: seq {seq} was given twice");
            let found = log.get(seq).unwrap().unwrap();
            assert_eq!(found.decode::<BTreeMap<String, String>>().unwrap(), body, "{context}");
            all.insert(seq, found);
        }
        for (seq, record) in &all {
            match log.get(*seq) {
                Ok(Some(found)) => assert!(found == *record, "{context}: record {seq} has changed"),
                other => panic!("{context}: record {seq} could be read before: {other:?}"),
            }
        }
    };
    go_on(&log);
    match log.seal() {
        Ok(_) => {}
        Err(Error::Damaged(_)) if !lost.is_empty() || !report.damaged.is_empty() => {}
        Err(error) => panic!("{context}: seal: {error}"),
    }
    go_on(&log);
    log.close().unwrap_or_else(|error| panic!("{context}: close: {error}"));
    let log = options().open_or_create_on(disk.storage()).unwrap_or_else(|error| panic!("{context}: again: {error}"));
    assert!(log.recovery().dropped.is_empty(), "{context}: {:#?}", log.recovery());
    // What was reported as damage once stays so.
    for seq in lost.iter().filter(|&&seq| report.damaged.iter().any(|damage| names(damage, seq))) {
        assert!(is_reported(log.recovery(), *seq), "{context}: record {seq} was reported once: {:#?}", log.recovery());
    }
    go_on(&log);
    lost
}

fn readable(log: &Log, records: &[RecordBuf], end: u64, context: &str) -> BTreeSet<u64> {
    let mut readable = BTreeSet::new();
    for seq in 0..end {
        match log.get(seq) {
            Ok(Some(record)) => {
                assert!(record == records[seq as usize], "{context}: record {seq} is not what was appended");
                readable.insert(seq);
            }
            Err(Error::Damaged(_)) => {}
            other => panic!("{context}: get({seq}): {other:?}"),
        }
    }
    readable
}

/// Opens a reader and reads and verifies everything.
pub(crate) fn read_after(disk: &SimDisk, records: &[RecordBuf], context: &str) -> Seen {
    let before = disk.files();
    let reader = Reader::open_on(disk.storage()).unwrap_or_else(|error| panic!("{context}: reader: {error}"));
    let lost = read_everything(&reader, records, context);
    let verified = reader.verify(&mut |_| ()).unwrap_or_else(|error| panic!("{context}: verify: {error}"));
    assert_eq!(before, disk.files(), "{context}: a reader changed something");
    Seen { lost, end_seq: reader.end_seq(), verified }
}

/// How many cases are asked for by `ANNALS_CASES`, if any.
pub(crate) fn cases() -> Option<usize> {
    std::env::var("ANNALS_CASES").ok().and_then(|text| text.parse().ok())
}

/// The first of the logs that are tried: `ANNALS_SEED`.
pub(crate) fn first_salt() -> u64 {
    std::env::var("ANNALS_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(42)
}

/// How many threads [`in_parallel`] uses.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

/// The most memory that this process has had resident, in MiB; 0 where the system doesn't tell.
pub(crate) fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// Runs `work` over `items` on several threads, all of them whatever fails, and then says what failed.
pub(crate) fn in_parallel<T: Sync>(what: &str, items: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(item))) {
                        let text = panic.downcast_ref::<String>().cloned();
                        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                        failures.lock().unwrap().push(text.unwrap_or_default());
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "{what}: {} of {} failed: {:#?}",
        failures.len(),
        items.len(),
        &failures[..failures.len().min(40)]
    );
}
