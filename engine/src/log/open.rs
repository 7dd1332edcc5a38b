//! Opening a log for appending: create it, or recover it.

use crate::catalog::CatalogWriter;
use crate::commit::{Committer, Seed};
use crate::error::{Error, Result};
use crate::log::{Core, Log, identity, seal, start_threads};
use crate::meter::{CacheMeter, Meter};
use crate::names::{LOCK, STORE_IDENTITY, is_temporary};
use crate::once::OnceTable;
use crate::options::Options;
use crate::recovery::{inspect, settle};
use crate::sealed::BlockCache;
use crate::storage::{DirStorage, Lock, Storage};
use crate::sync::Mutex;
use crate::trace::Step;
use crate::view::{Chain, View};
use crate::{Incarnation, LogId};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// What to do about a log that is there, or is not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Create,
    Open,
    OpenOrCreate,
}

/// Where blocks of sealed segments are kept for readers.
enum Cache {
    Own,
    Shared(Option<Arc<BlockCache>>),
}

impl Options {
    /// Creates a log in a directory that doesn't exist or is empty.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], [`Error::NotEmpty`], [`Error::InvalidOption`], and what the operating system says.
    pub fn create(&self, path: impl AsRef<Path>) -> Result<Log> {
        self.run(self.storage_at(path.as_ref()), Mode::Create)
    }

