//! A raw segment that is open for reading, while it may still be growing.

use crate::checksum::Salt;
use crate::drops::Drops;
use crate::error::{Damage, Error, Result};
use crate::gap::Gap;
use crate::names::SegmentName;
use crate::raw::RawFields;
use crate::raw::entry::{self, ENTRY_BYTES_MAX, ENTRY_HEADER_BYTES};
use crate::raw::header::DATA_START;
use crate::raw::positions::Position;
use crate::raw::recent::Recent;
use crate::raw::scan::{BadRange, Scan};
use crate::record::{RecordKind, StoredRecord};
use crate::storage::{File, read_exact_at};
use crate::sync::{RwLock, RwLockReadGuard};
use crate::{FileId, Incarnation, Timestamp};
use annals_index::FileHeader;
use std::io;
use std::ops::Range;
use std::sync::{Arc, PoisonError};

/// An open raw segment. What is known of its records only ever grows.
#[derive(Debug)]
pub(crate) struct RawSegment {
    pub(crate) name: SegmentName,
    pub(crate) path: String,
    pub(crate) header: FileHeader,
    pub(crate) file: Arc<dyn File>,
    pub(crate) salt: Salt,
    pub(crate) recent: Recent,
    pub(super) fields: RawFields,
    scan: RwLock<Scan>,
}

impl RawSegment {
    pub(crate) fn new(name: SegmentName, path: String, header: FileHeader, file: Arc<dyn File>, scan: Scan) -> Self {
        let salt = Salt::of(FileId(header.file_id));
        Self {
            name,
            path,
            header,
            file,
            salt,
            recent: Recent::default(),
            fields: RawFields::default(),
            scan: RwLock::new(scan),
        }
    }

    /// A segment whose header is lost and made up, and whose salt is known all the same.
    pub(crate) fn with_salt(self, salt: Salt) -> Self {
        Self { salt, ..self }
    }

    /// What is known of the segment's records.
    pub(crate) fn scan(&self) -> RwLockReadGuard<'_, Scan> {
        self.scan.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file's id.
    pub(crate) fn file_id(&self) -> FileId {
        FileId(self.header.file_id)
    }

    /// The opening of the writer that began the segment.
    pub(crate) fn writer(&self) -> Incarnation {
        Incarnation(std::array::from_fn(|i| self.header.specific[i]))
    }

    /// Where what is known ends: the offset and the seq.
    pub(crate) fn end(&self) -> (u64, u64) {
        // One guard: a second one of the same thread would wait for a writer that waits for the first.
        let scan = self.scan();
        (scan.end_offset, scan.end_seq())
    }

    /// Bytes of the frames that are known.
    pub(crate) fn frames_bytes(&self) -> u64 {
        self.scan().end_offset.saturating_sub(DATA_START)
    }

