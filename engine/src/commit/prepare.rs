//! Space set aside before records are placed in it, so that a full disk refuses an append and damages nothing.

use crate::checksum::Salt;
use crate::commit::state::Need;
use crate::error::{Error, Result};
use crate::names::temporary;
use crate::storage::{File, Storage};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::{FileId, LogId};
use std::io;
use std::sync::Arc;

/// A file with space in it, durable, that has neither header nor name yet.
#[derive(Debug)]
pub(crate) struct PreparedSegment {
    pub(crate) file: Arc<dyn File>,
    /// The name it has until it becomes a segment.
    pub(crate) name: String,
    /// That name, for people.
    pub(crate) path: String,
    pub(crate) log_id: LogId,
    pub(crate) file_id: FileId,
    pub(crate) ordinal: u64,
    /// How far the file has been prepared.
    pub(crate) prepared: u64,
}

impl PreparedSegment {
    pub(crate) fn salt(&self) -> Salt {
        Salt::of(self.file_id)
    }
}

/// What has been prepared.
#[derive(Debug)]
pub(crate) enum Prepared {
    /// The file has so many bytes now.
    Space { file: Arc<dyn File>, len: u64 },
    /// Another file.
    Segment(PreparedSegment),
}

/// Prepares files.
#[derive(Debug)]
pub(crate) struct Preparer {
    storage: Arc<dyn Storage>,
    log_id: LogId,
    next_ordinal: AtomicU64,
}

impl Preparer {
    pub(crate) fn new(storage: Arc<dyn Storage>, log_id: LogId, next_ordinal: u64) -> Self {
        Self { storage, log_id, next_ordinal: AtomicU64::new(next_ordinal) }
    }

    /// An ordinal that no file of the log has had.
    pub(crate) fn next_ordinal(&self) -> u64 {
        self.next_ordinal.fetch_add(1, Ordering::Relaxed)
    }

    /// Prepares what is needed.
    ///
    /// # Errors
    /// [`Error::DiskFull`] where there is no space; nothing is lost by it.
    pub(crate) fn prepare(&self, need: Need) -> Result<Prepared> {
        match need {
            Need::Space { file, path, len } => {
                reserve(&*file, len, &path)?;
                Ok(Prepared::Space { file, len })
            }
            Need::Segment { len } => self.segment(len).map(Prepared::Segment),
        }
    }

    /// Removes a prepared file that will not be used. What is left of it after a failure is removed at the next open.
    pub(crate) fn discard(&self, unused: PreparedSegment) {
        let _ = self.storage.remove(&unused.name);
    }

    /// A file of `len` bytes, ready to become a segment.
    pub(crate) fn segment(&self, len: u64) -> Result<PreparedSegment> {
        let ordinal = self.next_ordinal();
        let name = temporary(&format!("prepared-{ordinal:010}"));
        let path = self.storage.describe(&name);
        let file_id = FileId(self.storage.random().map_err(Error::io("draw a random id for", path.clone()))?);
        let file = self.storage.create(&name).map_err(|error| full_or("create", &path, error))?;
        if let Err(error) = reserve(&*file, len, &path) {
            let _ = self.storage.remove(&name);
            return Err(error);
        }
        Ok(PreparedSegment { file, name, path, log_id: self.log_id, file_id, ordinal, prepared: len })
    }
}

fn reserve(file: &dyn File, len: u64, path: &str) -> Result<()> {
    file.reserve(len).map_err(|error| full_or("set aside space in", path, error))?;
    file.sync().map_err(Error::io("sync", path.to_owned()))
}

fn full_or(action: &'static str, path: &str, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Error::DiskFull { path: path.to_owned(), source: Arc::new(error) }
        }
        _ => Error::io(action, path.to_owned())(error),
    }
}
