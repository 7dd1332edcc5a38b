//! The records that a query finds, one after the other.

use super::Query;
use super::condition::Condition;
use super::matcher::Matcher;
use super::path::FieldPath;
use super::plan::Plan;
use super::project::Projection;
use crate::error::{Error, Result};
use crate::gap::Gap;
use crate::log::Log;
use crate::meter::QueryMeter;
use crate::raw::{RawLookup, RawSegment};
use crate::reader::{Reader, Scan, Source};
use crate::record::{Record, RecordBuf, StoredRecord};
use crate::sealed::{CachedPages, FieldIndex, SealedFile};
use annals_index::Records;
use std::convert::Infallible;
use std::ops::Range;

/// What a query did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct QueryStats {
    /// Segments in the range of seqs that were come to.
    pub segments: u64,
    /// Of those, left out since all their records have other times.
    pub segments_skipped_by_time: u64,
    /// Of those, left out since an index says that they hold nothing that is asked for.
    pub segments_skipped_by_index: u64,
    /// Of those, read only where an index says that there may be what is asked for.
    pub segments_by_index: u64,
    /// Blocks of sealed segments that were read.
    pub blocks_read: u64,
    /// Records of which the condition was asked.
    pub records_examined: u64,
    /// Records that were found.
    pub records_matched: u64,
}

impl QueryStats {
    /// What this and `other` did together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            segments: self.segments + other.segments,
            segments_skipped_by_time: self.segments_skipped_by_time + other.segments_skipped_by_time,
            segments_skipped_by_index: self.segments_skipped_by_index + other.segments_skipped_by_index,
            segments_by_index: self.segments_by_index + other.segments_by_index,
            blocks_read: self.blocks_read + other.blocks_read,
            records_examined: self.records_examined + other.records_examined,
            records_matched: self.records_matched + other.records_matched,
        }
    }
}

/// What a scan leaves out beside what its range does.
#[derive(Debug)]
pub(crate) struct Selection {
    matcher: Option<Matcher>,
    plan: Option<Plan>,
    pub(crate) stats: QueryStats,
    /// The segment that was come to last, by its base seq.
    segment: Option<u64>,
    /// The records of that segment that may be asked for, if its index tells.
    narrowed: Narrowed,
    /// The fields that are indexed, once somebody needed to know.
    indexed: Option<Vec<FieldPath>>,
    meter: QueryMeter,
}

impl Drop for Selection {
    fn drop(&mut self) {
        self.meter.ended(&self.stats);
    }
}

#[derive(Debug)]
enum Narrowed {
    /// Nobody has looked yet.
    Unknown,
    /// All of them.
    No,
    /// These of those seqs.
    To(Records, Range<u64>),
}

impl Selection {
    /// What `condition` selects: all records without one. `log` names the log for metrics.
    ///
    /// # Errors
    /// [`Error::Condition`] if the condition is larger than any may be.
    pub(crate) fn of(condition: Option<&Condition>, log: impl FnOnce() -> String) -> Result<Self> {
        Ok(Self {
            matcher: condition.map(Matcher::new).transpose()?,
            plan: condition.and_then(Plan::of),
            stats: QueryStats::default(),
            segment: None,
            narrowed: Narrowed::Unknown,
            indexed: None,
            meter: QueryMeter::new(log),
        })
    }

    /// Whether `record` is asked for.
    ///
    /// # Errors
    /// [`Error::Decode`] if its body is not MessagePack; it was when it was appended.
    pub(crate) fn selects(&mut self, record: &StoredRecord<'_>) -> Result<bool> {
        self.stats.records_examined += 1;
        let Some(matcher) = &mut self.matcher else { return Ok(true) };
        matcher.matches(record.body).map_err(|error| Error::Decode { seq: record.seq, detail: error.to_string() })
    }

