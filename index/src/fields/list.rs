//! Lists: the records of a value that many have, as a bitmap or as packed gaps, whichever is smaller.

use super::bits::{BitWriter, packed_len, unpack, width};
use super::records::{Records, RecordsBuilder};
use super::{LIST_ALIGN, checksum};

/// Bytes of a list before its payload.
pub(super) const HEADER_BYTES: usize = CRC_AT + 4;

const HASH_AT: usize = 0;
const COUNT_AT: usize = HASH_AT + 8;
const LEN_AT: usize = COUNT_AT + 4;
const PAYLOAD_CRC_AT: usize = LEN_AT + 4;
const ENCODING_AT: usize = PAYLOAD_CRC_AT + 4;
const CRC_AT: usize = ENCODING_AT + 8;
const _: () = assert!(HEADER_BYTES.is_multiple_of(LIST_ALIGN as usize));

const BITMAP: u8 = 1;
const GAPS: u8 = 2;

/// How many gaps are packed with one width.
const GAPS_TOGETHER: usize = 128;

/// Where a list belongs.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListId {
    pub(super) salt: u32,
    pub(super) field: u32,
    /// Where it begins behind the first list of the field.
    pub(super) offset: u64,
}

/// Appends the list of `records`, which are in order, some of `of`, and have the value of `hash`.
pub(super) fn encode(id: ListId, hash: u64, records: &[u32], of: u32, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + HEADER_BYTES, 0);
    let payload_at = out.len();
    let bitmap_len = (of as usize).div_ceil(8);
    pack_gaps(records, out);
    let encoding = match out.len() - payload_at > bitmap_len {
        false => GAPS,
        true => {
            out.truncate(payload_at);
            out.resize(payload_at + bitmap_len, 0);
            records.iter().for_each(|&record| out[payload_at + record as usize / 8] |= 1 << (record % 8));
            BITMAP
        }
    };
    let payload = &out[payload_at..];
    let (len, crc) = (payload.len() as u32, checksum(id.salt, id.field, id.offset, &[payload]));
    let header = &mut out[start..payload_at];
    header[HASH_AT..COUNT_AT].copy_from_slice(&hash.to_le_bytes());
    header[COUNT_AT..LEN_AT].copy_from_slice(&(records.len() as u32).to_le_bytes());
    header[LEN_AT..PAYLOAD_CRC_AT].copy_from_slice(&len.to_le_bytes());
    header[PAYLOAD_CRC_AT..ENCODING_AT].copy_from_slice(&crc.to_le_bytes());
    header[ENCODING_AT] = encoding;
    let crc = checksum(id.salt, id.field, id.offset, &[&header[..CRC_AT]]);
    header[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    out.resize(start + (out.len() - start).next_multiple_of(LIST_ALIGN as usize), 0);
}

fn pack_gaps(records: &[u32], out: &mut Vec<u8>) {
    let mut next = 0;
    let mut gaps = Vec::with_capacity(GAPS_TOGETHER);
    for chunk in records.chunks(GAPS_TOGETHER) {
        gaps.clear();
        for &record in chunk {
            gaps.push(record - next);
            next = record + 1;
        }
        let bits = gaps.iter().copied().map(width).max().unwrap_or(0);
        out.push(bits as u8);
        let mut writer = BitWriter::new(out);
        gaps.iter().for_each(|&gap| writer.push(gap, bits));
        writer.finish();
    }
}

/// Most bytes of a list's payload in a segment of so many records: those of a bitmap.
pub(super) fn payload_max(of: u32) -> u64 {
    u64::from(of).div_ceil(8)
}

/// What a list says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ListHeader {
    pub(super) hash: u64,
    pub(super) payload_len: u32,
    count: u32,
    payload_crc: u32,
    encoding: u8,
}

impl ListHeader {
    /// The header in `bytes`; `None` if they are not that of this list.
    pub(super) fn decode(id: ListId, bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let u32_at = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        if u32_at(CRC_AT) != checksum(id.salt, id.field, id.offset, &[&bytes[..CRC_AT]]) {
            return None;
        }
        Some(Self {
            hash: u64::from_le_bytes(std::array::from_fn(|i| bytes[HASH_AT + i])),
            payload_len: u32_at(LEN_AT),
            count: u32_at(COUNT_AT),
            payload_crc: u32_at(PAYLOAD_CRC_AT),
            encoding: bytes[ENCODING_AT],
        })
    }

    /// The records in `payload`, some of `of`; `None` if it is not that of this list.
    pub(super) fn records(&self, id: ListId, payload: &[u8], of: u32) -> Option<Records> {
        if self.payload_crc != checksum(id.salt, id.field, id.offset, &[payload]) || self.count > of {
            return None;
        }
        match self.encoding {
            BITMAP if payload.len() == (of as usize).div_ceil(8) => {
                // No bit stands for a record that the segment hasn't got.
                let is_beyond = !of.is_multiple_of(8) && payload.last().is_some_and(|last| last >> (of % 8) != 0);
                (!is_beyond).then(|| Records::of_bitmap(payload))
            }
            GAPS => unpack_gaps(self.count as usize, payload, of),
            _ => None,
        }
    }
}

fn unpack_gaps(count: usize, mut bytes: &[u8], of: u32) -> Option<Records> {
    let mut records = RecordsBuilder::new(count, of);
    let (mut next, mut left) = (0u32, count);
    while left > 0 {
        let here = left.min(GAPS_TOGETHER);
        let (&bits, rest) = bytes.split_first()?;
        let bits = u32::from(bits);
        if bits > 32 {
            return None;
        }
        let (packed, rest) = rest.split_at_checked(packed_len(here, bits))?;
        for n in 0..here {
            let record = next.checked_add(unpack(packed, n, bits)).filter(|record| *record < of)?;
            records.push(record);
            next = record + 1;
        }
        (bytes, left) = (rest, left - here);
    }
    bytes.is_empty().then(|| records.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bitmap_with_a_bit_beyond_the_segment_is_refused() {
        let id = ListId { salt: 1, field: 2, offset: 16 };
        let payload = [0xff; 8];
        let payload_crc = checksum(id.salt, id.field, id.offset, &[&payload]);
        let header = ListHeader { hash: 5, payload_len: 8, count: 57, payload_crc, encoding: BITMAP };
        assert_eq!(header.records(id, &payload, 64).map(|records| records.len()), Some(64));
        for of in 57..64 {
            assert_eq!(header.records(id, &payload, of), None, "{of}");
        }
    }
}
