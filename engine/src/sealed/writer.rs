//! Writing a sealed file, front to back.

use super::SealOptions;
use super::block::{BlockHeader, CODEC_COLUMNS, CODEC_DROPPED, CODEC_GAP, CODEC_ROWS_PLAIN, CODEC_ROWS_ZSTD};
use super::bytes::Salt;
use super::columns::ColumnsBuilder;
use super::dictionary::{bytes_max, encode_copy};
use super::footer::{MerkleEnds, Runs, Source, Summary, keeps_nodes};
use super::layout::{Directory, Section, TRAILER_BYTES, Tag, Trailer, sealed_header};
use super::parity;
use super::rows::{RECORDS_MAX, RowsBuilder};
use super::shared::FileDictionary;
use super::table::{BlockEntry, Table};
use crate::error::{Damage, Error, Result};
use crate::gap::Gap;
use crate::merkle::{Frontier, Hash, NODE_LEAVES, UNKNOWN_NODE, leaf_hash};
use crate::record::{KEY_BYTES_MAX, RECORD_BYTES_MAX, StoredRecord};
use crate::storage::{File, write_all_at};
use crate::{Incarnation, LogId};
use annals_index::{FileHeader, HEADER_BYTES};
use std::io;
use std::ops::Range;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

/// How much is collected before it is written.
const WRITE_BYTES: usize = 1 << 20;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SealedSummary {
    pub(crate) summary: Summary,
    pub(crate) file_bytes: u64,
    pub(crate) blocks: usize,
    /// The log's hash tree after the segment's last record.
    pub(crate) end: Frontier,
    pub(crate) root: Hash,
}

/// A node that the segment completes.
struct Node {
    hash: Hash,
    over_gap: bool,
}

/// What the file says of the hash tree where it can't be computed, since leaves are lost that segments after this one
/// build on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stated {
    /// The tree after the last record.
    pub(crate) end: Frontier,
    /// The nodes that the segment completes, if they are known; otherwise those over a gap are unknown.
    pub(crate) nodes: Option<Vec<Hash>>,
}

/// Writes a sealed file over an empty file. Syncing and naming it are left to the caller. After an error the file
/// is of no use.
pub(crate) struct SealedWriter<'a> {
    file: &'a dyn File,
    path: String,
    header: FileHeader,
    salt: Salt,
    log_id: LogId,
    block_bytes: usize,
    compressor: Compressor<'static>,
    /// What stands for the dictionary behind the blocks.
    dictionary: Vec<u8>,
    columns: Option<ColumnsBuilder<'a>>,
    out: Vec<u8>,
    /// Where in the file `out` begins.
    out_at: u64,
    rows: RowsBuilder,
    plain: Vec<u8>,
    stored: Vec<u8>,
    table: Table,
    runs: Runs,
    /// The first block of a run says whose it is.
    block_run: Option<Incarnation>,
    block_seq: u64,
    start: Frontier,
    end: Frontier,
    nodes: Vec<Node>,
    /// Whether the node that the next leaves complete has a gap below it.
    over_gap: bool,
    summary: Summary,
}

