//! What a log has to hold, kept in the simplest way there is.

#[path = "../codec/mod.rs"]
mod codec;

use annals::storage::sim::SimDisk;
use annals::{Background, Batch, Durability, Log, Options, Reader, Result, ScanRange, Timestamp};
use std::collections::BTreeMap;

pub(crate) fn options() -> Options {
    Options::new().background(Background::Manual).segment_bytes(64 << 10).codec(codec::codec())
}

/// What was appended, in order, and how much of it has been acknowledged as durable.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    appended: Vec<(Timestamp, BTreeMap<String, String>)>,
    durable: usize,
    /// Whether a hold was asked for, and whether that was acknowledged.
    held: Option<bool>,
    /// Counts the recoveries, so that a record that was given up and comes back is known from the one in its place.
    generation: u32,
}

impl Model {
    fn record(&self, size: usize) -> (Timestamp, BTreeMap<String, String>) {
        let n = self.appended.len();
        let text = format!("{n:05}g{}-", self.generation).repeat(size / 8 + 1);
        (Timestamp::from_micros(n as i64 * 1_000 - 7), BTreeMap::from([("text".to_owned(), text)]))
    }

    /// Appends one record of about `size` bytes.
    fn append(&mut self, log: &Log, size: usize) -> Result<()> {
        let (at, record) = self.record(size);
        // Noted before the call: a record that fails may be found all the same.
        self.appended.push((at, record.clone()));
        let seq = log.append_at(at, &record).inspect_err(|error| self.forget_refused(error, 1))?;
        assert_eq!(seq as usize + 1, self.appended.len());
        self.durable = self.durable.max(self.appended.len());
        Ok(())
    }

    /// Appends a batch without waiting for it.
    fn append_batch(&mut self, log: &Log, count: usize, size: usize) -> Result<()> {
        let mut batch = Batch::new();
        for _ in 0..count {
            let (at, record) = self.record(size);
            batch.push_at(at, &record)?;
            self.appended.push((at, record));
        }
        let seqs = log.append_batch(&mut batch).inspect_err(|error| self.forget_refused(error, count))?;
        assert_eq!(seqs.end as usize, self.appended.len());
        Ok(())
    }

    /// A batch that was refused for want of space has left no trace.
    fn forget_refused(&mut self, error: &annals::Error, count: usize) {
        if matches!(error, annals::Error::DiskFull { .. }) {
            self.appended.truncate(self.appended.len() - count);
        }
    }

    /// Opens the log on `disk`, and checks that it holds everything acknowledged, in order and unchanged, and nothing
    /// that was not appended; by a reader first, which may not change anything; then that it goes on from there.
    pub(crate) fn check(mut self, disk: &SimDisk, context: &str) {
        if self.durable > 0 {
            let before = disk.files();
            let reader = Reader::open_on(disk.storage()).unwrap_or_else(|error| panic!("{context}: reader: {error}"));
            self.compare(&reader, context);
            assert_eq!(before, disk.files(), "{context}: a reader changed something");
        }
        let log = options().open_or_create_on(disk.storage()).unwrap_or_else(|error| panic!("{context}: {error}"));
        let report = log.recovery();
        assert!(report.is_complete(), "{context}: {report:?}");
        match (self.held, &log.holds().unwrap_or_else(|error| panic!("{context}: {error}"))[..]) {
            (None | Some(false), []) => {}
            (Some(_), [hold]) => assert_eq!((hold.first_seq, hold.end_seq), (3, None), "{context}"),
            (held, holds) => panic!("{context}: a hold was asked for: {held:?}; there are {holds:?}"),
        }
        let found = self.compare(&log.reader(), context);
        assert_eq!(found as u64, log.next_seq(), "{context}");
        // What was not acknowledged and is not there will never be.
        self.appended.truncate(found);
        (self.durable, self.generation) = (found, self.generation + 1);
        for _ in 0..3 {
            self.append(&log, 100).unwrap_or_else(|error| panic!("{context}: after recovery: {error}"));
        }
        log.seal().unwrap_or_else(|error| panic!("{context}: sealing after recovery: {error}"));
        self.append(&log, 100).unwrap_or_else(|error| panic!("{context}: after sealing: {error}"));
        log.close().unwrap_or_else(|error| panic!("{context}: closing: {error}"));

        let log = options().open_or_create_on(disk.storage()).unwrap_or_else(|error| panic!("{context}: {error}"));
        assert!(log.recovery().clean, "{context}: {:?}", log.recovery());
        assert_eq!(self.compare(&log.reader(), context), self.appended.len(), "{context}");
        let verified = log.reader().verify(&mut |_| ()).unwrap_or_else(|error| panic!("{context}: {error}"));
        assert!(verified.damage.is_empty(), "{context}: {:?}", verified.damage);
        assert_eq!(verified.records as usize, self.appended.len(), "{context}");
    }

    /// Compares what `reader` returns with what was appended. Returns how many records there are.
    fn compare(&self, reader: &Reader, context: &str) -> usize {
        let mut count = 0;
        let mut scan = reader.scan(ScanRange::all()).unwrap_or_else(|error| panic!("{context}: {error}"));
        while let Some(record) = scan.advance().unwrap_or_else(|error| panic!("{context}: record {count}: {error}")) {
            assert_eq!(record.seq(), count as u64, "{context}");
            let Some((at, expected)) = self.appended.get(count) else {
                panic!("{context}: record {count} was never appended");
            };
            assert_eq!(record.timestamp(), *at, "{context}: record {count}");
            let found: BTreeMap<String, String> = record.decode().unwrap();
            assert!(found == *expected, "{context}: record {count} is another one");
            count += 1;
        }
        assert!(count >= self.durable, "{context}: {count} records, of {} that were acknowledged", self.durable);
        assert_eq!(reader.end_seq(), count as u64, "{context}");
        count
    }
}

/// Appends, each record on its own and durable, and leaves the log open.
pub(crate) fn run_appends(disk: &SimDisk, model: &mut Model) -> Result<Log> {
    let log = options().open_or_create_on(disk.storage())?;
    for size in [10, 600, 40] {
        model.append(&log, size)?;
    }
    Ok(log)
}

/// Appends singly and in batches, rolls, makes a hold, seals, closes and reopens.
pub(crate) fn run_scenario(disk: &SimDisk, model: &mut Model) -> Result<()> {
    let log = options().open_or_create_on(disk.storage())?;
    for size in [10, 600, 5_000] {
        model.append(&log, size)?;
    }
    log.maintain()?;
    model.append_batch(&log, 20, 900)?;
    model.durable = model.appended.len();
    model.held = Some(false);
    log.hold("case 7", 3.., "a court asked")?;
    model.held = Some(true);
    for _ in 0..6 {
        model.append(&log, 9_000)?;
    }
    log.maintain()?;
    drop(log);

    // A log that syncs only when asked.
    let buffered = Durability::Buffered { interval: std::time::Duration::from_secs(1) };
    let log = options().durability(buffered).open_or_create_on(disk.storage())?;
    for _ in 0..4 {
        model.append_batch(&log, 5, 3_000)?;
    }
    log.sync()?;
    model.durable = model.appended.len();
    model.append_batch(&log, 30, 700)?;
    model.append_batch(&log, 30, 700)?;
    log.seal()?;
    model.durable = model.appended.len();
    model.append_batch(&log, 3, 100)?;
    log.close()?;
    model.durable = model.appended.len();
    Ok(())
}
