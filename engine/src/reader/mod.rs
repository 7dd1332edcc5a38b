//! Reading a log: by seq, in ranges, and as it grows; in the writer's process or beside it.

mod ahead;
mod attach;
mod buffer;
mod info;
mod scan;
mod shape;
mod spare;
mod tail;
mod verify;

use crate::catalog::{self, Catalog, Hold, Release, Removal};
use crate::error::{Damage, Error, Result};
use crate::footprint::Footprint;
use crate::meter::CacheMeter;
use crate::names::SegmentName;
use crate::options::CACHE_BYTES_DEFAULT;
use crate::query::FieldPath;
use crate::raw::ReadAhead;
use crate::record::{Record, RecordBuf};
use crate::retention::{RetentionPolicy, RetentionReport, plan};
use crate::sealed::{BlockCache, SealedFile, SealedSlot};
use crate::storage::DirStorage;
use crate::view::View;
use crate::{LogId, Storage};
use attach::Attachment;
pub use buffer::ReadBuffer;
pub use info::{LogInfo, SegmentInfo};
pub use scan::{Scan, ScanRange};
use std::path::Path;
use std::sync::Arc;
pub use tail::Tail;
pub use verify::VerifyReport;

/// A handle for reading a log. Takes no lock, starts no thread and writes nothing; any number may be open, in the
/// writer's process or in others, while the log is appended to and sealed. Cheap to clone.
///
/// It sees what is durable, or what is written if the log's own durability is less than that.
#[derive(Debug, Clone)]
pub struct Reader {
    source: Source,
}

/// Where a reader reads from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) log_id: LogId,
    pub(crate) view: Arc<View>,
    /// What keeps the view up to date, if the writer is not in this process.
    attachment: Option<Arc<Attachment>>,
    /// Blocks of sealed segments that are kept, if any are to be.
    pub(crate) cache: Option<Arc<BlockCache>>,
}

/// How often a read starts over when files move while it looks for them.
const RETRIES: usize = 8;

impl Reader {
    /// Opens the log at `path` for reading, on a read-only file system too.
    ///
    /// # Errors
    /// [`Error::NotALog`] or [`Error::IsAStore`], [`Error::Damaged`] if the identity file is lost, and what the operating system says.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_on(Arc::new(DirStorage::new(path.as_ref())))
    }

    /// As [`Reader::open`], on any [`Storage`].
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_on(storage: Arc<dyn Storage>) -> Result<Self> {
        let cache = BlockCache::new(CACHE_BYTES_DEFAULT, CacheMeter::new(&storage.describe("")));
        Self::open_with(storage, cache, Footprint::LOG)
    }

    /// As [`Reader::open_on`], with a block cache that others may share.
    pub(crate) fn open_with(
        storage: Arc<dyn Storage>,
        cache: Option<Arc<BlockCache>>,
        footprint: Footprint,
    ) -> Result<Self> {
        let (attachment, log_id, view) = Attachment::open(&storage, footprint)?;
        Ok(Self { source: Source { storage, log_id, view, attachment: Some(Arc::new(attachment)), cache } })
    }

    pub(crate) fn live(
        storage: Arc<dyn Storage>,
        log_id: LogId,
        view: Arc<View>,
        cache: Option<Arc<BlockCache>>,
    ) -> Self {
        Self { source: Source::live(storage, log_id, view, cache) }
    }

    /// This reader with a cache of its own for blocks and pages of field indexes, which it shares with its clones: at most `bytes`, none if 0. Otherwise
    /// readers of a [`crate::Log`] share that of the log ([`crate::Options::cache_bytes`]), and one that was opened by
    /// itself has 8 MiB.
    #[must_use]
    pub fn with_cache(mut self, bytes: usize) -> Self {
        self.source.cache = BlockCache::new(bytes, CacheMeter::new(&self.source.storage.describe("")));
        self
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// The log's id.
    pub fn id(&self) -> LogId {
        self.source.log_id
    }

    /// The seq of the first record that there is, or will be: those before it have been removed by retention.
    pub fn first_seq(&self) -> u64 {
        self.source.view.chain().first_seq()
    }

    /// The seq after the last record that this reader sees. A reader in another process than the writer looks again at
    /// each call of [`Reader::refresh`], and when a record is asked for that it doesn't see yet.
    pub fn end_seq(&self) -> u64 {
        self.source.view.visible_seq()
    }

    /// Looks how far the log has grown.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn refresh(&self) -> Result<()> {
        self.source.refresh()
    }

    /// The record `seq`; `None` if the log hasn't got there yet.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it can't be read; all others still can. [`Error::Gap`] if it is missing, and the log says so.
    /// [`Error::Removed`] if retention has removed it.
    pub fn get(&self, seq: u64) -> Result<Option<RecordBuf>> {
        let mut buffer = ReadBuffer::new();
        Ok(self.get_into(seq, &mut buffer)?.map(|record| record.to_owned()))
    }

    /// As [`Reader::get`], borrowing the record from a buffer that can be used again.
    ///
    /// # Errors
    /// As [`Reader::get`].
    pub fn get_into<'b>(&self, seq: u64, buffer: &'b mut ReadBuffer) -> Result<Option<Record<'b>>> {
        if seq >= self.end_seq() {
            self.refresh()?;
        }
        if seq >= self.end_seq() {
            return Ok(None);
        }
        self.source.with_retries(|| {
            let chain = self.source.view.chain_now();
            let Some((index, _)) = chain.find(seq) else { return Err(self.source.no_segment(seq)) };
            buffer.read(&self.source, &chain, index, seq, ReadAhead::None)
        })?;
        buffer.project()?;
        Ok(buffer.current())
    }

    /// The records in `range`, in order.
    ///
    /// What the scan returns is settled here: records appended later are not in it.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn scan(&self, range: ScanRange) -> Result<Scan> {
        self.source.look()?;
        Ok(Scan::new(self.source.clone(), range))
    }

    /// What retention has removed from the log, from seq 0 on, as the log's catalog has it now.
    ///
    /// # Errors
    /// As [`Reader::holds`].
    pub fn removals(&self) -> Result<Vec<Removal>> {
        Ok(self.catalog()?.removed().removals().iter().map(|removal| Removal::clone(removal)).collect())
    }

    /// What [`crate::Log::retain`] would remove now. Needs no lock, and changes nothing, whatever the policy says of dry runs.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] if the policy has no limit, [`Error::Damaged`] if the catalog is lost, and what the operating
    /// system says.
    pub fn plan_retention(&self, policy: &RetentionPolicy) -> Result<RetentionReport> {
        let policy = policy.clone().dry_run(true);
        policy.check()?;
        self.source.relist()?;
        self.source.with_retries(|| {
            let plan = plan(&self.source, &self.source.view.chain(), &self.catalog()?, &policy)?;
            Ok(plan.report)
        })
    }

    /// The holds that keep records from being removed by retention, as the log's catalog has them now.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the catalog is, and what the operating system says.
    pub fn holds(&self) -> Result<Vec<Hold>> {
        Ok(self.catalog()?.holds().to_vec())
    }

    /// The holds that were released, the newest 512, in the order in which they were: what was held, and when and why no longer.
    ///
    /// # Errors
    /// As [`Reader::holds`].
    pub fn releases(&self) -> Result<Vec<Release>> {
        Ok(self.catalog()?.releases().kept().to_vec())
    }

    fn catalog(&self) -> Result<Catalog> {
        let stored = catalog::file::read(&*self.source.storage, self.source.log_id)?;
        match stored.damage.into_iter().next().filter(|_| stored.is_lost) {
            Some(damage) => Err(Error::Damaged(damage)),
            None => Ok(stored.catalog),
        }
    }

    /// Follows the log from `seq` on: the records there are, then those to come.
    pub fn tail(&self, seq: u64) -> Tail {
        Tail::new(self.clone(), seq)
    }
}