impl<'a> SealedWriter<'a> {
    /// Begins a sealed file in `file`, which is empty and named `path` in errors.
    ///
    /// `header` gives the ids, base seq, ordinal and time of creation; `start` is the log's hash tree before the
    /// record `header.base_seq`.
    pub(crate) fn create(
        file: &'a dyn File,
        path: String,
        header: &FileHeader,
        dictionary: Option<&'a FileDictionary>,
        start: Frontier,
        options: &SealOptions,
    ) -> Result<Self> {
        let invalid = |detail: String| Error::InvalidOption { option: "seal", detail };
        if start.size() != header.base_seq {
            return Err(invalid(format!("the tree has {} leaves at record {}", start.size(), header.base_seq)));
        }
        let plain = dictionary.map(FileDictionary::plain);
        if let (Some(dictionary), Some(plain)) = (dictionary, &plain)
            && (plain.is_empty() || plain.len() > bytes_max(dictionary.codec()))
        {
            return Err(invalid(format!("a dictionary has 1 to {} bytes", bytes_max(dictionary.codec()))));
        }
        let salt = Salt::of(header);
        let (rows, columns) = match dictionary {
            Some(FileDictionary::Rows(plain)) => (&plain[..], None),
            Some(FileDictionary::Columns(columns)) => (&[][..], Some(&**columns)),
            None => (&[][..], None),
        };
        let prepare = || -> io::Result<(Compressor<'static>, Vec<u8>, Option<ColumnsBuilder<'a>>)> {
            let mut compressor = Compressor::with_dictionary(options.level, rows)?;
            // The file knows its one dictionary; four bytes a block would only repeat that.
            compressor.set_parameter(CParameter::DictIdFlag(false))?;
            let copy = match (dictionary, &plain) {
                (Some(dictionary), Some(plain)) => encode_copy(dictionary.codec(), plain, salt)?,
                _ => Vec::new(),
            };
            let columns = columns.map(|columns| ColumnsBuilder::new(columns, options)).transpose()?;
            Ok((compressor, copy, columns))
        };
        let (compressor, dictionary, columns) = prepare().map_err(Error::io("compress", path.clone()))?;
        let header = sealed_header(header, (HEADER_BYTES + dictionary.len()) as u64);
        let mut out = Vec::with_capacity(WRITE_BYTES + options.block_bytes);
        out.extend(header.encode());
        out.extend(&dictionary);
        let dictionary = match &columns {
            Some(_) => parity::encode(&dictionary, salt),
            None => dictionary,
        };
        Ok(Self {
            file,
            path,
            salt,
            log_id: LogId(header.log_id),
            block_bytes: options.block_bytes,
            compressor,
            dictionary,
            columns,
            out,
            out_at: 0,
            rows: RowsBuilder::default(),
            plain: Vec::new(),
            stored: Vec::new(),
            table: Table::default(),
            runs: Runs::default(),
            block_run: None,
            block_seq: header.base_seq,
            end: start.clone(),
            start,
            nodes: Vec::new(),
            over_gap: false,
            summary: Summary::empty(header.base_seq),
            header,
        })
    }

    /// Adds the next record. Seqs have no gaps.
    pub(crate) fn push(&mut self, record: &StoredRecord<'_>) -> Result<()> {
        self.check(record)?;
        let new_run = self.is_new_run(record.incarnation);
        let bytes_with = self.rows.bytes_with(record);
        let is_full = match &self.columns {
            Some(columns) => columns.is_full(bytes_with),
            None => self.rows.count() == RECORDS_MAX || bytes_with > self.block_bytes,
        };
        if new_run || (self.rows.count() > 0 && is_full) {
            self.end_block()?;
        }
        self.run(new_run, record.seq, record.incarnation);
        self.rows.push(record);
        if let Some(columns) = &mut self.columns {
            columns.push(record);
        }
        self.leaf(record);
        let (summary, time) = (&mut self.summary, record.timestamp.as_micros());
        summary.records += 1;
        summary.end_seq += 1;
        summary.time_min = summary.time_min.min(time);
        summary.time_max = summary.time_max.max(time);
        summary.body_bytes += record.body.len() as u64;
        Ok(())
    }

    /// Adds the next seqs as a gap, which the repair `incarnation` found; or the next seq, by which that writer tells of dropped
    /// records.
    pub(crate) fn push_gap(&mut self, gap: &Gap, incarnation: Incarnation) -> Result<()> {
        if gap.first_seq != self.summary.end_seq || gap.end_seq > 1 << 63 {
            return Err(self.out_of_place(gap.first_seq));
        }
        self.end_block()?;
        let payload = gap.encode();
        while self.block_seq < gap.end_seq {
            self.run(self.is_new_run(incarnation), self.block_seq, incarnation);
            let header = BlockHeader {
                codec: if gap.dropped.is_some() { CODEC_DROPPED } else { CODEC_GAP },
                stored_len: payload.len() as u32,
                plain_len: payload.len() as u32,
                first_seq: self.block_seq,
                count: u32::try_from(gap.end_seq - self.block_seq).unwrap_or(u32::MAX),
                // No window of times leaves a gap out.
                time_min: i64::MIN,
                time_max: i64::MAX,
                payload_crc: self.salt.crc(&payload),
                run: self.block_run.take(),
            };
            self.write_block(&header, &payload)?;
            self.summary.end_seq = header.end_seq();
            match gap.dropped {
                Some(drops) => self.leaf(&drops.record(gap.first_seq, incarnation, &payload)),
                None => self.gap_leaves(header.first_seq..header.end_seq(), incarnation),
            }
        }
        Ok(())
    }

