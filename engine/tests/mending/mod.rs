//! A log to damage, and what has to be true of it once it was repaired.
#![allow(dead_code, reason = "each test file uses a part of it")]

#[path = "../random/mod.rs"]
mod random;

#[path = "../codec/mod.rs"]
mod codec;

use annals::storage::sim::SimDisk;
use annals::{
    Background, Batch, Error, Gap, Log, Options, Reader, RecordBuf, Repair, RepairReport, ScanRange, Timestamp,
};
pub(crate) use random::Random;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn options() -> Options {
    Options::new().background(Background::Manual).segment_bytes(64 << 10).codec(codec::codec())
}

pub(crate) type Files = Vec<(String, Vec<u8>)>;

/// The files on `disk` that a log consists of: not who holds it, nor how far it went.
pub(crate) fn files(disk: &SimDisk) -> Files {
    let names = disk.files().into_iter().map(|(name, _)| name).filter(|name| name != "lock" && name != "head");
    names.map(|name| (name.clone(), disk.read(&name).unwrap())).collect()
}

/// A disk with these files, and no others.
pub(crate) fn disk_of(files: &Files, seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    files.iter().for_each(|(name, bytes)| disk.replace(name, bytes));
    disk
}

/// The files of a log, and what it holds.
#[derive(Debug, Clone)]
pub(crate) struct Fixture {
    pub(crate) files: Files,
    pub(crate) records: Vec<RecordBuf>,
}

pub(crate) fn append(log: &Log, count: u64, size: usize) {
    for _ in 0..count {
        let n = log.next_seq();
        let text = format!("{:x}-{n}-", Random(n).next()).repeat(size / 20 + 1);
        log.append_at(Timestamp::from_micros(n as i64 * 1_000 - 7), &BTreeMap::from([("text", text)])).unwrap();
    }
}

pub(crate) fn append_batch(log: &Log, count: u64) {
    let mut batch = Batch::new();
    for n in log.next_seq()..log.next_seq() + count {
        let mut random = Random(n);
        let text: String = (0..8).map(|_| format!("{:016x}", random.next())).collect();
        let body = BTreeMap::from([("text", text)]);
        batch.push_at(Timestamp::from_micros(n as i64 * 1_000), &body).unwrap();
    }
    log.append_batch(&mut batch).unwrap();
}

impl Fixture {
    /// Three sealed segments, the middle one of them with several hundred records; a closed raw segment and one that was
    /// not closed.
    pub(crate) fn new() -> Self {
        let disk = SimDisk::new(5);
        let log = options().open_or_create_on(disk.storage()).unwrap();
        append(&log, 12, 4_000);
        append_batch(&log, 3);
        log.seal().unwrap();
        append_batch(&log, 350);
        append_batch(&log, 350);
        append(&log, 20, 900);
        log.seal().unwrap();
        append(&log, 30, 1_500);
        log.seal().unwrap();
        append(&log, 10, 100);
        append_batch(&log, 5);
        log.close().unwrap();
        let log = options().open_or_create_on(disk.storage()).unwrap();
        append(&log, 8, 300);
        log.maintain().unwrap();
        append(&log, 2, 50);
        let records = log.reader().scan(ScanRange::all()).unwrap().map(|record| record.unwrap()).collect();
        let mut files = files(&disk);
        for (_, bytes) in files.iter_mut().filter(|(name, _)| name.ends_with(".log")) {
            // Unused space is all alike: a little of it is enough.
            let end = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
            bytes.truncate(end + 600);
        }
        Self { files, records }
    }

    /// A closed raw segment with one record and one batch of 40 records.
    pub(crate) fn batch() -> Self {
        let disk = SimDisk::new(5);
        let log = options().open_or_create_on(disk.storage()).unwrap();
        append(&log, 1, 100);
        append_batch(&log, 40);
        let records = log.reader().scan(ScanRange::all()).unwrap().map(|record| record.unwrap()).collect();
        log.close().unwrap();
        Self { files: files(&disk), records }
    }

    pub(crate) fn names(&self, ending: &str) -> Vec<String> {
        self.files.iter().map(|(name, _)| name.clone()).filter(|name| name.ends_with(ending)).collect()
    }

    pub(crate) fn file(&self, name: &str) -> &Vec<u8> {
        &self.files.iter().find(|(file, _)| file == name).unwrap().1
    }

