//! Sealed segments: the records of closed raw segments in compressed blocks. docs/format.md, "Sealed segment".
//!
//! Promises: a sealed file is written once; one damaged byte costs at most the records of the block it lies in; every
//! byte is checked before it is used and [`SealedFile::verify`] looks at all of them. When files are sealed, synced and
//! renamed, and what the shape section means, is left to others.

mod block;
mod bytes;
mod cache;
mod codec;
#[cfg(feature = "fuzz")]
pub mod codecs;
mod column_rows;
mod columns;
mod compare;
mod dictionary;
mod fields;
mod file;
mod file_dictionary;
mod footer;
mod index;
mod kept;
mod layout;
mod load;
mod open;
mod parity;
mod rows;
mod salvage;
mod shared;
mod slot;
mod statistics;
mod table;
mod typed;
mod verify;
mod walk;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use cache::{BlockCache, CachedBlock};
pub(crate) use codec::BlockBuf;
pub(crate) use columns::learn_columns;
pub(crate) use compare::Comparison;
pub(crate) use dictionary::train_dictionary;
pub(crate) use fields::{CachedPages, FieldIndex, install_fields};
pub(crate) use file::SealedFile;
pub(crate) use footer::Source;
pub(crate) use index::install_index;
pub(crate) use kept::KeptBlock;
pub(crate) use load::RunBuf;
pub(crate) use open::read_sealed_header;
pub(crate) use salvage::Salvaged;
pub(crate) use shared::FileDictionary;
pub(crate) use slot::SealedSlot;
pub(crate) use statistics::QuestionId;
pub(crate) use table::BlockEntry;
pub(crate) use typed::{TypedBlock, TypedBuf};
pub(crate) use writer::{SealedSummary, SealedWriter, Stated};

use crate::options::{Codec, Options};

/// Plain bytes of a block, unless it is told otherwise. These defaults were measured:
/// docs/decisions/0002-blocks-and-dictionary.md.
pub(crate) const BLOCK_BYTES_DEFAULT: usize = 16 << 10;

/// The zstd level, unless it is told otherwise.
pub(crate) const LEVEL_DEFAULT: i32 = 3;

/// Largest dictionary in bytes, unless it is told otherwise.
pub(crate) const DICTIONARY_BYTES_DEFAULT: usize = 32 << 10;

/// How many times its size is looked at to train a dictionary, unless it is told otherwise.
pub(crate) const SAMPLES_PER_DICTIONARY_DEFAULT: usize = 16;

/// Most records of a block of columns, unless it is told otherwise. This and the two below were measured:
/// docs/decisions/0010-columns.md.
pub(crate) const COLUMN_RECORDS_DEFAULT: usize = 128;

/// Bytes of a block of columns that zstd compresses, about, unless it is told otherwise.
pub(crate) const COLUMN_BYTES_DEFAULT: usize = 16 << 10;

/// Bytes of records that are looked at to learn the columns of a segment, unless it is told otherwise.
pub(crate) const COLUMN_SAMPLES_DEFAULT: usize = 32 << 20;

/// How records are regrouped and compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SealOptions {
    /// Rows or columns. Default [`Codec::Rows`].
    pub(crate) codec: Codec,
    /// Most records of a block of columns. Default [`COLUMN_RECORDS_DEFAULT`].
    pub(crate) column_records: usize,
    /// Bytes of a block of columns that zstd compresses, about. Default [`COLUMN_BYTES_DEFAULT`].
    pub(crate) column_bytes: usize,
    /// Bytes of records that are looked at to learn columns. Default [`COLUMN_SAMPLES_DEFAULT`].
    pub(crate) column_samples: usize,
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
    /// What the options of a log say of sealing.
    pub(crate) fn of(options: &Options) -> Self {
        Self { codec: options.codec, level: options.compression_level, ..Self::default() }
    }

    /// Bytes of records that are looked at to make a dictionary: those it is trained on, and half as many to try it on; or
    /// those that columns are learned from.
    pub(crate) fn sample_bytes(&self) -> usize {
        if self.codec == Codec::Columns {
            return self.column_samples;
        }
        self.dictionary_bytes.saturating_mul(self.samples_per_dictionary) / 2 * 3
    }
}

impl Default for SealOptions {
    fn default() -> Self {
        Self {
            codec: Codec::Rows,
            column_records: COLUMN_RECORDS_DEFAULT,
            column_bytes: COLUMN_BYTES_DEFAULT,
            column_samples: COLUMN_SAMPLES_DEFAULT,
            block_bytes: BLOCK_BYTES_DEFAULT,
            level: LEVEL_DEFAULT,
            dictionary_bytes: DICTIONARY_BYTES_DEFAULT,
            samples_per_dictionary: SAMPLES_PER_DICTIONARY_DEFAULT,
        }
    }
}
