//! Repairing a damaged log: everything that can be read is kept, what can't is recorded as a gap, and every byte that is
//! replaced is kept in quarantine.
//!
//! - [`plan`] compares what the log has to hold with what its files give, and decides which are replaced.
//! - [`rebuild`] writes what replaces them: under a temporary name, synced, read back and compared, renamed.
//! - [`keep`] copies what is replaced to quarantine before that.
//! - [`restore`] brings back what an opening left behind the end of the log.
//! - [`store`] writes the identity file of a store again.
//!
//! A repair holds the writer's lock, and begins with what every opening for writing does. A crash at any point leaves a
//! log that another repair finishes; one of a log that is sound changes nothing.

mod entries;
mod keep;
mod plan;
mod rebuild;
mod report;
mod restore;
mod store;

use crate::catalog;
use crate::error::{Damage, Error, Result};
use crate::footprint::Footprint;
use crate::log::{identity, take_lock};
use crate::names::{CATALOG, IDENTITY, QUARANTINE};
use crate::options::{Background, Options};
use crate::reader::Reader;
use crate::recovery::{Inspected, inspect, settle};
use crate::storage::{DirStorage, Storage};
use crate::view::{Chain, View};
use crate::{Incarnation, LogId};
use annals_index::FileHeader;
use plan::plan;
use rebuild::Rebuilder;
pub use report::{RepairReport, Replaced, Restorable};
use restore::{InPlace, Restore};
use std::io;
use std::path::Path;
use std::sync::Arc;
pub use store::StoreRepairReport;

/// Repairs a damaged log, or says what a repair would do.
///
/// ```no_run
/// # fn main() -> Result<(), annals::Error> {
/// let planned = annals::Repair::dry_run().run("audit.annals")?;
/// if !planned.is_needless() {
///     let report = annals::Repair::apply().run("audit.annals")?;
///     println!("{} gaps", report.gaps.len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Repair {
    apply: bool,
    restore: bool,
}

impl Repair {
    /// A repair that changes nothing and takes no lock, and only reports. Beside a writer, what it says of the end of the
    /// log is of a moment that has passed.
    pub fn dry_run() -> Self {
        Self { apply: false, restore: false }
    }

    /// A repair that is carried out.
    pub fn apply() -> Self {
        Self { apply: true, restore: false }
    }

    /// Whether to bring back what is intact of frames that an opening left behind the end of the log, and that may have
    /// been acknowledged. Default: no, they stay in quarantine.
    #[must_use]
    pub fn restore(mut self, restore: bool) -> Self {
        self.restore = restore;
        self
    }

    /// Repairs the log at `path`.
    ///
    /// # Errors
    /// [`Error::NotALog`]; [`Error::Locked`] if it is open for writing; [`Error::Damaged`] if nothing tells what log it
    /// is; [`Error::Unsupported`] if a newer version wrote some of it; and what the operating system says. What was done
    /// until then is done: another repair goes on from there.
    pub fn run(&self, path: impl AsRef<Path>) -> Result<RepairReport> {
        self.run_on(Arc::new(DirStorage::new(path.as_ref())))
    }

