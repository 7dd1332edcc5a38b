//! Space set aside before records are placed in it, so that a full disk refuses an append and damages nothing; neither does a
//! process that can open no more files.

use crate::checksum::Salt;
use crate::commit::space::Need;
use crate::error::{Error, Result};
use crate::names::temporary;
use crate::storage::{AlignedBuf, BLOCK_BYTES, File, Storage, is_out_of_files, write_all_at};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::{FileId, LogId};
use std::io;
use std::sync::Arc;

/// A file with space in it, durable, that has neither header nor name yet.
#[derive(Debug)]
pub(crate) struct PreparedSegment {
    pub(crate) file: Arc<dyn File>,
    /// The same file for direct writes, if it takes them.
    pub(crate) direct: Option<Arc<Direct>>,
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

/// A file for direct writes: for those that are durable when they return, and for those that a sync follows.
#[derive(Debug)]
pub(crate) struct Direct {
    pub(crate) durable: Arc<dyn File>,
    pub(crate) plain: Arc<dyn File>,
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
    /// Direct writes are wanted, and no file has refused them so far.
    direct: AtomicBool,
}

/// How many zeros are written at a time.
const ZEROS_BYTES: u64 = 1 << 20;

impl Preparer {
    pub(crate) fn new(storage: Arc<dyn Storage>, log_id: LogId, next_ordinal: u64, direct: bool) -> Self {
        Self { storage, log_id, next_ordinal: AtomicU64::new(next_ordinal), direct: AtomicBool::new(direct) }
    }

    /// Whether files are prepared for direct writes.
    pub(crate) fn is_direct(&self) -> bool {
        self.direct.load(Ordering::Relaxed)
    }

    /// An ordinal that no file of the log has had.
    pub(crate) fn next_ordinal(&self) -> u64 {
        self.next_ordinal.fetch_add(1, Ordering::Relaxed)
    }

    /// Prepares what is needed.
    ///
    /// # Errors
    /// [`Error::DiskFull`] where there is no space, [`Error::OutOfFiles`] where no file can be opened; nothing is lost by it.
    pub(super) fn prepare(&self, need: Need, zeroed: bool) -> Result<Prepared> {
        match need {
            Need::Space { file, direct, path, prepared, len } => {
                let len = len.next_multiple_of(BLOCK_BYTES as u64);
                fill(&*file, direct.filter(|_| zeroed).as_deref(), &path, prepared, len)?;
                Ok(Prepared::Space { file, len })
            }
            Need::Segment { len } => self.segment(len, zeroed).map(Prepared::Segment),
        }
    }

    /// Removes a prepared file that will not be used. What is left of it after a failure is removed at the next open.
    pub(crate) fn discard(&self, unused: PreparedSegment) {
        let _ = self.storage.remove(&unused.name);
    }

    /// A file of at least `len` bytes, ready to become a segment. `zeroed`: with zeros that are more than a promise, if it
    /// takes direct writes. A file system keeps books of what was only promised, and syncs them with every commit.
    pub(crate) fn segment(&self, len: u64, zeroed: bool) -> Result<PreparedSegment> {
        let len = len.next_multiple_of(BLOCK_BYTES as u64);
        let ordinal = self.next_ordinal();
        let name = temporary(&format!("prepared-{ordinal:010}"));
        let path = self.storage.describe(&name);
        let file_id = FileId(self.storage.random().map_err(Error::io("draw a random id for", path.clone()))?);
        let file = self.storage.create(&name).map_err(|error| full_or("create", &path, error))?;
        let prepare = || {
            let direct = if self.is_direct() { self.open_direct(&name, &path)? } else { None };
            fill(&*file, direct.as_ref().filter(|_| zeroed), &path, 0, len)?;
            Ok(direct)
        };
        match prepare() {
            Ok(direct) => {
                let direct = direct.map(Arc::new);
                Ok(PreparedSegment { file, direct, name, path, log_id: self.log_id, file_id, ordinal, prepared: len })
            }
            Err(error) => {
                let _ = self.storage.remove(&name);
                Err(error)
            }
        }
    }

    /// Opens a file for direct writes and tries one. `None`, for all files from then on, where there is no such thing.
    fn open_direct(&self, name: &str, path: &str) -> Result<Option<Direct>> {
        let open = || {
            let durable = self.storage.open_direct(name, true)?;
            write_all_at(&*durable, &AlignedBuf::zeros(BLOCK_BYTES), 0)?;
            Ok(Direct { durable, plain: self.storage.open_direct(name, false)? })
        };
        let tried: io::Result<_> = open();
        match tried {
            Ok(direct) => Ok(Some(direct)),
            Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput) => {
                self.direct.store(false, Ordering::Relaxed);
                Ok(None)
            }
            Err(error) => Err(full_or("write", path, error)),
        }
    }
}

/// Makes `file`, of which the first `from` bytes are prepared, `to` bytes long; with zeros that are written, if there is a way.
fn fill(file: &dyn File, direct: Option<&Direct>, path: &str, from: u64, to: u64) -> Result<()> {
    file.reserve(to).map_err(|error| full_or("set aside space in", path, error))?;
    if let Some(direct) = direct {
        let zeros = AlignedBuf::zeros(ZEROS_BYTES.min(to.saturating_sub(from)) as usize);
        let mut at = from;
        while at < to {
            let part = &zeros[..zeros.len().min((to - at) as usize)];
            write_all_at(&*direct.plain, part, at).map_err(|error| full_or("write", path, error))?;
            at += part.len() as u64;
        }
    }
    file.sync().map_err(Error::io("sync", path.to_owned()))
}

fn full_or(action: &'static str, path: &str, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Error::DiskFull { path: path.to_owned(), source: Arc::new(error) }
        }
        _ if is_out_of_files(&error) => Error::OutOfFiles { path: path.to_owned(), source: Arc::new(error) },
        _ => Error::io(action, path.to_owned())(error),
    }
}
