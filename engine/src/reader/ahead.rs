//! Sealed segments decompressed by several threads, ahead of a scan that returns their records in order.
//!
//! The scan orders runs of blocks that lie end to end, at most a few more than there are threads, and takes them in its own
//! order; a run that no thread has begun it reads itself, and another while it waits for one. So no thread waits for another that is not at work. What can't be
//! read ahead (damage, gaps, files that have moved) is left to the scan: it comes to that block as if nobody had tried, and
//! so says the same of it as a scan without threads.

use crate::msgpack::Fields;
use crate::reader::{ScanRange, Source};
use crate::sealed::{BlockEntry, KeptBlock, RunBuf, SealedFile};
use crate::sync::{Condvar, Mutex, MutexGuard, thread};
use crate::view::{Chain, Segment};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, PoisonError};

/// A run has at most so many blocks, and so many bytes in its file, but for one block alone.
const RUN_BLOCKS: usize = 16;
const RUN_BYTES: u64 = 64 << 10;

/// So many runs for each thread are on their way.
const RUNS_A_THREAD: usize = 3;

/// The memory of larger blocks is not used again.
const SPARE_BYTES: usize = 1 << 20;

/// No other run is begun while runs that are read and not taken have so many bytes.
const READ_BYTES: usize = 8 << 20;

/// What a scan has ordered. Dropped, it ends its threads.
#[derive(Debug)]
pub(super) struct Ahead {
    shared: Arc<Shared>,
    threads: Vec<thread::JoinHandle<()>>,
    runs_max: usize,
    range: ScanRange,
    /// Everything that is left of the scan and not yet ordered.
    left: Range<u64>,
    buffer: RunBuf,
    /// The blocks that the scan has taken, those of one run.
    taken: Vec<KeptBlock>,
    /// Blocks that the scan doesn't need any more.
    spare: Vec<KeptBlock>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The fields that are to be read, if not all.
    fields: Option<Fields>,
    state: Mutex<State>,
    /// A run may be begun, or all is over.
    ready: Condvar,
    /// A run has been read.
    read: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// In the order of the scan.
    runs: VecDeque<Run>,
    /// The number of the first of them, counted from the beginning of the scan.
    first: usize,
    /// Bytes of the blocks in them.
    bytes: usize,
    /// Blocks whose memory may be used again: never more than were read.
    spare: Vec<KeptBlock>,
    closed: bool,
}

/// Blocks of one file.
#[derive(Debug)]
struct Run {
    file: Arc<SealedFile>,
    entries: Vec<BlockEntry>,
    seqs: Range<u64>,
    progress: Progress,
}

#[derive(Debug)]
enum Progress {
    Ordered,
    Begun,
    /// The blocks that could be read, from the first on.
    Read(Vec<KeptBlock>),
}

/// A run that somebody reads: its number, its file, its blocks.
type Begun = (usize, Arc<SealedFile>, Vec<BlockEntry>);

impl Ahead {
    /// For a scan of the records `left` in `range`. Threads are started when the first block is taken; fewer than the range
    /// asks for, if the system has no more.
    pub(super) fn new(range: ScanRange, left: Range<u64>, fields: Option<Fields>) -> Self {
        let buffer = RunBuf::only(fields.clone());
        let shared = Arc::new(Shared { fields, ..Shared::default() });
        Self { shared, threads: Vec::new(), runs_max: 0, range, left, buffer, taken: Vec::new(), spare: Vec::new() }
    }

    fn start(&mut self) {
        let start = |_| {
            let shared = Arc::clone(&self.shared);
            thread::Builder::new().name("annals-scan".to_owned()).spawn(move || shared.work()).ok()
        };
        self.threads = (1..self.range.threads).map_while(start).collect();
        self.runs_max = RUNS_A_THREAD * (self.threads.len() + 1);
    }

    /// The block of `file` that holds `seq`, which is next, if it was read ahead.
    pub(super) fn take(&mut self, source: &Source, chain: &Chain, file: &SealedFile, seq: u64) -> Option<KeptBlock> {
        if self.runs_max == 0 {
            self.start();
        }
        if let Some(n) = self.taken.iter().position(|block| block.contains(seq)) {
            return Some(self.taken.swap_remove(n));
        }
        // What lies behind is not ordered any more.
        match self.range.reverse {
            true => self.left.end = self.left.end.min(seq + 1),
            false => self.left.start = self.left.start.max(seq),
        }
        self.order(source, chain);
        self.shared.lock().spare.append(&mut self.spare);
        self.taken = self.shared.take(file, seq, self.range.reverse, &mut self.buffer)?;
        // There is room for another.
        self.order(source, chain);
        let n = self.taken.iter().position(|block| block.contains(seq))?;
        Some(self.taken.swap_remove(n))
    }

