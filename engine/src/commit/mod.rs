//! From encoded batches to durable frames: many threads append, one of them at a time writes for all.
//!
//! - [`state`] is what all threads share under one lock: seqs given out, frames waiting to be written, how far writing
//!   and syncing have come. Nothing in it blocks or touches a file. What it can do is told in [`place`], [`space`] and
//!   [`flights`].
//! - [`writer`] owns the files. Whoever leads runs it outside the lock.
//! - [`Committer`] joins them, in [`rounds`]: a thread that has to wait for something writes if nobody does
//!   (leader/follower group commit), so there is no thread of the log's own on the way of a record. [`keeper`] is for what
//!   nobody waits for.
//!
//! Where a file takes direct writes, durable when they return, chunks of it *fly*: each is written by the thread that took
//! it out of the queue, several at once. They never overlap, and they are acknowledged in their order. All else is done by one
//! thread that leads, alone: ending and beginning segments, and writes that a sync has to follow.
//!
//! Promises: records are written in the order of their seqs; a record is reported durable only after a sync that began
//! after it was written; the first failed write or sync is the last thing that is tried.

mod chunk;
mod crowd;
mod flights;
mod head;
mod keeper;
mod landing;
mod limited;
mod place;
mod prepare;
mod rounds;
mod space;
mod state;
mod writer;

pub(crate) use head::{HEAD_BYTES, Head};
pub(crate) use prepare::{PreparedSegment, Preparer};
pub(crate) use writer::install;

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::limits::{Limits, OnLimit};
use crate::meter::{Meter, Wait};
use crate::options::{Background, Durability, Options};
use crate::raw::frame::{SEQ_LIMIT, frame_bytes};
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::view::View;
use crate::{Incarnation, LogId, Storage, Timestamp};
use landing::{LANDINGS, Landing};
use limited::Told;
use space::{Need, SEGMENT_OVERHEAD_BYTES};
use state::State;
use std::ops::Range;
use std::sync::{Arc, PoisonError};
use writer::Writer;

/// Frames with records wait until there are this many bytes of them, if nobody waits for them.
const BUFFERED_WRITE_BYTES: usize = 256 << 10;

/// What a committer needs to know of the log it writes.
#[derive(Debug, Clone)]
pub(crate) struct Seed {
    pub(crate) log_id: LogId,
    pub(crate) incarnation: Incarnation,
    pub(crate) next_seq: u64,
    pub(crate) next_ordinal: u64,
}

/// The writing side of a log.
#[derive(Debug)]
pub(crate) struct Committer {
    options: Options,
    storage: Arc<dyn Storage>,
    view: Arc<View>,
    meter: Meter,
    preparer: Preparer,
    incarnation: Incarnation,
    state: Mutex<State>,
    /// Something in the state changed that is not told to `landings`.
    changed: Condvar,
    /// Where threads wait for a chunk: its number, modulo their count, says which.
    landings: [Landing; LANDINGS],
    /// The background has something to do.
    background: Condvar,
    writer: Mutex<Writer>,
}

/// What somebody waits for of the records below a seq.
#[derive(Debug, Clone, Copy)]
enum Goal {
    Written(u64),
    Durable(u64),
}

/// Which room a batch is to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    /// Within the limits of the queue and of segments that wait to be sealed.
    Limited,
    /// Wherever there is space.
    Any,
}

type Guard<'a> = MutexGuard<'a, State>;

