//! A run of numbers in a block: constant, bit-packed, or in planes of bytes; as they are or as differences.

use super::bits::{pack, packed_bytes, unpack, unpack_each};
use crate::fields::{Fields, put_signed_varint, put_varint};

/// All numbers are the same.
const CONSTANT: u8 = 0;
/// Each less the smallest, in as few bits as the largest takes; in the packed part.
const PACKED: u8 = 1;
/// As [`PACKED`], of the differences to the number before.
const PACKED_DELTA: u8 = 2;
/// Each less the smallest, byte by byte: all lowest bytes first. In the part that is compressed.
const PLANES: u8 = 3;
/// As [`PLANES`], of the differences to the number before.
const PLANES_DELTA: u8 = 4;

/// Of so many codes each is counted by itself: several bytes are compared at once.
const FEW: usize = 4;

/// Where the numbers of a run stand in a block, and how.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ints {
    mode: u8,
    /// The first number of a run of differences.
    first: i64,
    /// What is added to each.
    base: i64,
    /// Bits of a packed number, or bytes of one in planes.
    width: u8,
    /// Where in its part the run begins.
    at: usize,
    count: usize,
}

/// Writes `values`, of which there is at least one: how they stand to `heads`, what they are to `data` or `packed`.
pub(super) fn encode(values: &[i64], heads: &mut Vec<u8>, data: &mut Vec<u8>, packed: &mut Vec<u8>) {
    let first = values[0];
    if values.iter().all(|value| *value == first) {
        heads.push(CONSTANT);
        put_signed_varint(heads, first);
        return;
    }
    let deltas: Vec<i64> = values.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    let (plain, differences) = (Run::of(values), Run::of(&deltas));
    let (run, is_delta) = match differences.bits() + 64 < plain.bits() {
        true => (differences, true),
        false => (plain, false),
    };
    let in_planes = run.plane_bits < run.packed_bits;
    heads.push(match (in_planes, is_delta) {
        (false, false) => PACKED,
        (false, true) => PACKED_DELTA,
        (true, false) => PLANES,
        (true, true) => PLANES_DELTA,
    });
    if is_delta {
        put_signed_varint(heads, first);
    }
    put_signed_varint(heads, run.base);
    if in_planes {
        heads.push(run.plane_bytes() as u8);
        data.extend(run.planes());
    } else {
        heads.push(run.width as u8);
        pack(&run.offsets, run.width, packed);
    }
}

/// Numbers less the smallest of them, and what they would take.
struct Run {
    base: i64,
    offsets: Vec<u64>,
    width: u32,
    packed_bits: u64,
    plane_bits: u64,
}

impl Run {
    fn of(values: &[i64]) -> Self {
        let base = values.iter().copied().min().unwrap_or(0);
        let offsets: Vec<u64> = values.iter().map(|value| value.wrapping_sub(base) as u64).collect();
        let width = 64 - offsets.iter().fold(0, |all, offset| all | offset).leading_zeros();
        let mut run = Self { base, offsets, width, packed_bits: 0, plane_bits: 0 };
        run.packed_bits = (run.offsets.len() as u64) * u64::from(width) + 8;
        run.plane_bits = (0..run.plane_bytes()).map(|plane| entropy_bits(run.plane(plane))).sum::<u64>() + 16;
        run
    }

    fn bits(&self) -> u64 {
        self.packed_bits.min(self.plane_bits)
    }

    fn plane_bytes(&self) -> usize {
        (self.width as usize).div_ceil(8)
    }

    fn plane(&self, plane: usize) -> impl Iterator<Item = u8> + '_ {
        self.offsets.iter().map(move |offset| (offset >> (8 * plane)) as u8)
    }

    fn planes(&self) -> impl Iterator<Item = u8> + '_ {
        (0..self.plane_bytes()).flat_map(|plane| self.plane(plane))
    }
}

/// Roughly what an entropy coder makes of `bytes`, in bits.
pub(super) fn entropy_bits(bytes: impl Iterator<Item = u8>) -> u64 {
    let mut counts = [0u32; 256];
    let mut total = 0u32;
    for byte in bytes {
        counts[usize::from(byte)] += 1;
        total += 1;
    }
    let used = counts.iter().filter(|count| **count > 0);
    let bits: f64 = used.clone().map(|&count| f64::from(count) * (f64::from(total) / f64::from(count)).log2()).sum();
    // A symbol that occurs has to be told.
    bits as u64 + 3 * used.count() as u64
}

