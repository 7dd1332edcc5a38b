//! How many streams a store has: its directory is listed for the first stream that is created, and the number kept from then on.
//!
//! What counts is directories that can be those of streams, so that also those in which a log was begun and has come to nothing do:
//! they are what a limit is to keep few.

use crate::error::{Error, Result};
use crate::names::StreamName;
use crate::storage::Storage;
use crate::store::directory;
use crate::sync::{Mutex, MutexGuard};
use std::sync::PoisonError;

/// See the module.
#[derive(Debug)]
pub(super) struct Census {
    /// `None` until a stream is to be created.
    streams: Mutex<Option<usize>>,
}

impl Census {
    pub(super) fn new() -> Self {
        Self { streams: Mutex::new(None) }
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
        let streams = match *counted {
            Some(streams) => streams,
            None => directory::count(storage)?,
        };
        let is_room = streams < most;
        *counted = Some(streams + usize::from(is_room));
        match is_room {
            true => Ok(true),
            false => Err(Error::TooManyStreams { path: storage.describe(""), name: name.clone(), most }),
        }
    }

    /// Takes a stream back that was counted as new and could not be created, unless its directory is there now.
    pub(super) fn take_back(&self, storage: &dyn Storage, name: &StreamName) {
        if matches!(directory::is_taken(storage, name), Ok(false)) {
            let mut counted = self.lock();
            *counted = counted.map(|streams| streams.saturating_sub(1));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<usize>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