    /// Notes that the scan has come to the segment with this base seq.
    pub(crate) fn come_to(&mut self, base_seq: u64) {
        if self.segment != Some(base_seq) {
            (self.segment, self.narrowed) = (Some(base_seq), Narrowed::Unknown);
            self.stats.segments += 1;
        }
    }

    /// Whether an index says which records of the segment at hand may be asked for.
    pub(crate) fn is_narrowed(&self) -> bool {
        matches!(self.narrowed, Narrowed::To(..))
    }

    /// The seqs from `seq` on, or back from it, that nobody asks for, as the index of `file` says; `None` if the record `seq`
    /// may be asked for. The scan has come to that segment.
    pub(crate) fn skip_sealed(
        &mut self,
        source: &Source,
        file: &SealedFile,
        seq: u64,
        reverse: bool,
    ) -> Option<Range<u64>> {
        if let Narrowed::Unknown = self.narrowed {
            let records = self.plan.as_ref().and_then(|plan| records_of(plan, source, file));
            self.narrow(records, file.seqs());
        }
        self.skip(seq, reverse)
    }

    /// As [`Selection::skip_sealed`], of a raw segment, which holds the records `seqs`.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn skip_raw(
        &mut self,
        source: &Source,
        raw: &RawSegment,
        seqs: Range<u64>,
        seq: u64,
        reverse: bool,
    ) -> Result<Option<Range<u64>>> {
        if let (Narrowed::Unknown, Some(plan)) = (&self.narrowed, &self.plan) {
            let paths = self.indexed.get_or_insert_with(|| source.indexed_fields());
            let ask = |lookup: &RawLookup<'_>| {
                let find = |path: &FieldPath, hashes: &[u64]| Ok::<_, Infallible>(lookup.find(path, hashes));
                plan.records(&find).unwrap_or_else(|never| match never {})
            };
            let records = match plan.is_about(&|path| paths.contains(path)) {
                true => raw.lookup(paths, seqs.end, ask)?,
                false => None,
            };
            self.narrow(records, seqs);
        }
        Ok(self.skip(seq, reverse))
    }

    /// Settles which of the records `seqs`, those of the segment at hand, may be asked for.
    fn narrow(&mut self, records: Option<Records>, seqs: Range<u64>) {
        self.narrowed = match records {
            // Where most records are candidates, the index only costs.
            Some(records) if (records.len() as u64) < (seqs.end - seqs.start) / 2 => {
                let stats = &mut self.stats;
                let count = if records.is_empty() {
                    &mut stats.segments_skipped_by_index
                } else {
                    &mut stats.segments_by_index
                };
                *count += 1;
                Narrowed::To(records, seqs)
            }
            _ => Narrowed::No,
        };
    }

    fn skip(&self, seq: u64, reverse: bool) -> Option<Range<u64>> {
        let Narrowed::To(records, seqs) = &self.narrowed else { return None };
        let record = u32::try_from(seq.checked_sub(seqs.start)?).ok().filter(|_| seq < seqs.end)?;
        let skipped = match reverse {
            false => {
                let next = records.next(record).map_or(seqs.end, |next| seqs.end.min(seqs.start + u64::from(next)));
                seq..next
            }
            true => {
                let before = records.previous(record).map_or(seqs.start, |before| seqs.start + u64::from(before) + 1);
                before..seq + 1
            }
        };
        (!skipped.is_empty()).then_some(skipped)
    }
}

/// What the index of `file` says of the records that `plan` is about. Whatever is wrong with it, it says nothing.
fn records_of(plan: &Plan, source: &Source, file: &SealedFile) -> Option<Records> {
    let is_about = |index: &FieldIndex| plan.is_about(&|path| index.field(path.keys()).is_some());
    let mut index = file.fields()?;
    if !is_about(&index) {
        // Another may have taken its place since, with more fields.
        file.drop_fields();
        index = file.fields().filter(|index| is_about(index))?;
    }
    let kept = CachedPages::new(source.cache.as_deref(), &index);
    let find = |path: &FieldPath, hashes: &[u64]| {
        index.field(path.keys()).map(|field| index.find_with(field, hashes, &kept)).transpose()
    };
    plan.records(&find).unwrap_or_else(|_| {
        file.drop_fields();
        None
    })
}

