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
use std::ops::Range;
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
    /// How far it has zeros at least, durable or not. For direct writes; otherwise the end of the file.
    pub(crate) zeroed: u64,
    /// How long the file is.
    pub(crate) whole: u64,
}

impl PreparedSegment {
    /// The zeros that are to be written next, while `passed` bytes of the second half of the segment before have been taken. All at once
    /// they would keep the disk from durable writes: they come bit by bit, four times as fast as records.
    pub(super) fn more_zeros(&self, passed: u64) -> Option<Need> {
        const AT_ONCE_BYTES: u64 = 256 << 10;
        let is_behind = self.zeroed < self.whole && self.zeroed < passed.saturating_mul(4);
        let direct = self.direct.clone().filter(|_| is_behind)?;
        let zeros = self.zeroed..self.whole.min(self.zeroed + AT_ONCE_BYTES);
        let last = zeros.end == self.whole;
        Some(Need::Zeros { file: Arc::clone(&self.file), direct, path: self.path.clone(), zeros, last })
    }

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
    /// The file has zeros so far, which are not durable yet.
    Zeros { file: Arc<dyn File>, end: u64 },
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
            Need::Segment { len, whole } => self.segment(len, whole, zeroed).map(Prepared::Segment),
            Need::Zeros { file, direct, path, zeros, last } => {
                write_zeros(&direct, &path, zeros.clone())?;
                if !last {
                    return Ok(Prepared::Zeros { file, end: zeros.end });
                }
                file.sync().map_err(Error::io("sync", path))?;
                Ok(Prepared::Space { file, len: zeros.end })
            }
        }
    }

    /// Removes a prepared file that will not be used. What is left of it after a failure is removed at the next open.
    pub(crate) fn discard(&self, unused: PreparedSegment) {
        let _ = self.storage.remove(&unused.name);
    }

    /// A file of at least `whole` bytes, of which `len` are ready for a segment. `zeroed`: those with zeros that are more than a
    /// promise, if it takes direct writes; otherwise all are ready. A file system keeps books of what was only promised, and syncs
    /// them with every commit.
    pub(crate) fn segment(&self, len: u64, whole: u64, zeroed: bool) -> Result<PreparedSegment> {
        let [len, whole] = [len, whole].map(|len| len.next_multiple_of(BLOCK_BYTES as u64));
        let ordinal = self.next_ordinal();
        let name = temporary(&format!("prepared-{ordinal:010}"));
        let path = self.storage.describe(&name);
        let file_id = FileId(self.storage.random().map_err(Error::io("draw a random id for", path.clone()))?);
        let file = self.storage.create(&name).map_err(|error| full_or("create", &path, error))?;
        let prepare = || {
            let direct = if self.is_direct() { self.open_direct(&name, &path)? } else { None };
            let zeros = direct.as_ref().filter(|_| zeroed);
            file.reserve(whole).map_err(|error| full_or("set aside space in", &path, error))?;
            let prepared = if zeros.is_some() { len } else { whole };
            fill(&*file, zeros, &path, 0, prepared)?;
            Ok((direct.map(Arc::new), prepared))
        };
        match prepare() {
            Ok((direct, prepared)) => {
                let log_id = self.log_id;
                let zeroed = prepared;
                Ok(PreparedSegment { file, direct, name, path, log_id, file_id, ordinal, prepared, zeroed, whole })
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
        write_zeros(direct, path, from..to)?;
    }
    file.sync().map_err(Error::io("sync", path.to_owned()))
}

fn write_zeros(direct: &Direct, path: &str, range: Range<u64>) -> Result<()> {
    let zeros = AlignedBuf::zeros(ZEROS_BYTES.min(range.end.saturating_sub(range.start)) as usize);
    let mut at = range.start;
    while at < range.end {
        let part = &zeros[..zeros.len().min((range.end - at) as usize)];
        write_all_at(&*direct.plain, part, at).map_err(|error| full_or("write", path, error))?;
        at += part.len() as u64;
    }
    Ok(())
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