    /// As [`Repair::run`], on any [`Storage`].
    ///
    /// # Errors
    /// As [`Repair::run`].
    pub fn run_on(&self, storage: Arc<dyn Storage>) -> Result<RepairReport> {
        let (identity, identity_damage) = find_identity(&*storage)?;
        let lock = if self.apply { Some(take_lock(&*storage)?) } else { None };
        if self.apply {
            sync_names(&*storage)?;
        }
        let log_id = LogId(identity.log_id);
        let mut report = RepairReport { applied: self.apply, ..RepairReport::default() };
        if !identity_damage.is_empty() {
            report.replaced.push(self.identity(&*storage, identity)?);
        }
        report.damage.extend(identity_damage);

        let random = storage.random().map_err(Error::io("draw a random id for", storage.describe("")))?;
        let incarnation = Incarnation(random);
        let mut found = inspect(&storage, log_id, u64::MAX, &Chain::default())?;
        found.check_seqs()?;
        if !found.stored.damage.is_empty() {
            report.replaced.push(self.catalog(&*storage, log_id, &mut found)?);
            report.damage.extend(found.stored.damage.iter().cloned());
        }
        if self.apply {
            settle(&storage, log_id, incarnation, &mut found)?;
        }
        report.recovery = found.report.clone();
        let reader = reader(&storage, log_id, &found);
        let verified = reader.verify(&mut |_| ())?;
        report.damage.extend(verified.damage.iter().filter(|damage| !is_told(&*storage, damage)).cloned());
        report.indexes = verified.indexes;

        let mut restore = Restore::find(&storage, log_id, &reader, self.apply)?;
        let in_place = if self.restore { restore.in_place(&found) } else { InPlace::default() };
        let plan = plan(&storage, log_id, &found, &report.damage, &in_place)?;
        report.next_seq = found.next_seq.max(in_place.end_seq());
        let mut rebuilder = Rebuilder::new(Arc::clone(&storage), log_id, incarnation, found.next_ordinal, self.apply);
        for group in &plan {
            rebuilder.rebuild(group, &mut report)?;
        }
        rebuilder.indexes(&mut report)?;
        restore.note(&mut report);
        let Some(lock) = lock else { return Ok(report) };
        restore.finish_in_place(&in_place)?;

        // Opened as any other, the log tells readers in other processes how far it goes now.
        let mut options = Options::new().background(Background::Manual);
        options.tells_drops = self.restore && restore.tells_drops();
        let log = options.recover(Arc::clone(&storage), lock)?;
        if self.restore {
            restore.append(&log, &mut report)?;
        }
        report.next_seq = log.next_seq();
        let verified = log.reader().verify(&mut |_| ())?;
        report.gaps = verified.gaps;
        report.remaining = verified.damage;
        log.close()?;
        Ok(report)
    }

    /// Writes an identity in place of a damaged or missing one.
    fn identity(&self, storage: &dyn Storage, mut header: FileHeader) -> Result<Replaced> {
        let mut replaced = Replaced { files: vec![IDENTITY.to_owned()], ..Replaced::default() };
        if self.apply {
            replaced.kept.extend(keep::copy(storage, IDENTITY)?);
            header.file_id = storage.random().map_err(Error::io("draw a random id for", storage.describe(IDENTITY)))?;
            identity::write(storage, &header)?;
            replaced.by = Some(IDENTITY.to_owned());
        }
        Ok(replaced)
    }

    /// Writes what could be read of the catalog in place of a damaged one. Where nothing could, it is empty then: what had
    /// been removed becomes a gap, since nothing tells any more why it isn't there.
    fn catalog(&self, storage: &dyn Storage, log_id: LogId, found: &mut Inspected) -> Result<Replaced> {
        let mut replaced = Replaced { files: vec![CATALOG.to_owned()], ..Replaced::default() };
        if self.apply {
            replaced.kept.extend(keep::copy(storage, CATALOG)?);
            catalog::file::write(storage, log_id, found.next_ordinal, &found.stored.catalog)?;
            found.next_ordinal += 1;
            replaced.by = Some(CATALOG.to_owned());
        }
        Ok(replaced)
    }
}

/// Makes names durable that who ended in the middle of something has left in the system's memory only: other files are
/// removed because of them.
fn sync_names(storage: &dyn Storage) -> Result<()> {
    storage.sync_dir("").map_err(Error::io("sync", storage.describe("")))?;
    match storage.sync_dir(QUARANTINE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        synced => synced.map_err(Error::io("sync", storage.describe(QUARANTINE))),
    }
}

/// The log's identity, and what is wrong with its file.
fn find_identity(storage: &dyn Storage) -> Result<(FileHeader, Vec<Damage>)> {
    let (identity, damage) = identity::read_or_told(storage)?;
    // One that was put here from another log would make strangers of all segments. A single segment may itself be the
    // stranger.
    match identity::told_by_segments(storage)? {
        Some((told, 2..)) if told.log_id != identity.log_id => {
            let detail = format!("it is that of another log: all segments belong to {}", LogId(told.log_id));
            let path = storage.describe(IDENTITY);
            Ok((told, vec![Damage { path, offset: 0, detail, first_seq: None, end_seq: None }]))
        }
        _ => Ok((identity, damage)),
    }
}

/// Whether the damage is of a file that has been looked at before the records.
fn is_told(storage: &dyn Storage, damage: &Damage) -> bool {
    [IDENTITY, CATALOG].iter().any(|name| damage.path == storage.describe(name))
}

/// A reader of what was found, as it stands.
fn reader(storage: &Arc<dyn Storage>, log_id: LogId, found: &Inspected) -> Reader {
    let view = View::new(found.chain.clone(), found.next_seq, Footprint::LOG);
    Reader::live(Arc::clone(storage), log_id, Arc::new(view), None)
}
