//! A sealed segment of which only the name is known until somebody reads it.

use crate::error::Result;
use crate::names::SegmentName;
use crate::sealed::SealedFile;
use crate::sync::ArcSwapOption;
use crate::{LogId, Storage};
use std::ops::Deref;
use std::sync::Arc;

/// A sealed segment, opened at the first need.
#[derive(Debug)]
pub(crate) struct SealedSlot {
    pub(crate) name: SegmentName,
    opened: ArcSwapOption<SealedFile>,
}

impl SealedSlot {
    pub(crate) fn new(name: SegmentName) -> Self {
        Self { name, opened: ArcSwapOption::new(None) }
    }

    /// The file, if it is open.
    pub(crate) fn opened(&self) -> Option<Arc<SealedFile>> {
        self.opened.load_full()
    }

    /// As [`SealedSlot::opened`], for a look that ends soon: without a count that all threads would change.
    pub(crate) fn opened_now(&self) -> impl Deref<Target = Option<Arc<SealedFile>>> {
        self.opened.load()
    }

    /// The file, opened if it isn't yet.
    pub(crate) fn file(&self, storage: &Arc<dyn Storage>, log_id: LogId) -> Result<Arc<SealedFile>> {
        if let Some(file) = self.opened() {
            return Ok(file);
        }
        let file = Arc::new(SealedFile::open(storage, self.name, log_id)?);
        self.opened.store(Some(Arc::clone(&file)));
        Ok(file)
    }

    /// Closes the file; who is reading it goes on.
    pub(crate) fn close(&self) {
        self.opened.store(None);
    }
}
