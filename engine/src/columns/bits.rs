//! Numbers in as few bits as the largest takes, the lowest bit first.

/// Bytes that `count` numbers of `width` bits take.
pub(super) fn packed_bytes(count: usize, width: u32) -> Option<usize> {
    count.checked_mul(width as usize).map(|bits| bits.div_ceil(8))
}

/// Adds `numbers`, each below 2^`width`, to `out`.
pub(super) fn pack(numbers: &[u64], width: u32, out: &mut Vec<u8>) {
    let (mut held, mut bits) = (0u128, 0);
    for number in numbers {
        held |= u128::from(*number) << bits;
        bits += width;
        while bits >= 8 {
            out.push(held as u8);
            held >>= 8;
            bits -= 8;
        }
    }
    if bits > 0 {
        out.push(held as u8);
    }
}

/// The number at `index` of those packed in `bytes`; `None` if they end before.
pub(super) fn unpack(bytes: &[u8], index: usize, width: u32) -> Option<u64> {
    let bit = index.checked_mul(width as usize)?;
    let (at, shift) = (bit / 8, bit % 8);
    let mask = if width >= 64 { u64::MAX } else { (1 << width) - 1 };
    if let Some(window) = bytes.get(at..).and_then(<[u8]>::first_chunk::<16>) {
        return Some((u128::from_le_bytes(*window) >> shift) as u64 & mask);
    }
    let rest = bytes.get(at..)?;
    if rest.len() * 8 < shift + width as usize {
        return None;
    }
    let mut window = [0; 16];
    let len = rest.len().min(16);
    window[..len].copy_from_slice(&rest[..len]);
    Some((u128::from_le_bytes(window) >> shift) as u64 & mask)
}

/// Calls `each` with the first `count` numbers packed in `bytes`, in order; `None` if they end before.
pub(super) fn unpack_each(bytes: &[u8], count: usize, width: u32, mut each: impl FnMut(u64)) -> Option<()> {
    // So many have all of their bits in the eight bytes where they begin.
    let quick = match (bytes.len().checked_sub(7), width) {
        (Some(begins), 1..=57) => count.min((begins * 8).div_ceil(width as usize)),
        _ => 0,
    };
    let mask = if width >= 64 { u64::MAX } else { (1 << width) - 1 };
    for index in 0..quick {
        let bit = index * width as usize;
        let window = bytes.get(bit / 8..).and_then(<[u8]>::first_chunk::<8>)?;
        each(u64::from_le_bytes(*window) >> (bit % 8) & mask);
    }
    for index in quick..count {
        each(unpack(bytes, index, width)?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn all_at_once_are_those_one_by_one(bytes: Vec<u8>, count in 0usize..200, width in 0u32..=80) {
            let mut all = Vec::new();
            let found = unpack_each(&bytes, count, width, |number| all.push(number));
            let wanted: Option<Vec<u64>> = (0..count).map(|index| unpack(&bytes, index, width)).collect();
            prop_assert_eq!(found.map(|()| all), wanted);
        }

        #[test]
        fn numbers_come_back(numbers: Vec<u64>, width in 0u32..=64) {
            let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
            let numbers: Vec<u64> = numbers.into_iter().map(|number| number & mask).collect();
            let mut bytes = Vec::new();
            pack(&numbers, width, &mut bytes);
            prop_assert_eq!(packed_bytes(numbers.len(), width), Some(bytes.len()));
            for (index, number) in numbers.iter().enumerate() {
                prop_assert_eq!(unpack(&bytes, index, width), Some(*number));
            }
        }

        #[test]
        fn what_is_cut_gives_none(bytes: Vec<u8>, index: usize, width in 0u32..=255) {
            let _ = unpack(&bytes, index, width);
        }
    }
}
