//! Repairing what a store has beside its streams: its identity file. Each stream is repaired as the log that it is.

use crate::error::{Damage, Error, Result};
use crate::log::{identity, take_lock_of};
use crate::names::{STORE_IDENTITY, STORE_LOCK};
use crate::repair::{Repair, Replaced, keep, sync_names};
use crate::storage::{DirStorage, Storage};
use crate::store::directory;
use crate::{StoreId, Timestamp};
use annals_index::FileHeader;
use std::path::Path;
use std::sync::Arc;

/// What a repair of a store found and did, or would do. Its streams have no part in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct StoreRepairReport {
    /// Whether anything was changed; `false` for a dry run.
    pub applied: bool,
    /// The store's id after the repair: a new one if nothing told the old one any more. `None` where a dry run found none.
    pub store_id: Option<StoreId>,
    /// The damage that was found.
    pub damage: Vec<Damage>,
    /// Files that were replaced, or would be.
    pub replaced: Vec<Replaced>,
    /// What is still damaged after the repair. Always empty, but for files that other programs change meanwhile, and of a
    /// dry run.
    pub remaining: Vec<Damage>,
}

impl StoreRepairReport {
    /// Whether there is nothing to repair.
    pub fn is_needless(&self) -> bool {
        self.damage.is_empty()
    }

    /// Whether the store's own file is as it has to be.
    pub fn is_sound(&self) -> bool {
        match self.applied {
            true => self.remaining.is_empty(),
            false => self.damage.is_empty(),
        }
    }
}

impl Repair {
    /// Repairs the identity file of the store at `path`, and nothing of its streams: each is a log, for [`Repair::run`]. A file of
    /// which one copy can be read keeps what that says; otherwise the store gets a new id, and the time at which the first of its
    /// streams was created.
    ///
    /// # Errors
    /// [`Error::NotAStore`]; [`Error::Locked`] if it is open for writing; [`Error::Unsupported`] if a newer version wrote the
    /// file; and what the operating system says.
    pub fn run_store(&self, path: impl AsRef<Path>) -> Result<StoreRepairReport> {
        self.run_store_on(Arc::new(DirStorage::new(path.as_ref())))
    }

    /// As [`Repair::run_store`], on any [`Storage`] that has folders.
    ///
    /// # Errors
    /// As [`Repair::run_store`].
    pub fn run_store_on(&self, storage: Arc<dyn Storage>) -> Result<StoreRepairReport> {
        let storage = &*storage;
        let (header, damage) = find(storage)?;
        let id = header.map(|header| StoreId(header.log_id));
        let mut report =
            StoreRepairReport { applied: self.apply, store_id: id, damage, ..StoreRepairReport::default() };
        if report.damage.is_empty() {
            return Ok(report);
        }
        let mut replaced = Replaced { files: vec![STORE_IDENTITY.to_owned()], ..Replaced::default() };
        if self.apply {
            let _lock = take_lock_of(storage, STORE_LOCK)?;
            sync_names(storage)?;
            // Who had the lock before may have repaired it.
            let header = find(storage)?.0;
            replaced.kept.extend(keep::copy(storage, STORE_IDENTITY)?);
            write(storage, header)?;
            replaced.by = Some(STORE_IDENTITY.to_owned());
            let (header, remaining) = find(storage)?;
            (report.store_id, report.remaining) = (header.map(|header| StoreId(header.log_id)), remaining);
        }
        report.replaced.push(replaced);
        Ok(report)
    }
}

/// The store's identity, as far as it can be read, and what is wrong with its file.
fn find(storage: &dyn Storage) -> Result<(Option<FileHeader>, Vec<Damage>)> {
    directory::check_no_log(storage)?;
    match directory::identity(storage)? {
        Some(found) => Ok(found),
        None => Err(directory::no_store(storage)?),
    }
}

/// Writes an identity file that says what is known of the store.
fn write(storage: &dyn Storage, known: Option<FileHeader>) -> Result<()> {
    let draw = || storage.random().map_err(Error::io("draw a random id for", storage.describe(STORE_IDENTITY)));
    let (id, created) = match known {
        Some(header) => (header.log_id, Timestamp::from_micros(header.created_us)),
        None => (draw()?, directory::first_created(storage)?.unwrap_or_else(|| storage.now())),
    };
    identity::OF_STORE.replace(storage, id, draw()?, created)
}
