//! Where a sealed segment ended that can't tell it any more: hints that are no evidence of any record, and good enough to
//! give no seq twice.

use crate::LogId;
use crate::commit::{HEAD_BYTES, Head};
use crate::error::{Error, Result};
use crate::names::{HEAD, SegmentName};
use crate::recovery::inspect::RECORDS_MAX;
use crate::storage::{Storage, read_exact_at};
use annals_index::{FileHeader, FileKind, HEADER_BYTES, indexed_records};
use std::io;

/// The end of the sealed segment `name` as its index has it, which was written when it was sealed.
///
/// # Errors
/// What the operating system says, but for a file that isn't there.
pub(super) fn index_end(storage: &dyn Storage, log_id: LogId, name: SegmentName) -> Result<Option<u64>> {
    let Some(bytes) = begin_of::<HEADER_BYTES>(storage, &name.index().to_string())? else { return Ok(None) };
    let header = FileHeader::decode(&bytes, FileKind::Index).ok();
    let is_its = |header: &FileHeader| {
        header.log_id == log_id.0 && header.base_seq == name.base_seq && header.ordinal == name.ordinal
    };
    let records = header.filter(is_its).map(|header| u64::from(indexed_records(&header)));
    Ok(records.filter(|&records| records <= RECORDS_MAX).and_then(|records| name.base_seq.checked_add(records)))
}

/// The end of what was durable when the head was written, if the segment `name` may have held so much. There may have been more: a
/// head is not synced.
///
/// # Errors
/// As [`index_end`].
pub(super) fn head_end(storage: &dyn Storage, name: SegmentName) -> Result<Option<u64>> {
    let bytes = begin_of::<HEAD_BYTES>(storage, HEAD)?;
    let end = bytes.and_then(|bytes| Head::decode(&bytes)).map(|head| head.durable_seq);
    Ok(end.filter(|end| (name.base_seq..=name.base_seq.saturating_add(RECORDS_MAX)).contains(end)))
}

/// The first bytes of a file; `None` if there is none, or fewer.
fn begin_of<const N: usize>(storage: &dyn Storage, name: &str) -> Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    let read = storage.open(name).and_then(|file| read_exact_at(&*file, &mut bytes, 0));
    match read {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => Ok(None),
        Err(error) => Err(Error::io("read", storage.describe(name))(error)),
    }
}
