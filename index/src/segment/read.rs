//! Looking things up in an index.

use super::{
    BLOCKS_AT, Binding, FIRST_BYTES, IndexError, Layout, OFFSET_BYTES, RECORDS_AT, SLOT_BYTES, SOURCE_BYTES_AT,
    SOURCE_ID_AT, STRIDE, STRIDE_AT, checksum,
};
use crate::bytes::Bytes;
use crate::header::{FileHeader, FileKind};

/// An index, checked once as a whole.
///
/// Every look-up is bounds-checked arithmetic and at most [`STRIDE`] steps. What it answers is no evidence: who asks
/// checks that the block found there holds what was asked for.
#[derive(Debug)]
pub struct IndexReader {
    bytes: Bytes,
    base_seq: u64,
    layout: Layout,
}

/// A block, as the index has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexedBlock {
    /// Its number in the segment, from 0.
    pub number: u32,
    /// Where in the segment it begins, in bytes.
    pub offset: u64,
    /// Its bytes in the segment, its header included.
    pub bytes: u64,
    /// The seq of its first record.
    pub first_seq: u64,
    /// How many records it has.
    pub count: u32,
}

impl IndexReader {
    /// The index in `bytes`, if it is that of the segment `expected`.
    ///
    /// # Errors
    /// [`IndexError::Foreign`] for the index of another segment, and what else may be wrong with the bytes. Takes
    /// time in proportion to them.
    pub fn new(bytes: Bytes, expected: &Binding) -> Result<Self, IndexError> {
        let header = FileHeader::decode(&bytes, FileKind::Index)?;
        let u32_at = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| header.specific[at + i]));
        let matches = [
            ("log", header.log_id == expected.log_id),
            ("base seq", header.base_seq == expected.base_seq),
            ("ordinal", header.ordinal == expected.ordinal),
            ("segment file", header.specific[SOURCE_ID_AT..SOURCE_BYTES_AT] == expected.source_file_id),
            ("segment length", header.specific[SOURCE_BYTES_AT..RECORDS_AT] == expected.source_bytes.to_le_bytes()),
        ];
        if let Some((what, _)) = matches.into_iter().find(|(_, same)| !same) {
            return Err(IndexError::Foreign { what });
        }
        if u64::from(u32_at(STRIDE_AT)) != STRIDE {
            return Err(IndexError::Contradiction { what: "an unknown stride" });
        }
        let layout = Layout { records: u32_at(RECORDS_AT), blocks: u32_at(BLOCKS_AT) };
        if layout.file_bytes() != bytes.len() {
            return Err(IndexError::BadLength { expected: layout.file_bytes() as u64, found: bytes.len() as u64 });
        }
        let index = Self { bytes, base_seq: header.base_seq, layout };
        let crc_at = layout.crc_at();
        let (expected_crc, found) = (checksum(&header, &index.bytes[..crc_at]), index.u32(crc_at).unwrap_or(0));
        if expected_crc != found {
            return Err(IndexError::BadChecksum { expected: expected_crc, found });
        }
        index.check(expected).map_or(Ok(index), |what| Err(IndexError::Contradiction { what }))
    }

    /// What contradicts itself, if anything does.
    fn check(&self, expected: &Binding) -> Option<&'static str> {
        let (blocks, records) = (self.layout.blocks, self.layout.records);
        if self.base_seq.checked_add(u64::from(records)).is_none() || (blocks == 0) != (records == 0) {
            return Some("a count of records");
        }
        for n in 0..blocks {
            let (first, next) = (self.first(n)?, self.first(n + 1)?);
            if first >= next || (n == 0 && first != 0) {
                return Some("the first records of its blocks");
            }
            if self.offset(n)? >= self.offset(n + 1)? || self.offset(n + 1)? > expected.source_bytes {
                return Some("the offsets of its blocks");
            }
        }
        for slot in 0..self.layout.slots() {
            let record = slot as u64 * STRIDE;
            let block = self.slot(slot)?;
            if block >= blocks || !(self.first(block)?..self.first(block + 1)?).contains(&(record as u32)) {
                return Some("its seq table");
            }
        }
        None
    }

    /// How many blocks the segment has.
    pub fn blocks(&self) -> u32 {
        self.layout.blocks
    }

    /// How many records the segment has.
    pub fn records(&self) -> u32 {
        self.layout.records
    }

    /// The block with the record `seq`.
    pub fn find(&self, seq: u64) -> Option<IndexedBlock> {
        let record = u32::try_from(seq.checked_sub(self.base_seq)?).ok().filter(|n| *n < self.layout.records)?;
        let from = self.slot((u64::from(record) / STRIDE) as usize)?;
        let to = from.saturating_add(STRIDE as u32).min(self.layout.blocks);
        (from..to).find(|n| self.first(n + 1).is_some_and(|next| next > record)).and_then(|n| self.block(n))
    }

    /// Block `number`.
    pub fn block(&self, number: u32) -> Option<IndexedBlock> {
        if number >= self.layout.blocks {
            return None;
        }
        let (offset, first) = (self.offset(number)?, self.first(number)?);
        Some(IndexedBlock {
            number,
            offset,
            bytes: self.offset(number + 1)?.checked_sub(offset)?,
            first_seq: self.base_seq.checked_add(u64::from(first))?,
            count: self.first(number + 1)?.checked_sub(first)?,
        })
    }

    /// The first record of block `n`, counted from the first of the segment; for the number of blocks, that of all
    /// records.
    fn first(&self, n: u32) -> Option<u32> {
        match n == self.layout.blocks {
            true => Some(self.layout.records),
            false => self.u32(self.layout.firsts_at() + n as usize * FIRST_BYTES),
        }
    }

    /// Where block `n` begins; for the number of blocks, where the last ends.
    fn offset(&self, n: u32) -> Option<u64> {
        let at = Layout::OFFSETS_AT + n as usize * OFFSET_BYTES;
        self.bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
    }

    fn slot(&self, n: usize) -> Option<u32> {
        self.u32(self.layout.slots_at() + n * SLOT_BYTES)
    }

    fn u32(&self, at: usize) -> Option<u32> {
        self.bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
    }
}
