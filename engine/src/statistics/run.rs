//! From a question to its answer: segment by segment, with as many threads as were asked for.

use super::answer::{Statistics, StatisticsWork};
use super::gather::Gatherer;
use super::question::StatisticsQuery;
use super::tally::Tally;
use super::typed::TypedGatherer;
use crate::error::{Damage, Error, Result};
use crate::gap::Gap;
use crate::log::Log;
use crate::query::Selection;
use crate::reader::{Reader, Scan, Source};
use crate::sealed::{BlockBuf, SealedFile};
use crate::sync::{Mutex, MutexGuard, thread};
use crate::view::{Chain, Segment};
use std::ops::Range;
use std::sync::{Arc, PoisonError};

/// Records between two looks how much memory is in use.
const CHECK_EVERY: u64 = 1 << 16;

impl Reader {
    /// Statistics of the records that `query` asks for. Records appended later are not among them.
    ///
    /// Damage and gaps don't end it: the answer has all records that can be read, and tells the others.
    ///
    /// # Errors
    /// [`Error::Condition`] if the condition is larger than any may be, [`Error::InvalidOption`] if the question makes no sense,
    /// [`Error::StatisticsTooLarge`] beyond its limits, [`Error::Decode`] for a record that is no MessagePack, and what the
    /// operating system says.
    pub fn statistics(&self, query: &StatisticsQuery) -> Result<Statistics> {
        query.check()?;
        let Found { tally, damage, gaps, work } = self.tally(query)?;
        Ok(Statistics { damage, gaps, work, ..tally.answer(query) })
    }

    /// What a question that has been checked comes to.
    pub(super) fn tally(&self, query: &StatisticsQuery) -> Result<Found> {
        let source = self.source();
        source.look()?;
        let job = Arc::new(Job::new(source.clone(), query));
        let start = |_| {
            let job = Arc::clone(&job);
            // Without another thread, this one does its work.
            thread::Builder::new().name("annals-statistics".to_owned()).spawn(move || job.work()).ok()
        };
        let count = query.range.thread_count().min(job.units.len());
        let threads: Vec<_> = (1..count).map_while(start).collect();
        job.work();
        for thread in threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        job.finish()
    }
}

impl Log {
    /// Statistics of the records that `query` asks for, as far as they are visible.
    ///
    /// # Errors
    /// As [`Reader::statistics`].
    pub fn statistics(&self, query: &StatisticsQuery) -> Result<Statistics> {
        self.reader().statistics(query)
    }
}

/// What all threads share.
struct Job {
    source: Source,
    query: StatisticsQuery,
    id: [u8; 32],
    chain: Arc<Chain>,
    units: Vec<Unit>,
    state: Mutex<State>,
}

/// Records of one segment.
struct Unit {
    /// Which segment of the chain; `None` for records that no segment has.
    segment: Option<usize>,
    seqs: Range<u64>,
    /// Whether these are all that the segment has.
    is_whole: bool,
}

struct State {
    next: usize,
    tally: Option<Tally>,
    damage: Vec<Damage>,
    gaps: Vec<Gap>,
    work: StatisticsWork,
    failure: Option<Error>,
}

/// What is found in one unit, or in a log.
pub(super) struct Found {
    pub(super) tally: Tally,
    pub(super) damage: Vec<Damage>,
    pub(super) gaps: Vec<Gap>,
    pub(super) work: StatisticsWork,
}

