//! Sealing: closed raw segments become one sealed segment, beside appends and safe at every step.
//!
//! Write under a temporary name, sync, read back and compare, rename, sync the directory; only then do readers get the
//! sealed segment, and only after that do the raw files go. Where a crash leaves both, the sealed one is complete.

use crate::FileId;
use crate::error::{Damage, Error, Result};
use crate::gap::Gap;
use crate::log::Core;
use crate::log::fields::Indexed;
use crate::merkle::Frontier;
use crate::names::{SegmentKind, SegmentName, temporary};
use crate::options::Codec;
use crate::query::FieldCollector;
use crate::raw::{RawCursor, RawSegment, ReadAhead};
use crate::record::{RecordKind, StoredRecord};
use crate::sealed::{
    Comparison, FileDictionary, SealOptions, SealedFile, SealedSummary, SealedWriter, Source, install_fields,
    install_index, learn_columns, train_dictionary,
};
use crate::shape::Shape;
use crate::trace::Step;
use crate::view::{Chain, Segment};
use annals_index::{FileHeader, FileKind, SPECIFIC_BYTES};
use std::sync::{Arc, PoisonError};

/// Small closed segments wait until there are this many of them, so that a log that is opened often doesn't become
/// many small sealed segments.
const SMALL_SEGMENTS_MAX: usize = 32;

/// What sealing did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct SealReport {
    /// How many segments were made.
    pub segments: u64,
    /// How many records they hold.
    pub records: u64,
    /// How many bytes their frames took in raw segments.
    pub raw_bytes: u64,
    /// How many bytes the sealed segments take, indexes included.
    pub sealed_bytes: u64,
}

/// What sealing remembers from one segment to the next.
#[derive(Debug, Default)]
pub(crate) struct Sealer {
    /// The sealed segments whose field indexes have all the fields.
    pub(super) indexed: Indexed,
    /// The log's hash tree at the end of the last sealed segment, if that is known.
    frontier: Option<Frontier>,
    /// The dictionary of the last sealed segment, if this sealer made it.
    dictionary: Option<Vec<u8>>,
}

