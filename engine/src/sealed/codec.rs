//! From the bytes of a block in a file to its records.

use super::block::{BlockHeader, CODEC_COLUMNS, CODEC_DROPPED, CODEC_GAP, CODEC_ROWS_PLAIN, CODEC_ROWS_ZSTD};
use super::bytes::Salt;
use super::column_rows::ColumnRows;
use super::rows::{PLAIN_BYTES_MAX, Rows};
use super::shared::{Shared, SharedColumns};
use crate::Incarnation;
use crate::drops::Drops;
use crate::gap::Gap;
use crate::msgpack::Fields;
use crate::record::StoredRecord;
use std::cell::RefCell;
use zstd::zstd_safe::DCtx;

thread_local! {
    /// Made once a thread: to make one costs more than to decompress a small block.
    static CONTEXT: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

/// Why a block's bytes give no records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BlockError {
    /// They are damaged: what was found.
    Damaged(&'static str),
    /// A newer version wrote them: with this codec.
    UnknownCodec(u8),
}

impl From<&'static str> for BlockError {
    fn from(detail: &'static str) -> Self {
        Self::Damaged(detail)
    }
}

impl Default for BlockBuf {
    fn default() -> Self {
        Self::new()
    }
}

/// Decompresses what is compressed in a block of columns: `plain_len` bytes, which the caller has found to be no more than there may be.
pub(super) fn decompress_columns(
    shared: &SharedColumns,
    plain_len: usize,
) -> impl FnMut(&[u8], &mut Vec<u8>) -> Option<()> {
    move |stored, plain| {
        plain.reserve_exact(plain_len);
        let written = CONTEXT.with_borrow_mut(|context| match &shared.content {
            Some(content) => context.decompress_using_ddict(plain, stored, content),
            None => context.decompress(plain, stored),
        });
        written.ok().filter(|len| *len == plain_len).map(drop)
    }
}

/// The records of one block, decompressed, or the gap in their place. Its memory is kept from block to block.
#[derive(Debug)]
pub(crate) struct BlockBuf {
    /// Memory for the block as it stands in the file.
    pub(super) stored: Vec<u8>,
    pub(super) plain: Vec<u8>,
    rows: Rows,
    columns: ColumnRows,
    /// Set if the block is a gap.
    gap: Option<Gap>,
    /// Memory for `rows` and `plain`, or for what takes their place.
    memory: (Rows, Vec<u8>),
    /// Where in its file the block begins.
    pub(super) offset: u64,
    first_seq: u64,
    /// Set last, once all else has been checked.
    count: u32,
    incarnation: Incarnation,
    header: Option<BlockHeader>,
}

impl BlockBuf {
    pub(crate) fn new() -> Self {
        Self {
            stored: Vec::new(),
            plain: Vec::new(),
            rows: Rows::default(),
            columns: ColumnRows::default(),
            gap: None,
            memory: Default::default(),
            offset: 0,
            first_seq: 0,
            count: 0,
            incarnation: Incarnation([0; 16]),
            header: None,
        }
    }

    /// A buffer of which the records of columns have these fields alone; those of rows have all.
    pub(crate) fn only(fields: Fields) -> Self {
        Self { columns: ColumnRows::only(fields), ..Self::new() }
    }

    /// This buffer without what is in it, to be used for anything; `None` if it has no memory or more than `bytes_max`, or is for
    /// some fields alone.
    pub(crate) fn into_spare(mut self, bytes_max: usize) -> Option<Self> {
        self.clear();
        let bytes = self.memory_bytes();
        (bytes > 0 && bytes <= bytes_max && !self.columns.is_partial()).then_some(self)
    }

    /// Bytes of memory that grow with what was read.
    fn memory_bytes(&self) -> usize {
        let (rows, plain) = &self.memory;
        let own = self.stored.capacity() + self.plain.capacity() + self.rows.bytes();
        own + rows.bytes() + plain.capacity() + self.columns.memory_bytes()
    }