impl Job {
    fn new(source: Source, query: &StatisticsQuery) -> Self {
        // In this order, as in a scan: a segment is in the list before its records are visible.
        let visible = source.view.visible_seq();
        let chain = source.view.chain();
        let asked = query.range.seqs_of(chain.removed.end_seq()..visible);
        let units = units(&chain, asked, visible);
        let work = StatisticsWork { segments_in_range: units.len() as u64, ..StatisticsWork::default() };
        let state = State {
            next: 0,
            tally: Some(Tally::new(query.layout())),
            damage: Vec::new(),
            gaps: Vec::new(),
            work,
            failure: None,
        };
        Self { source, query: query.clone(), id: query.id(), chain, units, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes units until there are none.
    fn work(&self) {
        while let Some(unit) = self.take() {
            let found = self.find(unit);
            let mut state = self.lock();
            let outcome = found.and_then(|found| state.add(found));
            if let Err(error) = outcome {
                state.failure.get_or_insert(error);
            }
        }
    }

    fn take(&self) -> Option<&Unit> {
        let mut state = self.lock();
        let unit = self.units.get(state.next).filter(|_| state.failure.is_none())?;
        state.next += 1;
        Some(unit)
    }

    /// What is in a unit: as it was kept, or as it is computed now.
    fn find(&self, unit: &Unit) -> Result<Found> {
        let file = self.file_of(unit);
        if let Some(tally) = file.as_ref().filter(|_| self.query.keeps).and_then(|file| self.kept(file)) {
            let work = StatisticsWork { segments_kept: 1, ..StatisticsWork::default() };
            return Ok(Found { tally, damage: Vec::new(), gaps: Vec::new(), work });
        }
        let typed = file.as_ref().map_or(Ok(None), |file| self.compute_columns(file))?;
        let mut found = typed.map_or_else(|| self.compute(unit), Ok)?;
        let is_whole = found.damage.is_empty() && found.gaps.is_empty();
        if let Some(file) = file.filter(|_| self.query.keeps && is_whole) {
            found.work.segments_stored += u64::from(file.keep_answer(&self.id, &found.tally.encode()));
        }
        Ok(found)
    }

    /// The sealed segment of a unit, if all of it is asked for, and it has no gaps.
    fn file_of(&self, unit: &Unit) -> Option<Arc<SealedFile>> {
        let Segment::Sealed(slot) = &self.chain.segments[unit.segment.filter(|_| unit.is_whole)?] else {
            return None;
        };
        let file = self.source.sealed(slot).ok()?;
        let is_all = file.takes_fields() && file.seqs() == unit.seqs && self.query.range.has_all_times_of(&file);
        is_all.then_some(file)
    }

    fn kept(&self, file: &SealedFile) -> Option<Tally> {
        let bytes = file.kept_answer(&self.id)?;
        Tally::decode(&bytes, self.query.layout(), self.query.every.is_some(), self.query.by.len())
    }

    /// What is in a segment of columns, without making records where that is possible; `None` if it can't be done, or if
    /// anything is wrong: then its records are read, and what is wrong is told.
    fn compute_columns(&self, file: &SealedFile) -> Result<Option<Found>> {
        let Some((mut typed, mut buffer)) = TypedGatherer::new(&self.query) else { return Ok(None) };
        let (mut tally, mut gatherer) = (Tally::new(self.query.layout()), Gatherer::new(&self.query));
        let (mut block, mut by_column) = (BlockBuf::new(), 0);
        let count = file.block_count()?;
        for n in 0..count {
            let is_added = match file.typed_block(n, &mut buffer) {
                Some(block) => typed.add(block, &mut tally)?,
                None => false,
            };
            by_column += u64::from(is_added);
            if is_added {
                continue;
            }
            // A scan is better at segments of rows.
            if by_column == 0 || file.read_block(n, &mut block).is_err() {
                return Ok(None);
            }
            for record in block.iter() {
                gatherer.add(&record, &mut tally)?;
            }
        }
        if tally.records != file.seqs().end - file.seqs().start {
            return Ok(None);
        }
        tally.check()?;
        let mut work = StatisticsWork { blocks_by_column: by_column, ..StatisticsWork::default() };
        (work.query.segments, work.query.blocks_read) = (1, count as u64);
        (work.query.records_examined, work.query.records_matched) = (tally.records, tally.records);
        Ok(Some(Found { tally, damage: Vec::new(), gaps: Vec::new(), work }))
    }

    fn compute(&self, unit: &Unit) -> Result<Found> {
        let range = self.query.range.seqs(unit.seqs.clone()).threads(1);
        let selection = Selection::of(self.query.condition.as_ref(), || self.source.storage.describe(""))?;
        let scan = Scan::new(self.source.clone(), range).at_least(self.query.own_keys());
        let mut scan = scan.select(selection);
        let (mut tally, mut gatherer) = (Tally::new(self.query.layout()), Gatherer::new(&self.query));
        let mut damage = Vec::new();
        loop {
            match scan.advance() {
                Ok(Some(record)) => {
                    gatherer.add(record.stored(), &mut tally)?;
                    if tally.records.is_multiple_of(CHECK_EVERY) {
                        tally.check()?;
                    }
                }
                Ok(None) => break,
                Err(Error::Damaged(place)) => damage.push(place),
                // Retention has removed them since: statistics are those of what is there.
                Err(Error::Removed(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let work = StatisticsWork { query: scan.stats(), ..StatisticsWork::default() };
        Ok(Found { tally, damage, gaps: scan.gaps().to_vec(), work })
    }

    fn finish(&self) -> Result<Found> {
        let mut state = self.lock();
        if let Some(failure) = state.failure.take() {
            return Err(failure);
        }
        let tally = state.tally.take().unwrap_or_else(|| Tally::new(self.query.layout()));
        let (mut damage, mut gaps) = (std::mem::take(&mut state.damage), std::mem::take(&mut state.gaps));
        damage.sort_by_key(|place| place.first_seq);
        // A gap over the end of a segment is met in both.
        gaps.sort_by_key(|gap| gap.first_seq);
        gaps.dedup();
        Ok(Found { tally, damage, gaps, work: state.work })
    }
}

impl State {
    fn add(&mut self, found: Found) -> Result<()> {
        self.damage.extend(found.damage);
        self.gaps.extend(found.gaps);
        self.work.merge(&found.work);
        match &mut self.tally {
            Some(tally) if !tally.is_empty() => tally.merge(found.tally),
            tally => {
                found.tally.check()?;
                *tally = Some(found.tally);
                Ok(())
            }
        }
    }
}

/// The records `asked`, by the segments that have them. `visible` is where the last one ends.
fn units(chain: &Chain, asked: Range<u64>, visible: u64) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut next = asked.start;
    for (index, segment) in chain.segments.iter().enumerate() {
        let (base, end) = (segment.base_seq(), chain.end_of(index).min(visible));
        if end <= next || base >= asked.end {
            continue;
        }
        if base > next {
            units.push(Unit { segment: None, seqs: next..base, is_whole: false });
            next = base;
        }
        let seqs = next..end.min(asked.end);
        units.push(Unit { segment: Some(index), is_whole: seqs == (base..end), seqs: seqs.clone() });
        next = seqs.end;
    }
    if next < asked.end {
        units.push(Unit { segment: None, seqs: next..asked.end, is_whole: false });
    }
    units
}
