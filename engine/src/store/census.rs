//! How many streams a store has: its directory is listed for the first stream that is created, and the number kept from then on.
//!
//! What counts is directories that can be those of streams, so that also those in which a log was begun and has come to nothing do:
//! they are what a limit is to keep few.

use crate::error::{Error, Result};
use crate::names::StreamName;
use crate::storage::Storage;
use crate::store::directory;
use crate::sync::{Mutex, MutexGuard};
use std::collections::BTreeSet;
use std::sync::PoisonError;

/// See the module.
#[derive(Debug)]
pub(super) struct Census {
    counted: Mutex<Counted>,
}

#[derive(Debug)]
struct Counted {
    /// `None` until a stream is to be created.
    streams: Option<usize>,
    /// Those among them that have a place and are not to be created yet.
    reserved: BTreeSet<StreamName>,
}

impl Census {
    pub(super) fn new() -> Self {
        Self { counted: Mutex::new(Counted { streams: None, reserved: BTreeSet::new() }) }
    }

    /// Counts the stream `name` if it is new. Returns whether it is. Nobody else may create or remove the same stream meanwhile.
    ///
    /// # Errors
    /// [`Error::TooManyStreams`] if there are `most` already, and what the operating system says.
    pub(super) fn admit(&self, storage: &dyn Storage, name: &StreamName, most: usize) -> Result<bool> {
        if directory::is_taken(storage, name)? {
            return Ok(false);
        }
        let mut counted = self.lock();
        if counted.reserved.remove(name) {
            return Ok(true);
        }
        counted.add(storage, name, most).map(|()| true)
    }

    /// Counts the stream `name` if it is new and was not counted, so that it is admitted later. One that is created at the same
    /// moment may be counted twice, until the store is opened again.
    ///
    /// # Errors
    /// As [`Census::admit`].
    pub(super) fn reserve(&self, storage: &dyn Storage, name: &StreamName, most: usize) -> Result<()> {
        let is_taken = directory::is_taken(storage, name)?;
        let mut counted = self.lock();
        if !is_taken && !counted.reserved.contains(name) {
            counted.add(storage, name, most)?;
            counted.reserved.insert(name.clone());
        }
        Ok(())
    }

    /// Takes a stream back that was counted as new and could not be created, unless its directory is there now.
    pub(super) fn take_back(&self, storage: &dyn Storage, name: &StreamName) {
        if matches!(directory::is_taken(storage, name), Ok(false)) {
            self.lock().take_back();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    /// Counts one more.
    fn add(&mut self, storage: &dyn Storage, name: &StreamName, most: usize) -> Result<()> {
        let streams = match self.streams {
            Some(streams) => streams,
            None => directory::count(storage)?,
        };
        let is_room = streams < most;
        self.streams = Some(streams + usize::from(is_room));
        match is_room {
            true => Ok(()),
            false => Err(Error::TooManyStreams { path: storage.describe(""), name: name.clone(), most }),
        }
    }

    /// Counts one less.
    fn take_back(&mut self) {
        self.streams = self.streams.map(|streams| streams.saturating_sub(1));
    }
}