    /// Whether the records that are here have only the fields that were asked for.
    pub(crate) fn is_partial(&self) -> bool {
        !self.columns.is_empty() && self.columns.is_partial()
    }

    /// The seqs that the block covers.
    pub(super) fn seqs(&self) -> std::ops::Range<u64> {
        self.first_seq..self.end_seq()
    }

    /// The first seq after the block.
    pub(crate) fn end_seq(&self) -> u64 {
        self.first_seq + u64::from(self.count)
    }

    /// How many records there are: none in a gap.
    pub(crate) fn len(&self) -> usize {
        match self.gap {
            Some(_) => 0,
            None => self.count as usize,
        }
    }

    /// What is missing, if the block is a gap.
    pub(crate) fn gap(&self) -> Option<&Gap> {
        self.gap.as_ref()
    }

    /// The incarnation of the block's records, or of the repair that made the gap.
    pub(crate) fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Whether the block covers `seq`.
    pub(crate) fn contains(&self, seq: u64) -> bool {
        (self.first_seq..self.end_seq()).contains(&seq)
    }

    /// The record `seq`, if it is here.
    pub(crate) fn get(&self, seq: u64) -> Option<StoredRecord<'_>> {
        self.contains(seq).then(|| self.at((seq - self.first_seq) as usize)).flatten()
    }

    /// The record at `position` of the block.
    pub(crate) fn at(&self, position: usize) -> Option<StoredRecord<'_>> {
        if position >= self.len() {
            return None;
        }
        match self.columns.is_empty() {
            true => self.rows.get(&self.plain, position, self.first_seq, self.incarnation),
            false => self.columns.get(&self.plain, position, self.first_seq, self.incarnation),
        }
    }

    /// Whether the record `seq` is here, and not only its block.
    pub(crate) fn has(&self, seq: u64) -> bool {
        self.contains(seq) && (self.columns.is_empty() || self.columns.has((seq - self.first_seq) as usize))
    }

    /// Whether all records of the block are here.
    pub(super) fn is_complete(&self) -> bool {
        self.columns.is_empty() || self.columns.is_complete()
    }

    /// Reads all records of the block, where only one was asked for.
    pub(super) fn complete(&mut self) -> Result<(), &'static str> {
        let outcome = self.columns.complete(&mut self.plain);
        if outcome.is_err() {
            self.clear();
        }
        outcome
    }

    /// All records, forwards or backwards.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = StoredRecord<'_>> {
        (0..self.len()).filter_map(|position| self.at(position))
    }

    /// Memory to be used for the next block.
    pub(super) fn put_memory(&mut self, memory: (Rows, Vec<u8>)) {
        self.memory = memory;
    }

    fn take_memory(&mut self) {
        if self.plain.capacity() == 0 {
            (self.rows, self.plain) = std::mem::take(&mut self.memory);
            self.plain.clear();
        }
    }

    /// The rows of a block that is complete, and the payload that they are of.
    pub(super) fn take_rows(&mut self) -> (Rows, Vec<u8>) {
        let (rows, mut plain) = match self.columns.is_empty() {
            true => (std::mem::take(&mut self.rows), std::mem::take(&mut self.plain)),
            false => {
                let memory = std::mem::take(&mut self.memory);
                Rows::gather(self.len(), || self.iter(), memory)
            }
        };
        // The memory may be that of a larger block before.
        if plain.capacity() > plain.len() + plain.len() / 4 {
            plain.shrink_to_fit();
        }
        (rows, plain)
    }

    pub(super) fn clear(&mut self) {
        self.columns.clear();
        self.gap = None;
        self.count = 0;
        self.header = None;
    }

    pub(super) fn header(&self) -> Option<&BlockHeader> {
        self.header.as_ref()
    }

    /// The earliest and the latest timestamp of the records.
    pub(super) fn time_range(&self) -> Option<(i64, i64)> {
        match self.columns.is_empty() {
            true => self.rows.time_range(),
            false => self.columns.time_range(),
        }
    }

    /// Reads the header of the block that `stored` is, and checks its payload.
    pub(super) fn check(&mut self, stored: &[u8], salt: Salt) -> Result<BlockHeader, BlockError> {
        self.clear();
        let header = BlockHeader::decode(stored, salt)?;
        let payload = &stored[header.bytes()..];
        if payload.len() != header.stored_len as usize {
            return Err("the block has another length than its header tells".into());
        }
        if salt.crc(payload) != header.payload_crc {
            return Err("the block's payload doesn't match its checksum".into());
        }
        Ok(header)
    }

    /// Decompresses the payload of the block `stored`, which [`BlockBuf::check`] found sound. If only the record `seq` is
    /// asked for, the others are left out where that is quicker.
    pub(super) fn decode(
        &mut self,
        stored: &[u8],
        header: BlockHeader,
        dictionary: Option<&Shared>,
        incarnation: Incarnation,
        seq: Option<u64>,
    ) -> Result<(), BlockError> {
        let plain_len = header.plain_len as usize;
        if plain_len > PLAIN_BYTES_MAX {
            return Err("the block is larger than any block may be".into());
        }
        let payload = &stored[header.bytes()..];
        self.plain.clear();
        match header.codec {
            CODEC_ROWS_ZSTD => {
                self.take_memory();
                self.plain.reserve_exact(plain_len);
                let bad = "the block doesn't decompress";
                // Writes at most the capacity of `plain`, whatever the payload says.
                let written = CONTEXT.with_borrow_mut(|context| match dictionary {
                    Some(Shared::Rows(dictionary)) => {
                        context.decompress_using_ddict(&mut self.plain, payload, dictionary)
                    }
                    _ => context.decompress(&mut self.plain, payload),
                });
                written.map_err(|_| bad)?;
            }
            CODEC_ROWS_PLAIN => {
                self.take_memory();
                self.plain.extend_from_slice(payload);
            }
            CODEC_GAP | CODEC_DROPPED => return self.decode_gap(payload, header, incarnation),
            CODEC_COLUMNS => {
                let Some(Shared::Columns(shared)) = dictionary else {
                    return Err("the block has columns, and the file has no dictionary of them".into());
                };
                let only = seq.and_then(|seq| seq.checked_sub(header.first_seq)).map(|row| row as usize);
                let mut decompress = decompress_columns(shared, plain_len);
                self.columns.read(shared, payload, header.count, only, &mut decompress, &mut self.plain)?;
                (self.first_seq, self.incarnation, self.header) = (header.first_seq, incarnation, Some(header));
                self.count = header.count;
                return Ok(());
            }
            unknown => return Err(BlockError::UnknownCodec(unknown)),
        }
        if self.plain.len() != plain_len {
            return Err("the block decompresses to another length than its header tells".into());
        }
        self.rows.parse(&self.plain, header.count)?;
        (self.first_seq, self.incarnation, self.header) = (header.first_seq, incarnation, Some(header));
        self.count = header.count;
        Ok(())
    }

    fn decode_gap(&mut self, payload: &[u8], header: BlockHeader, incarnation: Incarnation) -> Result<(), BlockError> {
        if header.plain_len != header.stored_len || (header.time_min, header.time_max) != (i64::MIN, i64::MAX) {
            return Err("the header of a gap contradicts itself".into());
        }
        self.gap = Some(match header.codec {
            CODEC_DROPPED if header.count != 1 => return Err("the header of a gap contradicts itself".into()),
            CODEC_DROPPED => Gap::of_drops(header.first_seq, Drops::decode(payload)?),
            _ => Gap::decode(header.first_seq..header.end_seq(), payload)?,
        });
        (self.first_seq, self.incarnation, self.header) = (header.first_seq, incarnation, Some(header));
        self.count = header.count;
        Ok(())
    }
}