impl Ints {
    /// The run of `count` numbers that `heads` tells of next, at `data_at` or `packed_at`, which move on.
    pub(super) fn decode(
        heads: &mut Fields<'_>,
        count: usize,
        data_at: &mut usize,
        packed_at: &mut usize,
    ) -> Option<Self> {
        let mode = heads.u8()?;
        let mut ints = Self { mode, count, ..Self::default() };
        if mode == CONSTANT {
            ints.base = heads.signed_varint()?;
            return Some(ints);
        }
        let is_delta = matches!(mode, PACKED_DELTA | PLANES_DELTA);
        if is_delta {
            ints.first = heads.signed_varint()?;
        }
        ints.base = heads.signed_varint()?;
        ints.width = heads.u8()?;
        let stored = if is_delta { count.checked_sub(1)? } else { count };
        let (at, len, width_max) = match mode {
            PACKED | PACKED_DELTA => (packed_at, packed_bytes(stored, u32::from(ints.width))?, 64),
            PLANES | PLANES_DELTA => (data_at, stored.checked_mul(usize::from(ints.width))?, 8),
            _ => return None,
        };
        ints.at = *at;
        *at = at.checked_add(len)?;
        (ints.width <= width_max).then_some(ints)
    }

    /// The number at `index`, which is below the count.
    pub(super) fn get(&self, index: usize, data: &[u8], packed: &[u8]) -> Option<i64> {
        match self.mode {
            CONSTANT => Some(self.base),
            PACKED | PLANES => self.stored(index, data, packed),
            _ => {
                let mut value = self.first;
                for before in 0..index {
                    value = value.wrapping_add(self.stored(before, data, packed)?);
                }
                Some(value)
            }
        }
    }

    /// All numbers, in place of what is in `out`.
    pub(super) fn all(&self, data: &[u8], packed: &[u8], out: &mut Vec<i64>) -> Option<()> {
        out.clear();
        let is_delta = matches!(self.mode, PACKED_DELTA | PLANES_DELTA);
        let stored = if is_delta { self.count.checked_sub(1)? } else { self.count };
        if is_delta {
            out.push(self.first);
        }
        match self.mode {
            CONSTANT => out.resize(self.count, self.base),
            PACKED | PACKED_DELTA => {
                let from = out.len();
                out.resize(from + stored, 0);
                let mut places = out[from..].iter_mut();
                let put = |offset| {
                    if let Some(place) = places.next() {
                        *place = self.base.wrapping_add(offset as i64);
                    }
                };
                unpack_each(packed.get(self.at..)?, stored, u32::from(self.width), put)?;
            }
            _ => {
                let planes = data.get(self.at..)?.get(..stored.checked_mul(usize::from(self.width))?)?;
                let from = out.len();
                out.resize(from + stored, self.base);
                for plane in 0..usize::from(self.width) {
                    let bytes = &planes[plane * stored..][..stored];
                    for (number, byte) in out[from..].iter_mut().zip(bytes) {
                        *number = number.wrapping_add(i64::from(*byte) << (8 * plane));
                    }
                }
            }
        }
        if is_delta {
            let mut value = 0i64;
            for number in out.iter_mut() {
                value = value.wrapping_add(*number);
                *number = value;
            }
        }
        Some(())
    }

    /// What is stored at `index`, with the base.
    fn stored(&self, index: usize, data: &[u8], packed: &[u8]) -> Option<i64> {
        let offset = match self.mode {
            PACKED | PACKED_DELTA => unpack(packed.get(self.at..)?, index, u32::from(self.width))?,
            _ => {
                let stored = if self.mode == PLANES { self.count } else { self.count - 1 };
                let mut offset = 0u64;
                for plane in 0..usize::from(self.width) {
                    offset |= u64::from(*data.get(self.at + plane * stored + index)?) << (8 * plane);
                }
                offset
            }
        };
        Some(self.base.wrapping_add(offset as i64))
    }
}

/// Writes `codes`: one for all of them, in one to three planes of bytes, or packed.
pub(super) fn encode_codes(codes: &[u32], heads: &mut Vec<u8>, data: &mut Vec<u8>, packed: &mut Vec<u8>) {
    let first = codes[0];
    if codes.iter().all(|code| *code == first) {
        heads.push(CONSTANT);
        put_varint(heads, u64::from(first));
        return;
    }
    let offsets: Vec<u64> = codes.iter().map(|code| u64::from(*code)).collect();
    let width = 64 - offsets.iter().fold(0, |all, code| all | code).leading_zeros();
    let run = Run { base: 0, offsets, width, packed_bits: 0, plane_bits: 0 };
    let plane_bits: u64 = (0..run.plane_bytes()).map(|plane| entropy_bits(run.plane(plane))).sum();
    match (codes.len() as u64) * u64::from(width) < plane_bits {
        true => {
            heads.extend([PACKED, width as u8]);
            pack(&run.offsets, width, packed);
        }
        false => {
            heads.extend([PLANES, run.plane_bytes() as u8]);
            data.extend(run.planes());
        }
    }
}

