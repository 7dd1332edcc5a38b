//! How a store is opened: every choice with its default, unit and bounds.

use crate::error::{Error, Result};
use crate::footprint::Footprint;
use crate::meter::CacheMeter;
use crate::options::{Background, Options};
use crate::sealed::BlockCache;
use crate::storage::Storage;
use crate::store::Store;
use crate::store::background::Threads;
use crate::store::directory::{self, Mode};
use crate::store::slots::Shared;
use crate::sync::Mutex;
use crate::{StoreId, Timestamp};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Default of [`StoreOptions::open_streams`].
const OPEN_STREAMS_DEFAULT: usize = 64;
/// Default of [`StoreOptions::streams_max`].
const STREAMS_MAX_DEFAULT: usize = 10_000;
/// Default of [`StoreOptions::memory_bytes`].
const MEMORY_BYTES_DEFAULT: usize = 64 << 20;
/// Default of [`StoreOptions::idle_close`].
const IDLE_CLOSE_DEFAULT: Duration = Duration::from_secs(60);
/// Segments of a stream, unless its options say otherwise: there are many of them.
const SEGMENT_BYTES_DEFAULT: u64 = 4 << 20;
/// Least that may wait to be written in a stream.
const QUEUE_BYTES_MIN: usize = 64 << 10;

/// Options of a store. They apply to one opening; none is stored.
///
/// ```no_run
/// # fn main() -> annals::Result<()> {
/// use annals::{Codec, Options, StoreOptions};
/// let store = StoreOptions::new()
///     .streams(Options::new().segment_bytes(4 << 20).codec(Codec::Columns))
///     .open_streams(200)
///     .memory_bytes(128 << 20)
///     .open_or_create("audit")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct StoreOptions {
    pub(super) streams: Options,
    pub(super) open_streams: usize,
    pub(super) streams_max: usize,
    memory_bytes: usize,
    pub(super) idle_close: Duration,
    pub(super) background: Background,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            streams: Options::new().segment_bytes(SEGMENT_BYTES_DEFAULT),
            open_streams: OPEN_STREAMS_DEFAULT,
            streams_max: STREAMS_MAX_DEFAULT,
            memory_bytes: MEMORY_BYTES_DEFAULT,
            idle_close: IDLE_CLOSE_DEFAULT,
            background: Background::Threads,
        }
    }
}

impl StoreOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How each stream is opened. Default: [`Options::new`] with segments of 4 MiB. Its `background`, `queue_bytes` and
    /// `cache_bytes` don't count, since these are the store's; nor does `unsealed_segments_max`: no append to a stream waits for
    /// sealing.
    #[must_use]
    pub fn streams(mut self, options: Options) -> Self {
        self.streams = options;
        self
    }

    /// How many streams are open at a time. The one that was used longest ago is closed for another, which takes a few
    /// milliseconds, and an append to a stream waits while all are in use. Default 64; at least 2. An open stream holds 6 files
    /// open, and up to 9 while it begins a segment: see to it that the process may open as many.
    #[must_use]
    pub fn open_streams(mut self, streams: usize) -> Self {
        self.open_streams = streams;
        self
    }

    /// How many streams there may be: an append that would create one more is refused ([`Error::TooManyStreams`]), and those that
    /// are there are appended to as before. It guards against names that others choose, each of which takes a directory. What counts
    /// is directories, also those of streams that were never finished. Default 10,000; at least 1.
    #[must_use]
    pub fn streams_max(mut self, streams: usize) -> Self {
        self.streams_max = streams;
        self
    }

    /// Memory of the store, in bytes: half is for blocks of sealed segments that readers ask for again and for pages of field
    /// indexes, the other half for records that wait to be written, shared evenly by the streams that may be open. Default
    /// 64 MiB; at least 128 KiB for each of these. Beside it an open stream takes about 30 KiB, 4 bytes for each record that is
    /// not sealed yet, and, while the store seals one of its segments, up to a few megabytes.
    #[must_use]
    pub fn memory_bytes(mut self, bytes: usize) -> Self {
        self.memory_bytes = bytes;
        self
    }

    /// How long a stream stays open after it was used last. Default one minute; more than zero.
    #[must_use]
    pub fn idle_close(mut self, idle: Duration) -> Self {
        self.idle_close = idle;
        self
    }

    /// Who seals, syncs and closes in the background. Default: two threads of the store's own; otherwise nobody, until
    /// [`Store::maintain`] is called.
    #[must_use]
    pub fn background(mut self, background: Background) -> Self {
        self.background = background;
        self
    }

    /// Opens a store that exists.
    ///
    /// # Errors
    /// [`Error::NotAStore`]; [`Error::Locked`] if it is open for writing; [`Error::Damaged`] if its identity file is, or is
    /// missing, until it is repaired ([`crate::Repair::run_store`]);
    /// [`Error::InvalidOption`], and what the operating system says.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Store> {
        self.run(self.streams.storage_at(path.as_ref()), Mode::Open)
    }

    /// Opens a store, or creates it in a directory that doesn't exist or is empty.
    ///
    /// # Errors
    /// As [`StoreOptions::open`], and [`Error::NotEmpty`].
    pub fn open_or_create(&self, path: impl AsRef<Path>) -> Result<Store> {
        self.run(self.streams.storage_at(path.as_ref()), Mode::OpenOrCreate)
    }

    /// As [`StoreOptions::open_or_create`], on any [`Storage`] that has folders.
    ///
    /// # Errors
    /// As [`StoreOptions::open_or_create`].
    pub fn open_or_create_on(&self, storage: Arc<dyn Storage>) -> Result<Store> {
        self.run(storage, Mode::OpenOrCreate)
    }

    fn run(&self, storage: Arc<dyn Storage>, mode: Mode) -> Result<Store> {
        self.check()?;
        let (lock, identity) = directory::open(&*storage, mode)?;
        let cache = BlockCache::new(self.memory_bytes / 2, CacheMeter::new(&storage.describe("")));
        let mut options = self.clone();
        options.streams = self.streams.clone().background(Background::Manual).queue_bytes(self.queue_bytes());
        options.streams.footprint = Footprint::STREAM;
        let shared = Arc::new(Shared::new(storage, options, cache));
        let threads = match self.background {
            Background::Threads => Some(Threads::start(&shared)?),
            Background::Manual => None,
        };
        Ok(Store {
            shared,
            threads: Mutex::new(threads),
            lock: Mutex::new(Some(lock)),
            id: StoreId(identity.log_id),
            created: Timestamp::from_micros(identity.created_us),
        })
    }

    /// Records of one stream that may wait to be written, in bytes.
    fn queue_bytes(&self) -> usize {
        self.memory_bytes / 2 / self.open_streams
    }

    fn check(&self) -> Result<()> {
        let invalid = |option, detail: &str| Err(Error::InvalidOption { option, detail: detail.into() });
        if self.open_streams < 2 {
            return invalid("open_streams", "at least 2 streams have to be able to be open");
        }
        if self.streams_max == 0 {
            return invalid("streams_max", "at least 1 stream has to be able to be there");
        }
        if self.queue_bytes() < QUEUE_BYTES_MIN {
            return invalid("memory_bytes", "at least 128 KiB for each stream that may be open");
        }
        if self.idle_close.is_zero() {
            return invalid("idle_close", "a stream that is closed at once can't be appended to");
        }
        self.streams.check()
    }
}
