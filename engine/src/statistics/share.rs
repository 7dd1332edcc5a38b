//! The parts of a segment, for as many threads as have time for them: blocks if it is sealed, and otherwise runs of records.

use super::blocks::BlockAdder;
use super::question::StatisticsQuery;
use super::records::{RecordAdder, runs};
use super::tally::Tally;
use crate::error::{Error, Result};
use crate::raw::RawSegment;
use crate::sealed::SealedFile;
use crate::sync::{Mutex, MutexGuard};
use std::ops::Range;
use std::sync::{Arc, PoisonError};

/// How many blocks a thread takes at once. Of runs it is one.
const BLOCKS_TAKEN: usize = 32;

/// How often a thread takes parts between two looks how much memory is in use.
const CHECK_EVERY: u32 = 16;

/// Of what the parts are.
pub(super) enum Parts {
    /// Blocks of all records of a sealed segment.
    Blocks(Arc<SealedFile>),
    /// Runs of these records of a raw segment.
    Runs(Arc<RawSegment>, Range<u64>),
}

/// Adds parts up.
pub(super) trait Adder {
    /// Adds part `n`. `false` if it can't be read: whoever scans its records is told why.
    ///
    /// # Errors
    /// What [`super::gather::Gatherer::add`] says.
    fn add(&mut self, n: usize) -> Result<bool>;

    /// Whether what was added so far is not too much.
    ///
    /// # Errors
    /// What [`Tally::check`] says.
    fn check(&self) -> Result<()>;

    /// What was added, and how many parts of it by column.
    ///
    /// # Errors
    /// What [`Tally::check`] says.
    fn finish(self) -> Result<(Tally, u64)>;
}

/// A segment whose parts are added up.
pub(super) struct SharedParts {
    /// The number of the unit that the segment is.
    pub(super) unit: usize,
    pub(super) parts: Parts,
    /// How many parts there are, and how many a thread takes at once.
    count: usize,
    taken: usize,
    state: Mutex<State>,
}

struct State {
    next: usize,
    /// How many threads are at it.
    threads: usize,
    /// No more parts are to be added: one can't be read, or there was an error.
    is_stopped: bool,
    failure: Option<Error>,
    sum: Option<Tally>,
    by_column: u64,
    /// What is known of the records before them.
    before: Option<Tally>,
}

/// What all parts of a segment add up to.
pub(super) struct PartsSum {
    pub(super) tally: Tally,
    pub(super) blocks: u64,
    pub(super) by_column: u64,
}

impl Parts {
    /// How many there are.
    ///
    /// # Errors
    /// What the operating system says.
    fn count(&self) -> Result<usize> {
        match self {
            Self::Blocks(file) => file.block_count(),
            Self::Runs(_, seqs) => Ok(runs(seqs)),
        }
    }

    /// The records that they have.
    pub(super) fn seqs(&self) -> Range<u64> {
        match self {
            Self::Blocks(file) => file.seqs(),
            Self::Runs(_, seqs) => seqs.clone(),
        }
    }
}

impl SharedParts {
    /// With one thread at them, and with what is known of the records of the segment before them.
    ///
    /// # Errors
    /// What the operating system says.
    pub(super) fn new(unit: usize, parts: Parts, before: Option<Tally>) -> Result<Self> {
        let state = State { next: 0, threads: 1, is_stopped: false, failure: None, sum: None, by_column: 0, before };
        let taken = if matches!(parts, Parts::Blocks(_)) { BLOCKS_TAKEN } else { 1 };
        Ok(Self { unit, count: parts.count()?, taken, parts, state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the records before them.
    pub(super) fn take_before(&self) -> Option<Tally> {
        self.lock().before.take()
    }

    /// Adds a thread, if there are parts for it.
    pub(super) fn join(&self) -> bool {
        let mut state = self.lock();
        let has_parts = !state.is_stopped && state.next < self.count;
        state.threads += usize::from(has_parts);
        has_parts
    }

    fn take(&self) -> Option<Range<usize>> {
        let mut state = self.lock();
        let from = state.next;
        state.next = self.count.min(from + self.taken);
        (!state.is_stopped && from < state.next).then(|| from..state.next)
    }

    /// Adds up parts until there are none left. For the last thread that is at it, what they add up to: nothing if some can't be
    /// read, or are not those of all of the segment's records.
    ///
    /// # Errors
    /// As [`Adder::add`].
    pub(super) fn work(&self, query: &StatisticsQuery) -> Result<Option<Option<PartsSum>>> {
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
        let seqs = self.parts.seqs();
        let sum = state.sum.take().filter(|sum| !is_stopped && sum.records == seqs.end - seqs.start);
        let blocks = if matches!(self.parts, Parts::Blocks(_)) { self.count as u64 } else { 0 };
        Ok(Some(sum.map(|tally| PartsSum { tally, blocks, by_column: state.by_column })))
    }

    /// What the parts that this thread takes add up to, and how many were added by column; nothing if one can't be read.
    fn add(&self, query: &StatisticsQuery) -> Result<Option<(Tally, u64)>> {
        match &self.parts {
            Parts::Blocks(file) => self.add_with(BlockAdder::new(file, query)),
            Parts::Runs(segment, seqs) => self.add_with(RecordAdder::new(segment, seqs.clone(), query)),
        }
    }

    fn add_with(&self, mut adder: impl Adder) -> Result<Option<(Tally, u64)>> {
        let mut times = 0u32;
        while let Some(parts) = self.take() {
            for n in parts {
                if !adder.add(n)? {
                    return Ok(None);
                }
            }
            times += 1;
            if times.is_multiple_of(CHECK_EVERY) {
                adder.check()?;
            }
        }
        adder.finish().map(Some)
    }
}
