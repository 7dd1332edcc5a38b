//! Where a reader keeps the bytes around the record it read last.

use crate::FileId;
use crate::error::{Damage, Error, Result};
use crate::raw::{RawCursor, ReadAhead};
use crate::reader::Source;
use crate::record::{Record, StoredRecord};
use crate::sealed::{BlockBuf, SealedFile};
use crate::view::{Chain, Segment};
use std::sync::Arc;

/// Memory for reading: the bytes around the last record, from which it is borrowed. Reuse one for many reads.
#[derive(Debug, Default)]
pub struct ReadBuffer {
    raw: RawCursor,
    block: BlockBuf,
    /// The file that `block` is of.
    block_file: Option<FileId>,
    /// The record that was read last is in `block`, and has this seq.
    in_block: Option<u64>,
    blocks_read: u64,
}

impl ReadBuffer {
    /// A buffer without memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The record that was read last.
    pub(crate) fn current(&self) -> Option<Record<'_>> {
        self.stored().map(Record::new)
    }

    pub(crate) fn stored(&self) -> Option<StoredRecord<'_>> {
        match self.in_block {
            Some(seq) => self.block.get(seq),
            None => self.raw.current(),
        }
    }

    /// How many blocks of sealed segments were read.
    pub(crate) fn blocks_read(&self) -> u64 {
        self.blocks_read
    }

    /// Goes on to `seq` if it follows the record that was read last and has been read with its block of a sealed segment, which
    /// never changes. The caller knows that `seq` belongs to that segment.
    #[inline]
    pub(crate) fn step_to(&mut self, seq: u64) -> bool {
        let is_next = self.in_block.is_some_and(|last| last + 1 == seq) && self.block.has(seq);
        if is_next {
            self.in_block = Some(seq);
        }
        is_next
    }

    /// Reads `seq` from the segment at `index` of `chain`, so that [`ReadBuffer::current`] gives it.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the record can't be read, or is not there; [`Error::Gap`] if the log says so.
    pub(crate) fn read(
        &mut self,
        source: &Source,
        chain: &Chain,
        index: usize,
        seq: u64,
        ahead: ReadAhead,
    ) -> Result<()> {
        match &chain.segments[index] {
            Segment::Raw(raw) => {
                self.in_block = None;
                match self.raw.read(raw, seq, ahead)? {
                    true => Ok(()),
                    false => {
                        let (offset, end_seq) = raw.end();
                        Err(missing(&raw.path, offset, end_seq..end_of(source, chain, index)))
                    }
                }
            }
            Segment::Sealed(slot) => {
                let file = source.sealed(slot).map_err(|error| unreadable(error, source, chain, index))?;
                if !file.seqs().contains(&seq) {
                    return Err(missing(file.path(), 0, file.seqs().end..end_of(source, chain, index)));
                }
                self.read_sealed(&file, seq)
            }
        }
    }

    /// Reads `seq`, which `file` covers.
    pub(crate) fn read_sealed(&mut self, file: &Arc<SealedFile>, seq: u64) -> Result<()> {
        self.in_block = None;
        if self.block_file != Some(file.file_id()) || !self.block.contains(seq) {
            self.block_file = None;
            self.blocks_read += 1;
            file.seek(seq, &mut self.block)?;
            self.block_file = Some(file.file_id());
        } else if !self.block.has(seq) {
            // Who asks for a second record of a block goes on to the others.
            self.block_file = None;
            file.complete(&mut self.block)?;
            self.block_file = Some(file.file_id());
        }
        match self.block.gap() {
            Some(gap) => Err(Error::Gap(gap.clone())),
            None => {
                self.in_block = Some(seq);
                Ok(())
            }
        }
    }
}

/// The end of the records that the segment at `index` is to hold: those that readers may read, if it is the last. So one
/// error stands for all of them, however many a file claims that there are.
fn end_of(source: &Source, chain: &Chain, index: usize) -> u64 {
    chain.end_of(index).min(source.view.visible_seq())
}

/// The error for all records of a segment whose file can't be opened.
pub(crate) fn unreadable(error: Error, source: &Source, chain: &Chain, index: usize) -> Error {
    match error {
        Error::Damaged(damage) if damage.first_seq.is_none() => {
            let (first, end) = (chain.segments[index].base_seq(), end_of(source, chain, index));
            Error::Damaged(Damage { first_seq: Some(first), end_seq: Some(end), ..damage })
        }
        error => error,
    }
}

/// The error for records that no file holds, though files before them are there.
fn missing(path: &str, offset: u64, seqs: std::ops::Range<u64>) -> Error {
    Error::Damaged(Damage {
        path: path.to_owned(),
        offset,
        detail: "the file ends before the next one begins: records are missing".into(),
        first_seq: Some(seqs.start),
        end_seq: Some(seqs.end),
    })
}
