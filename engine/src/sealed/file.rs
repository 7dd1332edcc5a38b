//! Reading a sealed file.

use super::fields::FieldsSlot;
use super::footer::{MerkleEnds, Runs, Source, Summary, decode_nodes, keeps_nodes};
use super::index;
use super::layout::{Directory, Section, Tag};
use super::open::Opened;
use super::shared::Shared;
use super::table::{BlockEntry, Table};
use super::walk::{Walk, walk};
use crate::error::{Damage, Error, Result};
use crate::merkle::Hash;
use crate::names::SegmentName;
use crate::storage::Storage;
use crate::sync::OnceLock;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::{FileId, LogId, Timestamp};
use annals_index::IndexReader;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

/// A sealed segment, open for reading. What it holds beside its header and summary is read when it is first asked
/// for, checked, and kept. All methods may be called from many threads at once, each with a [`BlockBuf`] of its own.
pub(crate) struct SealedFile {
    pub(super) opened: Opened,
    pub(super) storage: Arc<dyn Storage>,
    name: SegmentName,
    summary: Summary,
    /// What is wrong with the summary of the footer, until it has been read or if it had to be put together from the
    /// blocks.
    footer_damage: Option<Damage>,
    walk: OnceLock<Walk>,
    table: OnceLock<Table>,
    runs: OnceLock<Runs>,
    pub(super) dictionary: OnceLock<Option<Shared>>,
    index: OnceLock<Option<IndexReader>>,
    pub(super) index_dropped: AtomicBool,
    pub(super) fields: FieldsSlot,
}

impl std::fmt::Debug for SealedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedFile").field("path", &self.opened.path).field("summary", &self.summary).finish()
    }
}

impl SealedFile {
    /// Opens the sealed segment `name` of the log `log_id`: reads its ends, and its blocks only where the footer is
    /// damaged.
    ///
    /// # Errors
    /// [`Error::Damaged`] if neither copy of the file's header is that of this segment.
    pub(crate) fn open(storage: &Arc<dyn Storage>, name: SegmentName, log_id: LogId) -> Result<Self> {
        Self::open_as(storage, &name.to_string(), name, log_id)
    }

    /// As [`SealedFile::open`], while the file still has another name.
    pub(crate) fn open_as(
        storage: &Arc<dyn Storage>,
        file_name: &str,
        name: SegmentName,
        log_id: LogId,
    ) -> Result<Self> {
        let opened = Opened::new(&**storage, file_name, name, log_id)?;
        let mut file = Self {
            summary: Summary::empty(name.base_seq),
            footer_damage: Some(opened.damage(opened.len, "the footer has not been read")),
            opened,
            storage: Arc::clone(storage),
            name,
            walk: OnceLock::new(),
            table: OnceLock::new(),
            runs: OnceLock::new(),
            dictionary: OnceLock::new(),
            index: OnceLock::new(),
            index_dropped: AtomicBool::new(false),
            fields: FieldsSlot::default(),
        };
        let summary = file
            .section(Tag::SUMMARY)?
            .and_then(|bytes| Summary::decode(&bytes, name.base_seq).ok_or_else(|| file.contradiction(Tag::SUMMARY)));
        match summary {
            Ok(summary) => (file.summary, file.footer_damage) = (summary, None),
            Err(damage) => {
                file.summary = summary_of(file.table()?, file.walk()?, name.base_seq);
                file.footer_damage = Some(damage);
            }
        }
        Ok(file)
    }

    pub(crate) fn name(&self) -> SegmentName {
        self.name
    }

    pub(crate) fn path(&self) -> &str {
        &self.opened.path
    }

    pub(crate) fn file_id(&self) -> FileId {
        self.opened.file_id()
    }

    pub(crate) fn log_id(&self) -> LogId {
        self.opened.log_id()
    }

