//! Reading what is left of a damaged sealed file, in order, on both sides of every damage.

use super::codec::BlockBuf;
use super::file::SealedFile;
use crate::Incarnation;
use crate::error::{Error, Result};
use crate::gap::Gap;
use crate::record::StoredRecord;
use std::ops::Range;

/// The next of what a range of seqs holds.
#[derive(Debug)]
pub(crate) enum Salvaged<'a> {
    /// A record, as it was appended.
    Record(StoredRecord<'a>),
    /// What was known to be missing, as the repair with this incarnation found.
    Gap(Gap, Incarnation),
    /// What can't be read, and why.
    Lost(Range<u64>, String),
}

impl SealedFile {
    /// Gives all of `seqs` to `sink`, in order.
    ///
    /// # Errors
    /// What the operating system says, [`Error::Unsupported`] for what only newer versions read, and errors of `sink`.
    pub(crate) fn salvage(&self, seqs: Range<u64>, sink: &mut dyn FnMut(Salvaged<'_>) -> Result<()>) -> Result<()> {
        let mut buffer = BlockBuf::new();
        let walk = self.walk()?;
        let mut next = seqs.start;
        let mut why: Option<String> = None;
        for entry in &walk.table.0 {
            if entry.end_seq() <= next || entry.first_seq >= seqs.end {
                continue;
            }
            match self.load(entry, &mut buffer) {
                Ok(()) => {}
                Err(Error::Damaged(damage)) => {
                    why.get_or_insert(damage.detail);
                    continue;
                }
                Err(error) => return Err(error),
            }
            if entry.first_seq > next {
                let why = why.take().unwrap_or_else(|| self.why(next));
                sink(Salvaged::Lost(next..entry.first_seq, why))?;
                next = entry.first_seq;
            }
            let end = entry.end_seq().min(seqs.end);
            if let Some(gap) = buffer.gap() {
                let gap = Gap { first_seq: next, end_seq: end, ..gap.clone() };
                sink(Salvaged::Gap(gap, buffer.incarnation()))?;
            }
            for record in buffer.iter().filter(|record| (next..end).contains(&record.seq)) {
                sink(Salvaged::Record(record))?;
            }
            next = end;
        }
        if next < seqs.end {
            let why = why.unwrap_or_else(|| self.why(next));
            sink(Salvaged::Lost(next..seqs.end, why))?;
        }
        Ok(())
    }

    /// The gaps that the file tells of. Reads nothing if it has none.
    ///
    /// # Errors
    /// As [`SealedFile::read_block`].
    pub(crate) fn gaps(&self) -> Result<Vec<Gap>> {
        let mut gaps = Vec::new();
        if !self.has_gaps() {
            return Ok(gaps);
        }
        let mut buffer = BlockBuf::new();
        // Only blocks that cover all times can be gaps.
        for entry in self.table()?.0.iter().filter(|entry| (entry.time_min, entry.time_max) == (i64::MIN, i64::MAX)) {
            self.load(entry, &mut buffer)?;
            gaps.extend(buffer.gap().cloned());
        }
        Ok(gaps)
    }

    /// Why no block with `seq` was found.
    fn why(&self, seq: u64) -> String {
        let walked = self.walk().ok().and_then(|walk| walk.damage.iter().find(|damage| damage.first_seq == Some(seq)));
        walked.map_or_else(|| "the blocks end before".to_owned(), |damage| damage.detail.clone())
    }
}
