//! What a log consists of, for people and programs that look after it.

use crate::catalog::{self, Hold, Release, Removal};
use crate::commit::{HEAD_BYTES, Head};
use crate::error::{Error, Result};
use crate::gap::Gap;
use crate::log::identity;
use crate::merkle::hex;
use crate::names::{HEAD, QUARANTINE};
use crate::raw::{RawCursor, ReadAhead};
use crate::reader::{Reader, Source};
use crate::storage::{Storage, read_exact_at};
use crate::view::Segment;
use crate::{LogId, Timestamp};
use std::io;

/// What a log consists of.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LogInfo {
    /// The log's directory.
    pub path: String,
    /// The log's id.
    pub log_id: LogId,
    /// When the log was created, in µs since the Unix epoch.
    pub created: Timestamp,
    /// The seq of the first record.
    pub first_seq: u64,
    /// The seq after the last record that a reader sees.
    pub end_seq: u64,
    /// Bytes of all segments and indexes on disk.
    pub bytes: u64,
    /// Bytes of the bodies in sealed segments, as they were appended.
    pub sealed_body_bytes: u64,
    /// Whether the newest segment was written directly, past the system's cache; `None` if no writer has told.
    pub direct_io: Option<bool>,
    /// The segments, in order.
    pub segments: Vec<SegmentInfo>,
    /// What retention has removed.
    pub removals: Vec<Removal>,
    /// What keeps records from being removed by retention.
    pub holds: Vec<Hold>,
    /// The holds that were released: the newest 512.
    pub releases: Vec<Release>,
    /// How many older ones were released.
    pub releases_forgotten: u64,
    /// The paths of the fields by which segments are indexed when they are sealed.
    pub indexed_fields: Vec<String>,
    /// Files in quarantine: bytes that recovery took out of the log and kept.
    pub quarantine: Vec<String>,
}

/// One segment of a log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SegmentInfo {
    /// The file's name.
    pub name: String,
    /// Whether the segment is sealed.
    pub sealed: bool,
    /// The seq of its first record.
    pub first_seq: u64,
    /// The seq after its last record.
    pub end_seq: u64,
    /// Bytes of the file, and of its indexes.
    pub bytes: u64,
    /// The earliest time of its records; `None` if it has none, or if it can't be read.
    pub time_min: Option<Timestamp>,
    /// The latest time of its records.
    pub time_max: Option<Timestamp>,
    /// The root of the log's hash tree after its last record, in hex; `None` for a raw segment.
    pub root: Option<String>,
    /// How many of its records are missing, as it says itself: those that a repair could not bring back.
    pub missing: u64,
    /// How many records limits dropped, as it says itself.
    pub dropped: u64,
    /// In how many of its records it says so.
    pub drop_notes: u64,
    /// Why the segment can't be read, if that is so.
    pub error: Option<String>,
}

impl SegmentInfo {
    /// Takes in what the segment says was dropped.
    fn note_drops(&mut self, gaps: &[Gap]) {
        let notes: Vec<&Gap> = gaps.iter().filter(|gap| gap.dropped.is_some()).collect();
        self.drop_notes = notes.len() as u64;
        self.dropped = notes.iter().fold(0, |sum, gap| sum.saturating_add(gap.count()));
        // Those of a sealed segment are counted as seqs without a record.
        self.missing = self.missing.saturating_sub(self.drop_notes);
    }
}

/// What a segment says is missing; of a raw one below `end_seq`, where the next begins or nobody may read on.
fn gaps_of(source: &Source, segment: &Segment, end_seq: u64) -> Result<Vec<Gap>> {
    let raw = match segment {
        Segment::Sealed(slot) => return source.sealed(slot)?.gaps(),
        Segment::Raw(raw) => raw,
    };
    let seqs: Vec<u64> = raw.scan().drops.iter().copied().filter(|seq| *seq < end_seq).collect();
    let mut cursor = RawCursor::default();
    let mut gaps = Vec::with_capacity(seqs.len());
    for seq in seqs {
        match cursor.read(raw, seq, ReadAhead::None) {
            Err(Error::Gap(gap)) => gaps.push(gap),
            read => drop(read?),
        }
    }
    Ok(gaps)
}

