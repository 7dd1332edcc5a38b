//! Pages: the entries of a run of hashes, sorted by fingerprint. The high bits of a fingerprint are told by where the entry
//! stands (Elias, 1974; Fano, 1971), the low bits and the value are packed.

use super::bits::{BitWriter, packed_len, unpack};
use super::{HIGH_BITS, checksum};

const CRC_BYTES: usize = 4;
const COUNT_BYTES: usize = 4;
const HEADER_BYTES: usize = CRC_BYTES + COUNT_BYTES;

/// Bits of an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Widths {
    pub(super) low: u32,
    pub(super) value: u32,
}

/// Where a page belongs.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageId {
    pub(super) salt: u32,
    pub(super) field: u32,
    pub(super) number: u32,
}

/// Appends the page with these entries: fingerprints in order, and values.
pub(super) fn encode(id: PageId, entries: &[(u64, u32)], widths: Widths, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; CRC_BYTES]);
    out.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    let highs_at = out.len();
    out.resize(highs_at + highs_len(entries.len()), 0);
    for (n, (fingerprint, _)) in entries.iter().enumerate() {
        let at = (fingerprint >> widths.low) as usize + n;
        out[highs_at + at / 8] |= 1 << (at % 8);
    }
    let mut pack = |numbers: &mut dyn Iterator<Item = u32>, bits| {
        let mut writer = BitWriter::new(out);
        numbers.for_each(|number| writer.push(number, bits));
        writer.finish();
    };
    pack(&mut entries.iter().map(|(fingerprint, _)| *fingerprint as u32), widths.low);
    pack(&mut entries.iter().map(|(_, value)| *value), widths.value);
    let crc = checksum(id.salt, id.field, id.number.into(), &[&out[start + CRC_BYTES..]]);
    out[start..start + CRC_BYTES].copy_from_slice(&crc.to_le_bytes());
}

fn highs_len(count: usize) -> usize {
    (count + (1 << HIGH_BITS)).div_ceil(8)
}

/// A page of a field index, read and checked. Whoever keeps it needs neither its file nor its checksum again.
#[derive(Debug)]
pub struct FieldPage {
    widths: Widths,
    bytes: Box<[u8]>,
    lows_at: usize,
    values_at: usize,
}

impl FieldPage {
    /// The page in `bytes`; `None` if they are not that page.
    pub(super) fn decode(id: PageId, bytes: Vec<u8>, widths: Widths) -> Option<Self> {
        let (header, rest) = bytes.split_at_checked(HEADER_BYTES)?;
        let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| header[at + i]));
        let count = number(CRC_BYTES) as usize;
        if number(0) != checksum(id.salt, id.field, id.number.into(), &[&bytes[CRC_BYTES..]]) {
            return None;
        }
        let (highs, rest) = rest.split_at_checked(highs_len(count))?;
        let (lows, values) = rest.split_at_checked(packed_len(count, widths.low))?;
        if values.len() != packed_len(count, widths.value) {
            return None;
        }
        let lows_at = HEADER_BYTES + highs.len();
        let values_at = lows_at + lows.len();
        Some(Self { widths, bytes: bytes.into(), lows_at, values_at })
    }

    /// Bytes of memory, about.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.bytes.len()
    }

    /// The values of the entries with this fingerprint.
    pub(super) fn find(&self, fingerprint: u64) -> impl Iterator<Item = u32> + '_ {
        let (highs, lows) = (&self.bytes[HEADER_BYTES..self.lows_at], &self.bytes[self.lows_at..self.values_at]);
        let values = &self.bytes[self.values_at..];
        let high = (fingerprint >> self.widths.low) as usize;
        let low = fingerprint as u32 & ((1u64 << self.widths.low) - 1) as u32;
        let start = after_zeros(highs, high);
        let is_set = move |at: &usize| highs.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1);
        let has_low = move |n: &usize| unpack(lows, *n, self.widths.low) == low;
        let value = move |n| unpack(values, n, self.widths.value);
        (start..).take_while(is_set).map(move |at| at - high).filter(has_low).map(value)
    }
}

/// The bit behind the first `zeros` bits that aren't set; the end if there are fewer.
fn after_zeros(bytes: &[u8], mut zeros: usize) -> usize {
    if zeros == 0 {
        return 0;
    }
    for (n, chunk) in bytes.chunks(8).enumerate() {
        // Beyond the end, all bits count as set.
        let mut unset = !u64::from_le_bytes(std::array::from_fn(|i| chunk.get(i).copied().unwrap_or(u8::MAX)));
        let here = unset.count_ones() as usize;
        if here < zeros {
            zeros -= here;
            continue;
        }
        for _ in 1..zeros {
            unset &= unset - 1;
        }
        return n * 64 + unset.trailing_zeros() as usize + 1;
    }
    bytes.len() * 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bit by bit.
    fn naive(bytes: &[u8], zeros: usize) -> usize {
        let mut unset = (0..bytes.len() * 8).filter(|at| bytes[at / 8] >> (at % 8) & 1 == 0);
        if zeros == 0 { 0 } else { unset.nth(zeros - 1).map_or(bytes.len() * 8, |at| at + 1) }
    }

    proptest! {
        #[test]
        fn zeros_are_counted(bytes in proptest::collection::vec(any::<u8>(), 0..40), zeros in 0..200usize) {
            prop_assert_eq!(after_zeros(&bytes, zeros), naive(&bytes, zeros));
        }
    }
}
