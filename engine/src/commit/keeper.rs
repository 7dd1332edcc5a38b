//! What nobody who appends waits for: writing on time, preparing space ahead of need, telling of what is durable.

use crate::commit::limited::Told;
use crate::commit::rounds::Writing;
use crate::commit::state::State;
use crate::commit::writer::Writer;
use crate::commit::{Committer, Guard};
use crate::error::{Error, Result};
use crate::sync::{Instant, MutexGuard, wait_timeout};
use std::sync::PoisonError;
use std::time::Duration;

impl Committer {
    /// One step of what is done in the background: writing what nobody waits for, syncing what waits longer than it may, and
    /// telling of what is durable. Returns whether there will be more to do without another append.
    pub(crate) fn tick(&self) -> Result<bool> {
        let state = self.lock();
        state.check_open()?;
        // Where there is no space to tell of drops, what was appended is to be synced all the same.
        let (mut state, _) = self.try_to_tell(state, Told::Due)?;
        if state.durable_seq < state.next_seq {
            let end = state.next_seq;
            match state.tail.as_ref().is_some_and(|tail| tail.direct.is_some()) {
                true => drop(self.wait_durable(state, end)?),
                false => self.sync_aside(state, end)?,
            }
            return Ok(true);
        }
        if state.can_lead() && state.place_watermark() {
            state = self.write_or_wait(state)?;
        }
        Ok(state.has_drops())
    }

    /// Does what can't wait for the next [`Committer::tick`]: writes what is wanted to be written, and prepares space that is
    /// needed soon.
    pub(crate) fn hurry(&self) -> Result<()> {
        let mut state = self.lock();
        state.check_open()?;
        while state.written_seq < state.write_wanted {
            state = self.write_or_wait(state)?;
        }
        let Some(need) = state.need_soon() else { return Ok(()) };
        state.preparing = true;
        let zeroed = state.is_zeroing();
        drop(state);
        let writing = Writing(self);
        let prepared = self.preparer.prepare(need, zeroed);
        std::mem::forget(writing);
        let mut state = self.lock();
        state.preparing = false;
        // A disk that is full is told to those who append, when they need what is not to be had now.
        state.is_full = prepared.as_ref().is_err_and(Error::is_refusal);
        let taken = if state.is_full { Ok(()) } else { state.take_prepared(prepared) };
        drop(state);
        match taken {
            Ok(()) => self.notify_all(),
            // Somebody may wait for what was to be prepared, or for a chunk.
            Err(_) => self.notify_failed(),
        }
        taken
    }

    /// Makes all below `end` durable by a sync beside which others write: it takes as long as the disk needs for all that was
    /// written since the one before.
    fn sync_aside<'a>(&'a self, mut state: Guard<'a>, end: u64) -> Result<()> {
        while state.written_seq < end {
            state = self.write_or_wait(state)?;
        }
        while state.leading || state.syncing {
            state = self.wait(state);
            state.check_usable()?;
        }
        state.syncing = true;
        drop(state);
        let (writing, began) = (Writing(self), self.meter.begin());
        let unsynced = self.lock_writer().unsynced();
        let synced = unsynced.map(|(file, path, seq)| match file.sync() {
            Ok(()) => self.lock_writer().note_durable(seq),
            Err(error) => Err(Error::io("sync", path)(error)),
        });
        std::mem::forget(writing);
        let mut state = self.lock();
        state.syncing = false;
        match synced {
            None => {}
            Some(Ok(done)) => {
                self.meter.wrote(began, 0);
                state.acknowledge(done);
            }
            // In one step with the end of syncing: a sync of somebody else would succeed now, and prove nothing.
            Some(Err(error)) => state.fail(error),
        }
        if let Err(poisoned) = state.check_usable() {
            drop(state);
            self.notify_failed();
            return Err(poisoned);
        }
        self.call_next(&mut state);
        Ok(())
    }

    fn lock_writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks until there is something for [`Committer::tick`], and then for `pause`. What is in a hurry is done meanwhile.
    /// Returns `false` once the log is closed or has failed.
    pub(crate) fn wait_for_work(&self, pause: Duration) -> bool {
        let mut deadline = None;
        let mut state = self.lock();
        while state.check_open().is_ok() {
            if state.is_in_a_hurry() {
                drop(state);
                // A failure is kept in the state, and every append returns it.
                let _ = self.hurry();
                state = self.lock();
            } else if !state.stirred {
                state.keeper_waits = true;
                state = self.background.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + pause);
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                state.keeper_waits = true;
                state = wait_timeout(&self.state, &self.background, state, left);
            }
        }
        state.stirred = false;
        state.check_open().is_ok()
    }

    /// Records that the background has work left, so that [`Committer::wait_for_work`] returns.
    pub(crate) fn stir(&self) {
        self.wake_background(&mut self.lock());
    }

    /// Has everything below `end` written soon, by the thread in the background if there is one.
    pub(super) fn want_written(&self, state: &mut State, end: u64) {
        state.write_wanted = state.write_wanted.max(end);
        self.call_keeper(state);
    }

    pub(super) fn wake_background(&self, state: &mut State) {
        let has_work =
            state.watermark_placed < state.next_seq || state.durable_seq < state.next_seq || state.has_drops();
        if !state.stirred && has_work {
            state.stirred = true;
            self.call_keeper(state);
        }
    }

    /// Has the thread in the background look for work, unless it is at it.
    pub(super) fn call_keeper(&self, state: &mut State) {
        if std::mem::take(&mut state.keeper_waits) {
            self.background.notify_all();
        }
    }
}
