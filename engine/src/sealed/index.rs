//! The index of a sealed segment: made from its block table, opened beside it, never believed.

use super::file::SealedFile;
use crate::error::{Error, Result};
use crate::names::{SegmentName, temporary};
use crate::storage::{Storage, write_all_at};
use annals_index::{Binding, FileHeader, FileKind, IndexBuilder, IndexReader, SPECIFIC_BYTES};

/// Writes the index of `file`, which is or is to become the segment `name`, in place of one that is there. Returns its
/// length. It needs no sync: one that a crash damages is made again.
pub(crate) fn install_index(storage: &dyn Storage, name: SegmentName, file: &SealedFile) -> Result<u64> {
    let index = name.index().to_string();
    let path = storage.describe(&index);
    let unfinished = temporary(&index);
    let bytes = build_index(storage, file)?;
    let written = storage.create(&unfinished).map_err(Error::io("create", path.clone()))?;
    write_all_at(&*written, &bytes, 0).map_err(Error::io("write", path.clone()))?;
    storage.rename(&unfinished, &index).map_err(Error::io("rename", path))?;
    Ok(bytes.len() as u64)
}

/// The bytes of an index file for `file`, with an id of its own.
pub(super) fn build_index(storage: &dyn Storage, file: &SealedFile) -> Result<Vec<u8>> {
    let random = || storage.random().map_err(Error::io("draw a random id for", file.path().to_owned()));
    let header = FileHeader {
        kind: FileKind::Index,
        compatible: 0,
        incompatible: 0,
        log_id: file.log_id().0,
        file_id: random()?,
        base_seq: file.name().base_seq,
        ordinal: file.name().ordinal,
        created_us: storage.now().as_micros(),
        specific: [0; SPECIFIC_BYTES],
    };
    let mut builder = IndexBuilder::new(&header, &binding(file));
    for entry in &file.table()?.0 {
        builder.push(entry.first_seq, entry.count, entry.offset, u64::from(entry.span)).map_err(|error| {
            Error::Damaged(file.opened.damage(entry.offset, &format!("no index can be made of it: {error}")))
        })?;
    }
    Ok(builder.finish())
}

/// The index beside `file`. Whatever is wrong with it, there is none then.
pub(super) fn open(storage: &dyn Storage, file: &SealedFile) -> Option<IndexReader> {
    let bytes = storage.map(&file.name().index().to_string()).ok()?;
    IndexReader::new(bytes, &binding(file)).ok()
}

pub(super) fn binding(file: &SealedFile) -> Binding {
    Binding {
        log_id: file.log_id().0,
        base_seq: file.name().base_seq,
        ordinal: file.name().ordinal,
        source_file_id: file.file_id().0,
        source_bytes: file.file_bytes(),
    }
}
