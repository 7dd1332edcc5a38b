//! A sealed segment of which only the name is known until somebody reads it.

use crate::error::Result;
use crate::names::SegmentName;
use crate::sealed::SealedFile;
use crate::sync::RwLock;
use crate::{LogId, Storage};
use std::sync::{Arc, PoisonError};

/// A sealed segment, opened at the first need.
#[derive(Debug)]
pub(crate) struct SealedSlot {
    pub(crate) name: SegmentName,
    opened: RwLock<Option<Arc<SealedFile>>>,
}

impl SealedSlot {
    pub(crate) fn new(name: SegmentName) -> Self {
        Self { name, opened: RwLock::new(None) }
    }

    /// The file, if it is open.
    pub(crate) fn opened(&self) -> Option<Arc<SealedFile>> {
        self.opened.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The file, opened if it isn't yet.
    pub(crate) fn file(&self, storage: &Arc<dyn Storage>, log_id: LogId) -> Result<Arc<SealedFile>> {
        if let Some(file) = self.opened() {
            return Ok(file);
        }
        let file = Arc::new(SealedFile::open(storage, self.name, log_id)?);
        *self.opened.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&file));
        Ok(file)
    }

    /// Closes the file; who is reading it goes on.
    pub(crate) fn close(&self) {
        *self.opened.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
