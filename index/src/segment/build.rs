//! Making an index.

use super::{Binding, IndexError, Layout, RECORDS_MAX, STRIDE, checksum, index_header};
use crate::header::FileHeader;

/// Collects the blocks of a segment and makes its index.
#[derive(Debug)]
pub struct IndexBuilder {
    header: FileHeader,
    binding: Binding,
    offsets: Vec<u64>,
    firsts: Vec<u32>,
    slots: Vec<u32>,
    records: u32,
    end: u64,
}

impl IndexBuilder {
    /// Begins the index of the segment `binding`. Of `header`, the file id, the compatible features and the time of
    /// creation are used.
    pub fn new(header: &FileHeader, binding: &Binding) -> Self {
        Self {
            header: header.clone(),
            binding: binding.clone(),
            offsets: Vec::new(),
            firsts: Vec::new(),
            slots: Vec::new(),
            records: 0,
            end: 0,
        }
    }

    /// Adds the segment's next block: `count` records from `first_seq` on, in `bytes` bytes at `offset`.
    ///
    /// # Errors
    /// [`IndexError::Unindexable`] unless the blocks follow each other without gaps, in seqs and in bytes, lie within
    /// the segment, and have no more than [`RECORDS_MAX`] records in all. The index is then of no use.
    pub fn push(&mut self, first_seq: u64, count: u32, offset: u64, bytes: u64) -> Result<(), IndexError> {
        let unindexable = |what| Err(IndexError::Unindexable { what });
        if self.binding.base_seq.checked_add(u64::from(self.records)) != Some(first_seq) {
            return unindexable("a gap in the seqs");
        }
        if (!self.offsets.is_empty() && offset != self.end) || bytes == 0 {
            return unindexable("a gap between blocks");
        }
        let end = offset.checked_add(bytes).filter(|end| *end <= self.binding.source_bytes);
        let (Some(end), Some(records)) =
            (end, self.records.checked_add(count).filter(|n| count > 0 && *n <= RECORDS_MAX))
        else {
            return unindexable("a block beyond the limits");
        };
        let (block, last) = (self.offsets.len() as u32, u64::from(records - 1));
        while self.slots.len() as u64 * STRIDE <= last {
            self.slots.push(block);
        }
        self.offsets.push(offset);
        self.firsts.push(self.records);
        (self.records, self.end) = (records, end);
        Ok(())
    }

    /// The bytes of the index file.
    pub fn finish(self) -> Vec<u8> {
        let layout = Layout { records: self.records, blocks: self.offsets.len() as u32 };
        let header = index_header(&self.header, &self.binding, layout);
        let mut out = Vec::with_capacity(layout.file_bytes());
        out.extend(header.encode());
        self.offsets.iter().chain([&self.end]).for_each(|offset| out.extend(offset.to_le_bytes()));
        self.firsts.iter().chain(&self.slots).for_each(|number| out.extend(number.to_le_bytes()));
        let crc = checksum(&header, &out);
        out.extend(crc.to_le_bytes());
        out
    }
}
