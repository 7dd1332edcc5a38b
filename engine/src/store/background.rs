//! The two threads of a store: what two threads of each log would do otherwise.

use crate::error::{Error, Result};
use crate::log::{SEAL_RETRY, give_way, keeping_interval};
use crate::names::{SegmentName, StreamName};
use crate::store::slots::{Open, Shared, Slot};
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Instant, wait_timeout};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How long a stream that was used waits for the sealer to look at it.
const SEAL_PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Threads {
    keeper: JoinHandle<()>,
    sealer: JoinHandle<()>,
    /// The process that they are threads of.
    process: u32,
}

impl Threads {
    pub(super) fn start(shared: &Arc<Shared>) -> Result<Self> {
        let keeper = spawn("annals-keeper", Arc::clone(shared), keep)?;
        let sealer = spawn("annals-sealer", Arc::clone(shared), seal)?;
        Ok(Self { keeper, sealer, process: std::process::id() })
    }

    /// Waits for both to end, which they do when the store is closed.
    pub(super) fn join(self) {
        if self.process != std::process::id() {
            // A fork of that process has no other threads than the one that forked.
            return std::mem::forget(self);
        }
        // A thread that panicked has said so; there is nothing to add.
        let _ = self.keeper.join();
        let _ = self.sealer.join();
    }
}

fn spawn(name: &str, shared: Arc<Shared>, run: fn(&Shared)) -> Result<JoinHandle<()>> {
    let path = shared.storage.describe("");
    let spawned = thread::Builder::new().name(name.into()).spawn(move || run(&shared));
    spawned.map_err(Error::io("start a thread for", path))
}

/// Syncs what waits longer than it may, writes watermarks of streams that are idle, and closes those that are idle for long.
fn keep(shared: &Shared) {
    let pause = keeping_interval(shared.options.streams.durability);
    while shared.wait_for_use(pause) {
        for name in shared.take_used(|open| std::mem::take(&mut open.to_keep)) {
            let Some(lease) = shared.lease_open(&name) else { continue };
            // A failure is kept in the log, and every append returns it.
            if lease.keep().unwrap_or(false) {
                shared.look_again(&name);
            }
        }
        shared.close_idle();
    }
}

/// Seals segments as they become due, and makes field indexes that are missing.
fn seal(shared: &Shared) {
    give_way();
    while shared.wait_for_sealing() {
        let now = Instant::now();
        for name in shared.take_used(|open| open.is_to_seal(now) && std::mem::take(&mut open.to_seal)) {
            let Some(lease) = shared.lease_open(&name) else { continue };
            if !shared.note_segments(&name, lease.segments()) {
                continue;
            }
            // Appends go on; `Log::seal` returns the failure to whoever asks.
            if lease.seal_due().is_err() {
                shared.rest(&name, Instant::now() + SEAL_RETRY);
            }
        }
    }
}

impl Shared {
    /// Blocks until a stream was used, and then for `pause`; or until one is idle for long. `false` once the store is closed.
    fn wait_for_use(&self, pause: Duration) -> bool {
        let mut deadline = None;
        let mut state = self.lock();
        while !state.closed {
            let until = match state.stirred {
                true => Some(*deadline.get_or_insert_with(|| Instant::now() + pause)),
                false => state.first_used().map(|used_at| used_at + self.options.idle_close),
            };
            state = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.background.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => break,
                Some(left) => wait_timeout(&self.state, &self.background, state, left),
            };
        }
        state.stirred = false;
        !state.closed
    }

    /// Blocks until a stream was used that may have to be sealed, and then a little, for others to be used as well. `false` once
    /// the store is closed.
    fn wait_for_sealing(&self) -> bool {
        let mut deadline = None;
        let mut state = self.lock();
        while !state.closed {
            let now = Instant::now();
            if !state.slots.values().any(|slot| matches!(slot, Slot::Open(open) if open.is_to_seal(now))) {
                state = self.background.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let deadline: Instant = *deadline.get_or_insert_with(|| now + SEAL_PAUSE);
            let left = deadline.saturating_duration_since(now);
            if left.is_zero() {
                break;
            }
            state = wait_timeout(&self.state, &self.background, state, left);
        }
        !state.closed
    }

    /// The streams that are open and of which `which` says so.
    fn take_used(&self, which: impl Fn(&mut Open) -> bool) -> Vec<StreamName> {
        let mut state = self.lock();
        let open = state.slots.iter_mut().filter_map(|(name, slot)| match slot {
            Slot::Open(open) => which(open).then(|| name.clone()),
            _ => None,
        });
        open.collect()
    }

    /// Has the keeper come to a stream again.
    fn look_again(&self, name: &StreamName) {
        let mut state = self.lock();
        if let Some(open) = state.open_mut(name) {
            open.to_keep = true;
            state.stirred = true;
        }
    }

    /// Notes which segments a stream has. Returns whether they are others than when the sealer was there last.
    fn note_segments(&self, name: &StreamName, segments: (usize, Option<SegmentName>)) -> bool {
        self.lock().open_mut(name).is_some_and(|open| open.sealed_at.replace(segments) != Some(segments))
    }

    /// Leaves a stream unsealed until a moment, and has another look at it then.
    fn rest(&self, name: &StreamName, until: Instant) {
        if let Some(open) = self.lock().open_mut(name) {
            (open.rest_until, open.sealed_at) = (Some(until), None);
        }
    }
}

impl Open {
    fn is_to_seal(&self, now: Instant) -> bool {
        self.to_seal && self.rest_until.is_none_or(|until| until.saturating_duration_since(now).is_zero())
    }
}