    /// Extends what is known of the segment's records.
    pub(crate) fn extend(&self, change: impl FnOnce(&mut Scan)) {
        change(&mut self.scan.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Where the entry of `seq` stands, in place of what is in `places`; and those of some records after it, with one look.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the record is known to be lost.
    fn locate_run(&self, seq: u64, places: &mut Vec<Place>) -> Result<()> {
        places.clear();
        let scan = self.scan();
        let Some(first) = self.locate(&scan, seq)? else { return Ok(()) };
        places.push(first);
        let more = (seq.saturating_add(1)..).take(LOCATED - 1);
        places.extend(more.map_while(|seq| self.locate(&scan, seq).ok().flatten()));
        Ok(())
    }

    /// Where the entry of `seq` stands.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the record is known to be lost.
    fn locate(&self, scan: &Scan, seq: u64) -> Result<Option<Place>> {
        let Some(number) = seq.checked_sub(scan.base_seq) else { return Ok(None) };
        let position = match scan.positions.get(number) {
            Some(Position::At(position)) => position,
            Some(Position::Missing) => return Err(self.missing(scan, seq)),
            None => return Ok(None),
        };
        // A record that ends a run of readable ones may be followed by bad bytes: its own length decides then.
        let end = match scan.positions.get(number + 1) {
            Some(Position::Missing) => u64::from(position) + ENTRY_BYTES_MAX as u64,
            Some(Position::At(next)) => u64::from(next),
            None => scan.end_offset,
        };
        let run = scan.runs.partition_point(|&(first, _)| first <= seq);
        let incarnation = run.checked_sub(1).map_or(Incarnation([0; 16]), |run| scan.runs[run].1);
        let room = end.saturating_sub(position.into()).min(ENTRY_BYTES_MAX as u64);
        Ok(Some(Place { offset: position.into(), room: room as usize, incarnation }))
    }

    fn missing(&self, scan: &Scan, seq: u64) -> Error {
        let bad = scan.bad.iter().find(|bad| bad.holds(seq));
        match bad {
            Some(bad) => Error::Damaged(self.damage(bad)),
            None => self.damaged(scan.end_offset, "the record is missing".into(), seq),
        }
    }

    /// A bad range as it is reported.
    pub(crate) fn damage(&self, bad: &BadRange) -> Damage {
        let detail = format!("{} ({} bytes that cannot be read)", bad.why, bad.end - bad.start);
        let (first_seq, end_seq) = (Some(bad.first_seq), bad.end_seq);
        Damage { path: self.path.clone(), offset: bad.start, detail, first_seq, end_seq }
    }

    fn damaged(&self, offset: u64, detail: String, seq: u64) -> Error {
        let (first_seq, end_seq) = (Some(seq), Some(seq + 1));
        Error::Damaged(Damage { path: self.path.clone(), offset, detail, first_seq, end_seq })
    }

    /// The earliest and latest timestamp of the segment's records; `None` if it has none.
    pub(crate) fn times(&self) -> Option<(Timestamp, Timestamp)> {
        self.scan().times
    }
}

/// Where an entry stands: its offset, the most bytes it can have, and its incarnation.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    room: usize,
    incarnation: Incarnation,
}

/// So many records are located at once: each look takes a lock that all readers of the segment share.
const LOCATED: usize = 64;

/// Reads records of one raw segment, holding the bytes around the last one.
#[derive(Debug, Default)]
pub(crate) struct RawCursor {
    /// Where the entries of some records stand: of which segment, and from which seq on.
    places: Vec<Place>,
    places_of: Option<(FileId, u64)>,
    file: Option<FileId>,
    start: u64,
    buffer: Vec<u8>,
    current: Option<Current>,
}

/// The record that was read last, as it stands in the buffer.
#[derive(Debug, Clone)]
struct Current {
    seq: u64,
    incarnation: Incarnation,
    kind: RecordKind,
    timestamp: Timestamp,
    key: Range<usize>,
    body: Range<usize>,
}

/// How much is read around a record when neighbours are likely to be asked for next.
const CHUNK_BYTES: u64 = 256 << 10;

/// Which neighbours of a record are likely to be asked for next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadAhead {
    None,
    Forward,
    Backward,
}

impl RawCursor {
    /// Reads and checks the record `seq` of `segment`, which [`RawCursor::current`] then gives. `false` if the segment
    /// doesn't have it.
    ///
    /// # Errors
    /// [`Error::Damaged`] if its bytes are not sound, [`Error::Io`] if they can't be read; [`Error::Gap`] if it tells of records
    /// that were dropped.
    pub(crate) fn read(&mut self, segment: &RawSegment, seq: u64, ahead: ReadAhead) -> Result<bool> {
        let is_there = self.read_any(segment, seq, ahead)?;
        match self.gap(segment)? {
            None => Ok(is_there),
            Some(gap) => {
                self.current = None;
                Err(Error::Gap(gap))
            }
        }
    }

    /// What the record that was read last by [`RawCursor::read_any`] says was dropped, if it is none of a user's.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it doesn't say that.
    #[inline]
    pub(crate) fn gap(&self, segment: &RawSegment) -> Result<Option<Gap>> {
        match &self.current {
            Some(current) if current.kind == RecordKind::Dropped => self.drops(segment).map(Some),
            _ => Ok(None),
        }
    }

