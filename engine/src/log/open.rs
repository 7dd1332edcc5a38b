//! Opening a log for appending: create it, or recover it.

use crate::catalog::CatalogWriter;
use crate::commit::{Committer, Seed};
use crate::error::{Error, Result};
use crate::log::{Core, Log, identity, seal, start_threads};
use crate::meter::{CacheMeter, Meter};
use crate::names::{IDENTITY, LOCK, is_temporary};
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

    fn storage_at(&self, path: &Path) -> Arc<dyn Storage> {
        let storage = DirStorage::new(path);
        Arc::new(if self.map_files { storage.with_maps() } else { storage })
    }

    fn run(&self, storage: Arc<dyn Storage>, mode: Mode) -> Result<Log> {
        let step = Step::open(&*storage);
        let opened = self.take(storage, mode);
        step.ended(&opened);
        opened
    }

    fn take(&self, storage: Arc<dyn Storage>, mode: Mode) -> Result<Log> {
        self.check()?;
        let exists = identity_exists(&*storage)?;
        match mode {
            Mode::Create if exists => return Err(Error::AlreadyExists { path: storage.describe("") }),
            Mode::Open if !exists => return Err(Error::NotALog { path: storage.describe("") }),
            _ => {}
        }
        if !exists {
            check_empty(&*storage)?;
            storage.create_dir("").map_err(Error::io("create", storage.describe("")))?;
        }
        let lock = take_lock(&*storage)?;
        // Another process may have created the log before this one got the lock.
        if !identity_exists(&*storage)? {
            let id = storage.random().map_err(Error::io("draw a random id for", storage.describe("")))?;
            identity::create(&*storage, LogId(id))?;
        } else if mode == Mode::Create {
            return Err(Error::AlreadyExists { path: storage.describe("") });
        } else {
            // A writer that ended between a rename and its sync has left names that only the system's memory holds. What
            // they stand for is relied on from here on: other files are removed for it.
            storage.sync_dir("").map_err(Error::io("sync", storage.describe("")))?;
        }
        self.recover(storage, lock)
    }

    /// Recovers the log whose lock is held, and opens it.
    pub(crate) fn recover(&self, storage: Arc<dyn Storage>, lock: Box<dyn Lock>) -> Result<Log> {
        let step = Step::recover(&*storage);
        let meter = Meter::new(&storage.describe(""));
        let began = meter.begin();
        let recovered = self.recover_with(storage, lock, &meter).inspect(|log| {
            meter.recovered(began, &log.recovery);
            step.recovered(&log.recovery);
        });
        step.ended(&recovered);
        recovered
    }

    fn recover_with(&self, storage: Arc<dyn Storage>, lock: Box<dyn Lock>, meter: &Meter) -> Result<Log> {
        let (identity, identity_damage) = identity::read(&*storage)?;
        let log_id = LogId(identity.log_id);
        let random = storage.random().map_err(Error::io("draw a random id for", storage.describe("")))?;
        let incarnation = Incarnation(random);
        let mut found = inspect(&storage, log_id, u64::MAX, &Chain::default())?;
        found.check_seqs()?;
        settle(&storage, log_id, incarnation, &mut found)?;
        let catalog = CatalogWriter::new(&found.stored);
        found.report.damaged.splice(0..0, identity_damage);

        let view = Arc::new(View::new(found.chain, found.next_seq));
        if let Some(fields) = self.index_fields.as_deref().or(found.stored.catalog.fields()) {
            view.name_index_fields(fields.to_vec());
        }
        let seed = Seed { log_id, incarnation, next_seq: found.next_seq, next_ordinal: found.next_ordinal };
        let committer = Committer::new(self.clone(), Arc::clone(&storage), Arc::clone(&view), seed, meter)?;
        let cache = BlockCache::new(self.cache_bytes, CacheMeter::new(&storage.describe("")));
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

fn identity_exists(storage: &dyn Storage) -> Result<bool> {
    match storage.open(IDENTITY) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("open", storage.describe(IDENTITY))(error)),
    }
}

/// A log is created among no other files: they would be mistaken for its own.
fn check_empty(storage: &dyn Storage) -> Result<()> {
    let names = match storage.list("") {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("list", storage.describe(""))(error)),
    };
    match names.into_iter().find(|name| name != LOCK && !is_temporary(name)) {
        Some(found) => Err(Error::NotEmpty { path: storage.describe(""), found }),
        None => Ok(()),
    }
}

/// Takes the writer's lock.
pub(crate) fn take_lock(storage: &dyn Storage) -> Result<Box<dyn Lock>> {
    let holder = format!("process {}, since {} µs after 1970", std::process::id(), storage.now().as_micros());
    storage.lock(LOCK, &holder).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Error::Locked { path: storage.describe(""), holder: error.to_string() },
        _ => Error::io("lock", storage.describe(LOCK))(error),
    })
}
