//! From encoded batches to durable frames: many threads append, one of them at a time writes for all.
//!
//! - [`state`] is what all threads share under one lock: seqs given out, frames waiting to be written, how far writing
//!   and syncing have come. Nothing in it blocks or touches a file.
//! - [`writer`] owns the files. Whoever leads runs it outside the lock.
//! - [`Committer`] joins them: a thread that has to wait for something leads if nobody does (leader/follower group
//!   commit), so there is no thread of the log's own on the way of a record.
//!
//! Promises: records are written in the order of their seqs; a record is reported durable only after a sync that began
//! after it was written; the first failed write or sync is the last thing that is tried.

mod head;
mod prepare;
mod state;
mod writer;

pub(crate) use head::{HEAD_BYTES, Head};
use prepare::Prepared;
pub(crate) use prepare::Preparer;
pub(crate) use writer::install;

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::options::{Background, Durability, Options};
use crate::raw::frame::{SEQ_LIMIT, frame_bytes};
use crate::sync::{Condvar, Instant, Mutex, MutexGuard, wait_timeout};
use crate::view::View;
use crate::{Incarnation, LogId, Storage};
use state::{Need, State};
use std::ops::Range;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
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
    preparer: Preparer,
    incarnation: Incarnation,
    state: Mutex<State>,
    /// Something in the state changed that a waiting appender may wait for.
    changed: Condvar,
    /// The background has something to do.
    background: Condvar,
    writer: Mutex<Writer>,
}

/// Held while a thread leads; dropped only if it panics.
struct Leading<'a>(&'a Committer);

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

type Guard<'a> = MutexGuard<'a, State>;

impl Committer {
    pub(crate) fn new(options: Options, storage: Arc<dyn Storage>, view: Arc<View>, seed: Seed) -> Result<Self> {
        let preparer = Preparer::new(Arc::clone(&storage), seed.log_id, seed.next_ordinal);
        let writer = Writer::new(Arc::clone(&storage), Arc::clone(&view), &seed, options.durability)?;
        Ok(Self {
            state: Mutex::new(State::new(&options, seed.incarnation, seed.next_seq)),
            changed: Condvar::new(),
            background: Condvar::new(),
            writer: Mutex::new(writer),
            preparer,
            incarnation: seed.incarnation,
            options,
            storage,
            view,
        })
    }

    /// Appends a batch and waits for what `durability` or the log's own, whichever is more, asks for. Returns the seqs.
    pub(crate) fn append(&self, batch: &mut Batch, durability: Durability) -> Result<Range<u64>> {
        let now = self.storage.now();
        batch.finish(now);
        let frame = frame_bytes(batch.bytes());
        let limit = self.options.frame_bytes_max(state::SEGMENT_OVERHEAD_BYTES);
        if frame > limit {
            return Err(Error::TooLarge { what: "the batch", found: frame, limit });
        }
        let mut state = self.lock();
        if batch.is_empty() {
            state.check_open()?;
            return Ok(state.next_seq..state.next_seq);
        }
        loop {
            state.check_open()?;
            if state.next_seq + batch.len() as u64 > SEQ_LIMIT {
                return Err(Error::TooLarge { what: "the log's last seq", found: state.next_seq, limit: SEQ_LIMIT });
            }
            if state.queued_bytes > 0 && state.queued_bytes + frame as usize > self.options.queue_bytes {
                state = self.lead_or_wait(state, None)?;
            } else if let Some(need) = state.need(frame, now) {
                if matches!(need, Need::Segment { .. }) && !self.may_begin_segment() {
                    // Others go on meanwhile: what is needed afterwards is another question.
                    state = self.wait_for_sealing(state);
                } else {
                    state = self.lead_or_wait(state, Some(need))?;
                }
            } else {
                break;
            }
        }
        let seqs = state.place(batch, now);
        match durability.max(self.options.durability) {
            Durability::Durable => drop(self.wait_durable(state, seqs.end)?),
            Durability::Written => drop(self.wait_written(state, seqs.end)?),
            Durability::Buffered { .. } if state.queued_bytes >= BUFFERED_WRITE_BYTES && !state.leading => {
                drop(self.lead_or_wait(state, None)?);
            }
            Durability::Buffered { .. } => self.wake_background(&mut state),
        }
        Ok(seqs)
    }

    /// Writes and syncs everything that was appended before the call.
    pub(crate) fn sync(&self) -> Result<u64> {
        let state = self.lock();
        state.check_open()?;
        let end = state.next_seq;
        Ok(self.wait_durable(state, end)?.durable_seq)
    }

    /// Ends the active segment, so that all records appended so far can be sealed. The next append begins another.
    /// Returns the seq after those records.
    pub(crate) fn end_segment(&self) -> Result<u64> {
        let mut state = self.lock();
        state.check_open()?;
        state.end_segment();
        let end_seq = state.next_seq;
        // Who appends meanwhile fills the queue anew: only what is in it now is waited for.
        let rounds = state.rounds_begun + 1;
        let is_busy = |state: &State| state.leading || !state.queue.is_empty();
        while (state.rounds_done < rounds && is_busy(&state)) || state.durable_seq < end_seq {
            state.sync_wanted = state.sync_wanted.max(end_seq);
            state = self.lead_or_wait(state, None)?;
        }
        Ok(end_seq)
    }

