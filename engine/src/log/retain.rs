//! Carrying out retention: first the catalog says durably what goes, then the files go.
//!
//! An opening after a crash finishes it: segments below the catalog's base seq hold nothing of the log.

use crate::catalog::Removed;
use crate::error::{Error, Result};
use crate::log::{Core, Log};
use crate::names::SegmentName;
use crate::reader::Source;
use crate::retention::{RetentionPolicy, RetentionReport, plan};
use crate::trace::Step;
use crate::view::{Chain, Segment};
use std::io;
use std::sync::{Arc, PoisonError};

impl Log {
    /// Removes from the beginning of the log what `policy` says: whole sealed segments, until one is not due, is held, or is
    /// damaged. Their seqs are never given again, and the hash tree over them is kept, so that what follows can still be
    /// verified. When this returns, it is durable that they were removed, when, and why.
    ///
    /// Appends go on meanwhile, sealing waits. Scans of this process that have begun go on undisturbed, with the files of up
    /// to 256 removed segments kept open for them; other readers get [`Error::Removed`] for what they can't read any more.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] if the policy has no limit; [`Error::Damaged`] if the catalog is lost, since nobody knows then
    /// what is held; [`Error::Poisoned`], [`Error::Closed`], and what the operating system says. If files could not be removed,
    /// the next retention or the next opening removes them; readers count them as removed.
    pub fn retain(&self, policy: &RetentionPolicy) -> Result<RetentionReport> {
        policy.check()?;
        let step = Step::retain(&*self.core.storage);
        let done = self.core.retain(policy).inspect(|report| step.retained(report));
        step.ended(&done);
        done
    }
}

impl Core {
    fn retain(&self, policy: &RetentionPolicy) -> Result<RetentionReport> {
        // Sealing takes the segments that it follows from the same list.
        let _sealing = self.sealing.lock().unwrap_or_else(PoisonError::into_inner);
        self.committer.check_open()?;
        let source = Source::live(Arc::clone(&self.storage), self.log_id, Arc::clone(&self.view), None);
        if policy.is_dry_run() {
            let plan = plan(&source, &self.view.chain(), &self.catalog.catalog()?, policy)?;
            return Ok(plan.report);
        }
        // Inside, so that no hold can come in between.
        let report = self.update_catalog(|catalog| {
            let plan = plan(&source, &self.view.chain(), catalog, policy)?;
            if let Some(removal) = &plan.report.removal {
                catalog.remove(removal.clone(), plan.frontier);
            }
            Ok(plan.report)
        })?;
        let removed = self.catalog.removed();
        if let Some(removal) = &report.removal {
            self.meter.removed(removal);
            self.retire(&removed);
        }
        self.remove_below(removed.end_seq())?;
        Ok(report)
    }

    /// Takes what was removed from what readers of this process go through, but for those that are under way.
    fn retire(&self, removed: &Arc<Removed>) {
        let mut retired = Vec::new();
        self.view.change(|chain: &mut Chain| {
            chain.segments.retain(|segment| match segment {
                Segment::Sealed(slot) if slot.name.base_seq < removed.end_seq() => {
                    retired.push(Arc::clone(slot));
                    false
                }
                _ => true,
            });
            chain.removed = Arc::clone(removed);
        });
        self.view.retire(&retired, |slot| slot.file(&self.storage, self.log_id).map(drop));
    }

    /// Removes the files of segments below `seq`, those too that an earlier attempt has left.
    fn remove_below(&self, seq: u64) -> Result<()> {
        let storage = &*self.storage;
        let names = storage.list("").map_err(Error::io("list", storage.describe("")))?;
        let mut names: Vec<_> = names.iter().filter_map(|name| SegmentName::parse(name)).collect();
        names.retain(|name| name.base_seq < seq);
        if names.is_empty() {
            return Ok(());
        }
        names.sort_unstable();
        for name in names {
            match storage.remove(&name.to_string()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", storage.describe(&name.to_string()))(error));
                }
                _ => {}
            }
        }
        storage.sync_dir("").map_err(Error::io("sync", storage.describe("")))
    }
}
