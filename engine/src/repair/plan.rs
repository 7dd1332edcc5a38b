//! What a repair has to replace, and by what.
//!
//! The seqs of the log are cut into parts, one for each file and one for each range without a file. What is damaged among
//! the sealed ones is replaced in its place. Raw segments can only be sealed from the first on, since those below the
//! end of the last sealed one count as sealed: up to the last that is damaged, all are sealed.

use crate::checksum::Salt;
use crate::error::{Damage, Error, Result};
use crate::merkle::Frontier;
use crate::names::{SegmentKind, SegmentName};
use crate::options::SEGMENT_BYTES_DEFAULT;
use crate::raw::{DATA_START, RawSegment, Scan, Scanner, find_salt};
use crate::recovery::Inspected;
use crate::repair::restore::InPlace;
use crate::sealed::SealedFile;
use crate::view::Segment;
use crate::{LogId, Storage};
use annals_index::{FileHeader, FileKind, SPECIFIC_BYTES};
use std::ops::Range;
use std::sync::Arc;

/// Most seqs in a row that a gap is made of: far more than fit the files that can be lost at once.
const MISSING_MAX: u64 = 1 << 32;

/// Where the records of a part are read from.
#[derive(Debug)]
pub(super) enum From {
    Sealed(Arc<SealedFile>),
    Raw(Arc<RawSegment>),
    /// Nothing can be read, for this reason.
    Nothing(String),
}

/// A range of seqs that belongs to one file, or to none.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) seqs: Range<u64>,
    pub(super) from: From,
    /// The file that goes once its records have another place.
    pub(super) original: Option<SegmentName>,
    /// Files in quarantine that keep what was there, apart from a copy of `original`.
    pub(super) kept: Vec<String>,
    /// Whether something is wrong with it.
    pub(super) is_bad: bool,
}

/// Parts that become one sealed segment.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) parts: Vec<Part>,
    /// The hash tree before the first record; `None` if that is where the group before ends.
    pub(super) start: Option<Frontier>,
    /// The hash tree after the last record, if something tells it.
    pub(super) end: Option<Frontier>,
}

impl Group {
    pub(super) fn seqs(&self) -> Range<u64> {
        let ends = self.parts.first().zip(self.parts.last());
        ends.map_or(0..0, |(first, last)| first.seqs.start..last.seqs.end)
    }
}

/// What is to be replaced, in the order in which that has to happen.
pub(super) fn plan(
    storage: &Arc<dyn Storage>,
    log_id: LogId,
    found: &Inspected,
    damage: &[Damage],
    in_place: &InPlace,
) -> Result<Vec<Group>> {
    let planner = Planner { storage, log_id, found, damage };
    let raws = planner.raws()?;
    let (sealed, sealed_end) = planner.sealed_parts(raws.first().copied())?;
    let mut raw = planner.raw_parts(&raws, sealed_end)?;
    in_place.add_to(&mut raw);
    for part in sealed.iter().chain(&raw) {
        check_size(storage, part)?;
    }
    let last = sealed.last().and_then(|part| boundary(Some(part), None, sealed_end));
    let removed = found.chain.removed.frontier();
    let last = last.or_else(|| Some(removed.clone()).filter(|removed| removed.size() == sealed_end));
    let mut groups = group_sealed(sealed, removed);
    // Those behind the last that is damaged can stay as they are.
    raw.truncate(raw.iter().rposition(|part| part.is_bad).map_or(0, |last| last + 1));
    groups.extend(group_raw(raw, last));
    Ok(groups)
}

struct Planner<'a> {
    storage: &'a Arc<dyn Storage>,
    log_id: LogId,
    found: &'a Inspected,
    damage: &'a [Damage],
}

