//! The field index beside a sealed segment: made when that is sealed or later, opened at the first need, never believed.

use super::cache::BlockCache;
use super::file::SealedFile;
use super::index::binding;
use crate::FileId;
use crate::error::{Error, Result};
use crate::names::temporary;
use crate::storage::{File, Storage, read_exact_at, write_all_at};
use crate::sync::RwLock;
use annals_index::{
    Bytes, FieldPage, FieldsBinding, FieldsBuilder, FieldsReader, FileHeader, FileKind, IndexError, KeptPages, ReadAt,
    SPECIFIC_BYTES,
};
use std::io;
use std::sync::{Arc, PoisonError};

/// A field index that is open.
pub(crate) type FieldIndex = FieldsReader<FieldSource>;

/// The bytes of a field index.
#[derive(Debug)]
pub(crate) enum FieldSource {
    /// Read as they are needed.
    File(Arc<dyn File>),
    /// Mapped into memory.
    Mapped(Bytes),
}

impl ReadAt for FieldSource {
    fn len(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => file.len(),
            Self::Mapped(bytes) => ReadAt::len(bytes),
        }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::File(file) => read_exact_at(&**file, buffer, offset),
            Self::Mapped(bytes) => bytes.read_at(buffer, offset),
        }
    }
}

/// The pages of a field index in a cache, if there is one.
pub(crate) struct CachedPages<'c> {
    cache: Option<&'c BlockCache>,
    index: FileId,
}

impl<'c> CachedPages<'c> {
    pub(crate) fn new(cache: Option<&'c BlockCache>, index: &FieldIndex) -> Self {
        Self { cache, index: FileId(index.file_id()) }
    }
}

impl KeptPages for CachedPages<'_> {
    fn get(&self, number: u64) -> Option<Arc<FieldPage>> {
        self.cache?.page(self.index, number)
    }

    fn keep(&self, number: u64, page: &Arc<FieldPage>) {
        if let Some(cache) = self.cache {
            cache.keep_page(self.index, number, Arc::clone(page));
        }
    }
}

/// The field index of a segment, once it was needed and found.
#[derive(Debug, Default)]
pub(super) struct FieldsSlot(RwLock<Option<Arc<FieldIndex>>>);

impl SealedFile {
    /// The field index beside this segment, if there is one that can be used.
    pub(crate) fn fields(&self) -> Option<Arc<FieldIndex>> {
        let kept = self.fields.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        if kept.is_some() {
            return kept;
        }
        let opened = Arc::new(open(self)?);
        *self.fields.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&opened));
        Some(opened)
    }

    /// Looks for the field index anew at the next need: it is damaged, or there is another one.
    pub(crate) fn drop_fields(&self) {
        *self.fields.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether all of the field index beside this segment can be used; `None` if there is none.
    ///
    /// # Errors
    /// What the operating system says of opening it.
    pub(crate) fn are_fields_sound(&self) -> Result<Option<bool>> {
        let name = self.name().fields().to_string();
        match self.storage.open(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("open", self.storage.describe(&name))(error)),
            Ok(_) => Ok(Some(open(self).is_some_and(|index| index.verify().is_ok()))),
        }
    }

    /// Whether a field index can be made of this segment: not if it has gaps or damage that readers are to be told of.
    pub(crate) fn takes_fields(&self) -> bool {
        fields_binding(self).is_some()
    }
}

/// Writes the field index of `file` in place of one that is there. Returns its length; 0 if none can be made. It needs no
/// sync: one that a crash damages is made again.
pub(crate) fn install_fields(storage: &dyn Storage, file: &SealedFile, builder: FieldsBuilder) -> Result<u64> {
    let Some(binding) = fields_binding(file) else { return Ok(0) };
    let name = file.name().fields().to_string();
    let path = storage.describe(&name);
    let header = FileHeader {
        kind: FileKind::Fields,
        compatible: 0,
        incompatible: 0,
        log_id: file.log_id().0,
        file_id: storage.random().map_err(Error::io("draw a random id for", path.clone()))?,
        base_seq: file.name().base_seq,
        ordinal: file.name().ordinal,
        created_us: storage.now().as_micros(),
        specific: [0; SPECIFIC_BYTES],
    };
    let bytes = match builder.finish(&header, &binding) {
        Err(IndexError::Unindexable { .. }) => return Ok(0),
        built => built.map_err(|error| Error::io("index", path.clone())(io::Error::other(error)))?,
    };
    let unfinished = temporary(&name);
    let written = || -> Result<()> {
        let unfinished_file = storage.create(&unfinished).map_err(Error::io("create", path.clone()))?;
        write_all_at(&*unfinished_file, &bytes, 0).map_err(Error::io("write", path.clone()))?;
        storage.rename(&unfinished, &name).map_err(Error::io("rename", path.clone()))
    };
    written().inspect_err(|_| {
        // The next attempt takes the same name.
        let _ = storage.remove(&unfinished);
    })?;
    file.drop_fields();
    Ok(bytes.len() as u64)
}

/// The field index beside `file`. Whatever is wrong with it, there is none then.
fn open(file: &SealedFile) -> Option<FieldIndex> {
    let binding = fields_binding(file)?;
    let (storage, name) = (&*file.storage, file.name().fields().to_string());
    let source = match storage.maps_files() {
        true => FieldSource::Mapped(storage.map(&name).ok()?),
        false => FieldSource::File(storage.open(&name).ok()?),
    };
    FieldsReader::open(source, &binding).ok()
}

/// What the field index of `file` is bound to; `None` if it can have none.
fn fields_binding(file: &SealedFile) -> Option<FieldsBinding> {
    if file.footer_damage().is_some() || file.has_gaps() {
        return None;
    }
    // The directory has the checksums of all sections, and one of those tells all blocks.
    let directory = file.opened.directory.as_ref().ok()?;
    let records = u32::try_from(file.seqs().end - file.seqs().start).ok()?;
    Some(FieldsBinding { segment: binding(file), source_crc: file.opened.salt.crc(&directory.encode()), records })
}
