//! Appends to a log with limits: which are taken, which are refused or dropped, and how the log tells of those that were dropped.

use crate::Timestamp;
use crate::batch::Batch;
use crate::commit::state::State;
use crate::commit::{Committer, Guard, Room};
use crate::drops::{Drops, Limit};
use crate::error::{Error, Result};
use crate::limits::OnLimit;
use crate::meter::Wait;
use crate::raw::frame::frame_bytes;
use crate::sync::thread;
use std::ops::Range;
use std::time::Duration;

/// How long an append sleeps at most before it looks whether the log is still open.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// Which drops are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Those that it is time for.
    Due,
    /// All of them.
    All,
}

impl State {
    /// Whether records were dropped of which the log doesn't tell yet.
    pub(super) fn has_drops(&self) -> bool {
        self.limits.as_ref().is_some_and(|limits| limits.has_drops())
    }
}

impl Committer {
    /// As [`Committer::place`], of a batch that is finished and has records, in a log with limits.
    pub(super) fn place_limited<'a>(
        &'a self,
        state: Guard<'a>,
        batch: &Batch,
        now: Timestamp,
        may_drop: bool,
    ) -> Result<(Guard<'a>, Range<u64>)> {
        let placed = self.admit(state, batch).and_then(|state| {
            let found = self.find_room_behind_drops(state, batch, now).inspect_err(|_| self.give_back(batch));
            found.map(|mut state| {
                let seqs = self.place_in_room(&mut state, batch, now);
                (state, seqs)
            })
        });
        placed.map_err(|error| self.beyond(error, batch, may_drop))
    }

    /// [`Committer::find_room`], which stands in [`Committer::place`] for the sake of logs without limits, once more.
    #[inline(never)]
    fn room<'a>(&'a self, state: Guard<'a>, batch: &Batch, now: Timestamp, room: Room) -> Result<Guard<'a>> {
        self.find_room(state, batch, now, room)
    }

    /// As [`Committer::room`], of [`Committer::place_found`].
    #[inline(never)]
    fn place_in_room(&self, state: &mut State, batch: &Batch, now: Timestamp) -> Range<u64> {
        self.place_found(state, batch, now)
    }

    /// Finds room for a batch, and places before it what is to be told of drops by now. Only what is taken itself tells.
    fn find_room_behind_drops<'a>(&'a self, state: Guard<'a>, batch: &Batch, now: Timestamp) -> Result<Guard<'a>> {
        let state = self.room(state, batch, now, Room::Limited)?;
        if !state.has_drops() {
            return Ok(state);
        }
        let state = self.tell_drops(state, Told::Due)?;
        self.room(state, batch, now, Room::Limited)
    }

    /// Takes a batch out of the bucket, as soon as that may be; or refuses it.
    fn admit<'a>(&'a self, mut state: Guard<'a>, batch: &Batch) -> Result<Guard<'a>> {
        let Some(rate) = self.options.rate_limit else { return Ok(state) };
        let mut began = None;
        loop {
            state.check_open()?;
            let now = self.storage.elapsed();
            let Some(limits) = state.limits.as_mut() else { return Ok(state) };
            let Err(retry_after) = limits.take(batch.len() as u64, batch.bytes() as u64, now) else { break };
            if rate.on_limit != OnLimit::Wait {
                return Err(Error::RateLimited { retry_after });
            }
            began.get_or_insert_with(|| self.meter.begin());
            drop(state);
            thread::sleep(retry_after.min(PAUSE_MAX));
            state = self.lock();
        }
        if let Some(began) = began {
            self.meter.waited(began, Wait::Rate);
        }
        Ok(state)
    }

    fn give_back(&self, batch: &Batch) {
        if let Some(limits) = self.lock().limits.as_mut() {
            limits.give_back(batch.len() as u64, batch.bytes() as u64);
        }
    }

    /// What the error of an append comes to: beyond a limit that drops, the batch is dropped.
    fn beyond(&self, error: Error, batch: &Batch, may_drop: bool) -> Error {
        let (limit, on_limit) = match &error {
            Error::RateLimited { .. } => (Limit::Rate, self.options.rate_limit.map(|rate| rate.on_limit)),
            Error::QueueFull { .. } => (Limit::Queue, Some(self.options.on_queue_full)),
            _ => return error,
        };
        if on_limit != Some(OnLimit::Drop) || !may_drop {
            self.meter.refused(&error);
            return error;
        }
        let now = self.storage.now();
        let (records, bytes) = (batch.len() as u64, batch.bytes() as u64);
        let mut state = self.lock();
        if let Err(closed) = state.check_open() {
            return closed;
        }
        match state.limits.as_mut().filter(|limits| !limits.is_closing) {
            Some(limits) => limits.count(Drops { limit, records, bytes, since: now, until: now }),
            None => return Error::Closed,
        }
        self.meter.dropped(limit, records, bytes);
        self.wake_background(&mut state);
        Error::Dropped { limit, records }
    }

    /// Places the records that tell of what was dropped. They wait for no limit: there is little of them, and somebody has to
    /// know.
    pub(super) fn tell_drops<'a>(&'a self, mut state: Guard<'a>, told: Told) -> Result<Guard<'a>> {
        if !state.has_drops() {
            return Ok(state);
        }
        state.check_open()?;
        let now = self.storage.elapsed();
        if !state.limits.as_mut().is_some_and(|limits| limits.begin_telling(now, told == Told::All)) {
            return Ok(state);
        }
        for limit in Limit::ALL {
            if state.limits.as_ref().is_some_and(|limits| limits.has_drops_of(limit)) {
                state = self.tell(state, limit)?;
            }
        }
        Ok(state)
    }

    /// As [`Committer::tell_drops`]; where there is no space for it, that is told beside the state, and all else goes on.
    pub(super) fn try_to_tell<'a>(&'a self, state: Guard<'a>, told: Told) -> Result<(Guard<'a>, Result<()>)> {
        match self.tell_drops(state, told) {
            Ok(state) => Ok((state, Ok(()))),
            Err(error) if error.is_refusal() => Ok((self.lock(), Err(error))),
            Err(error) => Err(error),
        }
    }

    fn tell<'a>(&'a self, state: Guard<'a>, limit: Limit) -> Result<Guard<'a>> {
        let now = self.storage.now();
        let mut state = self.room(state, &note(&Drops::largest(limit), now)?, now, Room::Any)?;
        // Taken only now: who closes the log while room is made tells of them, and without room they are told another time.
        let Some(drops) = state.limits.as_mut().and_then(|limits| limits.take_drops(limit)) else { return Ok(state) };
        let seqs = self.place_in_room(&mut state, &note(&drops, now)?, now);
        state.note_drops(seqs.start);
        Ok(state)
    }
}

/// What tells of `drops`, ready to be placed.
fn note(drops: &Drops, now: Timestamp) -> Result<Batch> {
    let mut batch = Batch::new();
    batch.push_drops(drops)?;
    batch.finish(now);
    debug_assert!(frame_bytes(batch.bytes()) < 1 << 10);
    Ok(batch)
}
