//! Verifying a log: reading every byte of it again, from the files and not from memory.

use crate::LogId;
use crate::catalog::{self, Removal};
use crate::error::{Damage, Error, Result};
use crate::gap::Gap;
use crate::log::identity;
use crate::merkle::{Frontier, hex, leaf_hash};
use crate::names::{SegmentKind, SegmentName};
use crate::raw::{BadRange, DATA_START, HEADER_COPY_AT, RawCursor, RawSegment, ReadAhead};
use crate::reader::Reader;
use crate::recovery::{damage_below, open_raw};
use crate::sealed::{SealedFile, SealedSlot};
use crate::storage::read_exact_at;
use crate::sync::thread;
use crate::view::{Chain, Segment};
use annals_index::{FileHeader, FileKind, HEADER_BYTES};
use std::time::Duration;

/// What verifying a log found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct VerifyReport {
    /// The log's id.
    pub log_id: LogId,
    /// How many records were read and found sound.
    pub records: u64,
    /// The seq after the last record that was looked at. What is appended during the verification is left out.
    pub end_seq: u64,
    /// How many sealed segments were read.
    pub sealed_segments: u64,
    /// How many raw segments were read.
    pub raw_segments: u64,
    /// How many blocks of sealed segments were read.
    pub blocks: u64,
    /// How many bytes were read.
    pub bytes: u64,
    /// The root of the hash tree over all records below `end_seq`, recomputed, in hex; `None` if records are missing.
    pub root: Option<String>,
    /// Everything that is not as it has to be.
    pub damage: Vec<Damage>,
    /// What the log itself says is missing, since a repair could not bring it back, or since a limit dropped it. No damage.
    pub gaps: Vec<Gap>,
    /// What retention has removed. No damage: what follows is proven from the hash tree that is kept of it.
    pub removals: Vec<Removal>,
    /// How many nodes of the hash tree were taken as the segments state them, since records below them are in gaps: each
    /// stands over at most 256 records, whose own checksums hold.
    pub unproven: u64,
    /// Indexes that are missing or can't be used, and field indexes that can't; they cost time until a repair makes them again.
    pub indexes: Vec<String>,
}

impl VerifyReport {
    /// Whether everything is as it has to be; gaps are. That the log is complete, and neither it nor its newest segments an
    /// older copy put back, can't be told from the log alone: that takes a root and a number of records kept elsewhere.
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }
}

/// How often, and how long apart, bytes at the end of the log are looked at again before they count as damage: a writer
/// may be at them.
const WRITE_CHECKS: usize = 3;
const WRITE_CHECK_PAUSE: Duration = Duration::from_millis(20);

#[derive(Clone)]
struct Verification<'a> {
    reader: &'a Reader,
    report: VerifyReport,
    /// The tree over all records so far, as long as there are all of them.
    tree: Option<Frontier>,
    /// The seq after the last segment that was read.
    expected_seq: u64,
}

