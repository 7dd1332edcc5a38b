//! Legal holds: what retention has to leave alone.

use crate::catalog::{Hold, Release};
use crate::error::{Error, Result};
use crate::log::{Core, Log};
use std::ops::RangeBounds;

impl Log {
    /// Keeps retention away from the records with a seq in `seqs` until the hold is released, those that come included if
    /// the range has no end. Durable when this returns.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] if there is a hold of that name (1 to 128 bytes), the reason is longer than 1,024 bytes, the
    /// range is empty, or all of it has been removed. [`Error::Damaged`] if the catalog is, and what the operating system says.
    pub fn hold(&self, name: &str, seqs: impl RangeBounds<u64>, reason: &str) -> Result<Hold> {
        let hold = Hold::new(name, seqs, self.core.storage.now(), reason)?;
        self.core.update_catalog(|catalog| {
            let first_seq = catalog.removed().end_seq();
            if hold.end_seq.is_some_and(|end| end <= first_seq) {
                let detail =
                    format!("retention has removed all of these records: the first that is there is {first_seq}");
                return Err(Error::InvalidOption { option: "hold", detail });
            }
            catalog.add_hold(hold.clone())?;
            Ok(hold)
        })
    }

    /// Releases the hold `name`, and keeps on record when that was, and why. Durable when this returns.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] if there is no such hold or the reason is longer than 1,024 bytes, and as [`Log::hold`].
    pub fn release(&self, name: &str, reason: &str) -> Result<Release> {
        let now = self.core.storage.now();
        self.core.update_catalog(|catalog| catalog.release(name, now, reason))
    }

    /// The holds, in the order in which they were made.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the catalog could not be read.
    pub fn holds(&self) -> Result<Vec<Hold>> {
        Ok(self.core.catalog.catalog()?.holds().to_vec())
    }

    /// The holds that were released, the newest 512, in the order in which they were.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the catalog could not be read.
    pub fn releases(&self) -> Result<Vec<Release>> {
        Ok(self.core.catalog.catalog()?.releases().kept().to_vec())
    }
}

impl Core {
    /// Changes the catalog, durably.
    pub(crate) fn update_catalog<T>(
        &self,
        change: impl FnOnce(&mut crate::catalog::Catalog) -> Result<T>,
    ) -> Result<T> {
        self.committer.check_open()?;
        self.catalog.update(&*self.storage, self.log_id, || self.committer.next_ordinal(), change)
    }
}
