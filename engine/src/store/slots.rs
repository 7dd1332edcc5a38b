//! Which streams are open: found by name, opened when they are needed, closed when others need their place.
//!
//! Whoever uses a log holds a [`Lease`] of it, and a log is closed only while nobody does; that and the beginning of closing
//! are one step under the lock, so no append ever meets a log that is being closed. While a log is being opened or closed
//! its place is *moving*, and whoever wants it waits for that. No file is touched under the lock.

use crate::error::{Error, Result};
use crate::log::Log;
use crate::names::{SegmentName, StreamName};
use crate::recovery::RecoveryReport;
use crate::sealed::BlockCache;
use crate::storage::Storage;
use crate::store::census::Census;
use crate::store::options::StoreOptions;
use crate::store::poisoned;
use crate::sync::{Condvar, Instant, Mutex, MutexGuard, thread_local};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, PoisonError};

/// What the handles of a store share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) options: StoreOptions,
    pub(super) cache: Option<Arc<BlockCache>>,
    pub(super) state: Mutex<State>,
    census: Census,
    /// A place was taken, left or given up, or the store was closed.
    changed: Condvar,
    /// The background has something to do.
    pub(super) background: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) slots: BTreeMap<StreamName, Slot>,
    /// Counts the leases, to know who was used last.
    uses: u64,
    /// How many threads wait for `changed`.
    waiting: usize,
    /// Whether the background has been told that there is work.
    pub(super) stirred: bool,
    pub(super) closed: bool,
    recoveries: BTreeMap<StreamName, RecoveryReport>,
}

/// The place of one stream.
#[derive(Debug)]
pub(super) enum Slot {
    /// A thread opens or closes it.
    Moving,
    Open(Open),
    /// It could not be closed properly, and accepts nothing any more.
    Failed(Error),
}

#[derive(Debug)]
pub(super) struct Open {
    log: Arc<Log>,
    users: usize,
    last_use: u64,
    pub(super) used_at: Instant,
    /// It was used since the keeper, and since the sealer, has been there.
    pub(super) to_keep: bool,
    pub(super) to_seal: bool,
    /// The segments when the sealer was there.
    pub(super) sealed_at: Option<(usize, Option<SegmentName>)>,
    /// Sealing has failed, and is tried again after this.
    pub(super) rest_until: Option<Instant>,
}

thread_local! {
    /// How many leases the thread holds. One that holds any never waits for others to give up theirs.
    static LEASES: Cell<usize> = Cell::default();
}

type Guard<'a> = MutexGuard<'a, State>;

impl Shared {
    pub(super) fn new(storage: Arc<dyn Storage>, options: StoreOptions, cache: Option<Arc<BlockCache>>) -> Self {
        let state = Mutex::new(State::default());
        let (census, changed, background) = (Census::new(), Condvar::new(), Condvar::new());
        Self { storage, options, cache, state, census, changed, background }
    }

