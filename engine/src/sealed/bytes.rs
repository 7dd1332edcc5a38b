//! The salted checksums of a sealed file, and the small fields that it shares with the codecs.

pub(crate) use crate::fields::{Fields, put_signed_varint, put_varint, varint_bytes};
use annals_index::FileHeader;

/// What every checksum of a file is combined with, so that bytes of another file never check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Salt(u32);

impl Salt {
    pub(crate) fn of(header: &FileHeader) -> Self {
        Self(crc32fast::hash(&header.file_id))
    }

    pub(crate) fn crc(self, bytes: &[u8]) -> u32 {
        crc32fast::hash(bytes) ^ self.0
    }

    /// The checksum of several pieces, one after the other.
    pub(crate) fn crc_of(self, pieces: &[&[u8]]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        pieces.iter().for_each(|piece| hasher.update(piece));
        hasher.finalize() ^ self.0
    }
}
