//! The index of the fields of one sealed segment: from a value to the records that have it. docs/format.md, "Field index
//! file".
//!
//! Values are known by the hash of their *term*, which is made elsewhere. A look-up gives every record with the value, and
//! rarely one without it: who asks reads the records it gives. It reads the parts of the file that it needs, each with a
//! checksum of its own, so that a file may be much larger than what is held of it in memory.

use crate::header::{FileHeader, FileKind, SPECIFIC_BYTES};
use crate::segment::Binding;

mod bits;
mod build;
mod list;
mod page;
mod read;
mod records;

pub use build::FieldsBuilder;
pub use page::FieldPage;
pub use read::{FieldsError, FieldsReader, KeptPages, ReadAt};
pub use records::Records;

/// Most fields of an index file.
pub const FIELDS_MAX: usize = 64;

/// Most keys of a field's path.
pub const KEYS_MAX: usize = 32;

/// Most bytes of all keys of a path.
pub const PATH_BYTES_MAX: usize = 1 << 10;

/// A value that so many records have gets a list of its own.
const LIST_MIN: usize = 32;

/// Entries of a page, about.
const PAGE_ENTRIES: usize = 1 << HIGH_BITS;

/// Bits of a fingerprint that are told by where in its page an entry stands.
const HIGH_BITS: u32 = 10;

/// Largest directory, its checksum included. A file with holes has bytes for longer ones.
const DIRECTORY_BYTES_MAX: usize = 16 << 20;

/// Largest page. Most have some 5 KiB; only hashes that somebody has chosen for it all fall into one.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// What lists begin at multiples of, in bytes.
const LIST_ALIGN: u64 = 16;

const SOURCE_ID_AT: usize = 0;
const SOURCE_BYTES_AT: usize = SOURCE_ID_AT + 16;
const RECORDS_AT: usize = SOURCE_BYTES_AT + 8;
const DIRECTORY_AT: usize = RECORDS_AT + 4;
const SOURCE_CRC_AT: usize = DIRECTORY_AT + 4;
const _: () = assert!(SOURCE_CRC_AT + 4 == SPECIFIC_BYTES);

/// The sealed segment that a field index is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldsBinding {
    /// The segment.
    pub segment: Binding,
    /// A checksum over all that the segment holds.
    pub source_crc: u32,
    /// How many seqs it covers.
    pub records: u32,
}

/// The hash of a term: a multiplication folded in half for each eight bytes, and one for the length.
pub fn term_hash(term: &[u8]) -> u64 {
    const START: u64 = 0x9E37_79B9_7F4A_7C15;
    const FACTOR: u64 = 0xD6E8_FEB8_6659_FD93;
    let fold = |hash: u64, word: u64| {
        let product = u128::from(hash ^ word) * u128::from(FACTOR);
        (product as u64) ^ ((product >> 64) as u64) ^ START
    };
    let mut chunks = term.chunks_exact(8);
    let mut hash =
        chunks.by_ref().fold(START, |hash, chunk| fold(hash, u64::from_le_bytes(std::array::from_fn(|i| chunk[i]))));
    let rest = chunks.remainder();
    if !rest.is_empty() {
        hash = fold(hash, u64::from_le_bytes(std::array::from_fn(|i| rest.get(i).copied().unwrap_or(0))));
    }
    let hash = fold(hash, term.len() as u64);
    fold(hash, START)
}

/// Where a hash belongs among `pages` pages, and its fingerprint there of so many bits.
fn place(hash: u64, pages: u32, bits: u32) -> (u32, u64) {
    let product = u128::from(hash) * u128::from(pages);
    ((product >> 64) as u32, (product as u64) >> (64 - bits))
}

/// The checksum of a part of an index file: of the file's id, where the part belongs, and its bytes.
fn checksum(salt: u32, field: u32, part: u64, bytes: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&field.to_le_bytes());
    hasher.update(&part.to_le_bytes());
    bytes.iter().for_each(|bytes| hasher.update(bytes));
    hasher.finalize() ^ salt
}

/// The field number in the checksum of the directory.
const DIRECTORY_FIELD: u32 = u32::MAX;

/// The header of a field index with a directory of so many bytes, with the ids and the time of `header`.
fn fields_header(header: &FileHeader, binding: &FieldsBinding, directory_len: u32) -> FileHeader {
    let segment = &binding.segment;
    let mut specific = [0; SPECIFIC_BYTES];
    specific[SOURCE_ID_AT..SOURCE_BYTES_AT].copy_from_slice(&segment.source_file_id);
    specific[SOURCE_BYTES_AT..RECORDS_AT].copy_from_slice(&segment.source_bytes.to_le_bytes());
    specific[RECORDS_AT..DIRECTORY_AT].copy_from_slice(&binding.records.to_le_bytes());
    specific[DIRECTORY_AT..SOURCE_CRC_AT].copy_from_slice(&directory_len.to_le_bytes());
    specific[SOURCE_CRC_AT..].copy_from_slice(&binding.source_crc.to_le_bytes());
    FileHeader {
        kind: FileKind::Fields,
        log_id: segment.log_id,
        base_seq: segment.base_seq,
        ordinal: segment.ordinal,
        specific,
        ..header.clone()
    }
}

/// What the directory says of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    path: Vec<String>,
    /// Bits of an entry's value: a record, or beyond those a list.
    value_bits: u32,
    /// Bits of a fingerprint that are stored.
    low_bits: u32,
    /// Where in the file the pages begin.
    pages_at: u64,
    /// Where each page begins behind that, and where the last ends; empty if the field was left out.
    pages: Vec<u32>,
    /// Bytes of the lists, which follow the pages at a multiple of 16.
    lists_len: u64,
}

impl Field {
    fn page_count(&self) -> u32 {
        self.pages.len().saturating_sub(1) as u32
    }

    /// Where the lists begin.
    fn lists_at(&self) -> u64 {
        (self.pages_at + u64::from(self.pages.last().copied().unwrap_or(0))).next_multiple_of(LIST_ALIGN)
    }
}