    /// Ends the log: what was appended becomes durable, and the active segment gets its final marker.
    pub(crate) fn close(&self) -> Result<()> {
        let mut state = self.lock();
        if state.closed {
            return Ok(());
        }
        state.check_open()?;
        state.end_segment();
        let mut state = self.drain(state)?;
        state.closed = true;
        let unused = state.next.take();
        drop(state);
        self.changed.notify_all();
        self.background.notify_all();
        if let Some(unused) = unused {
            self.preparer.discard(unused);
        }
        Ok(())
    }

    /// One step of what is done in the background: syncing what waits longer than it may, and telling of what is
    /// durable. Returns whether there will be more to do without another append.
    pub(crate) fn tick(&self) -> Result<bool> {
        let mut state = self.lock();
        state.check_open()?;
        if state.durable_seq < state.next_seq {
            let end = state.next_seq;
            drop(self.wait_durable(state, end)?);
            return Ok(true);
        }
        if !state.leading && state.place_watermark() {
            drop(self.lead_or_wait(state, None)?);
        }
        Ok(false)
    }

    /// Blocks until there is something for [`Committer::tick`], and then for `pause`. Returns `false` once the log is
    /// closed or has failed.
    pub(crate) fn wait_for_work(&self, pause: Duration) -> bool {
        let mut state = self.lock();
        while !state.stirred && state.check_open().is_ok() {
            state = self.background.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let deadline = Instant::now() + pause;
        while state.check_open().is_ok() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = wait_timeout(&self.state, &self.background, state, left);
        }
        state.stirred = false;
        state.check_open().is_ok()
    }

    /// Records that the background has work left, so that [`Committer::wait_for_work`] returns.
    pub(crate) fn stir(&self) {
        self.wake_background(&mut self.lock());
    }

    pub(crate) fn next_seq(&self) -> u64 {
        self.lock().next_seq
    }

    /// The ordinal of a new file.
    pub(crate) fn next_ordinal(&self) -> u64 {
        self.preparer.next_ordinal()
    }

    fn wait_durable<'a>(&'a self, mut state: Guard<'a>, end: u64) -> Result<Guard<'a>> {
        while state.durable_seq < end {
            state.sync_wanted = state.sync_wanted.max(end);
            state = self.lead_or_wait(state, None)?;
        }
        Ok(state)
    }

    fn wait_written<'a>(&'a self, mut state: Guard<'a>, end: u64) -> Result<Guard<'a>> {
        while state.written_seq < end {
            state = self.lead_or_wait(state, None)?;
        }
        Ok(state)
    }

    /// Waits until nothing is queued and everything is durable.
    fn drain<'a>(&'a self, mut state: Guard<'a>) -> Result<Guard<'a>> {
        while !state.queue.is_empty() || state.leading || state.durable_seq < state.next_seq {
            state.sync_wanted = state.next_seq;
            state = self.lead_or_wait(state, None)?;
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
        self.view.wait(None, || self.may_begin_segment());
        self.lock()
    }

    /// Does what waits to be done, and `need`, or waits until the thread that is doing such things comes back.
    fn lead_or_wait<'a>(&'a self, mut state: Guard<'a>, need: Option<Need>) -> Result<Guard<'a>> {
        state.check_usable()?;
        if state.leading {
            let state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.check_usable()?;
            return Ok(state);
        }
        state.leading = true;
        state.rounds_begun += 1;
        let jobs = std::mem::take(&mut state.queue);
        state.queued_bytes = 0;
        let sync = state.sync_wanted > state.durable_seq;
        drop(state);

        let leading = Leading(self);
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut done = writer.run(jobs, sync);
        // What is prepared here is prepared for the caller, whose append alone fails if there is no space.
        let prepared = match (&done, need) {
            (Ok(_), Some(need)) => Some(self.preparer.prepare(need)),
            _ => None,
        };
        if let (Ok(told), Some(Ok(Prepared::Space { file, .. }))) = (&mut done, &prepared) {
            match writer.note_synced(file) {
                Ok(durable_seq) => told.durable_seq = durable_seq,
                Err(error) => done = Err(error),
            }
        }
        drop(writer);
        std::mem::forget(leading);

        let mut state = self.lock();
        state.leading = false;
        let outcome = match done {
            Ok(done) => {
                state.rounds_done = state.rounds_begun;
                state.written_seq = done.written_seq;
                state.durable_seq = done.durable_seq;
                state.reuse(done.buffers);
                prepared.map_or(Ok(()), |prepared| state.take_prepared(prepared))
            }
            Err(error) => {
                state.fail(error);
                Ok(())
            }
        };
        let usable = state.check_usable();
        match usable {
            Ok(()) => self.wake_background(&mut state),
            // Whoever waits for work waits in vain from now on.
            Err(_) => self.background.notify_all(),
        }
        self.changed.notify_all();
        self.view.notify();
        usable?;
        outcome?;
        Ok(state)
    }

    /// Ends the lead of a thread that panics, as a failure of what it was about to do: nobody would take its place.
    fn abandon(&self) {
        let mut state = self.lock();
        state.leading = false;
        let panicked = std::io::Error::other("the thread that wrote panicked");
        state.fail(Error::io("write", self.storage.describe(""))(panicked));
        drop(state);
        self.background.notify_all();
        self.changed.notify_all();
        self.view.notify();
    }

    fn wake_background(&self, state: &mut State) {
        if !state.stirred && (state.watermark_placed < state.next_seq || state.durable_seq < state.next_seq) {
            state.stirred = true;
            self.background.notify_all();
        }
    }

    fn lock(&self) -> Guard<'_> {
        // The state is consistent between any two statements: no code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
