//! From records that are not sealed to a tally: a run of them at a time.

use super::gather::Gatherer;
use super::question::StatisticsQuery;
use super::share::Adder;
use super::tally::Tally;
use crate::error::Result;
use crate::raw::{RawCursor, RawSegment, ReadAhead};
use std::ops::Range;

/// Records of a run.
const RUN_RECORDS: u64 = 1 << 10;

/// Adds records of a raw segment to a tally.
#[derive(Debug)]
pub(super) struct RecordAdder<'s> {
    segment: &'s RawSegment,
    seqs: Range<u64>,
    cursor: RawCursor,
    gatherer: Gatherer,
    tally: Tally,
}

/// How many runs there are in so many records.
pub(super) fn runs(seqs: &Range<u64>) -> usize {
    (seqs.end - seqs.start).div_ceil(RUN_RECORDS) as usize
}

impl<'s> RecordAdder<'s> {
    /// For the records `seqs` of `segment`, and for `query`, which has no condition.
    pub(super) fn new(segment: &'s RawSegment, seqs: Range<u64>, query: &StatisticsQuery) -> Self {
        let (cursor, gatherer) = (RawCursor::default(), Gatherer::new(query));
        Self { segment, seqs, cursor, gatherer, tally: Tally::new(query.layout()) }
    }
}

impl Adder for RecordAdder<'_> {
    fn add(&mut self, n: usize) -> Result<bool> {
        let first = self.seqs.start + n as u64 * RUN_RECORDS;
        for seq in first..self.seqs.end.min(first + RUN_RECORDS) {
            let Ok(true) = self.cursor.read(self.segment, seq, ReadAhead::Forward) else { return Ok(false) };
            let Some(record) = self.cursor.current() else { return Ok(false) };
            self.gatherer.add(&record, &mut self.tally)?;
        }
        Ok(true)
    }

    fn check(&self) -> Result<()> {
        self.tally.check()
    }

    fn finish(mut self) -> Result<(Tally, u64)> {
        self.gatherer.settle(&mut self.tally);
        self.tally.check()?;
        Ok((self.tally, 0))
    }
}