    /// The files after a change of one of them; `None` takes it away.
    pub(crate) fn with(&self, name: &str, bytes: Option<Vec<u8>>) -> Files {
        let kept = self.files.iter().filter(|(file, _)| file != name).cloned();
        kept.chain(bytes.map(|bytes| (name.to_owned(), bytes))).collect()
    }
}

/// What can be read of a log: the seqs of the records that a reader returns, and where the log ends. No record may be
/// another than was appended.
pub(crate) fn readable(reader: &Reader, records: &[RecordBuf], context: &str) -> (BTreeSet<u64>, u64) {
    let mut found = BTreeSet::new();
    for outcome in reader.scan(ScanRange::all()).unwrap() {
        match outcome {
            Ok(record) => {
                let expected = records.get(record.seq() as usize);
                assert!(expected == Some(&record), "{context}: record {} is not what was appended", record.seq());
                found.insert(record.seq());
            }
            Err(Error::Damaged(_)) => {}
            Err(error) => panic!("{context}: {error}"),
        }
    }
    (found, reader.end_seq())
}

/// What a writer that opened the damaged log would still find in it.
fn readable_before(files: &Files, records: &[RecordBuf], context: &str) -> (BTreeSet<u64>, u64) {
    let disk = disk_of(files, 77);
    match options().open_or_create_on(disk.storage()) {
        Ok(log) => readable(&log.reader(), records, context),
        Err(Error::Damaged(_) | Error::NotEmpty { .. }) => match Reader::open_on(disk_of(files, 78).storage()) {
            Ok(reader) => readable(&reader, records, context),
            Err(error) => panic!("{context}: {error}"),
        },
        Err(error) => panic!("{context}: {error}"),
    }
}

/// What is left of the log: which records can be read, and which are in gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) found: BTreeSet<u64>,
    pub(crate) missing: BTreeSet<u64>,
    pub(crate) unproven: u64,
}

/// Repairs the log in `files`, and checks all that has to hold then.
pub(crate) fn repair(files: &Files, records: &[RecordBuf], context: &str) -> (SimDisk, RepairReport, Left) {
    let disk = disk_of(files, 79);
    let planned = Repair::dry_run().run_on(disk.storage()).unwrap_or_else(|e| panic!("{context}: dry run: {e}"));
    let before: Files = disk.files().iter().map(|(name, _)| (name.clone(), disk.read(name).unwrap())).collect();
    let mut sorted = files.clone();
    sorted.sort();
    assert!(before == sorted, "{context}: a dry run changed something");
    let report = Repair::apply().run_on(disk.storage()).unwrap_or_else(|e| panic!("{context}: {e}"));
    assert!(report.is_sound(), "{context}: {:?}", report.remaining);
    assert!(planned.is_needless() <= report.damage.is_empty(), "{context}: {planned:?} {report:?}");
    for (file, copy) in report.replaced.iter().flat_map(|replaced| &replaced.kept).map(|kept| (original(kept), kept)) {
        if let Some((_, bytes)) = files.iter().find(|(name, _)| name == file) {
            assert!(disk.read(copy).as_ref() == Some(bytes), "{context}: {copy} is no copy of {file}");
        }
    }
    let left = check(&disk, records, context);
    let (readable, end) = readable_before(files, records, context);
    let lost: Vec<_> = readable.difference(&left.found).collect();
    assert!(lost.is_empty(), "{context}: could be read before the repair: {lost:?}");
    assert!(
        left.missing.last().max(left.found.last()).is_none_or(|last| *last < end.max(report.next_seq)),
        "{context}"
    );
    (disk, report, left)
}

/// The file that a file in quarantine is a copy of.
fn original(kept: &str) -> &str {
    kept.strip_prefix("quarantine/").unwrap().split_once(".from-").unwrap().0
}

