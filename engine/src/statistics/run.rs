//! From a question to its answer: segment by segment, with as many threads as were asked for.

use super::answer::{Statistics, StatisticsWork};
use super::gather::Gatherer;
use super::question::StatisticsQuery;
use super::share::SharedBlocks;
use super::tally::Tally;
use crate::error::{Damage, Error, Result};
use crate::gap::Gap;
use crate::log::Log;
use crate::meter::QueryMeter;
use crate::query::Selection;
use crate::raw::{RawCursor, RawSegment, ReadAhead};
use crate::reader::{Reader, Scan, Source};
use crate::sealed::SealedFile;
use crate::sync::{Mutex, MutexGuard, thread};
use crate::view::{Chain, Segment};
use std::ops::Range;
use std::sync::{Arc, PoisonError};

/// Records between two looks how much memory is in use.
const CHECK_EVERY: u64 = 1 << 16;

/// Of one segment, another thread is worth no fewer records.
const THREAD_RECORDS_MIN: u64 = 1 << 14;

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
        let Found { tally, damage, gaps, work, .. } = self.tally(query)?;
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
        let count = query.range.thread_count().min(job.threads_max());
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
    /// Segments whose blocks are being added up.
    shared: Vec<Arc<SharedBlocks>>,
    tally: Option<Tally>,
    damage: Vec<Damage>,
    gaps: Vec<Gap>,
    work: StatisticsWork,
    failure: Option<Error>,
}

/// What a thread does next.
enum Task {
    /// The unit with this number.
    Unit(usize),
    /// Blocks of a segment that another thread is at.
    Blocks(Arc<SharedBlocks>),
}

