//! The column chunks of a row group, encoded by several threads.
//!
//! A lane is one leaf column. The values of a lane are encoded in the order in which they come, by one thread at a time;
//! so the bytes do not depend on how many threads there are, or on who is faster. Whoever adds a batch while too many
//! are waiting encodes too, until there is room: memory is bounded, and one thread is enough.

use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowLeafColumn};
use parquet::errors::ParquetError;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// So many batches may be on their way.
const BATCHES_MAX: usize = 3;

/// See the module. Dropped, it ends its threads.
#[derive(Debug)]
pub(crate) struct Lanes {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Something is ready to be encoded, or all is over.
    ready: Condvar,
    /// Something has been encoded.
    encoded: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lanes: Vec<Lane>,
    /// The lanes that have something to encode and that nobody is busy with.
    ready: VecDeque<usize>,
    /// What is on its way, oldest first.
    batches: VecDeque<Batch>,
    /// How many batches left [`State::batches`] before the first of them.
    batches_done: usize,
    error: Option<ParquetError>,
    closed: bool,
}

#[derive(Debug)]
struct Lane {
    /// `None` while a thread is busy with it, and when it is at its end.
    writer: Option<ArrowColumnWriter>,
    queue: VecDeque<Item>,
    /// The number of the batch at the front of the queue.
    batch: usize,
    chunk: Option<ArrowColumnChunk>,
}

#[derive(Debug)]
enum Item {
    Leaf(ArrowLeafColumn),
    End,
}

#[derive(Debug)]
struct Batch {
    lanes_left: usize,
    /// Memory of the lanes after this batch.
    bytes: usize,
}

impl Lanes {
    /// With so many threads, the caller's among them.
    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        let mut lanes = Self { shared: Arc::default(), threads: Vec::new() };
        for _ in 1..threads {
            let shared = Arc::clone(&lanes.shared);
            let work = move || shared.work();
            lanes.threads.push(thread::Builder::new().name("annals-export".to_owned()).spawn(work)?);
        }
        Ok(lanes)
    }

    /// Begins a row group. The one before has ended.
    pub(crate) fn begin(&mut self, writers: Vec<ArrowColumnWriter>) {
        let lane = |writer| Lane { writer: Some(writer), queue: VecDeque::new(), batch: 0, chunk: None };
        let mut state = self.shared.lock();
        state.batches_done = 0;
        state.lanes = writers.into_iter().map(lane).collect();
    }

    /// Adds one batch: a leaf for each lane. Returns how much memory the lanes took when the batch before the last
    /// [`BATCHES_MAX`] had been encoded; so this does not depend on the threads either.
    pub(crate) fn push(&mut self, leaves: Vec<ArrowLeafColumn>) -> Result<usize, ParquetError> {
        self.shared.add(leaves.into_iter().map(Item::Leaf));
        self.shared.settle(BATCHES_MAX)
    }

    /// Ends the row group. The chunks are in the order of the lanes.
    pub(crate) fn finish(&mut self) -> Result<Vec<ArrowColumnChunk>, ParquetError> {
        let count = self.shared.lock().lanes.len();
        self.shared.add((0..count).map(|_| Item::End));
        self.shared.settle(0)?;
        let lanes = std::mem::take(&mut self.shared.lock().lanes);
        Ok(lanes.into_iter().filter_map(|lane| lane.chunk).collect())
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.ready.notify_all();
        for thread in self.threads.drain(..) {
            // A panic was reported as an error to whoever waited.
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
        let mut state = self.lock();
        while !state.closed {
            state = match state.ready.pop_front() {
                Some(lane) => self.encode(state, lane),
                None => self.ready.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn add(&self, items: impl ExactSizeIterator<Item = Item>) {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.batches.push_back(Batch { lanes_left: items.len(), bytes: 0 });
        for (number, item) in items.enumerate() {
            let lane = &mut state.lanes[number];
            if lane.queue.is_empty() && lane.writer.is_some() {
                state.ready.push_back(number);
            }
            lane.queue.push_back(item);
        }
        drop(guard);
        self.ready.notify_all();
    }

    /// Encodes, or waits for others who do, until no more than `most` batches are on their way.
    fn settle(&self, most: usize) -> Result<usize, ParquetError> {
        let mut state = self.lock();
        let mut bytes = 0;
        loop {
            if let Some(error) = state.error.take() {
                return Err(error);
            }
            while state.batches.front().is_some_and(|batch| batch.lanes_left == 0) && state.batches.len() > most {
                bytes = state.batches.pop_front().map_or(0, |batch| batch.bytes);
                state.batches_done += 1;
            }
            if state.batches.len() <= most {
                return Ok(bytes);
            }
            state = match state.ready.pop_front() {
                Some(lane) => self.encode(state, lane),
                None => self.encoded.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Encodes what is at the front of a lane, with the state unlocked.
    fn encode<'a>(&'a self, mut state: MutexGuard<'a, State>, number: usize) -> MutexGuard<'a, State> {
        let lane = &mut state.lanes[number];
        let (Some(writer), Some(item)) = (lane.writer.take(), lane.queue.pop_front()) else { return state };
        drop(state);
        let panicked = Panicked(self);
        let outcome = encode(writer, item);
        std::mem::forget(panicked);

        let mut guard = self.lock();
        let state = &mut *guard;
        match outcome {
            Ok((writer, chunk)) => {
                let lane = &mut state.lanes[number];
                let batch = &mut state.batches[lane.batch - state.batches_done];
                batch.lanes_left -= 1;
                batch.bytes += writer.as_ref().map_or(0, ArrowColumnWriter::memory_size);
                (lane.writer, lane.chunk) = (writer, chunk);
                lane.batch += 1;
                if !lane.queue.is_empty() {
                    state.ready.push_back(number);
                }
            }
            Err(error) => {
                state.error.get_or_insert(error);
            }
        }
        self.encoded.notify_all();
        guard
    }
}

fn encode(
    mut writer: ArrowColumnWriter,
    item: Item,
) -> Result<(Option<ArrowColumnWriter>, Option<ArrowColumnChunk>), ParquetError> {
    match item {
        Item::Leaf(leaf) => {
            writer.write(&leaf)?;
            Ok((Some(writer), None))
        }
        Item::End => Ok((None, Some(writer.close()?))),
    }
}

/// Dropped while a thread panics, it tells whoever waits.
struct Panicked<'a>(&'a Shared);

impl Drop for Panicked<'_> {
    fn drop(&mut self) {
        self.0.lock().error = Some(ParquetError::General("a thread that encoded a column panicked".to_owned()));
        self.0.encoded.notify_all();
    }
}
