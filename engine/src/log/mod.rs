//! The writer's handle: opening, appending, sealing, closing.

mod background;
mod fields;
mod hold;
pub(crate) mod identity;
mod once;
mod open;
mod retain;
mod seal;
mod ticket;

use crate::batch::Batch;
use crate::catalog::CatalogWriter;
use crate::commit::Committer;
use crate::error::Result;
use crate::meter::Meter;
use crate::names::SegmentName;
use crate::once::OnceTable;
use crate::options::{Background, Durability, Options};
use crate::query::FieldPath;
use crate::reader::Reader;
use crate::record::RecordBuf;
use crate::recovery::RecoveryReport;
use crate::sealed::BlockCache;
use crate::storage::{Lock, Storage};
use crate::sync::{Mutex, thread_local};
use crate::view::View;
use crate::{Incarnation, LogId, Timestamp};
use background::Threads;
pub(crate) use background::{SEAL_RETRY, give_way, keeping_interval};
pub(crate) use fields::{fields_of, index_segment};
pub(crate) use open::{take_lock, take_lock_of};
pub use seal::SealReport;
use serde::Serialize;
use std::cell::RefCell;
use std::ops::Range;
use std::sync::{Arc, PoisonError};
pub use ticket::Ticket;

/// A log that is open for appending. One handle may be used from many threads at once.
///
/// Opened by [`Options`]. Dropping it closes it, but for errors that only [`Log::close`] can return.
#[derive(Debug)]
pub struct Log {
    core: Arc<Core>,
    threads: Mutex<Option<Threads>>,
    lock: Mutex<Option<Box<dyn Lock>>>,
    recovery: RecoveryReport,
}

/// What the handle and the background share.
#[derive(Debug)]
pub(crate) struct Core {
    storage: Arc<dyn Storage>,
    options: Options,
    log_id: LogId,
    incarnation: Incarnation,
    view: Arc<View>,
    /// What readers of this handle share.
    cache: Option<Arc<BlockCache>>,
    /// The end of what recovery found in the log.
    recovered_end: u64,
    committer: Committer,
    meter: Meter,
    catalog: CatalogWriter,
    /// The keys of the newest records.
    once: Mutex<OnceTable>,
    /// Held while a segment is being sealed.
    sealing: Mutex<seal::Sealer>,
}

thread_local! {
    /// Where a thread encodes single records.
    static SINGLE: RefCell<Batch> = RefCell::default();
}

/// A thread keeps no more than this for its next record.
const SINGLE_BYTES_KEPT: usize = 64 << 10;

impl Log {
    /// Appends one record with the time of the clock, and waits as the log's durability says. Returns its seq.
    ///
    /// # Errors
    /// As [`Batch::push`] and [`Log::append_batch`].
    pub fn append(&self, record: &(impl Serialize + ?Sized)) -> Result<u64> {
        self.append_single(|batch| batch.push(record))
    }

