//! Sealed segments: the records of closed raw segments in compressed blocks. docs/format.md, "Sealed segment".
//!
//! Promises: a sealed file is written once; one damaged byte costs at most the records of the block it lies in; every
//! byte is checked before it is used and [`SealedFile::verify`] looks at all of them. When files are sealed, synced and
//! renamed, and what the shape section means, is left to others.

mod block;
mod bytes;
mod codec;
mod compare;
mod dictionary;
mod file;
mod footer;
mod index;
mod layout;
mod open;
mod rows;
mod slot;
mod table;
mod verify;
mod walk;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use codec::BlockBuf;
pub(crate) use compare::Comparison;
pub(crate) use dictionary::train_dictionary;
pub(crate) use file::SealedFile;
pub(crate) use footer::{Runs, Source, Summary};
pub(crate) use index::build_index;
pub(crate) use slot::SealedSlot;
pub(crate) use verify::Verified;
pub(crate) use writer::{SealedSummary, SealedWriter};

/// How records are regrouped and compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SealOptions {
    /// Plain bytes of a block; a record that is larger has a block of its own. Default 32 KiB.
    pub(crate) block_bytes: usize,
    /// The zstd level. Default 3.
    pub(crate) level: i32,
    /// Largest dictionary, in bytes; 0 for none. Default 64 KiB.
    pub(crate) dictionary_bytes: usize,
    /// How many times the dictionary's size is looked at to train it. Default 32.
    pub(crate) samples_per_dictionary: usize,
}

impl Default for SealOptions {
    fn default() -> Self {
        Self { block_bytes: 32 << 10, level: 3, dictionary_bytes: 64 << 10, samples_per_dictionary: 32 }
    }
}
