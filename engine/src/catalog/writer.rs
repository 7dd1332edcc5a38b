//! Changing the catalog: one change at a time, each durable when it is done.

use super::file::{self, Failure, Stored};
use super::{Catalog, Removed};
use crate::LogId;
use crate::error::{Damage, Error, Result};
use crate::storage::Storage;
use crate::sync::Mutex;
use std::sync::{Arc, PoisonError};

/// The catalog of a log that is open for writing.
#[derive(Debug)]
pub(crate) struct CatalogWriter {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    catalog: Catalog,
    /// Why nothing can be changed, if the file could not be read.
    lost: Option<Damage>,
    /// Why nothing can be changed any more, once a change came to nobody knows what.
    failed: Option<Arc<Error>>,
}

impl CatalogWriter {
    /// Goes on from what was read.
    pub(crate) fn new(stored: &Stored) -> Self {
        let lost = stored.damage.first().filter(|_| stored.is_lost).cloned();
        Self { state: Mutex::new(State { catalog: stored.catalog.clone(), lost, failed: None }) }
    }

    /// What retention has removed.
    pub(crate) fn removed(&self) -> Arc<Removed> {
        Arc::clone(self.state.lock().unwrap_or_else(PoisonError::into_inner).catalog.removed())
    }

    /// The catalog as it stands.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the file could not be read.
    pub(crate) fn catalog(&self) -> Result<Catalog> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.check()?;
        Ok(state.catalog.clone())
    }

    /// Changes the catalog, durably. `ordinal` gives the ordinal of a new file; it is asked if anything changes.
    ///
    /// # Errors
    /// What `change` says. [`Error::Damaged`] if the file could not be read, [`Error::Poisoned`] if an earlier change failed
    /// so that nobody knows what a crash would leave, and what the operating system says. Nothing is changed then, as far
    /// as this handle goes.
    pub(crate) fn update<T>(
        &self,
        storage: &dyn Storage,
        log_id: LogId,
        ordinal: impl FnOnce() -> u64,
        change: impl FnOnce(&mut Catalog) -> Result<T>,
    ) -> Result<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.check()?;
        let mut next = state.catalog.clone();
        let outcome = change(&mut next)?;
        if next == state.catalog {
            return Ok(outcome);
        }
        match file::replace(storage, log_id, ordinal(), &next) {
            Ok(()) => {
                state.catalog = next;
                Ok(outcome)
            }
            Err(Failure::Unchanged(error)) => Err(error),
            Err(Failure::Unknown(error)) => {
                state.failed = Some(Arc::new(error.clone()));
                Err(error)
            }
        }
    }
}

impl State {
    fn check(&self) -> Result<()> {
        match (&self.lost, &self.failed) {
            (Some(damage), _) => Err(Error::Damaged(damage.clone())),
            (_, Some(cause)) => Err(Error::Poisoned(Arc::clone(cause))),
            (None, None) => Ok(()),
        }
    }
}
