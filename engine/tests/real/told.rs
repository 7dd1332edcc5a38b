//! What was told of a log, and whether the log still holds it.

use super::workload::{options, record};
use annals::{Error, Log, Reader, ScanRange};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

/// The ids of the records that were acknowledged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    records: BTreeMap<u64, String>,
    checks: u64,
    /// Whether the file system may have lost the head: then a reader may not see the last commit before a writer has opened
    /// the log (docs/format.md, "Head").
    head_may_be_lost: bool,
    /// How long the slowest opening took.
    pub(crate) reopen_max: Duration,
}

impl Told {
    /// Of a log that outlives its file system, and not its process alone.
    pub(crate) fn of_a_machine() -> Self {
        Self { head_may_be_lost: true, ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Takes in one line of the workload.
    ///
    /// # Errors
    /// If it says what must not be.
    pub(crate) fn hear(&mut self, line: &str) -> Result<(), String> {
        if let Some(wrong) = line.strip_prefix('?') {
            return Err(wrong.to_owned());
        }
        let Some((seq, id)) = line.split_once(' ') else { return Ok(()) };
        let Ok(seq) = seq.parse() else { return Ok(()) };
        match self.records.insert(seq, id.to_owned()) {
            Some(other) if other != id => Err(format!("record {seq} was acknowledged as {other} and as {id}")),
            _ => Ok(()),
        }
    }

    /// Opens the log as a reader and then as a writer. Everything told has to be there and nothing may be wrong; then it
    /// has to go on.
    pub(crate) fn check(&mut self, dir: &Path) -> Result<(), String> {
        match Reader::open(dir) {
            Ok(reader) => {
                let mut told = self.clone();
                if self.head_may_be_lost {
                    told.records.retain(|seq, _| *seq < reader.end_seq());
                }
                told.compare(&reader).map_err(|error| format!("a reader: {error}"))?;
            }
            Err(Error::NotALog { .. }) if self.records.is_empty() => {}
            Err(error) => return Err(format!("reading: {error}")),
        }
        let started = Instant::now();
        let log = options().open_or_create(dir).map_err(|error| format!("opening: {error}"))?;
        self.reopen_max = self.reopen_max.max(started.elapsed());
        self.check_open(&log)?;
        log.close().map_err(|error| format!("closing: {error}"))
    }

    /// The same of a log that has just been opened for writing.
    pub(crate) fn check_open(&mut self, log: &Log) -> Result<(), String> {
        let report = log.recovery();
        if !report.is_complete() {
            return Err(format!("recovery: {report:?}"));
        }
        let found = self.compare(&log.reader())?;
        if found != log.next_seq() {
            return Err(format!("{found} records, and the next is to be {}", log.next_seq()));
        }
        let verified = log.reader().verify(&mut |_| ()).map_err(|error| format!("verifying: {error}"))?;
        if !verified.is_sound() || verified.records != found {
            return Err(format!("verify: {} of {found} records, {:?}", verified.records, verified.damage));
        }
        self.checks += 1;
        let id = format!("checks.{}", self.checks);
        let seq = log.append(&record(&id)).map_err(|error| format!("appending: {error}"))?;
        self.hear(&format!("{seq} {id}"))
    }

    /// Compares every record in the log with what was appended under its id. Returns how many there are.
    pub(crate) fn compare(&self, reader: &Reader) -> Result<u64, String> {
        let mut scan = reader.scan(ScanRange::all()).map_err(|error| format!("scanning: {error}"))?;
        let (mut next, mut missing) = (0, self.records.clone());
        let (mut ids, mut last) = (BTreeSet::new(), BTreeMap::new());
        while let Some(found) = scan.advance().map_err(|error| format!("record {next}: {error}"))? {
            let seq = found.seq();
            if seq != next {
                return Err(format!("record {seq} follows where {next} should"));
            }
            next += 1;
            let body: BTreeMap<String, String> = found.decode().map_err(|error| error.to_string())?;
            let id = body.get("id").ok_or("a record that nobody appended")?;
            if record(id) != body {
                return Err(format!("record {seq} is not what was appended as {id}: {body:?}"));
            }
            if !ids.insert(id.clone()) {
                return Err(format!("{id} is there twice, the second time as record {seq}"));
            }
            let (who, number) = id.rsplit_once('.').ok_or("an id without a number")?;
            let number: u64 = number.parse().map_err(|_| "an id without a number")?;
            if let Some(before) = last.insert(who.to_owned(), number).filter(|before| *before > number) {
                return Err(format!("{id} stands behind number {before} of the same thread"));
            }
            match missing.remove(&seq) {
                Some(told) if told != *id => return Err(format!("record {seq} is {id}; acknowledged was {told}")),
                _ => {}
            }
        }
        match missing.first_key_value() {
            Some((seq, id)) => Err(format!("{} acknowledged records are missing: {seq} ({id}) …", missing.len())),
            None => Ok(next),
        }
    }
}