    /// Adds the leaves of a gap's block.
    fn gap_leaves(&mut self, seqs: Range<u64>, incarnation: Incarnation) {
        let count = seqs.end - seqs.start;
        if !Gap::is_wide(count) {
            for seq in seqs {
                self.over_gap = true;
                self.leaf(&Gap::leaf(seq, incarnation));
            }
            return;
        }
        let keeps = keeps_nodes(self.header.base_seq..seqs.end);
        let (leaf, nodes) = (leaf_hash(&self.log_id, &Gap::wide_leaf(incarnation)), &mut self.nodes);
        self.end.push_run(leaf, count, &mut |hash, times| {
            nodes.extend((0..times).filter(|_| keeps).map(|_| Node { hash, over_gap: true }));
        });
        self.over_gap = !self.end.size().is_multiple_of(NODE_LEAVES);
    }

    fn is_new_run(&self, incarnation: Incarnation) -> bool {
        self.runs.0.last().is_none_or(|(_, run)| *run != Some(incarnation))
    }

    fn run(&mut self, is_new: bool, seq: u64, incarnation: Incarnation) {
        if is_new {
            self.runs.0.push((seq, Some(incarnation)));
            self.block_run = Some(incarnation);
        }
    }

    fn leaf(&mut self, record: &StoredRecord<'_>) {
        if let Some(hash) = self.end.push(leaf_hash(&self.log_id, record)) {
            let over_gap = std::mem::take(&mut self.over_gap);
            self.nodes.push(Node { hash, over_gap });
        }
    }

    fn out_of_place(&self, seq: u64) -> Error {
        Error::Damaged(Damage {
            path: self.path.clone(),
            offset: self.position(),
            detail: format!("record {seq} was to follow where {} belongs", self.summary.end_seq),
            first_seq: Some(self.summary.end_seq),
            end_seq: None,
        })
    }

    fn check(&self, record: &StoredRecord<'_>) -> Result<()> {
        if record.seq != self.summary.end_seq || record.seq >= 1 << 63 {
            return Err(self.out_of_place(record.seq));
        }
        let too_large = |what, found: usize, limit: usize| match found > limit {
            true => Err(Error::TooLarge { what, found: found as u64, limit: limit as u64 }),
            false => Ok(()),
        };
        too_large("the key", record.key.len(), KEY_BYTES_MAX)?;
        too_large("the record", record.key.len() + record.body.len(), RECORD_BYTES_MAX)
    }

    /// Writes what is left, with `shape` as the section that others give a meaning to and `sources` as the raw
    /// segments that this file stands for.
    pub(crate) fn finish(self, shape: &[u8], sources: &[Source]) -> Result<SealedSummary> {
        self.finish_as(shape, sources, None)
    }

    /// As [`SealedWriter::finish`], with the tree as it is `stated`.
    pub(crate) fn finish_as(
        mut self,
        shape: &[u8],
        sources: &[Source],
        stated: Option<Stated>,
    ) -> Result<SealedSummary> {
        self.end_block()?;
        let nodes = self.take_nodes(stated.as_ref().map(|stated| stated.nodes.as_deref()));
        if let Some(stated) = stated {
            self.end = stated.end;
        }
        let mut directory = Directory::default();
        if !self.dictionary.is_empty() {
            let copy = std::mem::take(&mut self.dictionary);
            self.section(&mut directory, Tag::DICTIONARY, &copy)?;
        }
        let mut table = Vec::new();
        self.table.encode(&mut table);
        let runs = self.runs.encode();
        let ends = MerkleEnds { start: self.start.clone(), end: self.end.clone() };
        self.section(&mut directory, Tag::SHAPE, shape)?;
        self.section(&mut directory, Tag::NODES, &nodes)?;
        self.section(&mut directory, Tag::BLOCKS, &table)?;
        self.section(&mut directory, Tag::MERKLE, &ends.encode())?;
        self.section(&mut directory, Tag::SOURCES, &Source::encode_all(sources))?;
        self.section(&mut directory, Tag::RUNS, &runs)?;
        self.section(&mut directory, Tag::SUMMARY, &self.summary.encode())?;
        let file_bytes = self.trailer(&directory)?;
        Ok(SealedSummary {
            summary: self.summary,
            file_bytes,
            blocks: self.table.0.len(),
            root: self.end.root(),
            end: self.end,
        })
    }

