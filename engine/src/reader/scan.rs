//! Reading a range of records, in either direction.

use crate::Timestamp;
use crate::error::{Error, Result};
use crate::gap::Gap;
use crate::msgpack::Fields;
use crate::query::{QueryStats, Selection};
use crate::raw::{RawSegment, ReadAhead};
use crate::reader::ahead::Ahead;
use crate::reader::buffer::unreadable;
use crate::reader::{ReadBuffer, Source};
use crate::record::{Record, RecordBuf};
use crate::sealed::{BlockEntry, SealedFile};
use crate::view::{Chain, Segment};
use std::ops::{Bound, Range, RangeBounds, RangeInclusive};
use std::sync::Arc;

/// Most threads of a scan.
const THREADS_MAX: usize = 64;

/// Which records a scan returns, and in which order.
///
/// ```
/// use annals::{ScanRange, Timestamp};
/// let range = ScanRange::all().seqs(100..).since(Timestamp::from_micros(1_700_000_000_000_000)).reverse();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanRange {
    first_seq: u64,
    end_seq: u64,
    since: Timestamp,
    /// The last moment that is included.
    last: Timestamp,
    /// No moment is before the end, since that is the earliest one.
    is_never: bool,
    pub(super) reverse: bool,
    pub(super) threads: usize,
}

impl ScanRange {
    /// All records, first to last.
    pub fn all() -> Self {
        Self {
            first_seq: 0,
            end_seq: u64::MAX,
            since: Timestamp::MIN,
            last: Timestamp::MAX,
            is_never: false,
            reverse: false,
            threads: 1,
        }
    }

    /// Only the records with a seq in `seqs`.
    #[must_use]
    pub fn seqs(mut self, seqs: impl RangeBounds<u64>) -> Self {
        self.first_seq = match seqs.start_bound() {
            Bound::Included(&seq) => seq,
            Bound::Excluded(&seq) => seq.saturating_add(1),
            Bound::Unbounded => 0,
        };
        self.end_seq = match seqs.end_bound() {
            Bound::Included(&seq) => seq.saturating_add(1),
            Bound::Excluded(&seq) => seq,
            Bound::Unbounded => u64::MAX,
        };
        self
    }

    /// Only the records at `time` or later.
    #[must_use]
    pub fn since(mut self, time: Timestamp) -> Self {
        self.since = time;
        self
    }

    /// Only the records before `time`.
    #[must_use]
    pub fn until(mut self, time: Timestamp) -> Self {
        let last = time.as_micros().checked_sub(1);
        self.is_never = last.is_none();
        self.last = Timestamp::from_micros(last.unwrap_or(i64::MIN));
        self
    }

    /// Last to first.
    #[must_use]
    pub fn reverse(mut self) -> Self {
        self.reverse = true;
        self
    }