    /// The log of the stream `name`, opened or created if need be.
    pub(super) fn lease<'a>(&'a self, name: &'a StreamName) -> Result<Lease<'a>> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return Err(Error::Closed);
            }
            match state.slots.get(name) {
                Some(Slot::Open(_)) => return Ok(Lease::new(self, &mut state, name, true)),
                Some(Slot::Failed(error)) => return Err(error.clone()),
                Some(Slot::Moving) => state = self.wait(state),
                None if state.held() < self.options.open_streams => break,
                None => match state.least_recent(|_| true) {
                    Some(idle) => state = self.close_one(state, &idle).0,
                    None if LEASES.with(Cell::get) > 0 => break,
                    None => state = self.wait(state),
                },
            }
        }
        state.slots.insert(name.clone(), Slot::Moving);
        drop(state);
        let mut moving = Moving { shared: self, name, becomes: None };
        let log = self.open_log(name)?;
        moving.becomes = Some(Slot::Open(Open {
            log: Arc::new(log),
            users: 0,
            last_use: 0,
            used_at: Instant::now(),
            to_keep: false,
            to_seal: false,
            sealed_at: None,
            rest_until: None,
        }));
        // In one step, so that nobody closes it before it was used.
        let mut state = moving.end();
        Ok(Lease::new(self, &mut state, name, true))
    }

    /// The log of a stream, if it is open and the store is, for what is done in the background.
    pub(super) fn lease_open<'a>(&'a self, name: &'a StreamName) -> Option<Lease<'a>> {
        let mut state = self.lock();
        let is_open = !state.closed && matches!(state.slots.get(name), Some(Slot::Open(_)));
        is_open.then(|| Lease::new(self, &mut state, name, false))
    }

    /// Does something with every log that is open, or is about to be. Those that are being closed are waited for: then all
    /// that was appended to them is durable. Returns the first failure, after all others.
    pub(super) fn each_open(&self, act: impl Fn(&Log) -> Result<()>) -> Result<()> {
        let state = self.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        let names: Vec<StreamName> = state.slots.keys().cloned().collect();
        let failed = state.slots.values().find_map(|slot| match slot {
            Slot::Failed(error) => Some(error.clone()),
            _ => None,
        });
        drop(state);
        names.iter().fold(failed.map_or(Ok(()), Err), |outcome, name| {
            let settled = self.lease_settled(name);
            outcome.and(settled.and_then(|lease| lease.map_or(Ok(()), |lease| act(&lease))))
        })
    }

    /// The log of a stream, if it is open once nobody opens or closes it any more.
    fn lease_settled<'a>(&'a self, name: &'a StreamName) -> Result<Option<Lease<'a>>> {
        let mut state = self.lock();
        // Who opens or closes a log waits for nobody's lease.
        while matches!(state.slots.get(name), Some(Slot::Moving)) {
            state = self.wait(state);
        }
        match state.slots.get(name) {
            Some(Slot::Open(_)) => Ok(Some(Lease::new(self, &mut state, name, false))),
            Some(Slot::Failed(error)) => Err(error.clone()),
            Some(Slot::Moving) | None => Ok(None),
        }
    }

    /// Closes the streams that nobody has used for long.
    pub(super) fn close_idle(&self) {
        let now = Instant::now();
        let is_idle = |open: &Open| now.saturating_duration_since(open.used_at) >= self.options.idle_close;
        let mut state = self.lock();
        while let Some(idle) = state.least_recent(is_idle) {
            state = self.close_one(state, &idle).0;
        }
    }

    /// Closes all streams, as soon as nobody uses them, and lets nobody open others.
    pub(super) fn close_all(&self) -> Result<()> {
        let mut state = self.lock();
        state.closed = true;
        self.changed.notify_all();
        self.background.notify_all();
        let mut outcome = Ok(());
        loop {
            if let Some(idle) = state.least_recent(|_| true) {
                let (after, closed) = self.close_one(state, &idle);
                (state, outcome) = (after, outcome.and(closed));
            } else if state.held() > 0 && LEASES.with(Cell::get) == 0 {
                state = self.wait(state);
            } else {
                break;
            }
        }
        let slots = std::mem::take(&mut state.slots);
        drop(state);
        // What failed before is told once. A log that is in use after all, by a thread that closes the store while it holds one of
        // its streams, closes itself when it is given up.
        let failed = slots.into_values().find_map(|slot| match slot {
            Slot::Failed(error) => Some(error),
            _ => None,
        });
        outcome.and(failed.map_or(Ok(()), Err))
    }

    /// Sees to it that the stream `name` can be created, if it isn't there.
    pub(super) fn reserve(&self, name: &StreamName) -> Result<()> {
        self.census.reserve(&*self.storage, name, self.options.streams_max)
    }

    pub(super) fn recoveries(&self) -> Vec<(StreamName, RecoveryReport)> {
        self.lock().recoveries.clone().into_iter().collect()
    }

    pub(super) fn open_count(&self) -> usize {
        self.lock().held()
    }

    pub(super) fn lock(&self) -> Guard<'_> {
        // The state is consistent between any two statements: no code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&'a self, mut state: Guard<'a>) -> Guard<'a> {
        state.waiting += 1;
        let mut state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state
    }

    fn open_log(&self, name: &StreamName) -> Result<Log> {
        let folder = name.folder();
        let storage = self.storage.folder(&folder).map_err(Error::io("open", self.storage.describe(&folder)))?;
        let is_new = self.census.admit(&*self.storage, name, self.options.streams_max)?;
        let opened = self.options.streams.open_or_create_with(storage, self.cache.clone());
        if is_new && opened.is_err() {
            self.census.take_back(&*self.storage, name);
        }
        let log = opened?;
        let report = log.recovery();
        if !report.clean || !report.is_complete() || !report.damaged.is_empty() {
            self.lock().recoveries.insert(name.clone(), report.clone());
        }
        Ok(log)
    }

    /// Closes the log of a stream that is open and that nobody uses.
    fn close_one<'a>(&'a self, mut state: Guard<'a>, name: &StreamName) -> (Guard<'a>, Result<()>) {
        let Some(Slot::Open(open)) = state.slots.insert(name.clone(), Slot::Moving) else { return (state, Ok(())) };
        drop(state);
        let mut moving = Moving { shared: self, name, becomes: None };
        // Every life of a log leaves a small segment, and where streams come and go the sealer may never meet it. What can't be
        // sealed now may be another time.
        let _ = open.log.seal_segments_due();
        let closed = open.log.shut();
        // Where there was no space to tell of what was dropped, the log is closed as it should be all the same.
        if let Err(error) = &closed
            && !error.is_refusal()
        {
            moving.becomes = Some(Slot::Failed(poisoned(error.clone())));
        }
        drop(open);
        (moving.end(), closed)
    }
}

