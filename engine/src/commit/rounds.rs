//! Writing what waits, by whoever comes first: one chunk beside others, or everything alone.

use crate::commit::chunk::{Chunk, Job};
use crate::commit::landing::LANDINGS;
use crate::commit::prepare::Prepared;
use crate::commit::space::Need;
use crate::commit::state::State;
use crate::commit::{Committer, Guard};
use crate::error::{Error, Result};
use crate::storage::write_all_at;
use std::io;
use std::sync::PoisonError;

/// Held while a thread writes or prepares; dropped only if it panics.
pub(super) struct Writing<'a>(pub(super) &'a Committer);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl Committer {
    /// Writes what waits to be written, or waits until others have written something.
    pub(super) fn write_or_wait<'a>(&'a self, mut state: Guard<'a>) -> Result<Guard<'a>> {
        state.check_usable()?;
        if let Some(chunk) = state.take_off() {
            return self.fly(state, chunk);
        }
        if state.can_lead() {
            return self.lead(state, None);
        }
        let state = self.wait(state);
        state.check_usable()?;
        Ok(state)
    }

    /// Prepares what is needed, or waits until others have written or prepared something.
    pub(super) fn prepare_or_wait<'a>(&'a self, mut state: Guard<'a>, need: Need) -> Result<Guard<'a>> {
        state.check_usable()?;
        if state.can_lead() && !state.preparing && !state.syncing {
            return self.lead(state, Some(need));
        }
        // Nobody flies while somebody has to lead: there would be no end of it.
        state.leads_wanted += 1;
        let mut state = self.wait(state);
        state.leads_wanted -= 1;
        state.check_usable()?;
        Ok(state)
    }

    /// Waits until anything changes.
    pub(super) fn wait<'a>(&'a self, mut state: Guard<'a>) -> Guard<'a> {
        state.waiting += 1;
        let mut state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state
    }

    /// Writes one chunk, beside others that are being written.
    fn fly<'a>(&'a self, state: Guard<'a>, chunk: Chunk) -> Result<Guard<'a>> {
        drop(state);
        let (writing, began) = (Writing(self), self.meter.begin());
        let written = match &chunk.direct {
            Some(direct) => write_all_at(&*direct.durable, &chunk.bytes, chunk.offset),
            None => Err(io::ErrorKind::Unsupported.into()),
        };
        let mut state = self.lock();
        match written {
            Ok(()) => {
                self.meter.wrote(began, chunk.new_bytes());
                state.land(chunk);
            }
            Err(error) => {
                state.fail(Error::io("write", self.active_path())(error));
                drop(state);
                self.notify_failed();
                state = self.lock();
            }
        }
        // Acknowledgements are given in the order of the chunks, and so is what readers are told: by one thread, which goes
        // on for those that land meanwhile.
        if !state.landing {
            state = self.acknowledge_landed(state);
        }
        std::mem::forget(writing);
        state.check_usable()?;
        Ok(state)
    }

    fn acknowledge_landed<'a>(&'a self, mut state: Guard<'a>) -> Guard<'a> {
        state.landing = true;
        loop {
            let landed = state.take_landed();
            if landed.is_empty() {
                break;
            }
            drop(state);
            let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            let awaited: Vec<_> = landed.iter().filter(|chunk| chunk.is_awaited).map(|chunk| chunk.number).collect();
            let done = writer.land(landed);
            drop(writer);
            self.wake(&awaited);
            if let Err(error) = &done {
                self.fail(error.clone());
            }
            state = self.lock();
            if let Ok(done) = done {
                state.acknowledge(done);
                self.call_next(&mut state);
            }
        }
        state.landing = false;
        self.call_next(&mut state);
        state
    }

    fn active_path(&self) -> String {
        self.storage.describe(&self.view.active().map_or_else(String::new, |name| name.to_string()))
    }

