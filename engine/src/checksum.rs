//! Checksums that know which file they belong to.

use crate::FileId;

/// What every CRC-32 in a file is XORed with: the CRC-32 of the file's random id. Bytes that once belonged to another
/// file, or were copied from one, so never check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Salt(u32);

impl Salt {
    pub(crate) fn of(file: FileId) -> Self {
        Self(crc32fast::hash(&file.0))
    }

    /// The salt of the file in which `bytes` have the checksum `stored`.
    pub(crate) fn that_gives(stored: u32, bytes: &[u8]) -> Self {
        Self(stored ^ crc32fast::hash(bytes))
    }

    /// The checksum of `bytes` in this file.
    pub(crate) fn checksum(self, bytes: &[u8]) -> u32 {
        self.salted(crc32fast::hash(bytes))
    }

    /// The checksum in this file of bytes whose CRC-32 is `crc`.
    pub(crate) fn salted(self, crc: u32) -> u32 {
        crc ^ self.0
    }

    /// The checksum in this file of a record with the given `seq`, whose bytes have the CRC-32 `crc`: a record that
    /// stands where another belongs does not check.
    pub(crate) fn salted_for(self, seq: u64, crc: u32) -> u32 {
        // The multiplication by an odd number keeps neighbours apart in all bits, and is invertible.
        let mixed = seq.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        crc ^ self.0 ^ (mixed >> 32) as u32
    }
}
