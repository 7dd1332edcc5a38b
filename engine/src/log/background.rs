//! The two threads of a log: thin drivers over steps that can as well be run by hand.

use crate::error::{Error, Result};
use crate::log::Core;
use crate::options::Durability;
use crate::sync::Instant;
use crate::sync::thread::{self, JoinHandle};
use std::sync::Arc;
use std::time::Duration;

/// How long a log is idle before it writes down what is durable.
const IDLE: Duration = Duration::from_millis(50);
/// How often a log that promises no syncs is synced all the same.
const WRITTEN_SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// How long sealing rests after a failure before it tries again.
pub(crate) const SEAL_RETRY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Threads {
    keeper: JoinHandle<()>,
    sealer: JoinHandle<()>,
    /// The process that they are threads of.
    process: u32,
}

impl Threads {
    pub(crate) fn start(core: &Arc<Core>) -> Result<Self> {
        let keeper = spawn("annals-keeper", Arc::clone(core), keep)?;
        let sealer = spawn("annals-sealer", Arc::clone(core), seal)?;
        Ok(Self { keeper, sealer, process: std::process::id() })
    }

    /// Waits for both to end, which they do when the log is closed.
    pub(crate) fn join(self) {
        if self.process != std::process::id() {
            // A fork of that process has no other threads than the one that forked.
            return std::mem::forget(self);
        }
        // A thread that panicked has said so; there is nothing to add.
        let _ = self.keeper.join();
        let _ = self.sealer.join();
    }
}

fn spawn(name: &str, core: Arc<Core>, run: fn(&Core)) -> Result<JoinHandle<()>> {
    let path = core.storage.describe("");
    let spawned = thread::Builder::new().name(name.into()).spawn(move || run(&core));
    spawned.map_err(Error::io("start a thread for", path))
}

/// How long what was appended may wait for what is done in the background.
pub(crate) fn keeping_interval(durability: Durability) -> Duration {
    match durability {
        Durability::Buffered { interval } => interval,
        Durability::Written => WRITTEN_SYNC_INTERVAL,
        Durability::Durable => IDLE,
    }
}

/// Syncs what waits longer than it may, and writes watermarks when the log is idle.
fn keep(core: &Core) {
    let pause = keeping_interval(core.options.durability);
    while core.committer.wait_for_work(pause) {
        // A failure is kept in the committer, and every append returns it.
        if core.committer.tick().unwrap_or(false) {
            core.committer.stir();
        }
    }
}

/// Lets appends go on without sealing, should the sealer panic.
struct Unblock<'a>(&'a Core);

impl Drop for Unblock<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.view.set_sealing_stuck(true);
        }
    }
}

/// Lets other threads have the processor first: whoever appends is in a hurry, and sealing isn't until it holds them up.
pub(crate) fn give_way() {
    // On Linux every thread has a niceness of its own. Where it can't be changed, nothing is lost but some microseconds.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(10);
}

/// Seals segments as they become due, and makes field indexes that are missing.
fn seal(core: &Core) {
    let _unblock = Unblock(core);
    give_way();
    while !core.view.is_closed() {
        // Taken before the look, so that no change after it goes unseen.
        let state = || (core.view.chain().segments.len(), core.view.active());
        let seen = state();
        match core.seal_due() {
            Ok(true) => core.view.set_sealing_stuck(false),
            Ok(false) => match core.index_due() {
                Ok(true) => {}
                Ok(false) => {
                    core.view.segments.wait(None, || core.view.is_closed() || state() != seen);
                }
                // Queries go on without the index.
                Err(_) => {
                    let retry = Some(Instant::now() + SEAL_RETRY);
                    core.view.segments.wait(retry, || core.view.is_closed() || state() != seen);
                }
            },
            Err(_) => {
                // Appends go on; `seal` returns the failure to whoever asks.
                core.view.set_sealing_stuck(true);
                core.view.segments.wait(Some(Instant::now() + SEAL_RETRY), || core.view.is_closed());
            }
        }
    }
}
