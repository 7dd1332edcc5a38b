//! What makes one damaged place of a dictionary good again, in less than a second copy. docs/format.md, "Dictionary".
//!
//! Byte *i* of the parity is the XOR of all bytes of the copy whose place, divided by the parity's length, leaves *i*. So a
//! damaged place that is no longer than the parity is known from what is left; checksums of small pieces say where it is.

use super::bytes::{Fields, Salt};
use super::dictionary::COPY_HEADER_BYTES;

/// Bytes of a piece with a checksum of its own.
const PIECE_BYTES: usize = 512;
/// Shortest parity in bytes, if the copy isn't shorter: a page, wherever it begins, and the pieces around it.
const PARITY_BYTES_MIN: usize = 5 << 10;
/// Of how many bytes of the copy there is one of parity, if that is more.
const BYTES_PER_PARITY: usize = 16;

/// Bytes of the parity of a copy of so many bytes.
fn parity_bytes(copy: usize) -> usize {
    copy.min(PARITY_BYTES_MIN.max(copy.div_ceil(BYTES_PER_PARITY)))
}

/// Bytes of the section for a copy of so many bytes.
pub(super) fn section_bytes(copy: usize) -> usize {
    COPY_HEADER_BYTES + 4 * copy.div_ceil(PIECE_BYTES) + parity_bytes(copy) + 4
}

/// The section for `copy`, which is a copy of the dictionary with its header.
pub(super) fn encode(copy: &[u8], salt: Salt) -> Vec<u8> {
    let mut out = copy[..COPY_HEADER_BYTES].to_vec();
    copy.chunks(PIECE_BYTES).for_each(|piece| out.extend(salt.crc(piece).to_le_bytes()));
    out.extend(parity(copy));
    let crc = salt.crc(&out);
    out.extend(crc.to_le_bytes());
    out
}

fn parity(copy: &[u8]) -> Vec<u8> {
    let mut parity = vec![0; parity_bytes(copy.len())];
    for part in copy.chunks(parity.len().max(1)) {
        parity.iter_mut().zip(part).for_each(|(byte, own)| *byte ^= own);
    }
    parity
}

/// The copy of which `damaged` is left, by a section of the file; `None` if the section isn't sound or doesn't belong to it, or if
/// more is damaged than it makes good.
pub(super) fn restore(damaged: &[u8], section: &[u8], salt: Salt) -> Option<Vec<u8>> {
    if section.len() != section_bytes(damaged.len()) {
        return None;
    }
    let (sound, crc) = section.split_at_checked(section.len() - 4)?;
    if salt.crc(sound).to_le_bytes() != *crc {
        return None;
    }
    let mut fields = Fields(sound.get(COPY_HEADER_BYTES..)?);
    let mut bad: Option<std::ops::Range<usize>> = None;
    for (n, piece) in damaged.chunks(PIECE_BYTES).enumerate() {
        if fields.u32()? != salt.crc(piece) {
            let from = n * PIECE_BYTES;
            bad = Some(bad.map_or(from, |bad| bad.start)..from + piece.len());
        }
    }
    let (mut copy, parity) = (damaged.to_vec(), fields.0);
    if let Some(bad) = bad {
        if bad.len() > parity.len() {
            return None;
        }
        copy[bad.clone()].fill(0);
        let mut missing = parity.to_vec();
        for part in copy.chunks(parity.len().max(1)) {
            missing.iter_mut().zip(part).for_each(|(byte, own)| *byte ^= own);
        }
        for at in bad {
            copy[at] = missing[at % parity.len()];
        }
    }
    // All of it is as it was, or there was more to it than one damaged place.
    (encode(&copy, salt) == section).then_some(copy)
}
