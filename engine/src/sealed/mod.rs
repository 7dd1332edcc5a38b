//! Sealed segments: the records of closed raw segments in compressed blocks. docs/format.md, "Sealed segment".
//!
//! Promises: a sealed file is written once; one damaged byte costs at most the records of the block it lies in; every
//! byte is checked before it is used and [`SealedFile::verify`] looks at all of them. When files are sealed, synced and
//! renamed, and what the shape section means, is left to others.

mod block;
mod bytes;
mod codec;
#[cfg(feature = "fuzz")]
pub mod codecs;
mod compare;
mod dictionary;
mod file;
mod footer;
mod index;
mod layout;
mod open;
mod rows;
mod salvage;
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
pub(crate) use footer::Source;
pub(crate) use index::install_index;
pub(crate) use open::read_sealed_header;
pub(crate) use salvage::Salvaged;
pub(crate) use slot::SealedSlot;
pub(crate) use writer::{SealedWriter, Stated};

/// Plain bytes of a block, unless it is told otherwise. These defaults were measured:
/// docs/decisions/0002-blocks-and-dictionary.md.
pub(crate) const BLOCK_BYTES_DEFAULT: usize = 16 << 10;

/// The zstd level, unless it is told otherwise.
pub(crate) const LEVEL_DEFAULT: i32 = 3;

/// Largest dictionary in bytes, unless it is told otherwise.
pub(crate) const DICTIONARY_BYTES_DEFAULT: usize = 32 << 10;

/// How many times its size is looked at to train a dictionary, unless it is told otherwise.
pub(crate) const SAMPLES_PER_DICTIONARY_DEFAULT: usize = 16;

/// How records are regrouped and compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SealOptions {
    /// Plain bytes of a block; a record that is larger has a block of its own.
    /// Default [`BLOCK_BYTES_DEFAULT`].
    pub(crate) block_bytes: usize,
    /// The zstd level. Default [`LEVEL_DEFAULT`].
    pub(crate) level: i32,
    /// Largest dictionary, in bytes; 0 for none. Default [`DICTIONARY_BYTES_DEFAULT`].
    pub(crate) dictionary_bytes: usize,
    /// How many times the dictionary's size is looked at to train it; more takes longer.
    /// Default [`SAMPLES_PER_DICTIONARY_DEFAULT`].
    pub(crate) samples_per_dictionary: usize,
}

impl SealOptions {
    /// Bytes of records that are looked at to make a dictionary: those it is trained on, and half as many to try it on.
    pub(crate) fn sample_bytes(&self) -> usize {
        self.dictionary_bytes.saturating_mul(self.samples_per_dictionary) / 2 * 3
    }
}

impl Default for SealOptions {
    fn default() -> Self {
        Self {
            block_bytes: BLOCK_BYTES_DEFAULT,
            level: LEVEL_DEFAULT,
            dictionary_bytes: DICTIONARY_BYTES_DEFAULT,
            samples_per_dictionary: SAMPLES_PER_DICTIONARY_DEFAULT,
        }
    }
}