/// The records that a query finds, as it goes through the log. Memory is that of one block, and of what an index says of one
/// segment, whatever is found.
///
/// After an error about damage it goes on behind what is damaged, as a [`Scan`] does.
#[derive(Debug)]
pub struct Matches {
    scan: Scan,
    left: u64,
    projection: Option<Projection>,
    /// What is left of the record that was found last.
    body: Vec<u8>,
}

impl Reader {
    /// The records that `query` asks for. Records appended later are not among them.
    ///
    /// # Errors
    /// [`Error::Condition`] if the condition is larger than any may be, and what the operating system says.
    pub fn query(&self, query: &Query) -> Result<Matches> {
        let selection = Selection::of(query.condition.as_ref(), || self.source().storage.describe(""))?;
        let mut scan = self.scan(query.range)?;
        // Keys of the records themselves are read alone, unless others are asked about.
        let own = |path: &FieldPath| <[String; 1]>::try_from(path.keys().to_vec()).ok().map(|[key]| key);
        let keys: Option<Vec<String>> = query.fields.iter().map(own).collect();
        let keys = keys.filter(|keys| !keys.is_empty() && selection.matcher.is_none());
        let is_projected = keys.is_none() && !query.fields.is_empty();
        if let Some(keys) = keys {
            scan = scan.only(keys);
        }
        Ok(Matches {
            scan: scan.select(selection),
            left: query.limit,
            projection: is_projected.then(|| Projection::new(&query.fields)),
            body: Vec::new(),
        })
    }
}

impl QueryStats {
    /// Adds what another did.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.segments += other.segments;
        self.segments_skipped_by_time += other.segments_skipped_by_time;
        self.segments_skipped_by_index += other.segments_skipped_by_index;
        self.segments_by_index += other.segments_by_index;
        self.blocks_read += other.blocks_read;
        self.records_examined += other.records_examined;
        self.records_matched += other.records_matched;
    }
}

impl Log {
    /// The records that `query` asks for, as far as they are visible.
    ///
    /// # Errors
    /// As [`Reader::query`].
    pub fn query(&self, query: &Query) -> Result<Matches> {
        self.reader().query(query)
    }
}

impl Matches {
    /// The next record; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Damaged`] for records that can't be read, and [`Error::Decode`] for one that is no MessagePack: the query may
    /// be continued behind them. Anything else comes again if it is.
    pub fn advance(&mut self) -> Result<Option<Record<'_>>> {
        if self.left == 0 {
            return Ok(None);
        }
        let Some(record) = self.scan.advance()? else { return Ok(None) };
        self.left -= 1;
        match &self.projection {
            None => Ok(Some(record)),
            Some(projection) => {
                let applied = projection.apply(record.body(), &mut self.body);
                applied.map_err(|error| Error::Decode { seq: record.seq(), detail: error.to_string() })?;
                Ok(Some(record.with_body(&self.body)))
            }
        }
    }

    /// The record that [`Matches::advance`] returned last.
    pub(crate) fn current(&self) -> Option<Record<'_>> {
        let record = self.scan.current()?;
        Some(if self.projection.is_some() { record.with_body(&self.body) } else { record })
    }

    /// The gaps met so far: see [`Scan::gaps`].
    pub fn gaps(&self) -> &[Gap] {
        self.scan.gaps()
    }

    /// What was done so far.
    pub fn stats(&self) -> QueryStats {
        self.scan.stats()
    }
}

impl Iterator for Matches {
    type Item = Result<RecordBuf>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().map(|record| record.map(|record| record.to_owned())).transpose()
    }
}