    /// Opens a log that exists, and recovers it if it was not closed.
    ///
    /// # Errors
    /// [`Error::NotALog`]; [`Error::Locked`] if it is open for writing; [`Error::Damaged`] if damage leaves no way to
    /// tell what the log is (damage in its records doesn't: see [`Log::recovery`]); and what the operating system says.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Log> {
        self.run(self.storage_at(path.as_ref()), Mode::Open)
    }

    /// Opens a log, or creates it if there is none.
    ///
    /// # Errors
    /// As [`Options::open`] and [`Options::create`].
    pub fn open_or_create(&self, path: impl AsRef<Path>) -> Result<Log> {
        self.run(self.storage_at(path.as_ref()), Mode::OpenOrCreate)
    }

    /// As [`Options::open_or_create`], on any [`Storage`].
    ///
    /// # Errors
    /// As [`Options::open_or_create`].
    pub fn open_or_create_on(&self, storage: Arc<dyn Storage>) -> Result<Log> {
        self.run(storage, Mode::OpenOrCreate)
    }

    /// As [`Options::open_or_create_on`], with a block cache that others share.
    pub(crate) fn open_or_create_with(&self, storage: Arc<dyn Storage>, cache: Option<Arc<BlockCache>>) -> Result<Log> {
        self.run_with(storage, Mode::OpenOrCreate, Cache::Shared(cache))
    }

    pub(crate) fn storage_at(&self, path: &Path) -> Arc<dyn Storage> {
        let storage = DirStorage::new(path);
        Arc::new(if self.map_files { storage.with_maps() } else { storage })
    }

    fn run(&self, storage: Arc<dyn Storage>, mode: Mode) -> Result<Log> {
        self.run_with(storage, mode, Cache::Own)
    }

    fn run_with(&self, storage: Arc<dyn Storage>, mode: Mode, cache: Cache) -> Result<Log> {
        let step = Step::open(&*storage);
        let locked = self.prepare(&storage, mode);
        let opened = locked.and_then(|lock| self.recover_with(storage, lock, cache));
        step.ended(&opened);
        opened
    }

    /// Sees to it that there is a log or not, as `mode` says, and locks it.
    fn prepare(&self, storage: &Arc<dyn Storage>, mode: Mode) -> Result<Box<dyn Lock>> {
        self.check()?;
        let storage = &**storage;
        let exists = identity::OF_LOG.exists(storage)?;
        match mode {
            Mode::Create if exists => return Err(Error::AlreadyExists { path: storage.describe("") }),
            Mode::Open if !exists => return Err(identity::no_log(storage)?),
            _ => {}
        }
        if !exists {
            check_empty(storage)?;
            storage.create_dir("").map_err(Error::io("create", storage.describe("")))?;
        }
        let lock = take_lock(storage)?;
        // Another process may have created the log before this one got the lock.
        if !identity::OF_LOG.exists(storage)? {
            // Or a store, since it was looked at.
            if let is_store @ Error::IsAStore { .. } = identity::no_log(storage)? {
                return Err(is_store);
            }
            identity::OF_LOG.create(storage)?;
        } else if mode == Mode::Create {
            return Err(Error::AlreadyExists { path: storage.describe("") });
        } else {
            // A writer that ended between a rename and its sync has left names that only the system's memory holds. What
            // they stand for is relied on from here on: other files are removed for it.
            storage.sync_dir("").map_err(Error::io("sync", storage.describe("")))?;
        }
        Ok(lock)
    }

    /// Recovers the log whose lock is held, and opens it.
    pub(crate) fn recover(&self, storage: Arc<dyn Storage>, lock: Box<dyn Lock>) -> Result<Log> {
        self.recover_with(storage, lock, Cache::Own)
    }

    fn recover_with(&self, storage: Arc<dyn Storage>, lock: Box<dyn Lock>, cache: Cache) -> Result<Log> {
        let step = Step::recover(&*storage);
        let meter = Meter::new(&storage.describe(""));
        let began = meter.begin();
        let recovered = self.recover_metered(storage, lock, cache, &meter).inspect(|log| {
            meter.recovered(began, &log.recovery);
            step.recovered(&log.recovery);
        });
        step.ended(&recovered);
        recovered
    }

    fn recover_metered(
        &self,
        storage: Arc<dyn Storage>,
        lock: Box<dyn Lock>,
        cache: Cache,
        meter: &Meter,
    ) -> Result<Log> {
        let (identity, identity_damage) = identity::read(&*storage)?;
        let log_id = LogId(identity.log_id);
        let random = storage.random().map_err(Error::io("draw a random id for", storage.describe("")))?;
        let incarnation = Incarnation(random);
        let mut found = inspect(&storage, log_id, u64::MAX, &Chain::default())?;
        found.check_seqs()?;
        settle(&storage, log_id, incarnation, &mut found)?;
        let catalog = CatalogWriter::new(&found.stored);
        found.report.damaged.splice(0..0, identity_damage);

        let view = Arc::new(View::new(found.chain, found.next_seq, self.footprint));
        if let Some(fields) = self.index_fields.as_deref().or(found.stored.catalog.fields()) {
            view.name_index_fields(fields.to_vec());
        }
        let seed = Seed { log_id, incarnation, next_seq: found.next_seq, next_ordinal: found.next_ordinal };
        let committer = Committer::new(self.clone(), Arc::clone(&storage), Arc::clone(&view), seed, meter)?;
        let cache = match cache {
            Cache::Own => BlockCache::new(self.cache_bytes, CacheMeter::new(&storage.describe(""))),
            Cache::Shared(cache) => cache,
        };
        let core = Arc::new(Core {
            storage,
            options: self.clone(),
            log_id,
            incarnation,
            view,
            cache,
            recovered_end: found.next_seq,
            committer,
            meter: meter.clone(),
            catalog,
            once: Mutex::new(OnceTable::default()),
            sealing: Mutex::new(seal::Sealer::default()),
        });
        core.keep_index_fields()?;
        let threads = start_threads(&core)?;
        Ok(Log { core, threads: Mutex::new(threads), lock: Mutex::new(Some(lock)), recovery: found.report })
    }
}

/// A log is created among no other files: they would be mistaken for its own.
fn check_empty(storage: &dyn Storage) -> Result<()> {
    let names = match storage.list("") {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("list", storage.describe(""))(error)),
    };
    if names.iter().any(|name| name == STORE_IDENTITY) {
        return Err(Error::IsAStore { path: storage.describe("") });
    }
    match names.into_iter().find(|name| name != LOCK && !is_temporary(name)) {
        Some(found) => Err(Error::NotEmpty { path: storage.describe(""), found }),
        None => Ok(()),
    }
}

/// Takes the writer's lock of a log.
pub(crate) fn take_lock(storage: &dyn Storage) -> Result<Box<dyn Lock>> {
    take_lock_of(storage, LOCK)
}

/// Takes the lock of the writer that `name` stands for.
pub(crate) fn take_lock_of(storage: &dyn Storage, name: &str) -> Result<Box<dyn Lock>> {
    let holder = format!("process {}, since {} µs after 1970", std::process::id(), storage.now().as_micros());
    storage.lock(name, &holder).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Error::Locked { path: storage.describe(""), holder: error.to_string() },
        _ => Error::io("lock", storage.describe(name))(error),
    })
}
