//! Bringing back frames that an opening left behind the end of the log.
//!
//! Such frames followed an unfinished write, and may have been acknowledged. Where nothing was appended since, they get
//! their own place again, beyond a gap; otherwise they are appended, with their own times and new seqs. Never twice: an
//! (incarnation, seq) that the log holds was restored in place; and before records are appended again, the file that
//! keeps them is renamed to tell from which seq on, and once they are durable, it is renamed for good.

use crate::LogId;
use crate::batch::Batch;
use crate::drops::Drops;
use crate::error::{Error, Result};
use crate::log::Log;
use crate::names::{QUARANTINE, Tail};
use crate::raw::{DATA_START, RawCursor, RawSegment, ReadAhead};
use crate::reader::Reader;
use crate::record::{RecordKind, StoredRecord};
use crate::recovery::Inspected;
use crate::repair::plan::{From, Part, read_headerless};
use crate::repair::report::{RepairReport, Restorable};
use crate::storage::Storage;
use std::cmp::Reverse;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// How much is appended at once.
const BATCH_BYTES: usize = 1 << 20;

/// What quarantine keeps of frames behind the end of the log.
pub(super) struct Restore {
    storage: Arc<dyn Storage>,
    kept: Vec<Kept>,
}

/// The frames in one file.
#[derive(Debug, Clone)]
struct Kept {
    tail: Tail,
    raw: Arc<RawSegment>,
    /// From the first record that is intact to the end of the last.
    seqs: Range<u64>,
    records: u64,
    in_place: bool,
}

/// What is restored in its own place.
#[derive(Debug, Default)]
pub(super) struct InPlace {
    kept: Vec<Kept>,
}

impl InPlace {
    /// The seq after the last record; 0 without any.
    pub(super) fn end_seq(&self) -> u64 {
        self.kept.last().map_or(0, |kept| kept.seqs.end)
    }

    /// Adds the records to those of the raw segments that they follow, or gives them to the one that says that they are
    /// missing.
    pub(super) fn add_to(&self, parts: &mut Vec<Part>) {
        for kept in &self.kept {
            let (from, restored) = (From::Raw(Arc::clone(&kept.raw)), kept.tail.restored());
            match parts.iter_mut().find(|part| part.seqs.start == kept.tail.end_seq && part.seqs.end >= kept.seqs.end) {
                Some(missing) => {
                    missing.from = from;
                    missing.kept.push(restored);
                }
                None => {
                    let seqs = kept.tail.end_seq..kept.seqs.end;
                    parts.push(Part { seqs, from, original: None, kept: vec![restored], is_bad: true });
                }
            }
        }
    }
}

impl Restore {
    /// Looks what there is in quarantine that isn't in the log. What an earlier repair has restored gets its last name,
    /// if `apply` is set.
    pub(super) fn find(storage: &Arc<dyn Storage>, log_id: LogId, log: &Reader, apply: bool) -> Result<Self> {
        let mut names = match storage.list(QUARANTINE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            listed => listed.map_err(Error::io("list", storage.describe(QUARANTINE)))?,
        };
        names.sort_unstable();
        let mut restore = Self { storage: Arc::clone(storage), kept: Vec::new() };
        for tail in names.iter().filter_map(|name| Tail::parse(name)) {
            if names.iter().any(|name| tail.is_restored_as(name)) {
                continue;
            }
            let from = if tail.offset == 0 { DATA_START } else { 0 };
            let raw = read_headerless(storage, log_id, &tail.current(), tail.segment, from, tail.end_seq)?;
            let Some(kept) = raw.and_then(|raw| Kept::new(tail, raw)) else { continue };
            if kept.tail.restoring.is_none() && kept.is_in(log)? {
                if apply {
                    restore.rename(&kept.tail.current(), &kept.tail.restored())?;
                }
                continue;
            }
            restore.kept.push(kept);
        }
        restore.keep_fullest();
        restore.kept.sort_by_key(|kept| kept.tail.end_seq);
        Ok(restore)
    }