/// The run of `count` codes that `heads` tells of next; as [`Ints::decode`].
pub(super) fn decode_codes(
    heads: &mut Fields<'_>,
    count: usize,
    data_at: &mut usize,
    packed_at: &mut usize,
) -> Option<Ints> {
    let mode = heads.u8()?;
    let mut ints = Ints { mode, count, ..Ints::default() };
    if mode == CONSTANT {
        ints.base = heads.varint().and_then(|code| i64::try_from(code).ok())?;
        return Some(ints);
    }
    ints.width = heads.u8()?;
    let (at, len, width_max) = match mode {
        PACKED => (packed_at, packed_bytes(count, u32::from(ints.width))?, 32),
        PLANES => (data_at, count.checked_mul(usize::from(ints.width))?, 4),
        _ => return None,
    };
    ints.at = *at;
    *at = at.checked_add(len)?;
    (ints.width <= width_max).then_some(ints)
}

impl Ints {
    /// Adds to `counts` how often each code that has a place there is among the first `to`.
    #[inline]
    pub(super) fn count(&self, to: usize, data: &[u8], packed: &[u8], counts: &mut [u32]) -> Option<()> {
        if self.mode == CONSTANT {
            if let Some(count) = usize::try_from(self.base).ok().and_then(|code| counts.get_mut(code)) {
                *count += to as u32;
            }
            return Some(());
        }
        match self.bytes(to, data) {
            // Most columns have no more than these.
            Some((low, high)) if counts.len() <= FEW => {
                counts.iter_mut().zip(0..).for_each(|(count, code)| *count += occurrences(low, high, code));
            }
            Some((low, high)) if counts.len() <= 256 => {
                let mut all = [0u32; 256];
                match high {
                    [] => low.iter().for_each(|code| all[usize::from(*code)] += 1),
                    _ => low.iter().zip(high).for_each(|(code, high)| all[usize::from(*code)] += u32::from(*high == 0)),
                }
                counts.iter_mut().zip(all).for_each(|(count, own)| *count += own);
            }
            _ if self.mode == PACKED => {
                let add = |code| {
                    if let Some(count) = usize::try_from(code).ok().and_then(|code| counts.get_mut(code)) {
                        *count += 1;
                    }
                };
                unpack_each(packed.get(self.at..)?, to, u32::from(self.width), add)?;
            }
            _ => {
                for index in 0..to {
                    let code = self.stored(index, data, packed)?;
                    if let Some(count) = usize::try_from(code).ok().and_then(|code| counts.get_mut(code)) {
                        *count += 1;
                    }
                }
            }
        }
        Some(())
    }

    /// The lowest and the second bytes of the first `to` codes, if these are of one byte or of two, in planes.
    pub(super) fn bytes<'d>(&self, to: usize, data: &'d [u8]) -> Option<(&'d [u8], &'d [u8])> {
        let plane = |n: usize| data.get(self.at.checked_add(n * self.count)?..)?.get(..to);
        match (self.mode, self.width) {
            (PLANES, 1) => Some((plane(0)?, &[])),
            (PLANES, 2) => Some((plane(0)?, plane(1)?)),
            _ => None,
        }
    }

    /// The code of all cells, if it is one.
    pub(super) fn constant(&self) -> Option<i64> {
        (self.mode == CONSTANT).then_some(self.base)
    }
}

/// How often `code` is among those with these lowest and second bytes; without any, the second are 0.
fn occurrences(low: &[u8], high: &[u8], code: u8) -> u32 {
    /// So many fit into a byte.
    const RUN: usize = 255;
    let count = |low: &[u8]| u32::from(low.iter().map(|own| u8::from(*own == code)).sum::<u8>());
    if high.is_empty() {
        return low.chunks(RUN).map(count).sum();
    }
    let both = |(low, high): (&[u8], &[u8])| {
        let is_code = |(low, high): (&u8, &u8)| u8::from(*low == code) & u8::from(*high == 0);
        u32::from(low.iter().zip(high).map(is_code).sum::<u8>())
    };
    low.chunks(RUN).zip(high.chunks(RUN)).map(both).sum()
}
