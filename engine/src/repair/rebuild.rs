//! Writing what replaces damaged files, and removing those once it is durable.

use crate::drops::Drops;
use crate::error::{Damage, Error, Result};
use crate::gap::Gap;
use crate::log::{fields_of, index_segment};
use crate::merkle::Frontier;
use crate::names::{SegmentKind, SegmentName, temporary};
use crate::raw::{BadRange, RawCursor, RawSegment, ReadAhead};
use crate::record::{RecordKind, StoredRecord};
use crate::repair::entries::Entries;
use crate::repair::keep;
use crate::repair::plan::{From, Group, Part};
use crate::repair::report::{RepairReport, Replaced};
use crate::sealed::{Comparison, Salvaged, SealOptions, SealedFile, SealedWriter, Source, Stated, install_index};
use crate::shape::Shape;
use crate::storage::Storage;
use crate::{FileId, Incarnation, LogId, Timestamp};
use annals_index::{FileHeader, FileKind, SPECIFIC_BYTES};
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// Carries out a plan, or counts what it would come to.
pub(super) struct Rebuilder {
    storage: Arc<dyn Storage>,
    log_id: LogId,
    incarnation: Incarnation,
    next_ordinal: u64,
    apply: bool,
    now: Timestamp,
    /// The hash tree at the end of what was written last.
    tree: Option<Frontier>,
}

/// The next of what a group holds.
enum Item<'a> {
    Record(StoredRecord<'a>),
    Gap(Gap, Incarnation),
}

