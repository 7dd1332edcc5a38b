//! Statistics of the records of several streams of a store.

use super::answer::{Group, StatisticsWork};
use super::question::StatisticsQuery;
use super::tally::Tally;
use crate::error::{Damage, Error, Result};
use crate::gap::Gap;
use crate::names::StreamName;
use crate::store::StoreReader;

/// Statistics of records of several streams, and what is missing in them: as [`crate::Statistics`], stream by stream where that
/// matters.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct StoreStatistics {
    /// The groups that have records, by time bucket and then by key.
    pub groups: Vec<Group>,
    /// How many records there are in all. Those in several groups are counted once.
    pub records: u64,
    /// Places that can't be read, and of which streams: their records are in no group.
    pub damage: Vec<(StreamName, Damage)>,
    /// Records in the range of seqs that the logs of streams say are missing.
    pub gaps: Vec<(StreamName, Gap)>,
    /// What it took.
    pub work: StatisticsWork,
}

impl StoreReader {
    /// Statistics of the records that `query` asks for in these streams, as if they were of one log; its range of seqs is that of
    /// each. Streams are read one after the other, with the query's threads for each, and what their sealed segments add is kept with
    /// them.
    ///
    /// # Errors
    /// [`Error::NoStream`], and as [`crate::Reader::statistics`].
    pub fn statistics(&self, streams: &[StreamName], query: &StatisticsQuery) -> Result<StoreStatistics> {
        query.check()?;
        let mut names = streams.to_vec();
        names.sort_unstable();
        names.dedup();
        let mut all = Tally::new(query.layout());
        let mut statistics = StoreStatistics::default();
        for name in names {
            let found = match self.stream(&name).and_then(|reader| reader.tally(query)) {
                // Nothing of it can be read.
                Err(Error::Damaged(place)) => {
                    statistics.damage.push((name, place));
                    continue;
                }
                outcome => outcome?,
            };
            all.merge(found.tally)?;
            statistics.work.merge(&found.work);
            statistics.damage.extend(found.damage.into_iter().map(|place| (name.clone(), place)));
            statistics.gaps.extend(found.gaps.into_iter().map(|gap| (name.clone(), gap)));
        }
        let answer = all.answer(query);
        Ok(StoreStatistics { groups: answer.groups, records: answer.records, ..statistics })
    }
}