impl Reader {
    /// What the log consists of. Reads the trailer of every sealed segment, and no records.
    ///
    /// # Errors
    /// What the operating system says; a segment that can't be read is told in its [`SegmentInfo`].
    pub fn info(&self) -> Result<LogInfo> {
        let source = self.source();
        source.look()?;
        let (identity, _) = identity::read_or_told(&*source.storage)?;
        // In this order: the list is to have every segment of what is visible.
        let visible = self.end_seq();
        let chain = source.view.chain();
        let mut sealed_body_bytes = 0u64;
        let mut segments = Vec::with_capacity(chain.segments.len());
        for (index, segment) in chain.segments.iter().enumerate() {
            let name = segment.name();
            let mut info = SegmentInfo {
                name: name.to_string(),
                sealed: matches!(segment, Segment::Sealed(_)),
                first_seq: name.base_seq,
                end_seq: chain.end_of(index).min(visible),
                bytes: self.file_bytes(&name.to_string())?,
                time_min: None,
                time_max: None,
                root: None,
                missing: 0,
                dropped: 0,
                drop_notes: 0,
                error: None,
            };
            let times = match segment {
                Segment::Raw(raw) => raw.times(),
                Segment::Sealed(slot) => match source.sealed(slot) {
                    Ok(file) => {
                        // A summary that lies may tell any number.
                        sealed_body_bytes = sealed_body_bytes.saturating_add(file.summary().body_bytes);
                        info.missing = file.summary().missing(name.base_seq);
                        for index in name.derived() {
                            info.bytes = info.bytes.saturating_add(self.file_bytes(&index.to_string())?);
                        }
                        info.root = file.merkle().ok().map(|ends| hex(&ends.end.root()));
                        file.time_range().map(|times| times.into_inner())
                    }
                    Err(error) => {
                        info.error = Some(error.to_string());
                        None
                    }
                },
            };
            info.note_drops(&gaps_of(source, segment, info.end_seq).unwrap_or_default());
            (info.time_min, info.time_max) = times.map_or((None, None), |(min, max)| (Some(min), Some(max)));
            segments.push(info);
        }
        let mut quarantine = match source.storage.list(QUARANTINE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            listed => listed.map_err(Error::io("list", source.storage.describe(QUARANTINE)))?,
        };
        quarantine.sort_unstable();
        // Of one that is damaged, what can be read of it; verifying tells the damage.
        let catalog = catalog::file::read(&*source.storage, source.log_id)?.catalog;
        let indexed_fields = catalog.fields().map_or_else(|| source.indexed_fields(), <[_]>::to_vec);
        let indexed_fields = indexed_fields.iter().map(ToString::to_string).collect();
        Ok(LogInfo {
            path: source.storage.describe(""),
            log_id: self.id(),
            created: Timestamp::from_micros(identity.created_us),
            first_seq: self.first_seq(),
            end_seq: visible,
            bytes: segments.iter().fold(0, |sum, segment| sum.saturating_add(segment.bytes)),
            sealed_body_bytes,
            direct_io: direct_io(&*source.storage),
            segments,
            removals: catalog.removed().removals().iter().map(|removal| Removal::clone(removal)).collect(),
            holds: catalog.holds().to_vec(),
            releases: catalog.releases().kept().to_vec(),
            releases_forgotten: catalog.releases().forgotten(),
            indexed_fields,
            quarantine,
        })
    }

    /// All gaps of the log: records that it says itself are missing. Reads the ends of every sealed segment, and no
    /// records but those that tell of dropped ones. What is said in blocks or segments that are damaged is left out; [`Reader::verify`] names those.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn gaps(&self) -> Result<Vec<Gap>> {
        let source = self.source();
        source.look()?;
        let mut gaps = Vec::new();
        let visible = self.end_seq();
        let chain = source.view.chain();
        for (index, segment) in chain.segments.iter().enumerate() {
            match gaps_of(source, segment, chain.end_of(index).min(visible)) {
                Ok(found) => gaps.extend(found),
                Err(error) if error.is_damage() => {}
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(gaps)
    }

    fn file_bytes(&self, name: &str) -> Result<u64> {
        match self.source().storage.open(name) {
            Ok(file) => file.len().map_err(Error::io("read", self.source().storage.describe(name))),
            // Sealed or retired since, or an index that is still to be made.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(Error::io("open", self.source().storage.describe(name))(error)),
        }
    }
}

/// What the last writer has told of the way it writes. Nothing depends on it.
fn direct_io(storage: &dyn Storage) -> Option<bool> {
    let mut bytes = [0; HEAD_BYTES];
    read_exact_at(&*storage.open(HEAD).ok()?, &mut bytes, 0).ok()?;
    Head::decode(&bytes).map(|head| head.writes_directly)
}