impl Planner<'_> {
    /// Whether verifying found anything wrong with the file.
    fn is_damaged(&self, name: SegmentName) -> bool {
        let path = self.storage.describe(&name.to_string());
        self.damage.iter().any(|damage| damage.path == path)
    }

    /// The raw segments that count, readable or not.
    fn raws(&self) -> Result<Vec<SegmentName>> {
        let listed = self.storage.list("").map_err(Error::io("list", self.storage.describe("")))?;
        let mut names: Vec<SegmentName> = listed
            .iter()
            .filter(|name| !self.found.leftovers.contains(name))
            .filter_map(|name| SegmentName::parse(name))
            .filter(|name| name.kind == SegmentKind::Raw && !self.found.unreadable.contains(name))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// The parts up to the end of the last sealed segment, and that end. `raw` is the first raw segment.
    fn sealed_parts(&self, raw: Option<SegmentName>) -> Result<(Vec<Part>, u64)> {
        let chain = &self.found.chain;
        let mut parts: Vec<Part> = Vec::new();
        let mut expected = chain.removed.end_seq();
        for (index, segment) in chain.segments.iter().enumerate() {
            let Segment::Sealed(slot) = segment else { break };
            let name = slot.name;
            let file = match SealedFile::open(self.storage, name, self.log_id) {
                Ok(file) => Ok(Arc::new(file)),
                Err(Error::Damaged(damage)) => Err(damage.detail),
                Err(error) => return Err(error),
            };
            let own_end = file.as_ref().map_or(name.base_seq, |file| file.seqs().end);
            let own_whole = file.as_ref().is_ok_and(|file| file.footer_damage().is_none());
            let end = match chain.segments.get(index + 1) {
                // What it never had belonged to files that are gone.
                Some(Segment::Sealed(next)) if own_whole => own_end.min(next.name.base_seq),
                Some(Segment::Sealed(next)) => next.name.base_seq,
                _ if own_whole => own_end,
                _ => raw.map_or(self.found.next_seq.max(own_end), |raw| raw.base_seq),
            };
            if name.base_seq > expected {
                parts.push(hole(expected..name.base_seq));
            }
            let is_bad = self.is_damaged(name) || own_end != end || file.is_err();
            let from = file.map_or_else(From::Nothing, From::Sealed);
            parts.push(Part { seqs: name.base_seq..end, from, original: Some(name), kept: Vec::new(), is_bad });
            expected = end;
        }
        Ok((parts, expected))
    }

    /// The parts from there on.
    fn raw_parts(&self, names: &[SegmentName], sealed_end: u64) -> Result<Vec<Part>> {
        let found = self.found;
        let mut parts: Vec<Part> = Vec::new();
        let mut expected = sealed_end;
        for (index, name) in names.iter().copied().enumerate() {
            if name.base_seq > expected {
                parts.push(hole(expected..name.base_seq));
            }
            let end = names.get(index + 1).map_or(found.next_seq.max(name.base_seq), |next| next.base_seq);
            let known = found.chain.raws().find(|raw| raw.name == name).cloned();
            let is_bad = known.is_none() || self.is_damaged(name);
            let from = match known {
                Some(raw) => From::Raw(raw),
                None => self.headerless(name)?,
            };
            parts.push(Part { seqs: name.base_seq..end, from, original: Some(name), kept: Vec::new(), is_bad });
            expected = end;
        }
        if found.next_seq > expected {
            parts.push(hole(expected..found.next_seq));
        }
        Ok(parts)
    }

    /// A raw segment whose header can't be read, read by what its frames tell of it.
    fn headerless(&self, name: SegmentName) -> Result<From> {
        let text = name.to_string();
        let path = self.storage.describe(&text);
        let file = self.storage.open(&text).map_err(Error::io("open", path.clone()))?;
        if crate::raw::read_header(&*file).map_err(Error::io("read", path.clone()))?.is_ok() {
            return Ok(From::Nothing("its header belongs to another file".to_owned()));
        }
        let raw = read_headerless(self.storage, self.log_id, &text, name, DATA_START, name.base_seq)?;
        Ok(raw.map_or_else(|| From::Nothing("neither copy of the file's header can be read".to_owned()), From::Raw))
    }
}