    /// Of several files that were kept of one place, leaves the one that is being restored, or has the most records: the
    /// others have some of the same, which are to be restored once.
    fn keep_fullest(&mut self) {
        self.kept.sort_by_key(|kept| (kept.tail.restoring.is_none(), Reverse(kept.records)));
        let mut fullest: Vec<Kept> = Vec::new();
        for kept in std::mem::take(&mut self.kept) {
            if !fullest.iter().any(|other| other.tail.is_of_same_place(&kept.tail)) {
                fullest.push(kept);
            }
        }
        self.kept = fullest;
    }

    /// What can be restored in its own place: at the end of the log, or where a segment says that all is missing.
    pub(super) fn in_place(&mut self, log: &Inspected) -> InPlace {
        let mut next_seq = log.next_seq;
        for kept in self.kept.iter_mut().filter(|kept| kept.tail.restoring.is_none()) {
            if kept.tail.end_seq == next_seq {
                kept.in_place = true;
                next_seq = kept.seqs.end;
            } else {
                kept.in_place = log.chain.raws().any(|raw| {
                    raw.name.base_seq == kept.tail.end_seq
                        && kept.seqs.end <= raw.scan().end_seq()
                        && intact(raw).is_empty()
                });
            }
        }
        InPlace { kept: self.kept.iter().filter(|kept| kept.in_place).cloned().collect() }
    }

    /// Reports what there is.
    pub(super) fn note(&self, report: &mut RepairReport) {
        report.restorable.extend(self.kept.iter().map(|kept| Restorable {
            file: kept.tail.current(),
            records: kept.records,
            first_seq: kept.seqs.start,
            end_seq: kept.seqs.end,
            restored: match kept.in_place {
                true => kept.runs().map(|seqs| (seqs.start, seqs.end, seqs.start)).collect(),
                false => Vec::new(),
            },
        }));
    }

    /// Gives the files their last name whose records have their place again.
    pub(super) fn finish_in_place(&self, in_place: &InPlace) -> Result<()> {
        in_place.kept.iter().try_for_each(|kept| self.rename(&kept.tail.current(), &kept.tail.restored()))
    }

    /// Whether some of what can't be restored in place tells of dropped records.
    pub(super) fn tells_drops(&self) -> bool {
        self.kept.iter().any(|kept| !kept.in_place && !kept.raw.scan().drops.is_empty())
    }

    /// Appends to `log` what could not be restored in place.
    pub(super) fn append(&self, log: &Log, report: &mut RepairReport) -> Result<()> {
        for kept in self.kept.iter().filter(|kept| !kept.in_place) {
            let mut restored = kept.clone();
            let first_new = match kept.tail.restoring {
                Some(first_new) => first_new,
                None => {
                    restored.tail.restoring = Some(log.next_seq());
                    self.rename(&kept.tail.current(), &restored.tail.current())?;
                    log.next_seq()
                }
            };
            let places = append(kept, first_new, log)?;
            self.rename(&restored.tail.current(), &restored.tail.restored())?;
            let entry = report.restorable.iter_mut().find(|entry| entry.file == kept.tail.current());
            entry.into_iter().for_each(|entry| entry.restored.clone_from(&places));
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.storage.rename(from, to).map_err(Error::io("rename", self.storage.describe(from)))?;
        self.storage.sync_dir(QUARANTINE).map_err(Error::io("sync", self.storage.describe(QUARANTINE)))
    }
}

/// The runs of seqs of which `raw` has the records.
fn intact(raw: &RawSegment) -> Vec<Range<u64>> {
    let scan = raw.scan();
    let runs = scan.positions.runs(0, u64::MAX);
    runs.into_iter().map(|(from, to)| scan.base_seq + from..scan.base_seq + to).collect()
}

impl Kept {
    fn new(tail: Tail, raw: Arc<RawSegment>) -> Option<Self> {
        let (seqs, records) = {
            let runs = intact(&raw);
            let records = runs.iter().map(|run| run.end - run.start).sum();
            (runs.first()?.start..runs.last()?.end, records)
        };
        Some(Self { tail, raw, seqs, records, in_place: false })
    }