/// What is done with each record of a raw segment, and with the gap that it is.
type Each<'a> = &'a mut dyn FnMut(&StoredRecord<'_>, Option<&Gap>) -> Result<()>;

/// A raw segment and the end of what it holds.
type Closed = (Arc<RawSegment>, u64);

impl Core {
    /// Seals one run of segments, if one is due. Returns whether one was.
    pub(crate) fn seal_due(&self) -> Result<bool> {
        let mut sealer = self.sealing.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = self.closed_segments();
        let bytes: u64 = closed.iter().map(|(raw, _)| raw.frames_bytes()).sum();
        // What this writer has left behind for another segment is due at once; what ended with its writer may wait for
        // company, but never more than appends wait for.
        let own = closed.iter().filter(|(raw, _)| raw.writer() == self.incarnation).count();
        let rolled_here = (self.view.active().is_some() && own > 0) || own > self.options.unsealed_segments_max;
        if !rolled_here && bytes < self.options.segment_bytes / 2 && closed.len() < SMALL_SEGMENTS_MAX {
            return Ok(false);
        }
        let run = self.first_run(closed);
        Ok(self.seal_run(&mut sealer, &run)?.is_some())
    }

    /// Ends the active segment, and seals everything up to there.
    pub(crate) fn seal_all(&self) -> Result<SealReport> {
        // Taken first, so that the background doesn't seal meanwhile what this is to report.
        let mut sealer = self.sealing.lock().unwrap_or_else(PoisonError::into_inner);
        let end_seq = self.committer.end_segment()?;
        let mut report = SealReport::default();
        loop {
            let mut closed = self.closed_segments();
            closed.retain(|(raw, _)| raw.name.base_seq < end_seq);
            match self.seal_run(&mut sealer, &self.first_run(closed))? {
                None => return Ok(report),
                Some(sealed) => {
                    report.segments += sealed.segments;
                    report.records += sealed.records;
                    report.raw_bytes += sealed.raw_bytes;
                    report.sealed_bytes += sealed.sealed_bytes;
                }
            }
        }
    }

    /// The closed segments that aren't sealed yet, and where each ends.
    fn closed_segments(&self) -> Vec<Closed> {
        let chain = self.view.chain();
        let active = self.view.active();
        let mut closed = Vec::new();
        for (index, segment) in chain.segments.iter().enumerate() {
            let Segment::Raw(raw) = segment else { continue };
            if Some(raw.name) == active {
                break;
            }
            let end = match chain.end_of(index) {
                // The last segment holds what it holds, and at least what recovery found acknowledged.
                u64::MAX => raw.scan().end_seq().max(self.recovered_end),
                end => end,
            };
            closed.push((Arc::clone(raw), end));
        }
        closed
    }

    /// As many of the first of `closed` as make one sealed segment.
    fn first_run(&self, mut closed: Vec<Closed>) -> Vec<Closed> {
        let mut bytes = 0;
        let beyond = closed.iter().position(|(raw, _)| {
            bytes += raw.frames_bytes();
            bytes > self.options.segment_bytes
        });
        closed.truncate(beyond.map_or(usize::MAX, |index| index.max(1)));
        closed
    }

    /// Seals `run` as one segment. `None` if there is nothing to seal, or the log was closed meanwhile.
    fn seal_run(&self, sealer: &mut Sealer, run: &[Closed]) -> Result<Option<SealReport>> {
        let (Some((first, _)), Some(&(_, end))) = (run.first(), run.last()) else { return Ok(None) };
        let (base_seq, began) = (first.name.base_seq, self.meter.begin());
        let step = Step::seal(&*self.storage, base_seq, end);
        let sealed = self.seal_records(sealer, run, base_seq, end);
        self.meter.sealed(began, &sealed);
        if let Ok(Some(report)) = &sealed {
            step.sealed(report);
        }
        step.ended(&sealed);
        sealed
    }

    /// Seals `run`, which holds the records from `base_seq` to before `end`.
    fn seal_records(&self, sealer: &mut Sealer, run: &[Closed], base_seq: u64, end: u64) -> Result<Option<SealReport>> {
        if base_seq == end {
            // Segments without records: nothing to keep.
            self.remove_raws(run, None)?;
            return Ok(Some(SealReport::default()));
        }
        let start = self.frontier_at(sealer.frontier.take(), base_seq)?;
        let name = SegmentName { base_seq, ordinal: self.committer.next_ordinal(), kind: SegmentKind::Sealed };
        let unfinished = temporary(&name.to_string());
        let written = self.write_sealed(name, &unfinished, run, start, &mut sealer.dictionary);
        let Some((written, sealed_bytes)) = written.inspect_err(|_| self.discard(name))? else {
            self.discard(name);
            return Ok(None);
        };
        let raw_bytes = run.iter().map(|(raw, _)| raw.frames_bytes()).sum();
        self.remove_raws(run, Some(name))?;
        sealer.frontier = Some(written.end);
        Ok(Some(SealReport { segments: 1, records: written.summary.records, raw_bytes, sealed_bytes }))
    }

    /// The log's hash tree before the record `base_seq`.
    fn frontier_at(&self, known: Option<Frontier>, base_seq: u64) -> Result<Frontier> {
        if let Some(known) = known.filter(|known| known.size() == base_seq) {
            return Ok(known);
        }
        let found = self.frontier_before(base_seq)?;
        if found.size() == base_seq {
            return Ok(found);
        }
        Err(Error::Damaged(Damage {
            path: self.storage.describe(""),
            offset: 0,
            detail: "records before this one are missing, so nothing after them can be sealed".into(),
            first_seq: Some(found.size()),
            end_seq: Some(base_seq),
        }))
    }

    /// The tree at the end of the sealed segments before `base_seq`: as the last footer says. Where footers are damaged
    /// it is computed again from the records, so that their damage does not end all sealing.
    fn frontier_before(&self, base_seq: u64) -> Result<Frontier> {
        let chain = self.view.chain();
        let sealed: Vec<_> = chain
            .segments
            .iter()
            .filter_map(|segment| match segment {
                Segment::Sealed(slot) if slot.name.base_seq < base_seq => Some(slot),
                _ => None,
            })
            .collect();
        let mut frontier = chain.removed.frontier().clone();
        let mut damaged = Vec::new();
        for slot in sealed.into_iter().rev() {
            match slot.file(&self.storage, self.log_id)?.merkle() {
                Ok(ends) => {
                    frontier = ends.end;
                    break;
                }
                Err(Error::Damaged(damage)) => damaged.push((slot, damage)),
                Err(error) => return Err(error),
            }
        }
        for (slot, damage) in damaged.into_iter().rev() {
            let file = slot.file(&self.storage, self.log_id)?;
            let verified = file.verify(Some(&frontier), &mut |_| ())?;
            frontier = verified.end.ok_or(Error::Damaged(damage))?;
        }
        Ok(frontier)
    }

    /// Writes the sealed segment and its index, and gives them their names. Returns what was written, and the bytes.
    fn write_sealed(
        &self,
        name: SegmentName,
        unfinished: &str,
        run: &[Closed],
        start: Frontier,
        earlier: &mut Option<Vec<u8>>,
    ) -> Result<Option<(SealedSummary, u64)>> {
        let options = SealOptions::of(&self.options);
        let path = self.storage.describe(&name.to_string());
        let header = self.header(FileKind::Sealed, name, &path)?;
        let dictionary = self.dictionary(run, &options, earlier)?;
        let file = self.storage.create(unfinished).map_err(Error::io("create", path.clone()))?;
        let mut writer = SealedWriter::create(&*file, path.clone(), &header, dictionary.as_ref(), start, &options)?;
        let mut shape = Shape::new();
        let fields = self.fields_to_index();
        let mut collector = (!fields.is_empty()).then(|| FieldCollector::new(&fields));
        let done = self.each_record(run, &mut |record, gap| {
            if let Some(gap) = gap {
                // Readers are to be told of it, so no index leads them past it.
                collector = None;
                return writer.push_gap(gap, record.incarnation);
            }
            // A body was checked when it was appended, and again by its checksum.
            shape.observe(record.body)?;
            collector.as_mut().map_or(Ok(()), |collector| collector.push(record.body))?;
            writer.push(record)
        })?;
        if !done {
            return Ok(None);
        }
        let mut encoded = Vec::new();
        shape.encode(&mut encoded);
        let sources: Vec<_> = run.iter().map(|(raw, _)| source(raw)).collect();
        let summary = writer.finish(&encoded, &sources)?;
        file.sync().map_err(Error::io("sync", path.clone()))?;

        let written = SealedFile::open_as(&self.storage, unfinished, name, self.log_id)?;
        let mut comparison = Comparison::new(&written);
        let compare = &mut |record: &StoredRecord<'_>, gap: Option<&Gap>| match gap {
            Some(gap) => comparison.gap(gap),
            None => comparison.next(record),
        };
        let done = self.each_record(run, compare)?;
        if !done {
            return Ok(None);
        }
        comparison.finish()?;
        let mut index = install_index(&*self.storage, name, &written)?;
        if let Some(collector) = collector {
            index += install_fields(&*self.storage, &written, collector.into_builder())?;
        }
        self.storage.rename(unfinished, &name.to_string()).map_err(Error::io("rename", path))?;
        self.storage.sync_dir("").map_err(Error::io("sync", self.storage.describe("")))?;
        let bytes = summary.file_bytes + index;
        Ok(Some((summary, bytes)))
    }

    /// Removes what there is of a sealed segment that did not come to be, under all of its names: the raw segments still
    /// hold the records, and the next attempt has another ordinal.
    fn discard(&self, name: SegmentName) {
        for name in [name].into_iter().chain(name.derived()).map(|name| name.to_string()) {
            let _ = self.storage.remove(&temporary(&name));
            let _ = self.storage.remove(&name);
        }
    }

    /// Puts `sealed` in the place of `run` for readers, and removes the raw files.
    fn remove_raws(&self, run: &[Closed], sealed: Option<SegmentName>) -> Result<()> {
        self.view.change(|chain: &mut Chain| {
            let at = chain.segments.iter().position(|segment| run.iter().any(|(raw, _)| raw.name == segment.name()));
            chain.segments.retain(|segment| !run.iter().any(|(raw, _)| raw.name == segment.name()));
            if let (Some(at), Some(name)) = (at, sealed) {
                chain.segments.insert(at, Segment::Sealed(chain.slot(name)));
            }
        });
        for (raw, _) in run {
            self.storage.remove(&raw.name.to_string()).map_err(Error::io("remove", raw.path.clone()))?;
        }
        self.storage.sync_dir("").map_err(Error::io("sync", self.storage.describe("")))
    }

    fn header(&self, kind: FileKind, name: SegmentName, path: &str) -> Result<FileHeader> {
        Ok(FileHeader {
            kind,
            compatible: 0,
            incompatible: 0,
            log_id: self.log_id.0,
            file_id: self.storage.random().map_err(Error::io("draw a random id for", path.to_owned()))?,
            base_seq: name.base_seq,
            ordinal: name.ordinal,
            created_us: self.storage.now().as_micros(),
            specific: [0; SPECIFIC_BYTES],
        })
    }

    /// A dictionary from bodies that are spread evenly over `run`.
    fn dictionary(
        &self,
        run: &[Closed],
        options: &SealOptions,
        earlier: &mut Option<Vec<u8>>,
    ) -> Result<Option<FileDictionary>> {
        let wanted = options.sample_bytes() as u64;
        let bytes: u64 = run.iter().map(|(raw, _)| raw.frames_bytes()).sum();
        let every = (bytes / wanted.max(1)).max(1);
        let mut samples: Vec<(i64, Vec<u8>)> = Vec::new();
        let mut cursor = RawCursor::default();
        for (raw, end) in run {
            // Where the next file begins is a name's word, which may be far beyond what is here.
            let end = raw.scan().end_seq().min(*end);
            for seq in (raw.name.base_seq..end).step_by(every as usize) {
                if cursor.read_any(raw, seq, ReadAhead::Forward)?
                    && let Some(record) = cursor.current().filter(|record| record.kind == RecordKind::User)
                {
                    samples.push((record.timestamp.as_micros(), record.body.to_vec()));
                }
            }
        }
        if options.codec == Codec::Columns {
            let samples: Vec<(i64, &[u8])> = samples.iter().map(|(time, body)| (*time, &body[..])).collect();
            return Ok(learn_columns(&samples, options));
        }
        let samples: Vec<&[u8]> = samples.iter().map(|(_, body)| &body[..]).collect();
        let dictionary = train_dictionary(&samples, bytes, options, earlier.take());
        earlier.clone_from(&dictionary);
        Ok(dictionary.map(FileDictionary::Rows))
    }

    /// Calls `each` for every record of `run`, with the gap that it is if it tells of dropped ones. `false` if the log was closed
    /// before the end.
    fn each_record(&self, run: &[Closed], each: Each<'_>) -> Result<bool> {
        /// How often the sealer looks whether it is still wanted.
        const CHECK_EVERY: u64 = 1024;
        let mut cursor = RawCursor::default();
        for (raw, end) in run {
            for seq in raw.name.base_seq..*end {
                if seq % CHECK_EVERY == 0 && self.view.is_closed() {
                    return Ok(false);
                }
                let record = match cursor.read_any(raw, seq, ReadAhead::Forward)? {
                    true => cursor.current(),
                    false => None,
                };
                let Some(record) = record else {
                    return Err(Error::Damaged(Damage {
                        path: raw.path.clone(),
                        offset: raw.scan().end_offset,
                        detail: "records are missing, so the segment can't be sealed".into(),
                        first_seq: Some(seq),
                        end_seq: Some(*end),
                    }));
                };
                each(&record, cursor.gap(raw)?.as_ref())?;
            }
        }
        Ok(true)
    }
}

fn source(raw: &RawSegment) -> Source {
    Source { base_seq: raw.name.base_seq, ordinal: raw.name.ordinal, file_id: FileId(raw.header.file_id) }
}