    fn drops(&self, segment: &RawSegment) -> Result<Gap> {
        let record = self.current().ok_or(Error::Closed)?;
        let drops = Drops::of_record(&record).map_err(|detail| segment.damaged(0, detail.to_owned(), record.seq))?;
        Ok(Gap::of_drops(record.seq, drops))
    }

    /// As [`RawCursor::read`], for who also takes records that are none of a user's.
    pub(crate) fn read_any(&mut self, segment: &RawSegment, seq: u64, ahead: ReadAhead) -> Result<bool> {
        self.current = None;
        let place = if ahead == ReadAhead::Forward {
            self.locate(segment, seq)?
        } else {
            segment.locate(&segment.scan(), seq)?
        };
        let Some(Place { offset, mut room, incarnation }) = place else { return Ok(false) };
        if room > CHUNK_BYTES as usize {
            // What follows may be unused space or bad bytes: the entry's own length tells how much it needs.
            let at = self.fill(segment, offset, ENTRY_HEADER_BYTES, seq, ReadAhead::None)?;
            let peeked = entry::peek(&self.buffer[at..]);
            room = room.min(peeked.map_err(|e| segment.damaged(offset, e.to_string(), seq))?.0);
        }
        let at = self.fill(segment, offset, room, seq, ahead)?;
        let decoded = entry::decode(&self.buffer[at..], seq, incarnation, segment.salt);
        let (record, len) = decoded.map_err(|error| segment.damaged(offset, error.to_string(), seq))?;
        let body_at = at + len - record.body.len();
        self.current = Some(Current {
            seq,
            incarnation,
            kind: record.kind,
            timestamp: record.timestamp,
            key: body_at - record.key.len()..body_at,
            body: body_at..at + len,
        });
        Ok(true)
    }

    /// Where the entry of `seq` stands. Those after it are located, too, as they are likely to be asked for next.
    fn locate(&mut self, segment: &RawSegment, seq: u64) -> Result<Option<Place>> {
        let file = segment.file_id();
        let at = self.places_of.filter(|(of, _)| *of == file).and_then(|(_, first)| seq.checked_sub(first));
        if let Some(place) = at.and_then(|at| self.places.get(usize::try_from(at).ok()?)) {
            return Ok(Some(*place));
        }
        self.places_of = Some((file, seq));
        segment.locate_run(seq, &mut self.places)?;
        Ok(self.places.first().copied())
    }

    /// The record that was read last.
    pub(crate) fn current(&self) -> Option<StoredRecord<'_>> {
        let current = self.current.as_ref()?;
        Some(StoredRecord {
            seq: current.seq,
            incarnation: current.incarnation,
            kind: current.kind,
            flags: 0,
            timestamp: current.timestamp,
            key: &self.buffer[current.key.clone()],
            body: &self.buffer[current.body.clone()],
        })
    }

    /// Has the `want` bytes from `offset` on in the buffer, and returns where.
    fn fill(&mut self, segment: &RawSegment, offset: u64, want: usize, seq: u64, ahead: ReadAhead) -> Result<usize> {
        let file = segment.file_id();
        let end = offset + want as u64;
        let held = self.file == Some(file) && self.start <= offset && end <= self.start + self.buffer.len() as u64;
        if !held {
            self.file = None;
            let most = if ahead == ReadAhead::Forward { CHUNK_BYTES as usize } else { 0 };
            if segment.recent.read(offset, end, most, &mut self.buffer) {
                (self.file, self.start) = (Some(file), offset);
                return Ok(0);
            }
            let (from, to) = match ahead {
                ReadAhead::None => (offset, end),
                ReadAhead::Forward => (offset, end.max((offset + CHUNK_BYTES).min(segment.scan().end_offset))),
                ReadAhead::Backward => (end.saturating_sub(CHUNK_BYTES).min(offset), end),
            };
            self.buffer.resize((to - from) as usize, 0);
            read_exact_at(&*segment.file, &mut self.buffer, from).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => segment.damaged(offset, "the file ends inside a record".into(), seq),
                _ => Error::io("read", segment.path.clone())(error),
            })?;
            (self.file, self.start) = (Some(file), from);
        }
        Ok((offset - self.start) as usize)
    }
}