    /// Does all that waits to be done, alone.
    fn lead<'a>(&'a self, mut state: Guard<'a>, need: Option<Need>) -> Result<Guard<'a>> {
        state.leading = true;
        state.preparing |= need.is_some();
        state.rounds_begun += 1;
        let jobs = state.take_jobs();
        let (sync, zeroed) = (state.sync_wanted > state.durable_seq, state.is_zeroing());
        drop(state);

        let writing = Writing(self);
        let awaited: Vec<_> =
            jobs.iter().filter_map(Job::chunk).filter(|chunk| chunk.is_awaited).map(|chunk| chunk.number).collect();
        let bytes: usize = jobs.iter().filter_map(Job::chunk).map(Chunk::new_bytes).sum();
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let began = self.meter.begin();
        let mut done = writer.run(jobs, sync);
        if done.is_ok() && (bytes > 0 || sync) {
            self.meter.wrote(began, bytes);
        }
        // What is prepared here is prepared for the caller, whose append alone fails if there is no space.
        let is_needed = need.is_some();
        let prepared = match (&done, need) {
            (Ok(_), Some(need)) => Some(self.preparer.prepare(need, zeroed)),
            _ => None,
        };
        if let (Ok(told), Some(Ok(Prepared::Space { file, .. }))) = (&mut done, &prepared) {
            match writer.note_synced(file) {
                Ok(durable_seq) => told.durable_seq = durable_seq,
                Err(error) => done = Err(error),
            }
        }
        drop(writer);
        std::mem::forget(writing);

        let mut state = self.lock();
        state.leading = false;
        state.preparing &= !is_needed;
        let outcome = match done {
            Ok(done) => {
                state.rounds_done = state.rounds_begun;
                state.acknowledge(done);
                prepared.map_or(Ok(()), |prepared| state.take_prepared(prepared))
            }
            Err(error) => {
                state.fail(error);
                Ok(())
            }
        };
        if let Err(poisoned) = state.check_usable() {
            drop(state);
            self.notify_failed();
            return Err(poisoned);
        }
        self.call_next(&mut state);
        self.wake(&awaited);
        outcome?;
        Ok(state)
    }

    /// Wakes those who wait for the chunks of these numbers.
    fn wake(&self, awaited: &[u64]) {
        for number in awaited {
            self.landings[*number as usize % LANDINGS].wake();
        }
    }

    /// After something was written: calls somebody who can write what waits, and all who wait for anything else.
    pub(super) fn call_next(&self, state: &mut State) {
        if state.waiting > 0 {
            self.changed.notify_all();
        }
        if state.can_fly() || state.can_lead() {
            // The next chunk is written by one of those who wait for it. If nobody does, it is the keeper's.
            let awaited = state.queue.iter().filter_map(Job::chunk).filter(|chunk| chunk.is_awaited);
            awaited.take(1).for_each(|chunk| {
                self.landings[chunk.number as usize % LANDINGS].call();
            });
        }
        self.wake_background(state);
        self.view.records.notify();
    }

    /// Ends the log for writing: `error` is what every call returns from now on.
    pub(super) fn fail(&self, error: Error) {
        self.lock().fail(error);
        self.notify_failed();
    }

    pub(super) fn notify_failed(&self) {
        self.landings.iter().for_each(super::landing::Landing::end);
        // Whoever waits for work waits in vain from now on.
        self.background.notify_all();
        self.notify_all();
    }

    /// Wakes all who wait for anything but a chunk.
    pub(super) fn notify_all(&self) {
        self.changed.notify_all();
        self.view.records.notify();
    }

    /// Ends what a thread that panics was about to do, as its failure: nobody would take its place.
    fn abandon(&self) {
        let panicked = io::Error::other("the thread that wrote panicked");
        let error = Error::io("write", self.storage.describe(""))(panicked);
        let mut state = self.lock();
        // In one step: nobody is to go on from where it ended.
        (state.leading, state.landing, state.preparing, state.syncing) = (false, false, false, false);
        state.fail(error);
        drop(state);
        self.notify_failed();
    }
}
