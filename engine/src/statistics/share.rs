//! The blocks of a sealed segment, for as many threads as have time for them.

use super::blocks::BlockGatherer;
use super::question::StatisticsQuery;
use super::tally::Tally;
use crate::error::{Error, Result};
use crate::sealed::SealedFile;
use crate::sync::{Mutex, MutexGuard};
use std::ops::Range;
use std::sync::{Arc, PoisonError};

/// How many blocks a thread takes at once.
const TAKEN: usize = 32;

/// How often a thread takes blocks between two looks how much memory is in use.
const CHECK_EVERY: u32 = 16;

/// A segment whose blocks are added up.
pub(super) struct SharedBlocks {
    /// The number of the unit that the segment is.
    pub(super) unit: usize,
    pub(super) file: Arc<SealedFile>,
    count: usize,
    state: Mutex<State>,
}

struct State {
    next: usize,
    /// How many threads are at it.
    threads: usize,
    /// No more blocks are to be added: one can't be read, or there was an error.
    is_stopped: bool,
    failure: Option<Error>,
    sum: Option<Tally>,
    by_column: u64,
}

/// What all blocks of a segment add up to.
pub(super) struct BlocksSum {
    pub(super) tally: Tally,
    pub(super) blocks: u64,
    pub(super) by_column: u64,
}

impl SharedBlocks {
    /// The blocks of `file`, with one thread at them.
    ///
    /// # Errors
    /// What the operating system says.
    pub(super) fn new(unit: usize, file: Arc<SealedFile>) -> Result<Self> {
        let state = State { next: 0, threads: 1, is_stopped: false, failure: None, sum: None, by_column: 0 };
        Ok(Self { unit, count: file.block_count()?, file, state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a thread, if there are blocks for it.
    pub(super) fn join(&self) -> bool {
        let mut state = self.lock();
        let has_blocks = !state.is_stopped && state.next < self.count;
        state.threads += usize::from(has_blocks);
        has_blocks
    }

    fn take(&self) -> Option<Range<usize>> {
        let mut state = self.lock();
        let from = state.next;
        state.next = self.count.min(from + TAKEN);
        (!state.is_stopped && from < state.next).then(|| from..state.next)
    }

    /// Adds up blocks until there are none left. For the last thread that is at it, what they add up to: nothing if some can't be
    /// read, or are not those of all of the segment's records.
    ///
    /// # Errors
    /// As [`BlockGatherer::add`].
    pub(super) fn work(&self, query: &StatisticsQuery) -> Result<Option<Option<BlocksSum>>> {
        let added = self.add(query);
        let mut state = self.lock();
        let merged = added.and_then(|added| {
            let Some((tally, by_column)) = added else { return Ok(false) };
            state.by_column += by_column;
            match &mut state.sum {
                Some(sum) => sum.merge(tally)?,
                sum => *sum = Some(tally),
            }
            Ok(true)
        });
        match merged {
            Ok(is_added) => state.is_stopped |= !is_added,
            Err(error) => {
                state.is_stopped = true;
                state.failure.get_or_insert(error);
            }
        }
        state.threads -= 1;
        if state.threads > 0 {
            return Ok(None);
        }
        // The threads that are at it took all that there is, or stopped; and whoever finds nothing left doesn't join.
        let is_stopped = std::mem::replace(&mut state.is_stopped, true);
        if let Some(failure) = state.failure.take() {
            return Err(failure);
        }
        let records = self.file.seqs().end - self.file.seqs().start;
        let sum = state.sum.take().filter(|sum| !is_stopped && sum.records == records);
        Ok(Some(sum.map(|tally| BlocksSum { tally, blocks: self.count as u64, by_column: state.by_column })))
    }

    /// What the blocks that this thread takes add up to, and how many were added by column; nothing if one can't be read.
    fn add(&self, query: &StatisticsQuery) -> Result<Option<(Tally, u64)>> {
        let mut gatherer = BlockGatherer::new(query);
        let mut taken = 0u32;
        while let Some(blocks) = self.take() {
            for n in blocks {
                if !gatherer.add(&self.file, n)? {
                    return Ok(None);
                }
            }
            taken += 1;
            if taken.is_multiple_of(CHECK_EVERY) {
                gatherer.check()?;
            }
        }
        gatherer.finish().map(Some)
    }
}