type Sink<'s> = &'s mut dyn FnMut(Item<'_>) -> Result<()>;

impl Rebuilder {
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        log_id: LogId,
        incarnation: Incarnation,
        next_ordinal: u64,
        apply: bool,
    ) -> Self {
        let now = storage.now();
        Self { storage, log_id, incarnation, next_ordinal, apply, now, tree: None }
    }

    /// Puts one sealed segment in the place of a group.
    pub(super) fn rebuild(&mut self, group: &Group, report: &mut RepairReport) -> Result<()> {
        let seqs = group.seqs();
        let originals: Vec<SegmentName> = group.parts.iter().filter_map(|part| part.original).collect();
        let mut replaced = Replaced {
            files: originals.iter().map(ToString::to_string).collect(),
            first_seq: seqs.start,
            end_seq: seqs.end,
            ..Replaced::default()
        };
        let kept = self.keep(group)?;
        replaced.kept = kept.concat();
        if self.apply && !seqs.is_empty() {
            let name = self.write(group, &kept)?;
            replaced.by = Some(name.to_string());
        }
        self.each(group, &kept, &mut |item| {
            match item {
                Item::Record(_) => replaced.records += 1,
                Item::Gap(gap, by) => {
                    replaced.missing += if gap.dropped.is_none() { gap.count() } else { 0 };
                    report.gaps.extend((by == self.incarnation).then_some(gap));
                }
            }
            Ok(())
        })?;
        if self.apply {
            self.remove(&originals)?;
        }
        report.replaced.push(replaced);
        Ok(())
    }

    /// Makes the indexes again that can't be used, of segments that were not replaced.
    pub(super) fn indexes(&self, report: &mut RepairReport) -> Result<()> {
        let replaced: Vec<&String> = report.replaced.iter().flat_map(|replaced| &replaced.files).collect();
        let listed = self.storage.list("").map_err(Error::io("list", self.storage.describe("")))?;
        let segments = listed.iter().filter_map(|name| SegmentName::parse(name));
        let mut made = Vec::new();
        for name in segments.filter(|name| name.kind == SegmentKind::Sealed) {
            for index in name.derived() {
                let is_wrong = report.indexes.contains(&self.storage.describe(&index.to_string()));
                if !is_wrong || replaced.contains(&&name.to_string()) {
                    continue;
                }
                if self.apply {
                    let file = SealedFile::open(&self.storage, name, self.log_id)?;
                    match index.kind {
                        SegmentKind::Index => self.index(name, &file)?,
                        SegmentKind::Fields => self.fields(&file)?,
                        // Made again when somebody asks.
                        _ => self.drop_file(&index.to_string())?,
                    }
                }
                made.push(index.to_string());
            }
        }
        report.indexes = made;
        Ok(())
    }

    /// Copies the damaged files of the group to quarantine; the names of what keeps each part.
    fn keep(&self, group: &Group) -> Result<Vec<Vec<String>>> {
        let keep = |part: &Part| {
            let mut kept = part.kept.clone();
            if let Some(name) = part.original.filter(|_| self.apply && part.is_bad) {
                kept.extend(keep::copy(&*self.storage, &name.to_string())?);
            }
            Ok(kept)
        };
        group.parts.iter().map(keep).collect()
    }

    fn write(&mut self, group: &Group, kept: &[Vec<String>]) -> Result<SegmentName> {
        let base_seq = group.seqs().start;
        let name = SegmentName { base_seq, ordinal: self.next_ordinal, kind: SegmentKind::Sealed };
        self.next_ordinal += 1;
        let (text, path) = (name.to_string(), self.storage.describe(&name.to_string()));
        let unfinished = temporary(&text);
        let start = group.start.clone().or_else(|| self.tree.take()).filter(|tree| tree.size() == base_seq);
        let Some(start) = start else { return Err(no_tree(&path, base_seq)) };
        let dictionary = match group.parts.as_slice() {
            [Part { from: From::Sealed(file), .. }] => file.file_dictionary().unwrap_or(None),
            _ => None,
        };
        let file = self.storage.create(&unfinished).map_err(Error::io("create", path.clone()))?;
        let (header, options) = (self.header(name, &path)?, SealOptions::default());
        let mut writer = SealedWriter::create(&*file, path.clone(), &header, dictionary.as_ref(), start, &options)?;
        let mut shape = Shape::new();
        self.each(group, kept, &mut |item| match item {
            Item::Record(record) => {
                shape.observe(record.body)?;
                writer.push(&record)
            }
            Item::Gap(gap, by) => writer.push_gap(&gap, by),
        })?;
        let mut encoded = Vec::new();
        shape.encode(&mut encoded);
        let summary = writer.finish_as(&encoded, &sources(group), stated(group))?;
        file.sync().map_err(Error::io("sync", path.clone()))?;

        let written = SealedFile::open_as(&self.storage, &unfinished, name, self.log_id)?;
        let mut comparison = Comparison::new(&written);
        self.each(group, kept, &mut |item| match item {
            Item::Record(record) => comparison.next(&record),
            Item::Gap(gap, _) => comparison.gap(&gap),
        })?;
        comparison.finish()?;
        self.storage.rename(&unfinished, &text).map_err(Error::io("rename", path))?;
        self.storage.sync_dir("").map_err(Error::io("sync", self.storage.describe("")))?;
        self.index(name, &written)?;
        self.tree = Some(summary.end);
        Ok(name)
    }

    /// Makes the index of a segment, unless the segment holds more than an index can tell of.
    fn index(&self, name: SegmentName, file: &SealedFile) -> Result<()> {
        match install_index(&*self.storage, name, file) {
            Err(Error::Damaged(_)) => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// Makes the field index of a segment again. If nothing tells its fields any more, the next writer does that.
    fn fields(&self, file: &SealedFile) -> Result<()> {
        let wanted = file.fields().map(|index| fields_of(&index)).unwrap_or_default();
        let name = file.name().fields().to_string();
        self.drop_file(&name)?;
        file.drop_fields();
        match wanted.is_empty() || !file.takes_fields() {
            true => Ok(()),
            false => index_segment(&*self.storage, file, &wanted, &|| true).map(drop),
        }
    }

    fn drop_file(&self, name: &str) -> Result<()> {
        self.storage.remove(name).map_err(Error::io("remove", self.storage.describe(name)))
    }

    /// Removes files whose records have another place, and their indexes.
    fn remove(&self, originals: &[SegmentName]) -> Result<()> {
        if originals.is_empty() {
            return Ok(());
        }
        let sealed = originals.iter().filter(|name| name.kind == SegmentKind::Sealed);
        let indexes = sealed.flat_map(|name| name.derived());
        for name in originals.iter().copied().chain(indexes) {
            let name = name.to_string();
            match self.storage.remove(&name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", self.storage.describe(&name))(error));
                }
                _ => {}
            }
        }
        self.storage.sync_dir("").map_err(Error::io("sync", self.storage.describe("")))
    }

    fn header(&self, name: SegmentName, path: &str) -> Result<FileHeader> {
        Ok(FileHeader {
            kind: FileKind::Sealed,
            compatible: 0,
            incompatible: 0,
            log_id: self.log_id.0,
            file_id: self.storage.random().map_err(Error::io("draw a random id for", path.to_owned()))?,
            base_seq: name.base_seq,
            ordinal: name.ordinal,
            created_us: self.now.as_micros(),
            specific: [0; SPECIFIC_BYTES],
        })
    }

    /// Gives all that `group` holds to `sink`, in order.
    fn each(&self, group: &Group, kept: &[Vec<String>], sink: Sink<'_>) -> Result<()> {
        for (part, kept) in group.parts.iter().zip(kept) {
            let lost = |seqs: Range<u64>, why: String| Item::Gap(Gap::new(seqs, why, kept, self.now), self.incarnation);
            match &part.from {
                _ if part.seqs.is_empty() => {}
                From::Sealed(file) => file.salvage(part.seqs.clone(), &mut |salvaged| match salvaged {
                    Salvaged::Record(record) => sink(Item::Record(record)),
                    Salvaged::Gap(gap, by) => sink(Item::Gap(gap, by)),
                    Salvaged::Lost(seqs, why) => sink(lost(seqs, why)),
                })?,
                From::Raw(raw) => salvage_raw(raw, part.seqs.clone(), &mut |salvaged| match salvaged {
                    Ok(record) if record.kind == RecordKind::Dropped => sink(dropped(raw, &record)?),
                    Ok(record) => sink(Item::Record(record)),
                    Err((seqs, why)) => sink(lost(seqs, why)),
                })?,
                From::Nothing(why) => sink(lost(part.seqs.clone(), why.clone()))?,
            }
        }
        Ok(())
    }
}

const ENDS_BEFORE: &str = "the file's records end before";

/// What `record` of `raw` tells of dropped ones.
fn dropped<'a>(raw: &RawSegment, record: &StoredRecord<'_>) -> Result<Item<'a>> {
    let drops = Drops::of_record(record).map_err(|detail| {
        let (first_seq, end_seq) = (Some(record.seq), Some(record.seq + 1));
        Error::Damaged(Damage { path: raw.path.clone(), offset: 0, detail: detail.to_owned(), first_seq, end_seq })
    })?;
    Ok(Item::Gap(Gap::of_drops(record.seq, drops), record.incarnation))
}

