//! A block in memory that many readers share: its records, decompressed, whatever the codec was.

use super::codec::BlockBuf;
use super::rows::Rows;
use crate::Incarnation;
use crate::record::StoredRecord;

/// What a kept block takes besides its bytes and rows: itself, its place in a cache, and what allocating costs.
pub(super) const OVERHEAD_BYTES: usize = 256;

/// The records of one block.
#[derive(Debug)]
pub(crate) struct KeptBlock {
    first_seq: u64,
    incarnation: Incarnation,
    rows: Rows,
    /// The records have only the fields that were asked for.
    is_partial: bool,
    plain: Vec<u8>,
}

impl KeptBlock {
    /// The records of `block`, which has none left; `None` if not all of them were read, or if it is a gap.
    pub(super) fn take(block: &mut BlockBuf) -> Option<Self> {
        let (first_seq, incarnation) = (block.seqs().start, block.incarnation());
        if block.len() == 0 || !block.is_complete() {
            return None;
        }
        let is_partial = block.is_partial();
        let (rows, plain) = block.take_rows();
        block.clear();
        Some(Self { first_seq, incarnation, rows, is_partial, plain })
    }

    /// Whether the records have only the fields that were asked for.
    pub(crate) fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// Whether the block covers `seq`.
    pub(crate) fn contains(&self, seq: u64) -> bool {
        seq.checked_sub(self.first_seq).is_some_and(|position| position < self.rows.len() as u64)
    }

    /// The record `seq`, if it is here.
    pub(crate) fn get(&self, seq: u64) -> Option<StoredRecord<'_>> {
        let position = usize::try_from(seq.checked_sub(self.first_seq)?).ok()?;
        self.rows.get(&self.plain, position, self.first_seq, self.incarnation)
    }

    /// The memory of the rows and of their payload, for another block.
    pub(super) fn into_memory(self) -> (Rows, Vec<u8>) {
        (self.rows, self.plain)
    }

    /// Bytes of memory, about.
    pub(crate) fn bytes(&self) -> usize {
        OVERHEAD_BYTES + self.plain.capacity() + self.rows.bytes()
    }
}
