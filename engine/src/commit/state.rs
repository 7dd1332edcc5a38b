//! What appending threads share: seqs given out, frames that wait, how far writing has come. Pure bookkeeping.

use crate::Incarnation;
use crate::commit::chunk::{Chunk, Job};
use crate::commit::crowd::Crowd;
use crate::commit::flights::FLIGHTS_MAX;
use crate::commit::prepare::PreparedSegment;
use crate::commit::space::Tail;
use crate::commit::writer::Done;
use crate::error::{Error, Result};
use crate::footprint::Footprint;
use crate::limits::Limits;
use crate::meter::Meter;
use crate::options::Options;
use crate::storage::AlignedBuf;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct State {
    pub(super) next_seq: u64,
    pub(super) written_seq: u64,
    /// The head tells it before any frame's watermark does.
    pub(super) durable_seq: u64,
    /// Somebody waits for everything below this to be durable.
    pub(super) sync_wanted: u64,
    /// Some thread does what has to be done alone: everything but chunks in flight.
    pub(super) leading: bool,
    /// Some thread acknowledges what has been written.
    pub(super) landing: bool,
    /// Chunks that are being written, each by a thread of its own, in order; with what was written once it is.
    pub(super) flights: VecDeque<Option<Chunk>>,
    /// The number of the first of them, or of the next.
    pub(super) first_flight: u64,
    /// How many appends are under way. Those of a crowd end at the end of a block, and the next need not wait.
    pub(super) crowd: Crowd,
    /// Everything below this has been taken out of the queue.
    pub(super) taken_seq: u64,
    /// Everything below this is to be written soon, though nobody waits for it.
    pub(super) write_wanted: u64,
    /// Some thread syncs what has been written, while others write. It is the only one that does: of two syncs, one may be
    /// told the other's error.
    pub(super) syncing: bool,
    /// Some thread prepares space. There is never more than one: what is prepared gets zeros.
    pub(super) preparing: bool,
    /// There was no space, or no file to be had, when some was to be prepared ahead of need.
    pub(super) is_full: bool,
    /// How many threads wait for something else than a chunk, and how many of these have to lead.
    pub(super) waiting: u32,
    pub(super) leads_wanted: u32,
    /// The thread in the background waits to be called.
    pub(super) keeper_waits: bool,
    /// How many bytes were written at a time, on average over the last times.
    pub(super) chunk_bytes_mean: usize,
    /// How often the queue has been taken to be written, and how often all of it was.
    pub(super) rounds_begun: u64,
    pub(super) rounds_done: u64,
    pub(super) closed: bool,
    pub(super) failed: Option<Arc<Error>>,
    /// Whether the background has been told that there is work.
    pub(super) stirred: bool,
    pub(super) queue: VecDeque<Job>,
    pub(super) queued_bytes: usize,
    /// A file that is ready to become the next segment.
    pub(super) next: Option<PreparedSegment>,
    /// The highest watermark that a frame was given.
    pub(super) watermark_placed: u64,
    /// The number of the last chunk.
    pub(super) next_chunk: u64,
    pub(super) tail: Option<Tail>,
    pub(super) spare: Vec<AlignedBuf>,
    pub(super) incarnation: Incarnation,
    pub(super) segment_bytes: u64,
    pub(super) segment_age: Option<Duration>,
    pub(super) roll_daily: bool,
    pub(super) meter: Meter,
    pub(super) footprint: Footprint,
    /// `None` if the log has no limits but that appends wait for the queue.
    pub(super) limits: Option<Box<Limits>>,
}

impl State {
    pub(super) fn new(options: &Options, incarnation: Incarnation, next_seq: u64, meter: &Meter) -> Self {
        Self {
            next_seq,
            written_seq: next_seq,
            durable_seq: next_seq,
            sync_wanted: next_seq,
            leading: false,
            landing: false,
            flights: VecDeque::new(),
            first_flight: 0,
            crowd: Crowd::default(),
            taken_seq: next_seq,
            write_wanted: next_seq,
            syncing: false,
            preparing: false,
            is_full: false,
            waiting: 0,
            leads_wanted: 0,
            keeper_waits: false,
            chunk_bytes_mean: 0,
            rounds_begun: 0,
            rounds_done: 0,
            closed: false,
            failed: None,
            stirred: false,
            queue: VecDeque::new(),
            queued_bytes: 0,
            next: None,
            watermark_placed: next_seq,
            next_chunk: 0,
            tail: None,
            spare: Vec::new(),
            incarnation,
            segment_bytes: options.segment_bytes,
            segment_age: options.segment_age,
            roll_daily: options.roll_daily,
            meter: meter.clone(),
            footprint: options.footprint,
            limits: None,
        }
    }

    pub(super) fn check_usable(&self) -> Result<()> {
        match &self.failed {
            Some(cause) => Err(Error::Poisoned(Arc::clone(cause))),
            None => Ok(()),
        }
    }

    pub(super) fn check_open(&self) -> Result<()> {
        self.check_usable()?;
        match self.closed {
            true => Err(Error::Closed),
            false => Ok(()),
        }
    }

    pub(super) fn fail(&mut self, error: Error) {
        if self.failed.is_none() {
            self.meter.poisoned();
            self.failed = Some(Arc::new(error));
        }
        self.queue.clear();
    }

    /// Whether the thread in the background has something to do that can't wait.
    pub(super) fn is_in_a_hurry(&self) -> bool {
        self.written_seq < self.write_wanted || self.need_soon().is_some()
    }

    /// Takes in how far writing has come.
    pub(super) fn acknowledge(&mut self, done: Done) {
        self.meter.appended(done.written_seq.saturating_sub(self.written_seq));
        self.written_seq = self.written_seq.max(done.written_seq);
        self.durable_seq = self.durable_seq.max(done.durable_seq);
        self.reuse(done.buffers);
    }

    /// Keeps buffers for the next chunks.
    pub(super) fn reuse(&mut self, buffers: impl IntoIterator<Item = AlignedBuf>) {
        /// One is being filled while others are being written.
        const SPARE_BUFFERS_MAX: usize = FLIGHTS_MAX + 1;
        for buffer in buffers {
            if self.spare.len() < SPARE_BUFFERS_MAX && buffer.capacity() <= self.footprint.spare_bytes {
                self.spare.push(buffer);
            }
        }
    }
}
