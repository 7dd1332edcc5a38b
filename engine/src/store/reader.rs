//! Reading a store: its streams, each as a log, and all of them together.

use crate::error::{Damage, Error, Result};
use crate::footprint::Footprint;
use crate::meter::CacheMeter;
use crate::names::StreamName;
use crate::options::CACHE_BYTES_DEFAULT;
use crate::query::Query;
use crate::reader::Reader;
use crate::sealed::BlockCache;
use crate::storage::{DirStorage, Storage};
use crate::store::StoreMatches;
use crate::store::directory;
use crate::{StoreId, Timestamp};
use std::path::Path;
use std::sync::Arc;

/// A handle for reading a store. As a [`Reader`], it takes no lock, starts no thread and writes nothing, and works beside a writer.
/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct StoreReader {
    storage: Arc<dyn Storage>,
    cache: Option<Arc<BlockCache>>,
    /// `None` if the identity file is damaged or missing, which keeps nobody from reading the streams.
    identity: Option<(StoreId, Timestamp)>,
    damage: Vec<Damage>,
}

impl StoreReader {
    /// Opens the store at `path` for reading, on a read-only file system too.
    ///
    /// # Errors
    /// [`Error::NotAStore`], and what the operating system says.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_on(Arc::new(DirStorage::new(path.as_ref())))
    }

    /// As [`StoreReader::open`], on any [`Storage`] that has folders.
    ///
    /// # Errors
    /// As [`StoreReader::open`].
    pub fn open_on(storage: Arc<dyn Storage>) -> Result<Self> {
        let cache = BlockCache::new(CACHE_BYTES_DEFAULT, CacheMeter::new(&storage.describe("")));
        Self::with_cache(storage, cache)
    }

    /// As [`StoreReader::open_on`], with a block cache that others may share.
    pub(super) fn with_cache(storage: Arc<dyn Storage>, cache: Option<Arc<BlockCache>>) -> Result<Self> {
        let Some((header, damage)) = directory::identity(&*storage)? else {
            return Err(directory::no_store(&*storage)?);
        };
        directory::check_no_log(&*storage)?;
        let identity = header.map(|header| (StoreId(header.log_id), Timestamp::from_micros(header.created_us)));
        Ok(Self { storage, cache, identity, damage })
    }

    /// The store's directory, as a person would name it.
    pub fn path(&self) -> String {
        self.storage.describe("")
    }

    /// The store's id; `None` if its identity file is damaged or missing.
    pub fn id(&self) -> Option<StoreId> {
        self.identity.map(|(id, _)| id)
    }

    /// When the store was created; `None` if its identity file is damaged or missing.
    pub fn created(&self) -> Option<Timestamp> {
        self.identity.map(|(_, created)| created)
    }

    /// What is wrong with the store's identity file, which [`crate::Repair::run_store`] writes again. Each stream tells its own damage: [`Reader::verify`].
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// The streams that there are, in the order of their names.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn streams(&self) -> Result<Vec<StreamName>> {
        directory::streams(&*self.storage)
    }

    /// A reader of one stream. It holds at most one sealed segment open, and shares the block cache of this reader.
    ///
    /// # Errors
    /// [`Error::NoStream`], and as [`Reader::open`].
    pub fn stream(&self, name: &StreamName) -> Result<Reader> {
        if !directory::exists(&*self.storage, name)? {
            return Err(Error::NoStream { path: self.path(), name: name.clone() });
        }
        let folder = name.folder();
        let storage = self.storage.folder(&folder).map_err(Error::io("open", self.storage.describe(&folder)))?;
        Reader::open_with(storage, self.cache.clone(), Footprint::STREAM)
    }

    /// The records that `query` asks for in these streams, merged by time: of the records that come next in each stream, the
    /// earliest comes first, or the latest if the range is reversed. Of two with the same time, the one of the stream whose name
    /// comes first in the order of bytes; reversed, the other one. Records of one stream keep the order of their seqs, also where
    /// their times don't grow. The limit is that of all streams together; the range of seqs is that of each.
    ///
    /// All of the streams are opened here. Memory is that of one block for each, beside 150 KiB for the dictionary of each that has
    /// sealed segments; each takes two or three files, and more where many segments wait to be sealed. With threads
    /// ([`crate::ScanRange::threads`]) only where streams are fewer than these.
    ///
    /// # Errors
    /// [`Error::NoStream`], [`Error::Condition`], and what the operating system says. What is damaged is told by
    /// [`StoreMatches::advance`].
    pub fn query(&self, streams: &[StreamName], query: &Query) -> Result<StoreMatches> {
        let mut names = streams.to_vec();
        names.sort_unstable();
        names.dedup();
        let each = query.share(names.len());
        let mut cursors = Vec::with_capacity(names.len());
        for name in names {
            let matches = match self.stream(&name).and_then(|reader| reader.query(&each)) {
                Err(error) if !error.is_damage() => return Err(error),
                outcome => outcome,
            };
            cursors.push((name, matches));
        }
        Ok(StoreMatches::new(cursors, query))
    }
}