impl State {
    /// How many places are taken by logs.
    fn held(&self) -> usize {
        self.slots.values().filter(|slot| !matches!(slot, Slot::Failed(_))).count()
    }

    /// When the stream was used that will be idle for long first.
    pub(super) fn first_used(&self) -> Option<Instant> {
        let name = self.least_recent(|_| true)?;
        match self.slots.get(&name) {
            Some(Slot::Open(open)) => Some(open.used_at),
            _ => None,
        }
    }

    /// Of the streams that nobody uses, and of which `which` is true, the one that was used longest ago.
    fn least_recent(&self, which: impl Fn(&Open) -> bool) -> Option<StreamName> {
        let idle = self.slots.iter().filter_map(|(name, slot)| match slot {
            Slot::Open(open) if open.users == 0 && which(open) => Some((open.last_use, name)),
            _ => None,
        });
        idle.min().map(|(_, name)| name.clone())
    }

    pub(super) fn open_mut(&mut self, name: &StreamName) -> Option<&mut Open> {
        match self.slots.get_mut(name) {
            Some(Slot::Open(open)) => Some(open),
            _ => None,
        }
    }
}

/// The place of a stream while its log is opened or closed. Whatever happens, nobody waits for it for ever.
struct Moving<'a, 'n> {
    shared: &'a Shared,
    name: &'n StreamName,
    /// What it becomes; nothing, if nothing is there then.
    becomes: Option<Slot>,
}

impl<'a> Moving<'a, '_> {
    /// Ends it, and gives the lock under which it ended.
    fn end(mut self) -> Guard<'a> {
        let state = self.settle();
        std::mem::forget(self);
        state
    }

    fn settle(&mut self) -> Guard<'a> {
        let mut state = self.shared.lock();
        match self.becomes.take() {
            Some(slot) => drop(state.slots.insert(self.name.clone(), slot)),
            None => drop(state.slots.remove(self.name)),
        }
        if state.waiting > 0 {
            self.shared.changed.notify_all();
        }
        state
    }
}

impl Drop for Moving<'_, '_> {
    fn drop(&mut self) {
        drop(self.settle());
    }
}

/// A log in use, which stays open as long.
#[derive(Debug)]
pub(super) struct Lease<'a> {
    shared: &'a Shared,
    name: &'a StreamName,
    log: Arc<Log>,
    /// Whether that counts as a use of the stream.
    counts: bool,
}

impl<'a> Lease<'a> {
    /// Takes the log of a stream that is open.
    fn new(shared: &'a Shared, state: &mut State, name: &'a StreamName, counts: bool) -> Self {
        state.uses += 1;
        let uses = state.uses;
        let Some(open) = state.open_mut(name) else { unreachable!("who asks has looked under the same lock") };
        open.users += 1;
        if counts {
            open.last_use = uses;
        }
        LEASES.with(|leases| leases.set(leases.get() + 1));
        Self { shared, name, log: Arc::clone(&open.log), counts }
    }
}

impl Deref for Lease<'_> {
    type Target = Log;

    fn deref(&self) -> &Log {
        &self.log
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        LEASES.with(|leases| leases.set(leases.get() - 1));
        let mut state = self.shared.lock();
        let counts = self.counts;
        let Some(open) = state.open_mut(self.name) else { return };
        open.users -= 1;
        let mut is_news = false;
        if counts {
            is_news = !open.to_seal;
            (open.used_at, open.to_keep, open.to_seal) = (Instant::now(), true, true);
        }
        if open.users == 0 && state.waiting > 0 {
            self.shared.changed.notify_all();
        }
        if counts {
            is_news |= !std::mem::replace(&mut state.stirred, true);
        }
        if is_news {
            self.shared.background.notify_all();
        }
    }
}