/// Checks a repaired log: sound, nothing in it but what was appended and gaps, in every way of reading. Then that it
/// goes on: another repair finds nothing to do, appends are accepted, everything can be sealed, and it is sound again.
pub(crate) fn check(disk: &SimDisk, records: &[RecordBuf], context: &str) -> Left {
    let reader = Reader::open_on(disk.storage()).unwrap_or_else(|e| panic!("{context}: {e}"));
    let verified = reader.verify(&mut |_| ()).unwrap();
    assert!(verified.is_sound(), "{context}: {:?}", verified.damage);
    assert!(verified.root.is_some() && verified.indexes.is_empty(), "{context}: {verified:?}");
    let end = reader.end_seq();
    let missing = seqs_of(&verified.gaps);
    assert_eq!(reader.gaps().unwrap(), verified.gaps, "{context}");
    let told: u64 = reader.info().unwrap().segments.iter().map(|segment| segment.missing).sum();
    assert_eq!(told, missing.len() as u64, "{context}");
    let mut scan = reader.scan(ScanRange::all()).unwrap();
    let mut found = BTreeSet::new();
    while let Some(record) = scan.advance().unwrap_or_else(|e| panic!("{context}: {e}")) {
        let expected = records.get(record.seq() as usize).map(RecordBuf::as_record);
        assert!(expected == Some(record), "{context}: record {} is not what was appended", record.seq());
        found.insert(record.seq());
    }
    assert_eq!(scan.gaps(), verified.gaps, "{context}");
    assert!(found.is_disjoint(&missing), "{context}");
    assert_eq!(found.union(&missing).copied().collect::<Vec<_>>(), (0..end).collect::<Vec<_>>(), "{context}");
    assert_eq!(verified.records, found.len() as u64, "{context}");
    // Backwards, in a window of times, one by one, and following: the gaps are told each time.
    let mut scan = reader.scan(ScanRange::all().reverse()).unwrap();
    assert_eq!(scan.by_ref().map(|record| record.unwrap().seq()).collect::<BTreeSet<_>>(), found, "{context}");
    assert_eq!(seqs_of(scan.gaps()), missing, "{context}");
    let mut scan = reader.scan(ScanRange::all().since(Timestamp::from_micros(i64::MAX - 5))).unwrap();
    assert!(scan.next().is_none());
    assert_eq!(seqs_of(scan.gaps()), missing, "{context}: a window of times hides a gap");
    for seq in 0..end {
        match reader.get(seq) {
            Ok(Some(_)) => assert!(found.contains(&seq), "{context}"),
            Err(Error::Gap(gap)) => assert!(missing.contains(&seq) && verified.gaps.contains(&gap), "{context}"),
            other => panic!("{context}: get({seq}): {other:?}"),
        }
    }
    let mut tail = reader.tail(0);
    let followed = std::iter::from_fn(|| tail.next(Some(std::time::Duration::ZERO)).unwrap());
    assert_eq!(followed.map(|record| record.seq()).collect::<BTreeSet<_>>(), found, "{context}");
    assert_eq!(seqs_of(&tail.take_gaps()), missing, "{context}");
    drop(reader);

    let before = files(disk);
    let again = Repair::apply().run_on(disk.storage()).unwrap_or_else(|e| panic!("{context}: again: {e}"));
    assert!(again.is_needless() && again.is_sound(), "{context}: again: {again:?}");
    assert!(before == files(disk), "{context}: a repair of a sound log changed something");

    let after = disk.crash(annals::storage::sim::Loss::Nothing, 1);
    let log = options().open_or_create_on(after.storage()).unwrap_or_else(|e| panic!("{context}: opening: {e}"));
    assert!(log.recovery().is_complete(), "{context}: {:?}", log.recovery());
    assert_eq!(log.next_seq(), end, "{context}");
    for part in 0..2 {
        append(&log, 3, 100);
        log.seal().unwrap_or_else(|e| panic!("{context}: sealing: {e}"));
        assert_eq!(log.next_seq(), end + 3 * (part + 1), "{context}");
    }
    log.close().unwrap();
    let reader = Reader::open_on(after.storage()).unwrap();
    let verified = reader.verify(&mut |_| ()).unwrap();
    assert!(verified.is_sound() && verified.root.is_some(), "{context}: later: {:?}", verified.damage);
    assert_eq!((verified.records, verified.end_seq), (found.len() as u64 + 6, end + 6), "{context}");
    Left { found, missing, unproven: verified.unproven }
}

pub(crate) fn seqs_of(gaps: &[Gap]) -> BTreeSet<u64> {
    gaps.iter().flat_map(|gap| gap.first_seq..gap.end_seq).collect()
}
