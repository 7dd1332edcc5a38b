//! Where a sealed segment ended that can't tell it any more, and that nothing follows: what else tells it is no evidence of any
//! record, and good enough to give no seq twice.

use crate::LogId;
use crate::commit::{HEAD_BYTES, Head};
use crate::error::{Damage, Error, Result};
use crate::names::{HEAD, SegmentName};
use crate::raw::frame::SEQ_LIMIT;
use crate::sealed::SealedFile;
use crate::storage::{Storage, read_exact_at};
use annals_index::{FileHeader, FileKind, HEADER_BYTES, indexed_records};
use std::io;

/// More records than any segment holds: raw ones are smaller than 4 GiB, and a record takes 20 bytes at least.
const RECORDS_MAX: u64 = 1 << 28;

/// Where the newest sealed segment `name` ended, whose end is damaged. `file` is what can be read of it, if anything can.
///
/// That is what its footer has left, or its indexes, or the head, as far as that can be trusted. Where nothing tells it, the log
/// goes on behind as many records as a segment can have, and `damage` says so.
///
/// # Errors
/// What the operating system says.
pub(super) fn lost_end(
    storage: &dyn Storage,
    log_id: LogId,
    name: SegmentName,
    file: Option<&SealedFile>,
    damage: &mut Damage,
) -> Result<u64> {
    let found_end = file.map_or(name.base_seq, |file| file.seqs().end);
    let is_whole = file.map_or(Ok(false), SealedFile::is_end_known)?;
    let index = indexed_end(storage, log_id, name, FileKind::Index)?;
    let fields = indexed_end(storage, log_id, name, FileKind::Fields)?;
    let head = read_head(storage)?.filter(|head| may_hold(name).contains(&head.durable_seq));
    let is_of_boot = |head: &&Head| head.boot_id != [0; 16] && head.boot_id == storage.boot_id();
    // A head is not synced: one that was written before the machine started may be old.
    let exact = head.as_ref().filter(is_of_boot).map(|head| head.durable_seq);
    let known = [is_whole.then_some(found_end), index, fields, exact].into_iter().flatten().max();
    let end_seq = known.unwrap_or_else(|| {
        let end = *may_hold(name).end();
        damage.detail += "; nothing tells how many records it held";
        end.min(SEQ_LIMIT)
    });
    // There may have been segments behind it.
    Ok(end_seq.max(found_end).max(head.map_or(0, |head| head.durable_seq)))
}

/// Where the segment `name` may have ended.
fn may_hold(name: SegmentName) -> std::ops::RangeInclusive<u64> {
    name.base_seq..=name.base_seq.saturating_add(RECORDS_MAX)
}

/// The end of the sealed segment `name` as an index of it has it: it was known when that was made.
fn indexed_end(storage: &dyn Storage, log_id: LogId, name: SegmentName, kind: FileKind) -> Result<Option<u64>> {
    let index = if kind == FileKind::Fields { name.fields() } else { name.index() };
    let Some(bytes) = begin_of::<HEADER_BYTES>(storage, &index.to_string())? else { return Ok(None) };
    let header = FileHeader::decode(&bytes, kind).ok();
    let is_its = |header: &FileHeader| {
        header.log_id == log_id.0 && header.base_seq == name.base_seq && header.ordinal == name.ordinal
    };
    let records = header.filter(is_its).map(|header| u64::from(indexed_records(&header)));
    Ok(records.and_then(|records| name.base_seq.checked_add(records)).filter(|end| may_hold(name).contains(end)))
}

/// What the writer has told last.
fn read_head(storage: &dyn Storage) -> Result<Option<Head>> {
    Ok(begin_of::<HEAD_BYTES>(storage, HEAD)?.and_then(|bytes| Head::decode(&bytes)))
}

/// The first bytes of a file; `None` if there is none, or fewer.
fn begin_of<const N: usize>(storage: &dyn Storage, name: &str) -> Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    let read = storage.open(name).and_then(|file| read_exact_at(&*file, &mut bytes, 0));
    match read {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if IS_NONE.contains(&error.kind()) => Ok(None),
        Err(error) => Err(Error::io("read", storage.describe(name))(error)),
    }
}

/// What is no file was made by nobody here.
const IS_NONE: [io::ErrorKind; 3] =
    [io::ErrorKind::NotFound, io::ErrorKind::UnexpectedEof, io::ErrorKind::InvalidInput];
