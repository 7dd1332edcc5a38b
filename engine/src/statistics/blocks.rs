//! What the blocks of a sealed segment add, one after the other: by column where that is possible, and else record by record.

use super::gather::Gatherer;
use super::question::StatisticsQuery;
use super::share::Adder;
use super::tally::Tally;
use super::typed::TypedGatherer;
use crate::error::Result;
use crate::msgpack::Fields;
use crate::sealed::{BlockBuf, SealedFile, TypedBuf};

/// After so many blocks that can't be added by column, one after the other, only every sixteenth is tried.
const MISSES_MAX: u32 = 4;

/// Adds blocks of one file to a tally.
#[derive(Debug)]
pub(super) struct BlockAdder<'s> {
    file: &'s SealedFile,
    typed: Option<(TypedGatherer, TypedBuf)>,
    misses: u32,
    gatherer: Gatherer,
    block: BlockBuf,
    tally: Tally,
    by_column: u64,
}

impl<'s> BlockAdder<'s> {
    /// For `query`, which has no condition.
    pub(super) fn new(file: &'s SealedFile, query: &StatisticsQuery) -> Self {
        Self {
            file,
            typed: TypedGatherer::new(query),
            misses: 0,
            gatherer: Gatherer::new(query),
            block: BlockBuf::only(Fields::new(query.own_keys())),
            tally: Tally::new(query.layout()),
            by_column: 0,
        }
    }
}

impl Adder for BlockAdder<'_> {
    fn add(&mut self, n: usize) -> Result<bool> {
        let Self { file, typed, misses, gatherer, block, tally, by_column } = self;
        if let Some((typed, buffer)) = typed.as_mut().filter(|_| *misses < MISSES_MAX || n.is_multiple_of(16)) {
            let is_added = match file.typed_block(n, buffer) {
                Some(block) => typed.add(block, tally)?,
                None => false,
            };
            if is_added {
                (*misses, *by_column) = (0, *by_column + 1);
                return Ok(true);
            }
            *misses = misses.saturating_add(1);
        }
        if file.read_block(n, block).is_err() {
            return Ok(false);
        }
        for record in block.iter() {
            gatherer.add(&record, tally)?;
        }
        Ok(true)
    }

    fn check(&self) -> Result<()> {
        self.tally.check()
    }

    fn finish(self) -> Result<(Tally, u64)> {
        let Self { typed, mut gatherer, mut tally, by_column, .. } = self;
        gatherer.settle(&mut tally);
        if let Some((mut typed, _)) = typed {
            typed.settle(&mut tally);
        }
        tally.check()?;
        Ok((tally, by_column))
    }
}