impl Reader {
    /// Reads the whole log again and checks every byte, hash and link of it. Safe beside a writer. Calls `progress` with
    /// the bytes read so far after every segment.
    ///
    /// # Errors
    /// Only what keeps it from reading; what it finds is in the report.
    pub fn verify(&self, progress: &mut dyn FnMut(u64)) -> Result<VerifyReport> {
        let source = self.source();
        source.look()?;
        let (end_seq, mut chain) = (self.end_seq(), source.view.chain());
        let (_, mut damage) = identity::read_or_told(&*source.storage)?;
        damage.extend(catalog::file::read(&*source.storage, source.log_id)?.damage);
        let mut verification = Verification {
            reader: self,
            report: VerifyReport {
                log_id: self.id(),
                records: 0,
                end_seq,
                sealed_segments: 0,
                raw_segments: 0,
                blocks: 0,
                bytes: identity::IDENTITY_BYTES as u64,
                root: None,
                damage,
                gaps: Vec::new(),
                removals: Vec::new(),
                unproven: 0,
                indexes: Vec::new(),
            },
            tree: Some(Frontier::new()),
            expected_seq: 0,
        };
        let mut before_raws: Option<Verification<'_>> = None;
        let mut index = 0;
        verification.skip_removed(&chain);
        while let Some(segment) = chain.segments.get(index).filter(|s| s.base_seq() <= verification.report.end_seq) {
            let (name, end) = (segment.name(), chain.end_of(index));
            if let Segment::Raw(_) = segment {
                before_raws.get_or_insert_with(|| verification.clone());
            }
            if name.base_seq > verification.expected_seq {
                verification.hole(name);
            }
            let found = match segment {
                Segment::Sealed(slot) => verification.sealed(slot, end)?,
                Segment::Raw(raw) => verification.raw(raw, end)?,
            };
            if !found {
                source.relist()?;
                chain = source.view.chain();
                if chain.segments.iter().any(|segment| segment.name() == name) {
                    verification.gone(name, end);
                } else {
                    // It was sealed meanwhile, alone or with those before it; or removed by retention.
                    verification = before_raws.take().unwrap_or(verification);
                    verification.skip_removed(&chain);
                    let first_seq = verification.expected_seq;
                    index = chain.segments.partition_point(|segment| segment.base_seq() < first_seq);
                    continue;
                }
            }
            progress(verification.report.bytes);
            index += 1;
        }
        verification.left_out(&chain)?;
        let Verification { mut report, tree, .. } = verification;
        report.root = tree.filter(|tree| tree.size() == report.end_seq).map(|tree| hex(&tree.root()));
        Ok(report)
    }
}

