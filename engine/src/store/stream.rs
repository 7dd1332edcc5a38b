//! The handle of one stream of a store.

use crate::Timestamp;
use crate::batch::Batch;
use crate::error::Result;
use crate::log::Log;
use crate::names::StreamName;
use crate::options::Durability;
use crate::store::slots::Shared;
use serde::Serialize;
use std::ops::Range;
use std::sync::Arc;

/// One stream of a [`crate::Store`]: a log with seqs of its own. Cheap to clone; it holds no file open.
///
/// Its log is opened by the first call that needs it, or created, durably, before the first append is acknowledged; it is
/// closed when others need its place or nobody has used it for long. An acknowledgement means what it does for a log.
#[derive(Debug, Clone)]
pub struct Stream {
    shared: Arc<Shared>,
    name: StreamName,
}

impl Stream {
    pub(super) fn new(shared: Arc<Shared>, name: StreamName) -> Self {
        Self { shared, name }
    }

    /// The stream's name.
    pub fn name(&self) -> &StreamName {
        &self.name
    }

    /// Takes a place for the stream among those that there may be ([`crate::StoreOptions::streams_max`]), unless it is there: no
    /// append to it is refused for want of one, as long as the store is open. Creates nothing.
    ///
    /// # Errors
    /// [`crate::Error::TooManyStreams`], and what the operating system says.
    pub fn reserve(&self) -> Result<()> {
        self.shared.reserve(&self.name)
    }

    /// As [`Log::append`].
    ///
    /// # Errors
    /// As [`Stream::append_batch`] and [`Batch::push`].
    pub fn append(&self, record: &(impl Serialize + ?Sized)) -> Result<u64> {
        self.append_single(|batch| batch.push(record))
    }

    /// As [`Log::append_at`].
    ///
    /// # Errors
    /// As [`Stream::append`].
    pub fn append_at(&self, timestamp: Timestamp, record: &(impl Serialize + ?Sized)) -> Result<u64> {
        self.append_single(|batch| batch.push_at(timestamp, record))
    }

    /// As [`Log::append_raw`].
    ///
    /// # Errors
    /// As [`Stream::append_batch`] and [`Batch::push_raw`].
    pub fn append_raw(&self, timestamp: Option<Timestamp>, body: &[u8]) -> Result<u64> {
        self.append_single(|batch| batch.push_raw(timestamp, body))
    }

    /// As [`Log::append_batch`].
    ///
    /// # Errors
    /// As [`Log::append_batch`] and [`Stream::with`].
    pub fn append_batch(&self, batch: &mut Batch) -> Result<Range<u64>> {
        self.with(|log| log.append_batch(batch))
    }

    /// As [`Log::append_batch_with`].
    ///
    /// # Errors
    /// As [`Stream::append_batch`].
    pub fn append_batch_with(&self, batch: &mut Batch, durability: Durability) -> Result<Range<u64>> {
        self.with(|log| log.append_batch_with(batch, durability))
    }

    /// Lends the stream's log for whatever else a log can do, such as [`Log::append_once`], [`Log::submit`], [`Log::seal`],
    /// [`Log::retain`] and [`Log::hold`]. It stays open until `act` returns; what it lends readers may be used after that.
    ///
    /// ```
    /// # fn main() -> annals::Result<()> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # #[derive(serde::Serialize)] struct Order { id: u64 }
    /// let store = annals::StoreOptions::new().open_or_create(directory.path().join("audit"))?;
    /// let seq = store.stream("orders")?.with(|log| log.append_once(b"orders/7", &Order { id: 7 }))?;
    /// # assert_eq!(seq, 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `act`; [`crate::Error::Closed`] if the store is; [`crate::Error::Poisoned`] if the stream has failed before: it
    /// accepts nothing until the store is opened again; and what opening a log may return.
    pub fn with<T>(&self, act: impl FnOnce(&Log) -> Result<T>) -> Result<T> {
        act(&*self.shared.lease(&self.name)?)
    }

    /// The record is encoded before the stream's log is asked for, since encoding may do anything.
    fn append_single(&self, push: impl FnOnce(&mut Batch) -> Result<()>) -> Result<u64> {
        Log::with_single(|batch| {
            push(batch)?;
            Ok(self.append_batch(batch)?.start)
        })
    }
}
