//! The sealed segments that a log begins with, taken together: what they add up to is kept with the last of them, once it was asked
//! for again. So who asks after that reads one answer, and not one for each segment.
//!
//! It is kept as the answer to a question of its own, whose id follows from all of these segments: where one of them is
//! another, or the first is gone, nobody asks that. docs/format.md, "Statistics file".

use super::tally::Tally;
use crate::error::Result;
use crate::sealed::{QuestionId, SealedFile};

/// With so many of the newest segments it is looked for what was kept.
const LOOKS_MAX: usize = 4;

/// A tally that takes more memory is not kept: it would not fit into the file.
const TALLY_BYTES_MAX: usize = 8 << 20;

/// The segments from the first on, as far as what they add may be kept; and what those add up to that were met.
#[derive(Debug, Default)]
pub(super) struct Front {
    /// The id of the question about the segments up to each.
    ids: Vec<QuestionId>,
    /// How many of them were answered as one.
    known: usize,
    /// How many were answered by what was kept.
    kept: usize,
    tally: Option<Tally>,
}

impl Front {
    /// The front of the log that has the segments `files`, in order, for the question `id`. A segment is let go before the next is
    /// asked for.
    pub(super) fn new(id: &QuestionId, files: impl Iterator<Item = impl AsRef<SealedFile>>) -> Self {
        let mut last = *id;
        let ids = files.map_while(|file| {
            last = file.as_ref().question_after(&last)?;
            Some(last)
        });
        Self { ids: ids.collect(), ..Self::default() }
    }

    /// Looks for what was kept of as many segments as possible: of those up to one by `read`. Returns how many that are.
    pub(super) fn look(&mut self, mut read: impl FnMut(usize, &QuestionId) -> Option<Tally>) -> usize {
        for last in (1..self.ids.len()).rev().take(LOOKS_MAX) {
            if let Some(tally) = read(last, &self.ids[last]) {
                (self.known, self.kept, self.tally) = (last + 1, last + 1, Some(tally));
                break;
            }
        }
        self.known
    }

    /// Whether the segment with this number is one of them.
    pub(super) fn has(&self, number: usize) -> bool {
        number < self.ids.len()
    }

    /// Adds what was found in one of them, by what was kept or not.
    ///
    /// # Errors
    /// As [`Tally::merge`].
    pub(super) fn add(&mut self, tally: Tally, is_kept: bool) -> Result<()> {
        self.kept += usize::from(is_kept);
        Tally::merge_into(&mut self.tally, tally)
    }

    /// The last segment, the id of the question about all, and what they add up to; if that was put together from what was kept.
    pub(super) fn to_keep(&self) -> Option<(usize, &QuestionId, &Tally)> {
        let is_new = self.kept == self.ids.len() && self.known < self.kept && self.kept > 1;
        let tally = self.tally.as_ref().filter(|tally| is_new && tally.bytes() <= TALLY_BYTES_MAX)?;
        Some((self.kept - 1, self.ids.last()?, tally))
    }

    /// What those add up to that were met.
    pub(super) fn into_tally(self) -> Option<Tally> {
        self.tally
    }
}