impl Verification<'_> {
    /// Goes on behind what retention has removed, from the tree over that.
    fn skip_removed(&mut self, chain: &Chain) {
        let removed = &chain.removed;
        self.report.removals = removed.removals().iter().map(|removal| Removal::clone(removal)).collect();
        if self.expected_seq < removed.end_seq() {
            self.expected_seq = removed.end_seq();
            self.report.end_seq = self.report.end_seq.max(self.expected_seq);
            self.tree = Some(removed.frontier().clone());
        }
    }

    /// The file of a segment that readers count on is not there.
    fn gone(&mut self, name: SegmentName, end: u64) {
        self.tree = None;
        self.expected_seq = end.min(self.report.end_seq);
        self.report.damage.push(Damage {
            path: self.reader.source().describe(name),
            offset: 0,
            detail: "the file is gone".into(),
            first_seq: Some(name.base_seq),
            end_seq: Some(self.expected_seq),
        });
    }

    /// Nothing is wrong with the file `next`, but with the one before it: that is gone.
    fn hole(&mut self, next: SegmentName) {
        self.tree = None;
        self.report.damage.push(Damage {
            path: self.reader.source().storage.describe(""),
            offset: 0,
            detail: format!("no file holds the records before {next}"),
            first_seq: Some(self.expected_seq),
            end_seq: Some(next.base_seq),
        });
        self.expected_seq = next.base_seq;
    }

    /// Files that have the name of a segment and none of its records, since not even their headers can be read.
    fn left_out(&mut self, chain: &Chain) -> Result<()> {
        let source = self.reader.source();
        let names = source.storage.list("").map_err(Error::io("list", source.storage.describe("")))?;
        let mut names: Vec<_> = names.iter().filter_map(|name| SegmentName::parse(name)).collect();
        names.sort_unstable();
        // What a retention that was cut off has still to remove.
        names.retain(|name| name.base_seq >= chain.removed.end_seq());
        // A repair that was cut off may have left a damaged segment beside the one that replaces it.
        let holds = |segment: &Segment, name: &SegmentName| match segment {
            Segment::Sealed(slot) => slot.name.base_seq == name.base_seq && slot.name.ordinal >= name.ordinal,
            Segment::Raw(raw) => raw.name == *name,
        };
        for name in names.into_iter().filter(|name| !chain.segments.iter().any(|segment| holds(segment, name))) {
            let path = source.describe(name);
            let opened = match name.kind {
                // No more than the header is looked at: a sound one is that of a segment begun or sealed since.
                SegmentKind::Raw => open_raw(&source.storage, source.log_id, name, 0).map(Result::err),
                SegmentKind::Sealed => match SealedFile::open(&source.storage, name, source.log_id) {
                    Err(Error::Damaged(damage)) => Ok(Some(damage.detail)),
                    opened => opened.map(|_| None),
                },
                SegmentKind::Index | SegmentKind::Fields | SegmentKind::Statistics => Ok(None),
            };
            match opened {
                Ok(None) => {}
                Ok(Some(detail)) => {
                    let next = chain.segments.iter().map(Segment::base_seq).find(|&base| base > name.base_seq);
                    self.tree = None;
                    self.report.damage.push(Damage {
                        path,
                        offset: 0,
                        detail,
                        first_seq: Some(name.base_seq),
                        end_seq: next,
                    });
                }
                Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// `false` if the file is gone.
    fn sealed(&mut self, slot: &SealedSlot, end: u64) -> Result<bool> {
        let source = self.reader.source();
        let opened = SealedFile::open(&source.storage, slot.name, source.log_id);
        if is_gone(&opened) {
            return Ok(false);
        }
        self.report.sealed_segments += 1;
        // What was sealed after it was settled how far to look is looked at as a whole.
        let end = match end {
            u64::MAX => opened.as_ref().map_or(0, |file| file.seqs().end).max(self.report.end_seq),
            end => end,
        };
        self.report.end_seq = self.report.end_seq.max(end);
        self.expected_seq = end;
        let file = match opened {
            Ok(file) => file,
            Err(Error::Damaged(damage)) => {
                let (first_seq, end_seq) = (Some(slot.name.base_seq), Some(end));
                self.report.damage.push(Damage { first_seq, end_seq, ..damage });
                self.tree = None;
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        let start = self.tree.take();
        let verified = file.verify(start.as_ref(), &mut |damage| self.report.damage.push(damage))?;
        self.report.bytes += file.file_bytes();
        self.report.blocks += file.block_count()? as u64;
        self.report.records += verified.records;
        self.report.gaps.extend(verified.gaps);
        self.report.unproven += verified.unproven;
        if file.seqs().end != end && !self.report.damage.iter().any(|damage| damage.path == file.path()) {
            // A file whose end is sound has all that it ever had: the records were in another.
            let is_whole = file.footer_damage().is_none() && file.seqs().end < end;
            self.report.damage.push(Damage {
                path: if is_whole { source.storage.describe("") } else { file.path().to_owned() },
                offset: 0,
                detail: format!("the segment ends at record {} where the next begins at {end}", file.seqs().end),
                first_seq: Some(file.seqs().end),
                end_seq: Some(end),
            });
        }
        self.tree = verified.end.filter(|tree| tree.size() == end);
        if file.index().is_none() && file.takes_index() {
            self.report.indexes.push(source.describe(slot.name.index()));
        }
        if file.are_fields_sound()? == Some(false) {
            self.report.indexes.push(source.describe(slot.name.fields()));
        }
        let statistics = source.describe(slot.name.statistics());
        if file.are_answers_sound().map_err(Error::io("open", statistics.clone()))? == Some(false) {
            self.report.indexes.push(statistics);
        }
        Ok(true)
    }

    /// `false` if the file is gone.
    fn raw(&mut self, known: &RawSegment, end: u64) -> Result<bool> {
        let source = self.reader.source();
        let opened = open_raw(&source.storage, source.log_id, known.name, u64::MAX);
        if is_gone(&opened) {
            return Ok(false);
        }
        let end = end.min(self.report.end_seq);
        self.report.raw_segments += 1;
        self.expected_seq = end;
        let raw = match opened? {
            Ok(raw) => raw,
            Err(detail) => {
                let (path, first_seq) = (known.path.clone(), Some(known.name.base_seq));
                self.report.damage.push(Damage { path, offset: 0, detail, first_seq, end_seq: Some(end) });
                self.tree = None;
                return Ok(true);
            }
        };
        self.preamble(&raw)?;
        let mut damaged = damage_below(&raw, end);
        let lost = !damaged.is_empty();
        damaged.extend(self.after_the_end(&raw, end));
        self.report.bytes += raw.scan().end_offset;
        if lost {
            self.tree = None;
        }
        self.report.damage.extend(damaged);
        let mut cursor = RawCursor::default();
        // Where the next file begins is a name's word, which may be far beyond what is here; and so is what is missing.
        let (base_seq, count) = (raw.name.base_seq, end.saturating_sub(raw.name.base_seq));
        let found = raw.scan().positions.runs(0, count);
        let mut has_changed = false;
        for seq in found.into_iter().flat_map(|(from, to)| base_seq + from..base_seq + to) {
            let read = cursor.read_any(&raw, seq, ReadAhead::Forward).and_then(|_| cursor.gap(&raw));
            let gap = match read {
                Ok(gap) => gap,
                // It was there a moment ago. Once says it, however many follow.
                Err(Error::Damaged(damage)) => {
                    self.tree = None;
                    self.report.damage.extend((!has_changed).then_some(damage));
                    has_changed = true;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if let Some(record) = cursor.current() {
                self.report.records += u64::from(gap.is_none());
                self.report.gaps.extend(gap);
                if let Some(tree) = &mut self.tree {
                    tree.push(leaf_hash(&source.log_id, &record));
                }
            }
        }
        Ok(true)
    }

    /// What doesn't check behind the last record that counts. An unfinished write may have left it, or one that is still
    /// under way; anything else is damage.
    fn after_the_end(&self, raw: &RawSegment, end: u64) -> Vec<Damage> {
        let source = self.reader.source();
        let behind = |raw: &RawSegment| -> Vec<BadRange> {
            let scan = raw.scan();
            // Where the final marker stands, no write of records was under way; one of a watermark may have been.
            let cut_off = |bad: &BadRange| scan.closed && bad.end_seq != Some(bad.first_seq);
            let is_damage = |bad: &&BadRange| bad.first_seq >= end && (!bad.unfinished || cut_off(bad));
            scan.bad.iter().filter(is_damage).cloned().collect()
        };
        let mut bad = behind(raw);
        for _ in 0..WRITE_CHECKS {
            if bad.is_empty() {
                break;
            }
            thread::sleep(WRITE_CHECK_PAUSE);
            match open_raw(&source.storage, source.log_id, raw.name, u64::MAX) {
                Ok(Ok(again)) => {
                    let still = behind(&again);
                    bad.retain(|bad| still.contains(bad));
                }
                _ => bad.clear(),
            }
        }
        let unnumbered = |bad| Damage { first_seq: None, end_seq: None, ..raw.damage(bad) };
        bad.iter().map(unnumbered).collect()
    }

    /// Both copies of a raw segment's header, and the zeros after them.
    fn preamble(&mut self, raw: &RawSegment) -> Result<()> {
        let len = raw.file.len().map_err(Error::io("read", raw.path.clone()))?.min(DATA_START);
        let mut bytes = vec![0; len as usize];
        read_exact_at(&*raw.file, &mut bytes, 0).map_err(Error::io("read", raw.path.clone()))?;
        for (start, end) in [(0, HEADER_COPY_AT as usize), (HEADER_COPY_AT as usize, DATA_START as usize)] {
            let page = &bytes[start.min(bytes.len())..end.min(bytes.len())];
            let wrong = match FileHeader::decode(page, FileKind::Raw) {
                Ok(_) if page.len() < end - start => Some((len as usize, "the file ends inside its header".to_owned())),
                Ok(header) if header != raw.header => Some((start, "the copies of the header differ".to_owned())),
                Ok(_) => page[HEADER_BYTES..]
                    .iter()
                    .position(|&byte| byte != 0)
                    .map(|at| (start + HEADER_BYTES + at, "unused bytes that are not zero".to_owned())),
                Err(error) => Some((start, error.to_string())),
            };
            if let Some((at, detail)) = wrong {
                let (path, offset) = (raw.path.clone(), at as u64);
                self.report.damage.push(Damage { path, offset, detail, first_seq: None, end_seq: None });
            }
        }
        Ok(())
    }
}

fn is_gone<T>(opened: &Result<T>) -> bool {
    matches!(opened, Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound)
}