impl Source {
    /// The source of readers in the writer's process.
    pub(crate) fn live(
        storage: Arc<dyn Storage>,
        log_id: LogId,
        view: Arc<View>,
        cache: Option<Arc<BlockCache>>,
    ) -> Self {
        Self { storage, log_id, view, attachment: None, cache }
    }

    pub(crate) fn refresh(&self) -> Result<()> {
        match &self.attachment {
            Some(attachment) => attachment.refresh(&self.storage, self.log_id, &self.view),
            None => Ok(()),
        }
    }

    /// As [`Source::refresh`], and leaves out what retention has removed since, of which a head doesn't tell.
    pub(crate) fn look(&self) -> Result<()> {
        self.refresh()?;
        if self.is_attached() && catalog::file::base_seq(&*self.storage)? > self.view.chain().removed.end_seq() {
            return self.relist();
        }
        Ok(())
    }

    /// Looks at the directory anew, unless the writer is in this process and says itself what changes.
    pub(crate) fn relist(&self) -> Result<()> {
        match &self.attachment {
            Some(attachment) => attachment.relist(&self.storage, self.log_id, &self.view),
            None => Ok(()),
        }
    }

    /// Whether the writer is known to have closed the log.
    pub(crate) fn is_closed(&self) -> bool {
        self.view.is_closed()
    }

    /// Whether changes of the view have to be looked for.
    pub(crate) fn is_attached(&self) -> bool {
        self.attachment.is_some()
    }

    /// The file of a sealed segment, opened at the first need.
    pub(crate) fn sealed(&self, slot: &Arc<SealedSlot>) -> Result<Arc<SealedFile>> {
        self.view.open(slot, &self.storage, self.log_id)
    }

    /// Runs `read`, again after a look at the directory if a file was not found: it may have been sealed or retired.
    pub(crate) fn with_retries<T>(&self, mut read: impl FnMut() -> Result<T>) -> Result<T> {
        for _ in 0..RETRIES {
            match read() {
                Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => self.relist()?,
                outcome => return outcome,
            }
        }
        read()
    }

    /// The error for `seq`, which is before the first record that a file holds.
    pub(crate) fn no_segment(&self, seq: u64) -> Error {
        let chain = self.view.chain();
        if let Some(removal) = chain.removed.find(seq) {
            return Error::Removed(Arc::clone(removal));
        }
        let first = chain.segments.first().map(|segment| segment.base_seq());
        Error::Damaged(Damage {
            path: self.storage.describe(""),
            offset: 0,
            detail: "no file holds the record".into(),
            first_seq: Some(chain.removed.end_seq()),
            end_seq: Some(first.unwrap_or_else(|| self.view.visible_seq())),
        })
    }

    /// The fields that are indexed.
    pub(crate) fn indexed_fields(&self) -> Vec<FieldPath> {
        self.view.index_fields(&self.storage, self.log_id)
    }

    pub(crate) fn describe(&self, name: SegmentName) -> String {
        self.storage.describe(&name.to_string())
    }
}
