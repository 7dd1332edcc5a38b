//! Where the blocks of a file lie and what they hold. docs/format.md, "Block table".

use super::block::{BLOCK_HEADER_BYTES, BLOCK_HEADER_BYTES_MAX, BlockHeader};
use super::bytes::{Fields, put_signed_varint, put_varint};
use super::rows::PLAIN_BYTES_MAX;
use crate::Timestamp;
use std::ops::RangeInclusive;

/// Largest block with its header, in bytes. Compression never makes a payload larger: such a payload is stored plain.
pub(crate) const SPAN_BYTES_MAX: u64 = (BLOCK_HEADER_BYTES_MAX + PLAIN_BYTES_MAX) as u64;

/// Fewest bytes of an entry in a file: four varints.
const ENTRY_BYTES_MIN: usize = 4;

/// One block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockEntry {
    pub(crate) offset: u64,
    /// Bytes of the block's header and payload.
    pub(crate) span: u32,
    pub(crate) count: u32,
    pub(crate) first_seq: u64,
    pub(crate) time_min: i64,
    pub(crate) time_max: i64,
}

impl BlockEntry {
    pub(crate) fn of(header: &BlockHeader, offset: u64) -> Self {
        Self {
            offset,
            span: header.span() as u32,
            count: header.count,
            first_seq: header.first_seq,
            time_min: header.time_min,
            time_max: header.time_max,
        }
    }

    pub(crate) fn end_seq(&self) -> u64 {
        self.first_seq + u64::from(self.count)
    }
}

/// All blocks of a file, in its order. One that was read from the footer has no gaps; one that was recovered from
/// the blocks themselves has a gap where a block's header is damaged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Table(pub(crate) Vec<BlockEntry>);

impl Table {
    /// The first seq after the last block, or `base_seq` where there is none.
    pub(crate) fn end_seq(&self, base_seq: u64) -> u64 {
        self.0.last().map_or(base_seq, BlockEntry::end_seq)
    }

    /// The number of the block that holds `seq`; otherwise the seqs around it that no known block holds.
    pub(crate) fn find(&self, seq: u64) -> Result<usize, (Option<u64>, Option<u64>)> {
        let after = self.0.partition_point(|entry| entry.first_seq <= seq);
        let before = after.checked_sub(1).map(|n| (n, self.0[n].end_seq()));
        match before {
            Some((n, end)) if seq < end => Ok(n),
            _ => Err((before.map(|(_, end)| end), self.0.get(after).map(|entry| entry.first_seq))),
        }
    }

    /// The numbers of the blocks that may hold records of `window`.
    #[allow(dead_code, reason = "as SealedFile::blocks_in")]
    pub(crate) fn overlapping(&self, window: RangeInclusive<Timestamp>) -> impl DoubleEndedIterator<Item = usize> {
        let (from, to) = (window.start().as_micros(), window.end().as_micros());
        let overlaps = move |entry: &BlockEntry| entry.time_min <= to && entry.time_max >= from;
        self.0.iter().enumerate().filter(move |(_, entry)| overlaps(entry)).map(|(n, _)| n)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        let mut time = 0i64;
        for entry in &self.0 {
            put_varint(out, u64::from(entry.span));
            put_varint(out, u64::from(entry.count));
            put_signed_varint(out, entry.time_min.wrapping_sub(time));
            put_varint(out, entry.time_max.wrapping_sub(entry.time_min) as u64);
            time = entry.time_min;
        }
    }

    /// The table in `bytes`: blocks without gaps, the first at `offset` with `seq`, the last ending at or before
    /// `end`.
    pub(crate) fn decode(bytes: &[u8], mut offset: u64, mut seq: u64, end: u64) -> Option<Self> {
        let mut fields = Fields(bytes);
        let count = usize::try_from(fields.varint()?).ok().filter(|count| *count <= bytes.len() / ENTRY_BYTES_MIN)?;
        let room = end.saturating_sub(offset) / BLOCK_HEADER_BYTES as u64;
        if count as u64 > room {
            return None;
        }
        let mut entries = Vec::with_capacity(count);
        let mut time = 0i64;
        for _ in 0..count {
            let span = fields.varint().filter(|span| (BLOCK_HEADER_BYTES as u64..=SPAN_BYTES_MAX).contains(span))?;
            let count = fields.varint().and_then(|count| u32::try_from(count).ok()).filter(|count| *count > 0)?;
            let time_min = time.wrapping_add(fields.signed_varint()?);
            let time_max = time_min.wrapping_add(fields.varint()? as i64);
            let entry = BlockEntry { offset, span: span as u32, count, first_seq: seq, time_min, time_max };
            offset = offset.checked_add(span).filter(|block_end| *block_end <= end)?;
            seq = seq.checked_add(u64::from(count)).filter(|seq| *seq <= 1 << 63)?;
            if time_min > time_max {
                return None;
            }
            time = time_min;
            entries.push(entry);
        }
        fields.is_empty().then_some(Self(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table() -> impl Strategy<Value = Table> {
        let block = (52u32..100_000, 1u32..1_000, any::<i64>(), any::<i64>());
        proptest::collection::vec(block, 0..40).prop_map(|blocks| {
            let (mut offset, mut first_seq) = (128, 1_000);
            let entries = blocks.into_iter().map(|(span, count, a, b)| {
                let entry = BlockEntry { offset, span, count, first_seq, time_min: a.min(b), time_max: a.max(b) };
                (offset, first_seq) = (offset + u64::from(span), entry.end_seq());
                entry
            });
            Table(entries.collect())
        })
    }

    proptest! {
        #[test]
        fn a_table_comes_back_and_finds_what_a_walk_finds(table in table(), seq in 900u64..45_000) {
            let mut bytes = Vec::new();
            table.encode(&mut bytes);
            prop_assert_eq!(Table::decode(&bytes, 128, 1_000, u64::MAX), Some(table.clone()));
            let naive = table.0.iter().position(|e| (e.first_seq..e.end_seq()).contains(&seq));
            prop_assert_eq!(table.find(seq).ok(), naive);
        }

        #[test]
        fn hostile_bytes_give_no_table_that_leaves_the_file(bytes: Vec<u8>) {
            if let Some(table) = Table::decode(&bytes, 128, 0, 4_096) {
                prop_assert!(table.0.iter().all(|entry| entry.offset + u64::from(entry.span) <= 4_096));
            }
        }
    }
}