    /// The file's length in bytes.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.opened.len
    }

    /// When it was begun to be written, as its header says.
    pub(crate) fn written_at(&self) -> Timestamp {
        Timestamp::from_micros(self.opened.header.created_us)
    }

    /// The seqs of the records that it holds.
    pub(crate) fn seqs(&self) -> Range<u64> {
        self.name.base_seq..self.summary.end_seq
    }

    /// Whether an index tells apart as many seqs as these. More of them are in a gap that few bytes tell of.
    pub(crate) fn takes_index(&self) -> bool {
        keeps_nodes(self.seqs())
    }

    /// Whether some of those seqs are in gaps.
    pub(crate) fn has_gaps(&self) -> bool {
        self.summary.missing(self.name.base_seq) > 0
    }

    /// The earliest and the latest timestamp; `None` without records.
    pub(crate) fn time_range(&self) -> Option<RangeInclusive<Timestamp>> {
        let moment = Timestamp::from_micros;
        (self.summary.records > 0).then(|| moment(self.summary.time_min)..=moment(self.summary.time_max))
    }

    /// What it holds in numbers. Where [`SealedFile::footer_damage`] is set, of the blocks that were found, and the
    /// bytes of bodies are 0.
    pub(crate) fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Why the numbers had to be put together from the blocks: the end of the file is damaged or cut.
    #[allow(dead_code, reason = "the format has it; proofs, repair and field scans are to come")]
    pub(crate) fn footer_damage(&self) -> Option<&Damage> {
        self.footer_damage.as_ref()
    }

    /// Whether what is left of the footer says that the blocks that were found are all there were.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn is_end_known(&self) -> Result<bool> {
        /// Bytes of a summary that blocks tell: all but those of the bodies.
        const TOLD_BYTES: usize = 32;
        if self.footer_damage.is_none() || self.stored_table()?.is_ok() || self.blocks_end() == Some(self.walk()?.end) {
            return Ok(true);
        }
        // One that says the same as the blocks is there by no chance, though its checksum can't be found.
        Ok(self.opened.ends_with(&self.summary.encode()[..TOLD_BYTES]))
    }

    /// The hash tree before the first record and after the last.
    pub(crate) fn merkle(&self) -> Result<MerkleEnds> {
        let bytes = self.section(Tag::MERKLE)?.map_err(Error::Damaged)?;
        let ends = MerkleEnds::decode(&bytes)
            .filter(|ends| (ends.start.size(), ends.end.size()) == (self.seqs().start, self.seqs().end));
        ends.ok_or_else(|| Error::Damaged(self.contradiction(Tag::MERKLE)))
    }

    /// The nodes over aligned runs of leaves that the segment completes: the number of the first, and all of them.
    #[allow(dead_code, reason = "the format has it; proofs, repair and field scans are to come")]
    pub(crate) fn nodes(&self) -> Result<(u64, Vec<Hash>)> {
        let bytes = self.section(Tag::NODES)?.map_err(Error::Damaged)?;
        let nodes = decode_nodes(&bytes).ok_or_else(|| Error::Damaged(self.contradiction(Tag::NODES)))?;
        Ok((self.seqs().start / crate::merkle::NODE_LEAVES, nodes.to_vec()))
    }

    /// The raw segments whose records it took over.
    #[allow(dead_code, reason = "the format has it; proofs, repair and field scans are to come")]
    pub(crate) fn sources(&self) -> Result<Vec<Source>> {
        let bytes = self.section(Tag::SOURCES)?.map_err(Error::Damaged)?;
        Source::decode_all(&bytes).ok_or_else(|| Error::Damaged(self.contradiction(Tag::SOURCES)))
    }

    /// The bytes that the caller gave when the file was finished.
    #[allow(dead_code, reason = "the format has it; proofs, repair and field scans are to come")]
    pub(crate) fn shape(&self) -> Result<Vec<u8>> {
        self.section(Tag::SHAPE)?.map_err(Error::Damaged)
    }

    /// From which seq on the records are of which incarnation.
    pub(crate) fn runs(&self) -> Result<&Runs> {
        cached(&self.runs, || {
            let runs = self.section(Tag::RUNS)?.ok().and_then(|bytes| Runs::decode(&bytes, self.name.base_seq));
            runs.map_or_else(|| Ok(self.walk()?.runs.clone()), Ok)
        })
    }

    /// Where the blocks and the sections of the footer stand; no sections if the directory is damaged.
    pub(crate) fn layout(&self) -> Result<(&[BlockEntry], &[Section])> {
        let sections = self.opened.directory.as_ref().map_or(&[][..], |directory| &directory.0);
        Ok((&self.table()?.0, sections))
    }

    /// How many blocks there are.
    pub(crate) fn block_count(&self) -> Result<usize> {
        Ok(self.table()?.0.len())
    }

    /// The seqs and the times of the records in the block that holds `seq`.
    ///
    /// # Errors
    /// As [`SealedFile::block_of`].
    pub(crate) fn block_bounds(&self, seq: u64) -> Result<(Range<u64>, RangeInclusive<Timestamp>)> {
        let entry = self.table()?.0[self.block_of(seq)?];
        let moment = Timestamp::from_micros;
        Ok((entry.first_seq..entry.end_seq(), moment(entry.time_min)..=moment(entry.time_max)))
    }

    /// The number of the block that holds the record `seq`.
    ///
    /// # Errors
    /// [`Error::Damaged`] if no block that can be found does.
    pub(crate) fn block_of(&self, seq: u64) -> Result<usize> {
        self.table()?.find(seq).map_err(|(from, to)| {
            let damage = self.opened.damage(self.opened.blocks_at, "no block with the record can be found");
            let first_seq = Some(from.unwrap_or(self.seqs().start));
            Error::Damaged(Damage { first_seq, end_seq: to.or(self.told_end()), ..damage })
        })
    }

    /// The numbers of the blocks that may hold records with timestamps in `window`, first to last.
    #[allow(dead_code, reason = "the format has it; proofs, repair and field scans are to come")]
    pub(crate) fn blocks_in(
        &self,
        window: RangeInclusive<Timestamp>,
    ) -> Result<impl DoubleEndedIterator<Item = usize> + use<'_>> {
        Ok(self.table()?.overlapping(window))
    }

    /// The index of this segment, unless there is none or it was found to be wrong.
    pub(crate) fn index(&self) -> Option<&IndexReader> {
        match self.index_dropped.load(Ordering::Relaxed) {
            true => None,
            false => self.index.get_or_init(|| index::open(&*self.storage, self)).as_ref(),
        }
    }

    /// The block table: that of the footer, or what the blocks themselves tell.
    pub(super) fn table(&self) -> Result<&Table> {
        cached(&self.table, || match self.stored_table()? {
            Ok(table) => Ok(table),
            Err(_) => Ok(self.walk()?.table.clone()),
        })
    }

    /// The block table of the footer.
    pub(super) fn stored_table(&self) -> Result<Result<Table, Damage>> {
        let end = self.blocks_end().unwrap_or(self.opened.len);
        Ok(self.section(Tag::BLOCKS)?.and_then(|bytes| {
            Table::decode(&bytes, self.opened.blocks_at, self.name.base_seq, end)
                .ok_or_else(|| self.contradiction(Tag::BLOCKS))
        }))
    }

    /// What the blocks themselves tell.
    pub(super) fn walk(&self) -> Result<&Walk> {
        cached(&self.walk, || walk(&self.opened, self.blocks_end(), self.told_end()))
    }

    /// The first seq after the last record, if the footer tells.
    fn told_end(&self) -> Option<u64> {
        self.footer_damage.is_none().then_some(self.summary.end_seq)
    }

    /// Where the blocks end, if the directory tells.
    pub(super) fn blocks_end(&self) -> Option<u64> {
        self.opened.directory.as_ref().ok()?.0.iter().map(|section| section.offset).min()
    }

    /// The bytes of a footer section, checked.
    pub(super) fn section(&self, tag: Tag) -> Result<Result<Vec<u8>, Damage>> {
        let directory = match &self.opened.directory {
            Ok(directory) => directory,
            Err(damage) => return Ok(Err(damage.clone())),
        };
        let Some(section) = directory.find(tag) else {
            return Ok(Err(self.opened.damage(self.opened.len, &format!("the section {tag} is missing"))));
        };
        if !Directory::is_readable(&section) {
            let detail = format!("the section {tag} is larger than any may be");
            return Ok(Err(self.opened.damage(section.offset, &detail)));
        }
        Ok(self.opened.read(section.offset, section.len)?.and_then(|bytes| {
            match self.opened.salt.crc(&bytes) == section.crc {
                true => Ok(bytes),
                false => {
                    let detail = format!("the section {tag} doesn't match its checksum");
                    Err(self.opened.damage(section.offset, &detail))
                }
            }
        }))
    }

    pub(super) fn contradiction(&self, tag: Tag) -> Damage {
        let section = self.opened.directory.as_ref().ok().and_then(|directory| directory.find(tag));
        let offset = section.map_or(self.opened.len, |section| section.offset);
        self.opened.damage(offset, &format!("the section {tag} contradicts itself or the rest of the file"))
    }
}

/// What `cell` holds, after `make` where that is needed. An error isn't kept: the next call tries again.
pub(super) fn cached<T>(cell: &OnceLock<T>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    match cell.get() {
        Some(value) => Ok(value),
        None => {
            let value = make()?;
            Ok(cell.get_or_init(|| value))
        }
    }
}

/// What a table tells of all its blocks; which of them are gaps, only their own headers tell.
fn summary_of(table: &Table, walk: &Walk, base_seq: u64) -> Summary {
    let gaps: Vec<u64> = walk.gaps.iter().map(|&n| walk.table.0[n].first_seq).collect();
    let blocks = || table.0.iter().filter(|entry| gaps.binary_search(&entry.first_seq).is_err());
    let times = |time: fn(&BlockEntry) -> i64| blocks().map(time);
    Summary {
        records: blocks().map(|entry| u64::from(entry.count)).sum(),
        end_seq: table.end_seq(base_seq),
        time_min: times(|entry| entry.time_min).min().unwrap_or(i64::MAX),
        time_max: times(|entry| entry.time_max).max().unwrap_or(i64::MIN),
        body_bytes: 0,
    }
}