impl Committer {
    pub(crate) fn new(
        options: Options,
        storage: Arc<dyn Storage>,
        view: Arc<View>,
        seed: Seed,
        meter: &Meter,
    ) -> Result<Self> {
        // A log whose appends return before their sync is better off with the system's cache.
        let direct = options.direct_io && options.durability != Durability::Written;
        let preparer = Preparer::new(Arc::clone(&storage), seed.log_id, seed.next_ordinal, direct);
        let writer = Writer::new(Arc::clone(&storage), Arc::clone(&view), &seed, &options)?;
        let limits = options.has_limits().then(|| Limits::new(options.rate_limit.as_ref(), storage.elapsed()));
        let state =
            State { limits: limits.map(Box::new), ..State::new(&options, seed.incarnation, seed.next_seq, meter) };
        Ok(Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            landings: std::array::from_fn(|_| Landing::new()),
            background: Condvar::new(),
            writer: Mutex::new(writer),
            preparer,
            incarnation: seed.incarnation,
            options,
            storage,
            view,
            meter: meter.clone(),
        })
    }

    /// Appends a batch and waits for what `durability` or the log's own, whichever is more, asks for. Returns the seqs.
    pub(crate) fn append(&self, batch: &mut Batch, durability: Durability) -> Result<Range<u64>> {
        let (state, seqs) = self.place(batch, true)?;
        if !seqs.is_empty() {
            self.wait_for(state, seqs.end, durability.max(self.options.durability))?;
        }
        Ok(seqs)
    }

    /// Appends a batch, and waits for nothing: it will be durable soon. Returns the seqs. Unless it `may_drop`, what is beyond a
    /// limit is refused where it would be dropped.
    pub(crate) fn submit(&self, batch: &mut Batch, may_drop: bool) -> Result<Range<u64>> {
        let (mut state, seqs) = self.place(batch, may_drop)?;
        self.want_written(&mut state, seqs.end);
        Ok(seqs)
    }

    /// Waits until all below `end` is durable.
    pub(crate) fn wait_until_durable(&self, end: u64) -> Result<()> {
        // Without the lock: what is durable stays so.
        if self.view.durable_seq() >= end {
            return Ok(());
        }
        let state = self.lock();
        let end = end.min(state.next_seq);
        drop(self.wait_durable(state, end)?);
        Ok(())
    }

    /// Gives a batch its seqs and its place in the queue, as soon as there is room for it.
    fn place(&self, batch: &mut Batch, may_drop: bool) -> Result<(Guard<'_>, Range<u64>)> {
        // The clock is read only for those who need it.
        let is_timed = batch.is_timed() && self.options.segment_age.is_none() && !self.options.roll_daily;
        let now = if is_timed { Timestamp::default() } else { self.storage.now() };
        batch.finish(now);
        let frame = frame_bytes(batch.bytes());
        let limit = self.options.frame_bytes_max(SEGMENT_OVERHEAD_BYTES);
        if frame > limit {
            return Err(Error::TooLarge { what: "the batch", found: frame, limit });
        }
        let state = self.lock();
        if batch.is_empty() {
            state.check_open()?;
            let end = state.next_seq;
            return Ok((state, end..end));
        }
        if state.limits.is_some() {
            return self.place_limited(state, batch, now, may_drop);
        }
        let mut state = self.find_room(state, batch, now, Room::Limited)?;
        let seqs = self.place_found(&mut state, batch, now);
        Ok((state, seqs))
    }

    /// Waits until there is room for a batch that is finished: in the queue, and in a segment. Every append comes through here, and
    /// those of a log without limits as if this stood in [`Committer::place`].
    #[inline(always)]
    fn find_room<'a>(&'a self, mut state: Guard<'a>, batch: &Batch, now: Timestamp, room: Room) -> Result<Guard<'a>> {
        let frame = frame_bytes(batch.bytes());
        let is_limited = room == Room::Limited;
        loop {
            state.check_open()?;
            if state.next_seq + batch.len() as u64 > SEQ_LIMIT {
                return Err(Error::TooLarge { what: "the log's last seq", found: state.next_seq, limit: SEQ_LIMIT });
            }
            if is_limited && state.queued_bytes > 0 && state.queued_bytes + frame as usize > self.options.queue_bytes {
                if self.options.on_queue_full != OnLimit::Wait {
                    return Err(self.queue_full(&mut state));
                }
                let began = self.meter.begin();
                state = self.write_or_wait(state)?;
                self.meter.waited(began, Wait::Queue);
            } else if let Some(need) = state.need(frame, now) {
                if is_limited && matches!(need, Need::Segment { .. }) && !self.may_begin_segment() {
                    // Others go on meanwhile: what is needed afterwards is another question.
                    state = self.wait_for_sealing(state);
                } else {
                    let prepared = self.prepare_or_wait(state, need);
                    state = prepared.inspect_err(|error| self.meter.refused(error))?;
                }
            } else {
                return Ok(state);
            }
        }
    }

    /// The queue takes nothing more, and nobody who appends writes it: the thread in the background has to.
    #[cold]
    fn queue_full(&self, state: &mut State) -> Error {
        let end = state.next_seq;
        self.want_written(state, end);
        Error::QueueFull { waiting: state.queued_bytes as u64, limit: self.options.queue_bytes as u64 }
    }

    /// Places a batch where [`Committer::find_room`] has just found room for it.
    #[inline(always)]
    fn place_found(&self, state: &mut State, batch: &Batch, now: Timestamp) -> Range<u64> {
        let seqs = state.place(batch, now);
        if state.need_soon().is_some() {
            self.call_keeper(state);
        }
        seqs
    }

    /// Waits for what `durability` asks for of the records below `end`, the last that were placed.
    fn wait_for<'a>(&'a self, mut state: Guard<'a>, end: u64, durability: Durability) -> Result<()> {
        match durability {
            Durability::Durable => self.wait_landed(state, Goal::Durable(end))?,
            Durability::Written => self.wait_landed(state, Goal::Written(end))?,
            Durability::Buffered { .. } if state.queued_bytes >= BUFFERED_WRITE_BYTES => {
                self.want_written(&mut state, end);
                if self.options.background == Background::Manual && (state.can_fly() || state.can_lead()) {
                    drop(self.write_or_wait(state)?);
                }
            }
            Durability::Buffered { .. } => self.wake_background(&mut state),
        }
        Ok(())
    }

    /// Writes and syncs everything that was appended before the call, and what there is to tell of drops.
    pub(crate) fn sync(&self) -> Result<u64> {
        let state = self.lock();
        state.check_open()?;
        let (state, told) = self.try_to_tell(state, Told::All)?;
        let end = state.next_seq;
        let durable_seq = self.wait_durable(state, end)?.durable_seq;
        told.map(|()| durable_seq)
    }

    /// Ends the active segment, so that all records appended so far can be sealed. The next append begins another.
    /// Returns the seq after those records.
    pub(crate) fn end_segment(&self) -> Result<u64> {
        let state = self.lock();
        state.check_open()?;
        // What there is no space for is told by the next segment.
        let (mut state, _) = self.try_to_tell(state, Told::All)?;
        state.end_segment();
        let end_seq = state.next_seq;
        // Who appends meanwhile fills the queue anew: only what is in it now is waited for.
        let rounds = state.rounds_begun + 1;
        let is_busy = |state: &State| state.leading || !state.flights.is_empty() || !state.queue.is_empty();
        while (state.rounds_done < rounds && is_busy(&state)) || state.durable_seq < end_seq {
            state.sync_wanted = state.sync_wanted.max(end_seq);
            state = self.write_or_wait(state)?;
        }
        Ok(end_seq)
    }

    /// Ends the log: what was appended becomes durable, and the active segment gets its final marker.
    ///
    /// # Errors
    /// Where there is no space to tell of what was dropped, the log is closed all the same.
    pub(crate) fn close(&self) -> Result<()> {
        let mut state = self.lock();
        if state.closed {
            return Ok(());
        }
        state.check_open()?;
        if let Some(limits) = state.limits.as_mut() {
            limits.is_closing = true;
        }
        let (mut state, told) = self.try_to_tell(state, Told::All)?;
        loop {
            state.end_segment();
            state = self.drain(state)?;
            // Who was about to tell of something may have begun another segment for that.
            if state.tail.is_none() {
                break;
            }
        }
        while state.preparing || state.syncing {
            state = self.wait(state);
        }
        state.closed = true;
        let unused = state.next.take();
        drop(state);
        self.notify_all();
        self.background.notify_all();
        if let Some(unused) = unused {
            self.preparer.discard(unused);
        }
        told
    }

    pub(crate) fn next_seq(&self) -> u64 {
        self.lock().next_seq
    }

    /// Whether the log takes anything: it is neither closed nor poisoned.
    pub(crate) fn check_open(&self) -> Result<()> {
        self.lock().check_open()
    }

    /// The ordinal of a new file.
    pub(crate) fn next_ordinal(&self) -> u64 {
        self.preparer.next_ordinal()
    }

    fn wait_durable<'a>(&'a self, mut state: Guard<'a>, end: u64) -> Result<Guard<'a>> {
        while state.durable_seq < end {
            state.sync_wanted = state.sync_wanted.max(end);
            state = self.write_or_wait(state)?;
        }
        Ok(state)
    }

    /// Waits until the last chunk of the queue, in which a frame has just been placed, has reached `goal`.
    fn wait_landed<'a>(&'a self, mut state: Guard<'a>, goal: Goal) -> Result<()> {
        // Said before it tries to write: whoever takes the chunk has to know.
        let number = state.expect_landing();
        loop {
            match goal {
                Goal::Durable(end) if state.durable_seq >= end => return Ok(()),
                Goal::Written(end) if state.written_seq >= end => return Ok(()),
                Goal::Durable(end) => state.sync_wanted = state.sync_wanted.max(end),
                Goal::Written(_) => {}
            }
            state.check_usable()?;
            if state.can_fly() || state.can_lead() {
                state = self.write_or_wait(state)?;
                continue;
            }
            let is_done = || match goal {
                Goal::Durable(end) => self.view.durable_seq() >= end,
                Goal::Written(end) => self.view.visible_seq() >= end,
            };
            if self.landings[number as usize % LANDINGS].wait(|| drop(state), is_done) {
                return Ok(());
            }
            state = self.lock();
        }
    }

    /// Waits until nothing is queued and everything is durable.
    fn drain<'a>(&'a self, mut state: Guard<'a>) -> Result<Guard<'a>> {
        while !state.queue.is_empty()
            || state.leading
            || !state.flights.is_empty()
            || state.durable_seq < state.next_seq
        {
            state.sync_wanted = state.next_seq;
            state = self.write_or_wait(state)?;
        }
        Ok(state)
    }

    /// Whether few enough segments wait to be sealed, or nobody seals them.
    fn may_begin_segment(&self) -> bool {
        self.options.background == Background::Manual
            || self.view.is_sealed_enough(self.options.unsealed_segments_max, self.incarnation)
    }

    /// Holds back the beginning of another segment while too many wait to be sealed.
    fn wait_for_sealing<'a>(&'a self, state: Guard<'a>) -> Guard<'a> {
        drop(state);
        let began = self.meter.begin();
        self.view.segments.wait(None, || self.may_begin_segment());
        self.meter.waited(began, Wait::Sealing);
        self.lock()
    }

    fn lock(&self) -> Guard<'_> {
        // The state is consistent between any two statements: no code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
