//! Appends that are waited for later, or not at all.

use crate::batch::Batch;
use crate::error::Result;
use crate::log::{Core, Log};
use serde::Serialize;
use std::ops::Range;
use std::sync::Arc;

/// What [`Log::submit`] returns: the seqs that were given out, and a way to wait until their records are durable.
///
/// Dropping it takes nothing back: the records become durable all the same. It may be sent to another thread, and may
/// outlive the log.
#[derive(Debug, Clone)]
#[must_use = "a record that was submitted is acknowledged only when its ticket says so"]
pub struct Ticket {
    core: Arc<Core>,
    seqs: Range<u64>,
}

impl Ticket {
    pub(super) fn new(core: &Arc<Core>, seqs: Range<u64>) -> Self {
        Self { core: Arc::clone(core), seqs }
    }

    /// The seqs of the records.
    pub fn seqs(&self) -> Range<u64> {
        self.seqs.clone()
    }

    /// Whether the records are durable. Costs no lock.
    pub fn is_durable(&self) -> bool {
        self.core.view.durable_seq() >= self.seqs.end
    }

    /// Waits until the records are durable, whatever the log's own durability.
    ///
    /// # Errors
    /// [`crate::Error::Poisoned`] if writing or syncing failed: the records may or may not be found when the log is
    /// opened again.
    pub fn wait(&self) -> Result<()> {
        self.core.committer.wait_until_durable(self.seqs.end)
    }
}

impl Log {
    /// Appends one record with the time of the clock, and doesn't wait: writing it begins at once, beside whatever the caller
    /// does next. The ticket tells when it is durable. Only when [`crate::Options::queue_bytes`] of records wait does the
    /// call wait, too, unless [`crate::Options::on_queue_full`] says otherwise.
    ///
    /// ```
    /// # fn main() -> Result<(), annals::Error> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let log = annals::Options::new().create(dir.path().join("log"))?;
    /// # #[derive(serde::Serialize)] struct Order { id: u64 }
    /// let tickets: Vec<_> = (0..100).map(|id| log.submit(&Order { id })).collect::<Result<_, _>>()?;
    /// tickets[99].wait()?;
    /// assert!(tickets.iter().all(annals::Ticket::is_durable));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn submit(&self, record: &(impl Serialize + ?Sized)) -> Result<Ticket> {
        Self::with_single(|batch| {
            batch.push(record)?;
            self.submit_batch(batch)
        })
    }

    /// As [`Log::submit`], for a batch, which keeps its records as with [`Log::append_batch`].
    ///
    /// # Errors
    /// As [`Log::append_batch`].
    pub fn submit_batch(&self, batch: &mut Batch) -> Result<Ticket> {
        let seqs = self.core.committer.submit(batch, true)?;
        Ok(Ticket::new(&self.core, seqs))
    }
}