/// What is found in one unit, or in a log.
pub(super) struct Found {
    pub(super) tally: Tally,
    pub(super) damage: Vec<Damage>,
    pub(super) gaps: Vec<Gap>,
    pub(super) work: StatisticsWork,
    /// Retention has removed some of its records meanwhile.
    pub(super) is_removed: bool,
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
            shared: Vec::new(),
            tally: Some(Tally::new(query.layout())),
            damage: Vec::new(),
            gaps: Vec::new(),
            work,
            failure: None,
        };
        Self { source, query: query.clone(), id: query.id(), chain, units, state: Mutex::new(state) }
    }

    /// How many threads there is work for.
    fn threads_max(&self) -> usize {
        let records: u64 = self.units.iter().map(|unit| unit.seqs.end - unit.seqs.start).sum();
        self.units.len().max((records / THREAD_RECORDS_MIN) as usize)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes units until there are none, and then blocks of those that others are at.
    fn work(&self) {
        while let Some(task) = self.take() {
            let found = match task {
                Task::Unit(number) => self.find(number),
                Task::Blocks(shared) => self.add_blocks(&shared),
            };
            let mut state = self.lock();
            let outcome = found.and_then(|found| found.map_or(Ok(()), |found| state.add(found)));
            if let Err(error) = outcome {
                state.failure.get_or_insert(error);
            }
        }
    }

    fn take(&self) -> Option<Task> {
        let mut state = self.lock();
        if state.failure.is_some() {
            return None;
        }
        if state.next < self.units.len() {
            state.next += 1;
            return Some(Task::Unit(state.next - 1));
        }
        state.shared.iter().find(|shared| shared.join()).cloned().map(Task::Blocks)
    }

    /// What is in a unit: as it was kept, or as it is computed now. Nothing if other threads are still at it: the last of them has it.
    fn find(&self, number: usize) -> Result<Option<Found>> {
        let unit = &self.units[number];
        if let Some(file) = self.file_of(unit) {
            if let Some(tally) = self.query.keeps.then(|| self.kept(&file)).flatten() {
                let work = StatisticsWork { segments_kept: 1, ..StatisticsWork::default() };
                return Ok(Some(Found { work, ..Found::of(tally) }));
            }
            if self.query.condition.is_none() {
                let shared = Arc::new(SharedBlocks::new(number, file)?);
                self.lock().shared.push(Arc::clone(&shared));
                return self.add_blocks(&shared);
            }
            return self.keep(&file, self.compute(unit.seqs.clone())?).map(Some);
        }
        match self.raw_of(unit) {
            Some(raw) => self.find_raw(raw, unit.seqs.clone()).map(Some),
            None => self.compute(unit.seqs.clone()).map(Some),
        }
    }

    /// Adds up blocks of a segment. The thread that is the last at it has what they add up to; if anything is wrong with them, a scan
    /// of the records tells what.
    fn add_blocks(&self, shared: &SharedBlocks) -> Result<Option<Found>> {
        let outcome = shared.work(&self.query);
        if !matches!(outcome, Ok(None)) {
            // Its file is to be held open no longer.
            self.lock().shared.retain(|other| other.unit != shared.unit);
        }
        let Some(sum) = outcome? else { return Ok(None) };
        let Some(sum) = sum else {
            let found = self.compute(self.units[shared.unit].seqs.clone())?;
            return self.keep(&shared.file, found).map(Some);
        };
        let mut work = StatisticsWork { blocks_by_column: sum.by_column, ..StatisticsWork::default() };
        (work.query.segments, work.query.blocks_read) = (1, sum.blocks);
        (work.query.records_examined, work.query.records_matched) = (sum.tally.records, sum.tally.records);
        QueryMeter::new(|| self.source.storage.describe("")).ended(&work.query);
        self.keep(&shared.file, Found { work, ..Found::of(sum.tally) }).map(Some)
    }

    /// Keeps what was found in a segment beside it, if nothing is missing.
    fn keep(&self, file: &SealedFile, mut found: Found) -> Result<Found> {
        if self.query.keeps && found.is_whole() {
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
        self.decode(&file.kept_answer(&self.id)?)
    }

    fn decode(&self, bytes: &[u8]) -> Option<Tally> {
        Tally::decode(bytes, self.query.layout(), self.query.every.is_some(), self.query.by.len())
    }

    /// The raw segment of a unit, if all times of its records are asked for.
    fn raw_of(&self, unit: &Unit) -> Option<&RawSegment> {
        let Segment::Raw(raw) = &self.chain.segments[unit.segment?] else { return None };
        self.query.range.has_times(raw.times()).then_some(raw)
    }

    /// What is in a raw segment: of its first records as it was kept in memory, and of those that came since as it is computed now.
    fn find_raw(&self, raw: &RawSegment, seqs: Range<u64>) -> Result<Found> {
        let (remembered, segment) = (&self.source.view.remembered, raw.file_id());
        let kept = self.query.keeps.then(|| remembered.get(&self.id, segment, &seqs)).flatten();
        let kept = kept.and_then(|(end, bytes)| Some((end, self.decode(&bytes)?)));
        let Some((end, tally)) = kept else {
            let found = self.compute_raw(raw, seqs.clone())?;
            if self.query.keeps && found.is_whole() {
                remembered.put(self.id, segment, seqs, found.tally.encode());
            }
            return Ok(found);
        };
        let mut found = Found::of(tally);
        found.work.records_remembered = found.tally.records;
        if end == seqs.end {
            return Ok(found);
        }
        let more = self.compute_raw(raw, end..seqs.end)?;
        found.tally.merge(more.tally)?;
        (found.damage, found.gaps, found.is_removed) = (more.damage, more.gaps, more.is_removed);
        found.work.query = more.work.query;
        if found.is_whole() {
            remembered.put(self.id, segment, seqs, found.tally.encode());
        }
        Ok(found)
    }

    /// What is in records of a raw segment, all times of which are asked for.
    fn compute_raw(&self, raw: &RawSegment, seqs: Range<u64>) -> Result<Found> {
        let (mut tally, mut gatherer) = (Tally::new(self.query.layout()), Gatherer::new(&self.query));
        let (mut cursor, mut next) = (RawCursor::default(), seqs.start);
        while self.query.condition.is_none() && next < seqs.end {
            let Ok(true) = cursor.read(raw, next, ReadAhead::Forward) else { break };
            let Some(record) = cursor.current() else { break };
            gatherer.add(&record, &mut tally)?;
            next += 1;
            if tally.records.is_multiple_of(CHECK_EVERY) {
                tally.check()?;
            }
        }
        if next < seqs.end {
            // There is a condition, or what is wrong with a record is to be told.
            return self.compute(seqs);
        }
        gatherer.settle(&mut tally);
        let mut work = StatisticsWork::default();
        work.query.segments = 1;
        (work.query.records_examined, work.query.records_matched) = (tally.records, tally.records);
        QueryMeter::new(|| self.source.storage.describe("")).ended(&work.query);
        Ok(Found { work, ..Found::of(tally) })
    }

    fn compute(&self, seqs: Range<u64>) -> Result<Found> {
        let range = self.query.range.seqs(seqs).threads(1);
        let selection = Selection::of(self.query.condition.as_ref(), || self.source.storage.describe(""))?;
        let scan = Scan::new(self.source.clone(), range).at_least(self.query.own_keys());
        let mut scan = scan.select(selection);
        let (mut tally, mut gatherer) = (Tally::new(self.query.layout()), Gatherer::new(&self.query));
        let (mut damage, mut is_removed) = (Vec::new(), false);
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
                Err(Error::Removed(_)) => is_removed = true,
                Err(error) => return Err(error),
            }
        }
        gatherer.settle(&mut tally);
        let work = StatisticsWork { query: scan.stats(), ..StatisticsWork::default() };
        Ok(Found { tally, damage, gaps: scan.gaps().to_vec(), work, is_removed })
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
        Ok(Found { tally, damage, gaps, work: state.work, is_removed: false })
    }
}

impl Found {
    /// What was found where nothing was wrong.
    fn of(tally: Tally) -> Self {
        Self { tally, damage: Vec::new(), gaps: Vec::new(), work: StatisticsWork::default(), is_removed: false }
    }

    /// Whether nothing is missing.
    fn is_whole(&self) -> bool {
        self.damage.is_empty() && self.gaps.is_empty() && !self.is_removed
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
    if asked.is_empty() {
        return units;
    }
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