    /// Takes a block that is not needed any more, if there is one, so that its memory is used again.
    pub(super) fn spare(&mut self, block: Option<KeptBlock>) {
        self.spare.extend(block.filter(|block| block.bytes() <= SPARE_BYTES));
    }

    /// Orders runs until there are enough.
    fn order(&mut self, source: &Source, chain: &Chain) {
        while self.shared.lock().runs.len() < self.runs_max && !self.left.is_empty() {
            if let Some(run) = self.next_run(source, chain) {
                self.shared.lock().runs.push_back(run);
                self.shared.ready.notify_one();
            }
        }
    }

    /// The next run, or `None` where something is left out.
    fn next_run(&mut self, source: &Source, chain: &Chain) -> Option<Run> {
        let seq = if self.range.reverse { self.left.end - 1 } else { self.left.start };
        let Some((index, end)) = chain.find(seq) else {
            // Files are missing at the beginning: the scan will say so.
            let first_seq = chain.segments.first().map_or(u64::MAX, Segment::base_seq);
            self.pass(&(0..first_seq));
            return None;
        };
        let segment = chain.segments[index].base_seq()..end;
        let opened = match &chain.segments[index] {
            Segment::Raw(_) => None,
            Segment::Sealed(slot) => source.sealed(slot).ok().filter(|file| self.range.may_have(file)),
        };
        let Some(file) = opened else {
            self.pass(&segment);
            return None;
        };
        let Ok((blocks, _)) = file.layout() else {
            self.pass(&segment);
            return None;
        };
        let after = blocks.partition_point(|entry| entry.first_seq <= seq);
        let at = after.checked_sub(1).filter(|n| seq < blocks[*n].end_seq());
        let Some(at) = at else {
            // Blocks are missing there: the scan will say so.
            self.pass(&match blocks.get(after) {
                Some(next) if !self.range.reverse => seq..next.first_seq,
                _ if self.range.reverse => after.checked_sub(1).map_or(segment.start, |n| blocks[n].end_seq())..seq,
                _ => segment,
            });
            return None;
        };
        let entries = self.run_from(&file, blocks, at);
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            self.pass(&(blocks[at].first_seq..blocks[at].end_seq()));
            return None;
        };
        let seqs = first.first_seq..last.end_seq();
        self.pass(&seqs);
        Some(Run { entries: entries.to_vec(), file, seqs, progress: Progress::Ordered })
    }

    /// The blocks of a run that begins with the block `at`, or ends with it if the scan goes backwards.
    fn run_from<'b>(&self, file: &SealedFile, blocks: &'b [BlockEntry], at: usize) -> &'b [BlockEntry] {
        let (mut from, mut to, mut bytes) = (at, at, 0);
        loop {
            let next = if self.range.reverse { from.checked_sub(1) } else { Some(to) };
            let next = if from == to { Some(at) } else { next };
            let Some((n, entry)) = next.and_then(|n| Some((n, blocks.get(n)?))) else { break };
            let ends = |a: &BlockEntry, b: &BlockEntry| a.offset + u64::from(a.span) == b.offset;
            let follows =
                from == to || if self.range.reverse { ends(entry, &blocks[from]) } else { ends(&blocks[n - 1], entry) };
            let is_left = entry.first_seq < self.left.end && self.left.start < entry.end_seq();
            bytes += u64::from(entry.span);
            if !follows
                || !is_left
                || !self.range.may_have_in(file, entry)
                || (from != to && bytes > RUN_BYTES)
                || to - from == RUN_BLOCKS
            {
                break;
            }
            (from, to) = (from.min(n), to.max(n + 1));
        }
        &blocks[from..to]
    }

    /// Leaves out `seqs`, which are next.
    fn pass(&mut self, seqs: &Range<u64>) {
        match self.range.reverse {
            true => self.left.end = self.left.end.min(seqs.start),
            false => self.left.start = self.left.start.max(seqs.end),
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.ready.notify_all();
        for thread in self.threads.drain(..) {
            // Of a panic, the scan found only that a run was not read: it came to the same place itself.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread of its own does.
    fn work(&self) {
        let mut buffer = RunBuf::only(self.fields.clone());
        let mut state = self.lock();
        while !state.closed {
            state = match state.begin() {
                Some(begun) => self.read_begun(state, begun, &mut buffer),
                None => self.ready.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Reads a run that has been begun, without the lock.
    fn read_begun<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
        (number, file, entries): Begun,
        buffer: &mut RunBuf,
    ) -> MutexGuard<'s, State> {
        state.give_memory(buffer, entries.len());
        drop(state);
        let mut reading = Reading { shared: self, number, blocks: Vec::with_capacity(entries.len()) };
        file.read_run(&entries, buffer, &mut reading.blocks);
        drop(reading);
        self.lock()
    }

    /// The blocks of the run of `file` that holds `seq`, read by now; `None` if it was not ordered. Runs before it are not
    /// needed any more.
    fn take(&self, file: &SealedFile, seq: u64, reverse: bool, buffer: &mut RunBuf) -> Option<Vec<KeptBlock>> {
        let mut state = self.lock();
        loop {
            let run = state.runs.front_mut()?;
            let is_behind = if reverse { seq < run.seqs.start } else { run.seqs.end <= seq };
            if !run.seqs.contains(&seq) || run.file.file_id() != file.file_id() {
                // One of another file, or before it, is ahead of the scan otherwise.
                if !is_behind && !run.seqs.contains(&seq) {
                    return None;
                }
                state.pop();
                self.ready.notify_one();
                continue;
            }
            match &mut run.progress {
                Progress::Begun => {
                    state = match state.begin() {
                        // Better to read another one than to wait.
                        Some(begun) => self.read_begun(state, begun, buffer),
                        None => self.read.wait(state).unwrap_or_else(PoisonError::into_inner),
                    }
                }
                Progress::Ordered => {
                    let (file, entries) = (Arc::clone(&run.file), std::mem::take(&mut run.entries));
                    state.pop();
                    state.give_memory(buffer, entries.len());
                    drop(state);
                    let mut blocks = Vec::with_capacity(entries.len());
                    file.read_run(&entries, buffer, &mut blocks);
                    return Some(blocks);
                }
                Progress::Read(blocks) => {
                    let blocks = std::mem::take(blocks);
                    state.bytes -= bytes_of(&blocks);
                    state.pop();
                    self.ready.notify_one();
                    return Some(blocks);
                }
            }
        }
    }
}

impl State {
    /// Begins the first run that nobody has begun, if there is room for what it holds.
    fn begin(&mut self) -> Option<Begun> {
        let at = self.runs.iter().position(|run| matches!(run.progress, Progress::Ordered))?;
        if self.bytes >= READ_BYTES {
            return None;
        }
        let run = &mut self.runs[at];
        run.progress = Progress::Begun;
        Some((self.first + at, Arc::clone(&run.file), std::mem::take(&mut run.entries)))
    }

    /// Gives memory for so many blocks to `buffer`, as far as there is any.
    fn give_memory(&mut self, buffer: &mut RunBuf, blocks: usize) {
        let missing = blocks.saturating_sub(buffer.spare.len()).min(self.spare.len());
        buffer.spare.extend(self.spare.drain(self.spare.len() - missing..));
    }

    /// Forgets the first run.
    fn pop(&mut self) {
        if let Some(Run { progress: Progress::Read(blocks), .. }) = self.runs.pop_front() {
            self.bytes -= bytes_of(&blocks);
        }
        self.first += 1;
    }
}

/// A run that a thread reads. Dropped, it is read as far as it goes: nobody waits for a thread that panicked.
struct Reading<'s> {
    shared: &'s Shared,
    number: usize,
    blocks: Vec<KeptBlock>,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let blocks = std::mem::take(&mut self.blocks);
        let bytes = bytes_of(&blocks);
        let run = self.number.checked_sub(state.first).and_then(|at| state.runs.get_mut(at));
        if let Some(run) = run {
            run.progress = Progress::Read(blocks);
            state.bytes += bytes;
            self.shared.read.notify_one();
        }
    }
}

fn bytes_of(blocks: &[KeptBlock]) -> usize {
    blocks.iter().map(KeptBlock::bytes).sum()
}
