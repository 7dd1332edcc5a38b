//! Comparing a sealed file with the records it was made of, before their raw segments go.

use super::codec::BlockBuf;
use super::file::SealedFile;
use crate::error::{Error, Result};
use crate::gap::Gap;
use crate::record::StoredRecord;

/// Takes the records that a sealed file has to hold, one after the other, and compares each with what the file
/// gives back for its seq.
#[derive(Debug)]
pub(crate) struct Comparison<'a> {
    file: &'a SealedFile,
    buffer: BlockBuf,
    /// The next block to read.
    block: usize,
    next_seq: u64,
}

impl<'a> Comparison<'a> {
    pub(crate) fn new(file: &'a SealedFile) -> Self {
        Self { file, buffer: BlockBuf::new(), block: 0, next_seq: file.seqs().start }
    }

    /// Compares the next record.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the file holds another record, or none, or can't be read there.
    pub(crate) fn next(&mut self, record: &StoredRecord<'_>) -> Result<()> {
        if self.next_seq == self.buffer.end_seq() || self.buffer.len() == 0 {
            self.file.read_block(self.block, &mut self.buffer)?;
            self.block += 1;
        }
        match self.buffer.get(self.next_seq) {
            Some(stored) if stored == *record => {
                self.next_seq += 1;
                Ok(())
            }
            _ => Err(self.differs("the file doesn't hold the record that was sealed")),
        }
    }

    /// Compares the next seqs, which are to be in a gap.
    ///
    /// # Errors
    /// As [`Comparison::next`].
    pub(crate) fn gap(&mut self, gap: &Gap) -> Result<()> {
        while self.next_seq < gap.end_seq {
            self.file.read_block(self.block, &mut self.buffer)?;
            self.block += 1;
            match self.buffer.gap() {
                Some(found) if found.first_seq == self.next_seq && found.end_seq <= gap.end_seq => {
                    let found = Gap { first_seq: gap.first_seq, end_seq: gap.end_seq, ..found.clone() };
                    if found != *gap {
                        return Err(self.differs("the file holds another gap than it was to"));
                    }
                    self.next_seq = self.buffer.end_seq();
                }
                _ => return Err(self.differs("the file doesn't hold the gap that it was to")),
            }
        }
        Ok(())
    }

    /// Ends the comparison: the file holds no further record.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it does.
    pub(crate) fn finish(self) -> Result<()> {
        match self.next_seq == self.file.seqs().end && self.block == self.file.block_count()? {
            true => Ok(()),
            false => Err(self.differs("the file holds more records than were sealed")),
        }
    }

    fn differs(&self, detail: &str) -> Error {
        let mut damage = self.file.opened.damage(0, detail);
        (damage.first_seq, damage.end_seq) = (Some(self.next_seq), Some(self.next_seq + 1));
        Error::Damaged(damage)
    }
}