    /// With so many threads: that of the caller, and others that the scan starts, which decompress sealed segments ahead of
    /// it and end with it. The records are the same, in the same order. Default 1; at most 64 are taken. For scans of many
    /// records: each thread takes up to a megabyte or two, and more where single blocks are larger.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.clamp(1, THREADS_MAX);
        self
    }

    /// The same for each of so many streams: with threads only where these are fewer.
    pub(crate) fn share(mut self, streams: usize) -> Self {
        self.threads = self.threads.div_ceil(streams.max(1));
        self
    }

    pub(crate) fn is_reverse(&self) -> bool {
        self.reverse
    }

    /// Whether some of the seqs of `gap` are in the range. Nobody knows the times of what is missing, but those of what was
    /// dropped: they have to be in the range, too.
    pub fn includes(&self, gap: &Gap) -> bool {
        let is_in_time = gap.times().is_none_or(|times| self.overlaps(times));
        gap.first_seq < self.end() && self.first_seq < gap.end_seq && is_in_time
    }

    /// Those of `seqs` that are in the range.
    pub(crate) fn seqs_of(&self, seqs: Range<u64>) -> Range<u64> {
        self.first_seq.max(seqs.start)..self.end().min(seqs.end)
    }

    /// The seq before which all records in the range are.
    fn end(&self) -> u64 {
        if self.is_never { 0 } else { self.end_seq }
    }

    /// How many seconds there are from the earliest time in the range to the end of the latest, if it has both.
    pub(crate) fn seconds(&self) -> Option<f64> {
        let is_bounded = self.since != Timestamp::MIN && self.last != Timestamp::MAX;
        let micros = i128::from(self.last.as_micros()) - i128::from(self.since.as_micros()) + 1;
        (is_bounded && micros > 0).then(|| micros as f64 / 1e6)
    }

    /// Whether all times of the records in `file` are in the range.
    pub(crate) fn has_all_times_of(&self, file: &SealedFile) -> bool {
        self.has_times(file.time_range().map(RangeInclusive::into_inner))
    }

    /// Whether all times from the first to the second are in the range; if nobody knows them, whether all times are.
    pub(crate) fn has_times(&self, times: Option<(Timestamp, Timestamp)>) -> bool {
        self.is_all_times() || times.is_some_and(|(min, max)| self.has_time(min) && self.has_time(max))
    }

    /// How many threads there are to be.
    pub(crate) fn thread_count(&self) -> usize {
        self.threads
    }

    fn has_time(&self, time: Timestamp) -> bool {
        self.since <= time && time <= self.last
    }

    fn overlaps(&self, (min, max): (Timestamp, Timestamp)) -> bool {
        self.since <= max && min <= self.last
    }

    /// Whether records of a sealed segment may be in the range. Nobody knows the times of what is missing.
    pub(super) fn may_have(&self, file: &SealedFile) -> bool {
        let times = file.time_range().filter(|_| !file.has_gaps());
        times.is_none_or(|times| self.overlaps(times.into_inner()))
    }

    /// As [`ScanRange::may_have`], of one block.
    pub(super) fn may_have_in(&self, file: &SealedFile, block: &BlockEntry) -> bool {
        let moment = Timestamp::from_micros;
        file.has_gaps() || self.overlaps((moment(block.time_min), moment(block.time_max)))
    }

    fn is_all_times(&self) -> bool {
        (self.since, self.last) == (Timestamp::MIN, Timestamp::MAX)
    }
}

/// The records of a range, one after the other. Memory is that of one block, or of a few for each thread, whatever the range.
///
/// [`Scan::advance`] borrows each record; as an [`Iterator`] it returns owned ones. After an error about damage, the
/// scan goes on behind what is damaged. It goes on over gaps, and [`Scan::gaps`] tells them. What retention had removed before is
/// left out: a scan begins at the first record that there is.
#[derive(Debug)]
pub struct Scan {
    source: Source,
    range: ScanRange,
    chain: Arc<Chain>,
    buffer: ReadBuffer,
    /// What is left: `next..end`, taken from the end if the scan goes backwards.
    next: u64,
    end: u64,
    /// What the segment holds that the record read last is of.
    segment: Range<u64>,
    /// What is read ahead, if other threads are to do that.
    ahead: Option<Ahead>,
    gaps: Vec<Gap>,
    /// What a query leaves out.
    selection: Option<Box<Selection>>,
}

impl Scan {
    pub(crate) fn new(source: Source, range: ScanRange) -> Self {
        // In this order: a segment is in the list before its records are visible, and the next may begin at any time.
        let end = range.end().min(source.view.visible_seq());
        let chain = source.view.chain();
        let next = range.first_seq.max(chain.removed.end_seq());
        let ahead = (range.threads > 1).then(|| Ahead::new(range, next..end, None));
        Self {
            source,
            range,
            chain,
            buffer: ReadBuffer::new(),
            next,
            end,
            segment: 0..0,
            ahead,
            gaps: Vec::new(),
            selection: None,
        }
    }

    /// This scan, not begun yet, returning only some fields of records; as [`ReadBuffer::only`].
    #[must_use]
    pub fn only<S: AsRef<str>>(mut self, fields: impl IntoIterator<Item = S>) -> Self {
        let fields = Some(Fields::new(fields));
        self.buffer = ReadBuffer::with_fields(fields.clone());
        self.ahead = self.ahead.map(|_| Ahead::new(self.range, self.next..self.end, fields));
        self
    }

