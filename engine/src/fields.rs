//! Reading and writing small fields: checked little-endian numbers and varints. docs/format.md, "Conventions".

/// Reads fields one after the other; `None` as soon as there are too few bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    /// An unsigned varint: 7 bits a byte, the lowest first, the high bit set on all but the last; at most 10 bytes,
    /// and never longer than the number needs.
    #[inline]
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let first = *self.0.first()?;
        if first < 0x80 {
            self.0 = &self.0[1..];
            return Some(u64::from(first));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for (i, &byte) in self.0.iter().take(10).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if i == 9 && bits > 1 {
                return None;
            }
            value |= bits << (7 * i);
            if byte < 0x80 {
                self.0 = &self.0[i + 1..];
                return (byte != 0).then_some(value);
            }
        }
        None
    }

    /// A signed varint: zigzag, so that small numbers of either sign are short.
    #[inline]
    pub(crate) fn signed_varint(&mut self) -> Option<i64> {
        self.varint().map(|zigzag| (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_signed_varint(out: &mut Vec<u8>, value: i64) {
    put_varint(out, (value << 1 ^ value >> 63) as u64);
}

/// Bytes that [`put_varint`] adds for `value`.
pub(crate) fn varint_bytes(value: u64) -> usize {
    (64 - (value | 1).leading_zeros()).div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_come_back(shift in 0u32..64, value: u64, rest: Vec<u8>) {
            let (unsigned, signed) = (value >> shift, (value >> shift) as i64);
            let mut bytes = Vec::new();
            put_varint(&mut bytes, unsigned);
            prop_assert_eq!(bytes.len(), varint_bytes(unsigned));
            put_signed_varint(&mut bytes, signed);
            put_signed_varint(&mut bytes, -signed);
            bytes.extend(&rest);
            let mut fields = Fields(&bytes);
            prop_assert_eq!(fields.varint(), Some(unsigned));
            prop_assert_eq!(fields.signed_varint(), Some(signed));
            prop_assert_eq!(fields.signed_varint(), Some(-signed));
            prop_assert_eq!(fields.0, &rest[..]);
        }
    }

    #[test]
    fn the_ends_of_the_range_come_back() {
        for value in [i64::MIN, i64::MAX, 0, -1, 1] {
            let mut bytes = Vec::new();
            put_signed_varint(&mut bytes, value);
            assert_eq!(Fields(&bytes).signed_varint(), Some(value));
        }
    }

    #[test]
    fn overlong_unfinished_and_too_large_varints_are_refused() {
        assert_eq!(Fields(&[0x80, 0x00]).varint(), None);
        assert_eq!(Fields(&[0x80]).varint(), None);
        assert_eq!(Fields(&[]).varint(), None);
        assert_eq!(Fields(&[0xff; 11]).varint(), None);
        let mut large = [0xff; 10];
        large[9] = 2;
        assert_eq!(Fields(&large).varint(), None);
        large[9] = 1;
        assert_eq!(Fields(&large).varint(), Some(u64::MAX));
    }
}