    /// Appends one record with a time of its own.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn append_at(&self, timestamp: Timestamp, record: &(impl Serialize + ?Sized)) -> Result<u64> {
        self.append_single(|batch| batch.push_at(timestamp, record))
    }

    /// Appends one record whose body is already encoded as a MessagePack map; without a `timestamp` it gets the time of
    /// the clock.
    ///
    /// # Errors
    /// As [`Batch::push_raw`] and [`Log::append_batch`].
    pub fn append_raw(&self, timestamp: Option<Timestamp>, body: &[u8]) -> Result<u64> {
        self.append_single(|batch| batch.push_raw(timestamp, body))
    }

    /// Appends a batch, all of it or nothing, and waits as the log's durability says. Returns the seqs of its records.
    ///
    /// The batch keeps its records, which now have their times; [`Batch::clear`] empties it for the next.
    ///
    /// # Errors
    /// [`crate::Error::TooLarge`] if it doesn't fit a segment, [`crate::Error::DiskFull`] if there is no space for it,
    /// [`crate::Error::OutOfFiles`] if the process can't open the file for it: none leaves a trace. [`crate::Error::Poisoned`] if writing or syncing failed now or before: then the records
    /// may or may not be found when the log is opened again. With limits, [`crate::Error::RateLimited`], [`crate::Error::QueueFull`]
    /// or [`crate::Error::Dropped`], as [`crate::OnLimit`] says: none of the batch has a seq.
    pub fn append_batch(&self, batch: &mut Batch) -> Result<Range<u64>> {
        self.append_batch_with(batch, self.core.options.durability)
    }

    /// As [`Log::append_batch`], waiting for more than the log's durability asks for; asking for less changes nothing.
    ///
    /// # Errors
    /// As [`Log::append_batch`].
    pub fn append_batch_with(&self, batch: &mut Batch, durability: Durability) -> Result<Range<u64>> {
        self.core.committer.append(batch, durability)
    }

    /// Makes everything appended so far durable. Returns the seq below which everything is.
    ///
    /// # Errors
    /// [`crate::Error::Poisoned`] or [`crate::Error::Closed`].
    pub fn sync(&self) -> Result<u64> {
        self.core.committer.sync()
    }

    /// Seals everything appended so far, and waits for it. Appends may go on meanwhile, in a segment of their own.
    ///
    /// # Errors
    /// [`crate::Error::Damaged`] if a segment that is to be sealed is damaged, and what the operating system says.
    pub fn seal(&self) -> Result<SealReport> {
        self.core.seal_all()
    }

    /// Does one round of what threads in the background do otherwise: syncs what waits, writes a watermark, seals what
    /// is due, makes field indexes that are missing. For logs opened with [`Background::Manual`].
    ///
    /// # Errors
    /// As [`Log::sync`] and [`Log::seal`].
    pub fn maintain(&self) -> Result<()> {
        self.keep()?;
        self.seal_due()
    }

    /// The part of [`Log::maintain`] that can't wait. Returns whether there will be more to do without another append.
    pub(crate) fn keep(&self) -> Result<bool> {
        self.core.committer.hurry()?;
        self.core.committer.tick()
    }

    /// The part of [`Log::maintain`] that takes its time.
    pub(crate) fn seal_due(&self) -> Result<()> {
        self.seal_segments_due()?;
        self.build_indexes().map(drop)
    }

    /// How many segments there are, and which is appended to: while these are the same, nothing becomes due.
    pub(crate) fn segments(&self) -> (usize, Option<SegmentName>) {
        (self.core.view.chain_now().segments.len(), self.core.view.active())
    }

    /// Seals segments that are due.
    pub(crate) fn seal_segments_due(&self) -> Result<()> {
        while self.core.seal_due()? {}
        Ok(())
    }

    /// Makes the field indexes that sealed segments lack, and waits for it; the background does so otherwise. Returns how many
    /// were made.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn build_indexes(&self) -> Result<u64> {
        let mut made = 0;
        while self.core.index_due()? {
            made += 1;
        }
        Ok(made)
    }

    /// The fields that segments are indexed by: see [`Options::index_fields`].
    pub fn indexed_fields(&self) -> Vec<FieldPath> {
        self.core.fields_to_index()
    }

    /// Closes the log: makes everything durable, ends the active segment and gives up the lock.
    ///
    /// # Errors
    /// [`crate::Error::Poisoned`], in which case the next opening recovers what can be recovered.
    pub fn close(self) -> Result<()> {
        self.shut()
    }

    /// A handle for reading, which sees appends as they become visible. Cheap; it may outlive the log.
    pub fn reader(&self) -> Reader {
        let (core, cache) = (&self.core, self.core.cache.clone());
        Reader::live(Arc::clone(&core.storage), core.log_id, Arc::clone(&core.view), cache)
    }

    /// The record `seq`; `None` if there is none that is visible yet.
    ///
    /// # Errors
    /// As [`Reader::get`].
    pub fn get(&self, seq: u64) -> Result<Option<RecordBuf>> {
        self.reader().get(seq)
    }

    /// What opening the log found out.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.recovery
    }

    /// The log's id.
    pub fn id(&self) -> LogId {
        self.core.log_id
    }

    /// The id of this opening of the writer.
    pub fn incarnation(&self) -> Incarnation {
        self.core.incarnation
    }

    /// The seq that the next record gets: that of an append, or one of the log's own that tells of dropped records.
    pub fn next_seq(&self) -> u64 {
        self.core.committer.next_seq()
    }

    /// Every record below this seq is durable.
    pub fn durable_seq(&self) -> u64 {
        self.core.view.durable_seq()
    }

    fn append_single(&self, push: impl FnOnce(&mut Batch) -> Result<()>) -> Result<u64> {
        Self::with_single(|batch| {
            push(batch)?;
            Ok(self.append_batch(batch)?.start)
        })
    }

    /// Does something with an empty batch, whose memory the thread keeps for its next record.
    pub(crate) fn with_single<T>(act: impl FnOnce(&mut Batch) -> Result<T>) -> Result<T> {
        SINGLE.with(|batch| {
            // An encoder that itself appends to a log would find the thread's batch in use.
            let Ok(mut batch) = batch.try_borrow_mut() else { return act(&mut Batch::new()) };
            batch.clear();
            let outcome = act(&mut batch);
            batch.clear();
            batch.shrink_to(SINGLE_BYTES_KEPT);
            outcome
        })
    }

    /// As [`Log::close`], for a log that others may still hold.
    pub(crate) fn shut(&self) -> Result<()> {
        let closed = self.core.committer.close();
        self.core.view.close();
        if let Some(threads) = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take() {
            threads.join();
        }
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
        closed
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = self.shut();
    }
}

/// Threads are started only if the options ask for them.
fn start_threads(core: &Arc<Core>) -> Result<Option<Threads>> {
    match core.options.background {
        Background::Threads => Threads::start(core).map(Some),
        Background::Manual => Ok(None),
    }
}
