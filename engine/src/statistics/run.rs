//! From a question to its answer: segment by segment, with as many threads as were asked for.

use super::answer::{Statistics, StatisticsWork};
use super::front::Front;
use super::gather::Gatherer;
use super::question::StatisticsQuery;
use super::share::{Parts, SharedParts};
use super::tally::Tally;
use crate::error::{Damage, Error, Result};
use crate::gap::Gap;
use crate::log::Log;
use crate::meter::QueryMeter;
use crate::query::Selection;
use crate::raw::RawSegment;
use crate::reader::{Reader, Scan, Source};
use crate::sealed::SealedFile;
use crate::sync::{Mutex, MutexGuard, thread};
use crate::view::{Chain, Segment};
use std::ops::Range;
use std::sync::{Arc, PoisonError};

/// Records between two looks how much memory is in use.
const CHECK_EVERY: u64 = 1 << 16;

/// Of one segment, another thread is worth no fewer records.
const THREAD_RECORDS_MIN: u64 = 1 << 12;

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
        let job = Job::new(source.clone(), query);
        job.look();
        let job = Arc::new(job);
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
    /// Segments whose parts are being added up.
    shared: Vec<Arc<SharedParts>>,
    front: Front,
    /// What all units add up to that are not of the front.
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
    /// Parts of a segment that another thread is at.
    Parts(Arc<SharedParts>),
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
            front: Front::default(),
            tally: None,
            damage: Vec::new(),
            gaps: Vec::new(),
            work,
            failure: None,
        };
        Self { source, query: query.clone(), id: query.id(), chain, units, state: Mutex::new(state) }
    }

    /// Looks what was kept of the segments that the log begins with.
    fn look(&self) {
        if !self.query.keeps {
            return;
        }
        let units = self.units.iter().enumerate().take_while(|(n, unit)| unit.segment == Some(*n));
        let mut front = Front::new(&self.id, units.map_while(|(_, unit)| self.file_of(unit)));
        let known = front.look(|number, id| self.decode(&self.file_of(&self.units[number])?.kept_answer(id)?));
        let mut state = self.lock();
        (state.next, state.work.segments_kept, state.front) = (known, known as u64, front);
    }

    /// How many threads there is work for.
    fn threads_max(&self) -> usize {
        let units = &self.units[self.lock().next..];
        let records: u64 = units.iter().map(|unit| unit.seqs.end - unit.seqs.start).sum();
        units.len().max((records / THREAD_RECORDS_MIN) as usize)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes units until there are none, and then parts of those that others are at.
    fn work(&self) {
        while let Some(task) = self.take() {
            let (number, found) = match task {
                Task::Unit(number) => (number, self.find(number)),
                Task::Parts(shared) => (shared.unit, self.add_parts(&shared)),
            };
            let mut state = self.lock();
            let outcome = found.and_then(|found| found.map_or(Ok(()), |found| state.add(number, found)));
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
        state.shared.iter().find(|shared| shared.join()).cloned().map(Task::Parts)
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
                return self.share(SharedParts::new(number, Parts::Blocks(file), None)?);
            }
            return self.keep(&file, self.compute(unit.seqs.clone())?).map(Some);
        }
        match self.raw_of(unit) {
            Some(raw) => self.find_raw(number, raw),
            None => self.compute(unit.seqs.clone()).map(Some),
        }
    }

    /// Adds up parts of a segment, with any thread that has time for it.
    fn share(&self, parts: SharedParts) -> Result<Option<Found>> {
        let shared = Arc::new(parts);
        self.lock().shared.push(Arc::clone(&shared));
        self.add_parts(&shared)
    }

    /// Adds up parts of a segment. The thread that is the last at it has what they add up to; if anything is wrong with them, a scan
    /// of the records tells what.
    fn add_parts(&self, shared: &SharedParts) -> Result<Option<Found>> {
        let outcome = shared.work(&self.query);
        if !matches!(outcome, Ok(None)) {
            // Its file is to be held open no longer.
            self.lock().shared.retain(|other| other.unit != shared.unit);
        }
        let Some(sum) = outcome? else { return Ok(None) };
        let found = match sum {
            None => self.compute(shared.parts.seqs())?,
            Some(sum) => {
                let mut work = StatisticsWork { blocks_by_column: sum.by_column, ..StatisticsWork::default() };
                (work.query.segments, work.query.blocks_read) = (1, sum.blocks);
                (work.query.records_examined, work.query.records_matched) = (sum.tally.records, sum.tally.records);
                QueryMeter::new(|| self.source.storage.describe("")).ended(&work.query);
                Found { work, ..Found::of(sum.tally) }
            }
        };
        match &shared.parts {
            Parts::Blocks(file) => self.keep(file, found).map(Some),
            Parts::Runs(raw, _) => self.remember(shared.unit, raw, shared.take_before(), found).map(Some),
        }
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
    fn raw_of(&self, unit: &Unit) -> Option<&Arc<RawSegment>> {
        let Segment::Raw(raw) = &self.chain.segments[unit.segment?] else { return None };
        self.query.range.has_times(raw.times()).then_some(raw)
    }

    /// What is in a raw segment: of its first records as it was kept in memory, and of those that came since as it is computed now.
    fn find_raw(&self, number: usize, raw: &Arc<RawSegment>) -> Result<Option<Found>> {
        let seqs = &self.units[number].seqs;
        let kept = self.query.keeps.then(|| self.source.view.remembered.get(&self.id, raw.file_id(), seqs)).flatten();
        let kept = kept.and_then(|(end, bytes)| Some((end, self.decode(&bytes)?)));
        let (next, before) = kept.map_or((seqs.start, None), |(end, tally)| (end, Some(tally)));
        let more = next..seqs.end;
        match before {
            Some(tally) if more.is_empty() => {
                let work = StatisticsWork { records_remembered: tally.records, ..StatisticsWork::default() };
                Ok(Some(Found { work, ..Found::of(tally) }))
            }
            before if self.query.condition.is_some() => {
                self.remember(number, raw, before, self.compute(more)?).map(Some)
            }
            before => self.share(SharedParts::new(number, Parts::Runs(Arc::clone(raw), more), before)?),
        }
    }

    /// What is in a raw segment: in its first records, as it was kept in memory, and in those after them. Keeps it in turn, if nothing is
    /// missing.
    fn remember(&self, number: usize, raw: &RawSegment, before: Option<Tally>, more: Found) -> Result<Found> {
        let mut found = more;
        if let Some(mut tally) = before {
            found.work.records_remembered = tally.records;
            tally.merge(found.tally)?;
            found.tally = tally;
        }
        if self.query.keeps && found.is_whole() {
            let seqs = self.units[number].seqs.clone();
            self.source.view.remembered.put(self.id, raw.file_id(), seqs, found.tally.encode());
        }
        Ok(found)
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

    /// Keeps what the segments add up to that the log begins with, once it was put together from what was kept of each.
    fn keep_front(&self, front: &Front) {
        if let Some((last, id, tally)) = front.to_keep()
            && let Some(file) = self.file_of(&self.units[last])
        {
            file.keep_answer(id, &tally.encode());
        }
    }

    fn finish(&self) -> Result<Found> {
        let mut state = self.lock();
        if let Some(failure) = state.failure.take() {
            return Err(failure);
        }
        self.keep_front(&state.front);
        let mut tally = std::mem::take(&mut state.front).into_tally();
        if let Some(others) = state.tally.take() {
            Tally::merge_into(&mut tally, others)?;
        }
        let tally = tally.unwrap_or_else(|| Tally::new(self.query.layout()));
        // What was kept may be the answer to somebody who asked with other limits.
        tally.check()?;
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
    /// Adds what was found in the unit with this number.
    fn add(&mut self, number: usize, found: Found) -> Result<()> {
        self.damage.extend(found.damage);
        self.gaps.extend(found.gaps);
        self.work.merge(&found.work);
        match self.front.has(number) {
            true => self.front.add(found.tally, found.work.segments_kept > 0),
            false => Tally::merge_into(&mut self.tally, found.tally),
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
