//! A store: many logs under one directory, one for each stream, with one handle and one budget of memory.
//!
//! Each stream is an ordinary log in a directory of its own, with seqs of its own. What a store adds is a name for each
//! ([`StreamName`]), the lock and the identity of the whole, and bounds: few of the logs are open at a time, those used
//! last; the others are closed properly and opened again by the next append ([`slots`]). The logs have no threads of
//! their own: two of the store's serve all ([`background`]). New ones are counted ([`census`]). [`StoreReader`] reads across streams.

mod background;
mod census;
pub(crate) mod directory;
mod merge;
mod options;
mod reader;
mod slots;
mod stream;

use crate::error::{Error, Result};
use crate::names::StreamName;
use crate::recovery::RecoveryReport;
use crate::storage::Lock;
use crate::sync::Mutex;
use crate::{StoreId, Timestamp};
use background::Threads;
pub use merge::StoreMatches;
pub use options::StoreOptions;
pub use reader::StoreReader;
use slots::Shared;
use std::sync::{Arc, PoisonError};
pub use stream::Stream;

/// A store of streams that is open for appending. One handle may be used from many threads at once.
///
/// Opened by [`StoreOptions`]. Dropping it closes it, but for errors that only [`Store::close`] can return.
///
/// ```
/// # #[derive(serde::Serialize)] struct Login { user: &'static str }
/// # fn main() -> annals::Result<()> {
/// # let directory = tempfile::tempdir().unwrap();
/// use annals::{Query, StoreOptions};
///
/// let store = StoreOptions::new().open_or_create(directory.path().join("audit"))?;
/// store.stream("web")?.append(&Login { user: "ada" })?; // the stream exists, and the record is on the disk
/// store.stream("tenant/42")?.append(&Login { user: "bob" })?;
///
/// let reader = store.reader()?;
/// let mut matches = reader.query(&reader.streams()?, &Query::default())?;
/// while let Some((stream, record)) = matches.advance()? {
///     println!("{stream} {}", record.seq());
/// }
/// store.close()
/// # }
/// ```
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    threads: Mutex<Option<Threads>>,
    lock: Mutex<Option<Box<dyn Lock>>>,
    id: StoreId,
    created: Timestamp,
}

impl Store {
    /// The stream `name`, which is created by the first append to it. Cheap, and touches no file.
    ///
    /// # Errors
    /// [`Error::StreamName`] if that can't be the name of a stream.
    pub fn stream(&self, name: &str) -> Result<Stream> {
        Ok(Stream::new(Arc::clone(&self.shared), StreamName::new(name)?))
    }

    /// The streams that there are, in the order of their names.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn streams(&self) -> Result<Vec<StreamName>> {
        directory::streams(&*self.shared.storage)
    }

    /// A handle for reading, which sees what is durable, as one in another process does. It may outlive the store.
    ///
    /// # Errors
    /// As [`StoreReader::open`].
    pub fn reader(&self) -> Result<StoreReader> {
        StoreReader::with_cache(Arc::clone(&self.shared.storage), self.shared.cache.clone())
    }

    /// Makes everything appended so far durable, in all streams.
    ///
    /// # Errors
    /// [`Error::Closed`]; otherwise the first failure of a stream, after all others were synced.
    pub fn sync(&self) -> Result<()> {
        self.shared.each_open(|log| log.sync().map(drop))
    }

    /// Does one round of what the store's threads do otherwise: syncs what waits, writes watermarks, seals what is due, closes
    /// streams that have been idle for long. For stores opened with [`crate::Background::Manual`].
    ///
    /// # Errors
    /// As [`Store::sync`], and [`crate::Log::seal`].
    pub fn maintain(&self) -> Result<()> {
        let maintained = self.shared.each_open(|log| log.maintain());
        self.shared.close_idle();
        maintained
    }

    /// What opening streams found that were not closed properly, or are damaged: the last report of each. Streams are opened by
    /// the first append to them, and recovered then.
    pub fn recoveries(&self) -> Vec<(StreamName, RecoveryReport)> {
        self.shared.recoveries()
    }

    /// How many streams are open at this moment.
    pub fn open_streams(&self) -> usize {
        self.shared.open_count()
    }

    /// The store's id.
    pub fn id(&self) -> StoreId {
        self.id
    }

    /// When the store was created.
    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// Closes the store: waits for calls under way, closes all streams, and gives up the lock. Later calls by handles of streams
    /// return [`Error::Closed`].
    ///
    /// # Errors
    /// The first failure of a stream, after all others were closed; the next append to it recovers what can be recovered.
    pub fn close(self) -> Result<()> {
        self.shut()
    }

    fn shut(&self) -> Result<()> {
        let closed = self.shared.close_all();
        if let Some(threads) = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take() {
            threads.join();
        }
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
        closed
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.shut();
    }
}

/// What a stream that has failed returns from now on.
fn poisoned(error: Error) -> Error {
    match error {
        poisoned @ Error::Poisoned(_) => poisoned,
        error => Error::Poisoned(Arc::new(error)),
    }
}