/// A record, or seqs that can't be read and why.
type RawItem<'a> = Result<StoredRecord<'a>, (Range<u64>, String)>;

/// Gives all of `seqs` to `sink`, in order.
fn salvage_raw(raw: &RawSegment, seqs: Range<u64>, sink: &mut dyn FnMut(RawItem<'_>) -> Result<()>) -> Result<()> {
    let mut cursor = RawCursor::default();
    let mut lost: Option<(u64, String)> = None;
    // Of the bad range that was met last.
    let mut entries: Option<(BadRange, Option<Entries>)> = None;
    // Behind its last one, nothing has to be asked for: where the next file begins may be far away.
    let end = raw.scan().end_seq().clamp(seqs.start, seqs.end);
    for seq in seqs.start..end {
        let why = match cursor.read_any(raw, seq, ReadAhead::Forward) {
            Ok(true) => None,
            Ok(false) => Some(ENDS_BEFORE.to_owned()),
            Err(Error::Damaged(damage)) => Some(damage.detail),
            Err(error) => return Err(error),
        };
        if why.is_some() && !entries.as_ref().is_some_and(|(bad, _)| bad.holds(seq)) {
            let bad = raw.scan().bad.iter().find(|bad| bad.holds(seq)).cloned();
            entries = match bad {
                Some(bad) => Some((bad.clone(), Entries::of(raw, &bad)?)),
                None => None,
            };
        }
        let of_batch = entries.as_ref().filter(|_| why.is_some()).and_then(|(_, entries)| entries.as_ref()?.get(seq));
        match (why, cursor.current().or(of_batch)) {
            (_, Some(record)) => {
                if let Some((first, why)) = lost.take() {
                    sink(Err((first..seq, why)))?;
                }
                sink(Ok(record))?;
            }
            (why, None) => {
                lost.get_or_insert_with(|| (seq, why.unwrap_or_default()));
            }
        }
    }
    let lost = lost.or_else(|| (end < seqs.end).then(|| (end, ENDS_BEFORE.to_owned())));
    match lost {
        Some((first, why)) => sink(Err((first..seqs.end, why))),
        None => Ok(()),
    }
}

/// What the new file says of the tree, if its end was stated before.
fn stated(group: &Group) -> Option<Stated> {
    let end = group.end.clone()?;
    let nodes = match group.parts.as_slice() {
        [Part { from: From::Sealed(file), .. }] => {
            let count = file.merkle().ok().filter(|ends| ends.end == end).map(|ends| ends.node_count());
            file.nodes().ok().map(|(_, nodes)| nodes).filter(|nodes| count == Some(nodes.len() as u64))
        }
        _ => None,
    };
    Some(Stated { end, nodes })
}

/// The raw segments whose records the group holds, as far as that is known.
fn sources(group: &Group) -> Vec<Source> {
    let of_part = |part: &Part| match &part.from {
        From::Sealed(file) => file.sources().unwrap_or_default(),
        From::Raw(raw) => {
            let file_id = FileId(raw.header.file_id);
            vec![Source { base_seq: raw.name.base_seq, ordinal: raw.name.ordinal, file_id }]
        }
        From::Nothing(_) => Vec::new(),
    };
    group.parts.iter().flat_map(of_part).collect()
}

fn no_tree(path: &str, seq: u64) -> Error {
    Error::Damaged(Damage {
        path: path.to_owned(),
        offset: 0,
        detail: "nothing tells the hash tree before this record".to_owned(),
        first_seq: Some(seq),
        end_seq: None,
    })
}