    /// The bytes of the nodes. `stated` is set if leaves are lost, and holds the nodes if those are known.
    fn take_nodes(&mut self, stated: Option<Option<&[Hash]>>) -> Vec<u8> {
        let own = std::mem::take(&mut self.nodes);
        if !keeps_nodes(self.header.base_seq..self.summary.end_seq) {
            return Vec::new();
        }
        match stated {
            Some(Some(known)) => known.concat(),
            Some(None) => own.iter().flat_map(|node| if node.over_gap { UNKNOWN_NODE } else { node.hash }).collect(),
            None => own.iter().flat_map(|node| node.hash).collect(),
        }
    }

    fn position(&self) -> u64 {
        self.out_at + self.out.len() as u64
    }

    fn end_block(&mut self) -> Result<()> {
        let count = self.rows.count();
        if count == 0 {
            return Ok(());
        }
        let (time_min, time_max) = self.rows.time_range();
        let (codec, plain_len) = self.compress().map_err(Error::io("compress", self.path.clone()))?;
        let (plain, stored) = (std::mem::take(&mut self.plain), std::mem::take(&mut self.stored));
        let payload = if codec == CODEC_ROWS_PLAIN { &plain } else { &stored };
        let header = BlockHeader {
            codec,
            stored_len: payload.len() as u32,
            plain_len,
            first_seq: self.block_seq,
            count,
            time_min,
            time_max,
            payload_crc: self.salt.crc(payload),
            run: self.block_run.take(),
        };
        self.write_block(&header, payload)?;
        // Their memory is used again.
        (self.plain, self.stored) = (plain, stored);
        Ok(())
    }

    /// Puts the block into `stored`, or leaves it as it is in `plain`. Returns its codec, and its plain length.
    fn compress(&mut self) -> io::Result<(u8, u32)> {
        if let Some(columns) = &mut self.columns {
            let plain_len = columns.finish(self.rows.bodies(), &mut self.stored)?;
            self.rows.finish(&mut self.plain);
            if let Some(plain_len) = plain_len.filter(|_| self.stored.len() < self.plain.len()) {
                return Ok((CODEC_COLUMNS, plain_len));
            }
        } else {
            self.rows.finish(&mut self.plain);
        }
        self.stored.clear();
        self.stored.reserve(zstd::zstd_safe::compress_bound(self.plain.len()));
        self.compressor.compress_to_buffer(&self.plain, &mut self.stored)?;
        let codec = if self.stored.len() < self.plain.len() { CODEC_ROWS_ZSTD } else { CODEC_ROWS_PLAIN };
        Ok((codec, self.plain.len() as u32))
    }

    fn write_block(&mut self, header: &BlockHeader, payload: &[u8]) -> Result<()> {
        self.table.0.push(BlockEntry::of(header, self.position()));
        header.encode(self.salt, &mut self.out);
        self.out.extend_from_slice(payload);
        self.block_seq = header.end_seq();
        self.flush(WRITE_BYTES)
    }

    fn section(&mut self, directory: &mut Directory, tag: Tag, bytes: &[u8]) -> Result<()> {
        let section = Section { tag, crc: self.salt.crc(bytes), offset: self.position(), len: bytes.len() as u64 };
        directory.0.push(section);
        self.out.extend_from_slice(bytes);
        self.flush(WRITE_BYTES)
    }

    /// Ends the file; returns its length.
    fn trailer(&mut self, directory: &Directory) -> Result<u64> {
        let bytes = directory.encode();
        let directory_at = self.position();
        let trailer = Trailer {
            directory_at,
            directory_len: bytes.len() as u32,
            directory_crc: self.salt.crc(&bytes),
            file_len: directory_at + (bytes.len() + TRAILER_BYTES) as u64,
        };
        self.out.extend(bytes);
        self.out.extend(trailer.encode(&self.header, self.salt));
        self.flush(0)?;
        Ok(trailer.file_len)
    }

    /// Writes what was collected, if there is more of it than `beyond` bytes.
    fn flush(&mut self, beyond: usize) -> Result<()> {
        if self.out.len() > beyond {
            write_all_at(self.file, &self.out, self.out_at).map_err(Error::io("write", self.path.clone()))?;
            self.out_at += self.out.len() as u64;
            self.out.clear();
        }
        Ok(())
    }
}
