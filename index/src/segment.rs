//! The index of one sealed segment: from a seq to the block that holds it. docs/format.md, "Index file".

use crate::header::{FileHeader, FileKind, HEADER_BYTES, HeaderError, SPECIFIC_BYTES};

mod build;
mod read;

pub use build::IndexBuilder;
pub use read::{IndexReader, IndexedBlock};

/// Seqs from one entry of the seq table to the next.
pub const STRIDE: u64 = 1 << STRIDE_LOG2;

const STRIDE_LOG2: u32 = 7;

/// Records a segment can have to be indexed: what a table that lies can make an index take is bounded by it.
pub const RECORDS_MAX: u32 = 1 << 27;

const SOURCE_ID_AT: usize = 0;
const SOURCE_BYTES_AT: usize = SOURCE_ID_AT + 16;
const RECORDS_AT: usize = SOURCE_BYTES_AT + 8;
const BLOCKS_AT: usize = RECORDS_AT + 4;
const STRIDE_AT: usize = BLOCKS_AT + 4;
const _: () = assert!(STRIDE_AT + 4 == SPECIFIC_BYTES);

/// How many records a segment has, as the header of its index tells, be it of seqs or of fields: for when the segment can't tell it
/// any more. The rest of the index is not looked at.
pub fn indexed_records(header: &FileHeader) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| header.specific[RECORDS_AT + i]))
}

const OFFSET_BYTES: usize = 8;
const FIRST_BYTES: usize = 4;
const SLOT_BYTES: usize = 4;
const CRC_BYTES: usize = 4;

/// The sealed segment that an index is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The log.
    pub log_id: [u8; 16],
    /// The first seq the segment can hold.
    pub base_seq: u64,
    /// The ordinal in the segment's name.
    pub ordinal: u64,
    /// The random id of the segment's file.
    pub source_file_id: [u8; 16],
    /// The segment's length in bytes.
    pub source_bytes: u64,
}

/// Why bytes are not the index that was asked for, or why no index can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The file header is not one.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// It is the index of another segment, or of another file of that name.
    #[error("the index is of another segment: its {what} differs")]
    Foreign {
        /// What differs.
        what: &'static str,
    },
    /// Its length is not what its header asks for.
    #[error("the index has {found} bytes where its header asks for {expected}")]
    BadLength {
        /// The length its header asks for.
        expected: u64,
        /// The length it has.
        found: u64,
    },
    /// It doesn't match its checksum.
    #[error("the index is damaged: its checksum is {found:#010x}, its bytes give {expected:#010x}")]
    BadChecksum {
        /// The checksum of the bytes.
        expected: u32,
        /// The checksum that stands in it.
        found: u32,
    },
    /// Its tables contradict themselves.
    #[error("the index contradicts itself: {what}")]
    Contradiction {
        /// Where.
        what: &'static str,
    },
    /// The blocks of a segment that is to be indexed have gaps, or are more than an index tells apart.
    #[error("these blocks can't be indexed: {what}")]
    Unindexable {
        /// What is wrong with them.
        what: &'static str,
    },
}

/// Where the parts of an index file lie.
#[derive(Debug, Clone, Copy)]
struct Layout {
    records: u32,
    blocks: u32,
}

impl Layout {
    const OFFSETS_AT: usize = HEADER_BYTES;

    /// Seq-table entries.
    const fn slots(self) -> usize {
        (self.records as u64).div_ceil(STRIDE) as usize
    }

    const fn firsts_at(self) -> usize {
        Self::OFFSETS_AT + (self.blocks as usize + 1) * OFFSET_BYTES
    }

    const fn slots_at(self) -> usize {
        self.firsts_at() + self.blocks as usize * FIRST_BYTES
    }

    const fn crc_at(self) -> usize {
        self.slots_at() + self.slots() * SLOT_BYTES
    }

    const fn file_bytes(self) -> usize {
        self.crc_at() + CRC_BYTES
    }
}

/// The checksum of a whole index file, salted with its id.
fn checksum(header: &FileHeader, bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes) ^ crc32fast::hash(&header.file_id)
}

/// The header of the index of `binding`, with the ids and the time of `header`.
fn index_header(header: &FileHeader, binding: &Binding, layout: Layout) -> FileHeader {
    let mut specific = [0; SPECIFIC_BYTES];
    specific[SOURCE_ID_AT..SOURCE_BYTES_AT].copy_from_slice(&binding.source_file_id);
    specific[SOURCE_BYTES_AT..RECORDS_AT].copy_from_slice(&binding.source_bytes.to_le_bytes());
    specific[RECORDS_AT..BLOCKS_AT].copy_from_slice(&layout.records.to_le_bytes());
    specific[BLOCKS_AT..STRIDE_AT].copy_from_slice(&layout.blocks.to_le_bytes());
    specific[STRIDE_AT..].copy_from_slice(&(STRIDE as u32).to_le_bytes());
    FileHeader {
        kind: FileKind::Index,
        log_id: binding.log_id,
        base_seq: binding.base_seq,
        ordinal: binding.ordinal,
        specific,
        ..header.clone()
    }
}