    /// This scan, not begun yet, with records that may lack other fields than these, where that is quicker.
    pub(crate) fn at_least<S: AsRef<str>>(mut self, fields: impl IntoIterator<Item = S>) -> Self {
        self.buffer = ReadBuffer::at_least(Fields::new(fields));
        self
    }

    /// Leaves out what `selection` doesn't ask for.
    pub(crate) fn select(self, selection: Selection) -> Self {
        Self { selection: Some(Box::new(selection)), ..self }
    }

    /// What the selection made of the records so far.
    pub(crate) fn stats(&self) -> QueryStats {
        let stats = self.selection.as_ref().map(|selection| selection.stats).unwrap_or_default();
        QueryStats { blocks_read: self.buffer.blocks_read(), ..stats }
    }

    /// The next record; `None` at the end of the range.
    ///
    /// # Errors
    /// [`Error::Damaged`] for records that can't be read, [`Error::Removed`] for those that retention has removed since the
    /// scan began; the scan may be continued behind them. Anything else comes again if it is.
    pub fn advance(&mut self) -> Result<Option<Record<'_>>> {
        loop {
            if self.next >= self.end {
                return Ok(None);
            }
            let seq = if self.range.reverse { self.end - 1 } else { self.next };
            let step = match self.segment.contains(&seq) && !self.is_narrowed() && self.buffer.step_to(seq) {
                true => Ok(Step::Read),
                false => self.read(seq),
            };
            match step {
                Ok(Step::Skip(first, end)) => self.pass(first, end),
                Ok(Step::Read) => {
                    debug_assert!(self.buffer.stored().is_some(), "record {seq} was read and is not there");
                    self.pass(seq, seq + 1);
                    if self.is_asked_for()? {
                        self.buffer.project()?;
                        return Ok(self.buffer.current());
                    }
                }
                Err(Error::Gap(gap)) => {
                    self.pass(gap.first_seq, gap.end_seq);
                    if gap.times().is_none_or(|times| self.range.overlaps(times)) {
                        self.gaps.push(gap);
                    }
                }
                Err(Error::Damaged(damage)) => {
                    let first = damage.first_seq.map_or(seq, |first| first.min(seq));
                    let end = damage.end_seq.map_or(seq + 1, |end| end.max(seq + 1));
                    self.pass(first, end);
                    return Err(Error::Damaged(damage));
                }
                Err(Error::Removed(removal)) => {
                    self.pass(removal.first_seq, removal.end_seq);
                    return Err(Error::Removed(removal));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The record that [`Scan::advance`] returned last.
    pub(crate) fn current(&self) -> Option<Record<'_>> {
        self.buffer.current()
    }

    /// The gaps met so far, in the order of the scan: records of the range that the log says are missing, whatever their
    /// times were; and what was dropped in the range of times.
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// Whether an index tells which records of the segment are worth reading.
    fn is_narrowed(&self) -> bool {
        self.selection.as_ref().is_some_and(|selection| selection.is_narrowed())
    }

    /// Whether the record that was read is in the range of times, and selected.
    fn is_asked_for(&mut self) -> Result<bool> {
        let Some(record) = self.buffer.stored().filter(|record| self.range.has_time(record.timestamp)) else {
            return Ok(false);
        };
        let Some(selection) = &mut self.selection else { return Ok(true) };
        let selected = selection.selects(&record)?;
        selection.stats.records_matched += u64::from(selected);
        Ok(selected)
    }

    /// Leaves the records `first..end` behind, which are next.
    fn pass(&mut self, first: u64, end: u64) {
        match self.range.reverse {
            true => self.end = self.end.min(first),
            false => self.next = self.next.max(end),
        }
    }

    fn read(&mut self, seq: u64) -> Result<Step> {
        let (source, chain) = (&self.source, &mut self.chain);
        let ahead = if self.range.reverse { ReadAhead::Backward } else { ReadAhead::Forward };
        let (segment, read_ahead, selection) = (&mut self.segment, &mut self.ahead, &mut self.selection);
        source.with_retries(|| {
            let Some((index, end)) = chain.find(seq) else { return Err(source.no_segment(seq)) };
            *segment = chain.segments[index].base_seq()..end;
            if let Some(selection) = selection {
                selection.come_to(segment.start);
            }
            let place = (index, end, seq);
            let outcome = match Self::skip_in(source, chain, &self.range, selection, place, ahead) {
                Ok(None) => {
                    let is_narrowed = selection.as_ref().is_some_and(|selection| selection.is_narrowed());
                    // What an index names is read alone, and may be asked for again.
                    let (read_ahead, ahead) =
                        if is_narrowed { (None, ReadAhead::None) } else { (read_ahead.as_mut(), ahead) };
                    Self::read_in(source, chain, &mut self.buffer, read_ahead, place, ahead)
                }
                Ok(Some(skip)) => Ok(Step::Skip(skip.start, skip.end)),
                Err(error) => Err(error),
            };
            if outcome.is_err() {
                // The files may have moved since the scan began; a retry looks at them anew.
                *chain = source.view.chain();
            }
            outcome
        })
    }

    /// The records from `seq` on that are known not to be asked for.
    fn skip_in(
        source: &Source,
        chain: &Chain,
        range: &ScanRange,
        selection: &mut Option<Box<Selection>>,
        (index, end, seq): (usize, u64, u64),
        ahead: ReadAhead,
    ) -> Result<Option<Range<u64>>> {
        let (has_times, reverse) = (!range.is_all_times(), ahead == ReadAhead::Backward);
        match &chain.segments[index] {
            // The active segment may get records of other times, but none that this scan returns.
            Segment::Raw(raw) => {
                let others = |raw: &RawSegment| raw.times().is_some_and(|times| !range.overlaps(times));
                if has_times && end != u64::MAX && others(raw) {
                    note_skipped(selection);
                    return Ok(Some(raw.name.base_seq..end));
                }
                if let Some(selection) = selection {
                    let seqs = raw.name.base_seq..end.min(source.view.visible_seq());
                    return selection.skip_raw(source, raw, seqs, seq, reverse);
                }
            }
            Segment::Sealed(slot) if has_times || selection.is_some() => {
                let file = source.sealed(slot).map_err(|error| unreadable(error, source, chain, index))?;
                // Nobody knows the times of what is missing.
                let times = file.time_range().filter(|_| has_times && !file.has_gaps());
                if times.is_some_and(|times| !range.overlaps(times.into_inner())) {
                    note_skipped(selection);
                    return Ok(Some(file.seqs().start..end));
                }
                let skip = selection.as_mut().and_then(|selection| selection.skip_sealed(source, &file, seq, reverse));
                if skip.is_some() {
                    return Ok(skip);
                }
                if has_times {
                    let (seqs, times) = file.block_bounds(seq)?;
                    if !range.overlaps(times.into_inner()) {
                        return Ok(Some(seqs));
                    }
                }
            }
            Segment::Sealed(_) => {}
        }
        Ok(None)
    }

    fn read_in(
        source: &Source,
        chain: &Chain,
        buffer: &mut ReadBuffer,
        read_ahead: Option<&mut Ahead>,
        (index, _, seq): (usize, u64, u64),
        ahead: ReadAhead,
    ) -> Result<Step> {
        if let (Some(read_ahead), Segment::Sealed(slot)) = (read_ahead, &chain.segments[index])
            && let Ok(file) = source.sealed(slot)
            && !buffer.has_block(&file, seq)
            && let Some(block) = read_ahead.take(source, chain, &file, seq)
        {
            let before = buffer.put_block(&file, block);
            read_ahead.spare(before);
        }
        buffer.read(source, chain, index, seq, ahead)?;
        Ok(Step::Read)
    }
}

/// Notes that a segment is left out for the times of its records.
fn note_skipped(selection: &mut Option<Box<Selection>>) {
    if let Some(selection) = selection {
        selection.stats.segments_skipped_by_time += 1;
    }
}

enum Step {
    /// The record is in the buffer.
    Read,
    /// None of these records is in the range.
    Skip(u64, u64),
}

impl Iterator for Scan {
    type Item = Result<RecordBuf>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().map(|record| record.map(|record| record.to_owned())).transpose()
    }
}