    /// Calls `each` for every record that is intact.
    fn each(&self, each: &mut dyn FnMut(StoredRecord<'_>) -> Result<()>) -> Result<()> {
        let mut cursor = RawCursor::default();
        for seq in self.runs().flatten() {
            if cursor.read_any(&self.raw, seq, ReadAhead::Forward)?
                && let Some(record) = cursor.current()
            {
                each(record)?;
            }
        }
        Ok(())
    }

    /// The runs of seqs that are intact.
    fn runs(&self) -> impl Iterator<Item = Range<u64>> {
        intact(&self.raw).into_iter()
    }

    /// Whether `log` holds the first of these records in its own place.
    fn is_in(&self, log: &Reader) -> Result<bool> {
        let mut cursor = RawCursor::default();
        if self.seqs.start >= log.end_seq() || !cursor.read_any(&self.raw, self.seqs.start, ReadAhead::None)? {
            return Ok(false);
        }
        match (log.get(self.seqs.start), cursor.current()) {
            (Ok(Some(found)), Some(own)) => {
                Ok(found.as_record().incarnation() == own.incarnation && is_same(found.as_record().stored(), &own))
            }
            (Err(error), own) => own.map_or(Ok(false), |own| is_told(&error, &own).ok_or(error)),
            _ => Ok(false),
        }
    }
}

/// Appends the records of `kept` to `log`, the first of them as `first_new`; but for those that are there already, since a
/// repair was cut off when it had appended them. Returns which old seqs became which new ones.
fn append(kept: &Kept, first_new: u64, log: &Log) -> Result<Vec<(u64, u64, u64)>> {
    let mut batch = Batch::new();
    let mut places: Vec<(u64, u64, u64)> = Vec::new();
    let mut next = first_new;
    let mut is_there = true;
    kept.each(&mut |record| {
        is_there = is_there && holds(log, next, &record)?;
        // Others may have appended since the file was renamed.
        let place = if is_there { next } else { log.next_seq() + batch.len() as u64 };
        next += 1;
        match places.last_mut() {
            Some((first, end, new)) if *end == record.seq && *new + (*end - *first) == place => *end += 1,
            _ => places.push((record.seq, record.seq + 1, place)),
        }
        if is_there {
            return Ok(());
        }
        match Drops::of_record(&record).ok().filter(|_| record.kind == RecordKind::Dropped) {
            Some(drops) => batch.push_drops(&drops)?,
            None => batch.push_keyed_raw(record.key, Some(record.timestamp), record.body)?,
        }
        if batch.bytes() >= BATCH_BYTES {
            log.append_batch(&mut batch)?;
            batch.clear();
        }
        Ok(())
    })?;
    log.append_batch(&mut batch)?;
    Ok(places)
}

/// Whether `log` holds such a record as `seq`.
fn holds(log: &Log, seq: u64, record: &StoredRecord<'_>) -> Result<bool> {
    if seq >= log.next_seq() {
        return Ok(false);
    }
    match log.get(seq) {
        Ok(found) => Ok(found.is_some_and(|found| is_same(found.as_record().stored(), record))),
        Err(error) => is_told(&error, record).ok_or(error),
    }
}

/// Whether two records are the same, wherever they stand.
fn is_same(found: &StoredRecord<'_>, own: &StoredRecord<'_>) -> bool {
    (found.kind, found.timestamp, found.body) == (own.kind, own.timestamp, own.body)
}

/// Whether what the log has in place of a record says the same as `own`, which may tell of dropped ones; `None` if `error` is
/// about something else.
fn is_told(error: &Error, own: &StoredRecord<'_>) -> Option<bool> {
    match error {
        Error::Gap(gap) => {
            let own = Drops::of_record(own).ok().filter(|_| own.kind == RecordKind::Dropped);
            Some(gap.dropped.is_some() && gap.dropped == own)
        }
        error => (error.is_damage() || matches!(error, Error::Removed(_))).then_some(false),
    }
}