/// Reads frames from `from` on in the file `file_name`, of which no header tells anything. `None` if none is intact.
pub(super) fn read_headerless(
    storage: &Arc<dyn Storage>,
    log_id: LogId,
    file_name: &str,
    name: SegmentName,
    from: u64,
    base_seq: u64,
) -> Result<Option<Arc<RawSegment>>> {
    let path = storage.describe(file_name);
    let read = |error| Error::io("read", path.clone())(error);
    let file = storage.open(file_name).map_err(Error::io("open", path.clone()))?;
    let Some(salt) = find_salt(&*file, from).map_err(read)? else { return Ok(None) };
    let scan = scan_from(&*file, salt, from, base_seq).map_err(read)?;
    let header = FileHeader {
        kind: FileKind::Raw,
        compatible: 0,
        incompatible: 0,
        log_id: log_id.0,
        // Made up: it only keeps this file apart from others in buffers.
        file_id: storage.random().map_err(Error::io("draw a random id for", path.clone()))?,
        base_seq,
        ordinal: name.ordinal,
        created_us: storage.now().as_micros(),
        specific: [0; SPECIFIC_BYTES],
    };
    Ok(Some(Arc::new(RawSegment::new(name, path, header, file, scan).with_salt(salt))))
}

fn scan_from(file: &dyn crate::storage::File, salt: Salt, from: u64, base_seq: u64) -> std::io::Result<Scan> {
    let mut scan = Scan::new(base_seq);
    scan.end_offset = from;
    Scanner::new(file, file.len()?, salt).run(&mut scan, u64::MAX)?;
    Ok(scan)
}

fn hole(seqs: Range<u64>) -> Part {
    let from = From::Nothing("no file held these records".to_owned());
    Part { seqs, from, original: None, kept: Vec::new(), is_bad: true }
}

fn check_size(storage: &Arc<dyn Storage>, part: &Part) -> Result<()> {
    if part.seqs.end - part.seqs.start <= MISSING_MAX || !part.is_bad {
        return Ok(());
    }
    Err(Error::Damaged(Damage {
        path: storage.describe(&part.original.map(|name| name.to_string()).unwrap_or_default()),
        offset: 0,
        detail: format!("more than {MISSING_MAX} records would be missing in a row: put missing files back first"),
        first_seq: Some(part.seqs.start),
        end_seq: Some(part.seqs.end),
    }))
}

/// The hash tree before the record `seq`, where `left` ends and `right` begins, if one of them tells.
fn boundary(left: Option<&Part>, right: Option<&Part>, seq: u64) -> Option<Frontier> {
    let ends = |part: Option<&Part>| match part?.from {
        From::Sealed(ref file) => file.merkle().ok(),
        _ => None,
    };
    let known = ends(left).map(|ends| ends.end).filter(|end| end.size() == seq);
    known.or_else(|| ends(right).map(|ends| ends.start).filter(|start| start.size() == seq))
}

/// `removed` is the tree over what retention removed. The damaged ones of `parts`, each by itself; together with the next one, if nothing tells the tree in between.
fn group_sealed(parts: Vec<Part>, removed: &Frontier) -> Vec<Group> {
    let tree_at = |index: usize| {
        let seq = parts[index].seqs.start;
        if seq == removed.size() {
            return Some(removed.clone());
        }
        boundary(index.checked_sub(1).map(|before| &parts[before]), Some(&parts[index]), seq)
    };
    let mut trees: Vec<Option<Frontier>> = (0..parts.len()).map(tree_at).collect();
    trees.push(parts.last().and_then(|part| boundary(Some(part), None, part.seqs.end)));
    let mut groups: Vec<Group> = Vec::new();
    let mut is_open = false;
    for (index, part) in parts.into_iter().enumerate() {
        let (start, end) = (trees[index].clone(), trees[index + 1].clone());
        let joins = is_open && start.is_none();
        if !part.is_bad && !joins {
            is_open = false;
            continue;
        }
        is_open = true;
        match groups.last_mut().filter(|_| joins) {
            Some(group) => {
                group.parts.push(part);
                group.end = end;
            }
            None => groups.push(Group { parts: vec![part], start, end }),
        }
    }
    groups
}

/// All of `parts`, as many together as fill a segment. The tree before them is `start`.
fn group_raw(parts: Vec<Part>, start: Option<Frontier>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut bytes = 0;
    for part in parts {
        let own = match &part.from {
            From::Raw(raw) => raw.frames_bytes(),
            _ => 0,
        };
        bytes += own;
        match groups.last_mut().filter(|_| bytes <= SEGMENT_BYTES_DEFAULT) {
            Some(group) => group.parts.push(part),
            None => {
                bytes = own;
                let first = groups.is_empty();
                let start = start.clone().filter(|_| first);
                groups.push(Group { parts: vec![part], start, end: None });
            }
        }
    }
    groups
}
