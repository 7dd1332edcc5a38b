//! Numbers of a few bits, packed from the lowest bit of each byte on.

/// Appends numbers to a vector.
#[derive(Debug)]
pub(super) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    pending: u64,
    pending_bits: u32,
}

impl<'a> BitWriter<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, pending: 0, pending_bits: 0 }
    }

    /// Appends the lowest `bits` of `value`, at most 32.
    pub(super) fn push(&mut self, value: u32, bits: u32) {
        let mask = (1u64 << bits) - 1;
        self.pending |= (u64::from(value) & mask) << self.pending_bits;
        self.pending_bits += bits;
        while self.pending_bits >= 8 {
            self.out.push(self.pending as u8);
            self.pending >>= 8;
            self.pending_bits -= 8;
        }
    }

    /// Fills up the last byte with zeros.
    pub(super) fn finish(self) {
        if self.pending_bits > 0 {
            self.out.push(self.pending as u8);
        }
    }
}

/// Bytes that `count` numbers of `bits` bits take.
pub(super) fn packed_len(count: usize, bits: u32) -> usize {
    (count as u64 * u64::from(bits)).div_ceil(8) as usize
}

/// Number `n` of those of `bits` bits in `bytes`; beyond their end, zeros are read.
pub(super) fn unpack(bytes: &[u8], n: usize, bits: u32) -> u32 {
    let at = n as u64 * u64::from(bits);
    let from = (at / 8) as usize;
    let word = match bytes.get(from..).and_then(<[u8]>::first_chunk::<8>) {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => u64::from_le_bytes(std::array::from_fn(|i| bytes.get(from + i).copied().unwrap_or(0))),
    };
    ((word >> (at % 8)) & ((1u64 << bits) - 1)) as u32
}

/// How many bits `value` needs.
pub(super) fn width(value: u32) -> u32 {
    u32::BITS - value.leading_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(bits in 0..=32u32, values in proptest::collection::vec(any::<u32>(), 0..40)) {
            let mut out = Vec::new();
            let mut writer = BitWriter::new(&mut out);
            let values: Vec<u32> = values.iter().map(|value| (u64::from(*value) & ((1u64 << bits) - 1)) as u32).collect();
            values.iter().for_each(|value| writer.push(*value, bits));
            writer.finish();
            prop_assert_eq!(out.len(), packed_len(values.len(), bits));
            let back: Vec<u32> = (0..values.len()).map(|n| unpack(&out, n, bits)).collect();
            prop_assert_eq!(back, values);
        }
    }
}
