//! What the writer does about an unclean end before its first append. Every step may be cut off by another crash: the
//! next opening then finds the same, and does it again.

use crate::checksum::Salt;
use crate::commit::{Preparer, install};
use crate::error::{Error, Result};
use crate::names::{self, QUARANTINE, SegmentKind, SegmentName};
use crate::raw::frame::{FRAME_HEADER_BYTES, FrameHeader, FrameKind};
use crate::raw::{DATA_START, Position, RawSegment, Scanner, entry};
use crate::recovery::inspect::{Inspected, Unclean, open_raw};
use crate::recovery::report::Rewritten;
use crate::storage::{File, read_exact_at, write_all_at};
use crate::view::Segment;
use crate::{FileId, Incarnation, LogId, Storage};
use std::io;
use std::sync::Arc;

/// How much is copied at a time.
const COPY_BYTES: usize = 1 << 20;

/// Makes a log that was read by [`super::inspect`] ready to be appended to.
pub(crate) fn settle(
    storage: &Arc<dyn Storage>,
    log_id: LogId,
    incarnation: Incarnation,
    found: &mut Inspected,
) -> Result<()> {
    // Names of files that were never completed may be wanted again.
    remove_leftovers(storage, found)?;
    if let Some(unclean) = found.unclean.clone() {
        quarantine_tail(storage, &unclean, found)?;
        if unclean.end_seq > unclean.watermark || unclean.dropped_at.is_some() {
            rewrite(storage, log_id, incarnation, &unclean, found)?;
        }
    }
    for name in std::mem::take(&mut found.unreadable) {
        set_aside(storage, name)?;
    }
    remove_leftovers(storage, found)
}

fn remove_leftovers(storage: &Arc<dyn Storage>, found: &mut Inspected) -> Result<()> {
    for name in std::mem::take(&mut found.leftovers) {
        match storage.remove(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove", storage.describe(&name))(error));
            }
            _ => found.report.removed.push(name),
        }
    }
    Ok(())
}

/// Copies what will no longer be part of the log into quarantine.
fn quarantine_tail(storage: &Arc<dyn Storage>, unclean: &Unclean, found: &mut Inspected) -> Result<()> {
    if let Some(dropped) = found.report.dropped.first_mut() {
        let name = names::quarantined_tail(unclean.segment.name, dropped.offset, dropped.first_seq);
        dropped.kept_in = Some(quarantine(storage, &unclean.segment, name, dropped.offset, dropped.bytes)?);
    }
    // The old file goes once its records have a new place, and with it the bad bytes among them.
    let first = unclean.watermark.max(unclean.segment.name.base_seq);
    let bad: Vec<_> = unclean.segment.scan().bad.clone();
    for bad in bad.iter().filter(|bad| bad.first_seq >= first && unclean.dropped_at.is_none_or(|at| bad.start < at)) {
        let name = names::quarantined(unclean.segment.name, bad.start);
        quarantine(storage, &unclean.segment, name, bad.start, bad.end - bad.start)?;
    }
    Ok(())
}

/// Copies `len` bytes of a segment from `offset` on into quarantine. Returns the path of the copy.
fn quarantine(storage: &Arc<dyn Storage>, segment: &RawSegment, name: String, offset: u64, len: u64) -> Result<String> {
    storage.create_dir(QUARANTINE).map_err(Error::io("create", storage.describe(QUARANTINE)))?;
    let path = storage.describe(&name);
    match storage.open(&name) {
        // Complete: it has got its name, though perhaps in the system's memory only.
        Ok(_) => {
            storage.sync_dir(QUARANTINE).map_err(Error::io("sync", storage.describe(QUARANTINE)))?;
            return Ok(path);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::io("open", path)(error)),
    }
    let temporary = names::temporary(&name);
    let copy = create_anew(storage, &temporary)?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut done = 0;
    while done < len {
        // A hole stays one; but the copy is as long as what it is of.
        let data = segment.file.data_from(offset + done).map_err(Error::io("read", segment.path.clone()))?;
        done = (data - offset).clamp(done, len - 1);
        let part = &mut buffer[..COPY_BYTES.min((len - done) as usize)];
        read_exact_at(&*segment.file, part, offset + done).map_err(Error::io("read", segment.path.clone()))?;
        write_all_at(&*copy, part, done).map_err(Error::io("write", path.clone()))?;
        done += part.len() as u64;
    }
    copy.sync().map_err(Error::io("sync", path.clone()))?;
    storage.rename(&temporary, &name).map_err(Error::io("rename", path.clone()))?;
    storage.sync_dir(QUARANTINE).map_err(Error::io("sync", storage.describe(QUARANTINE)))?;
    Ok(path)
}

/// Moves a file that can't be read at all, and that the next segment would replace, into quarantine.
fn set_aside(storage: &Arc<dyn Storage>, name: SegmentName) -> Result<()> {
    // A raw one may hold frames that can be told from their bytes alone, and restored.
    let kept = match name.kind {
        SegmentKind::Raw => names::quarantined_tail(name, 0, name.base_seq),
        _ => names::quarantined(name, 0),
    };
    let name = name.to_string();
    storage.create_dir(QUARANTINE).map_err(Error::io("create", storage.describe(QUARANTINE)))?;
    storage.rename(&name, &kept).map_err(Error::io("rename", storage.describe(&name)))?;
    storage.sync_dir(QUARANTINE).map_err(Error::io("sync", storage.describe(QUARANTINE)))?;
    storage.sync_dir("").map_err(Error::io("sync", storage.describe("")))
}

fn create_anew(storage: &Arc<dyn Storage>, name: &str) -> Result<Arc<dyn File>> {
    match storage.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io("remove", storage.describe(name))(error));
        }
        _ => {}
    }
    storage.create(name).map_err(Error::io("create", storage.describe(name)))
}

/// Gives the records above the watermark a new, synced place: the system may hold them in memory only, and a sync that
/// failed once can't be believed when it is repeated. Each run of readable records gets a segment of its own.
fn rewrite(
    storage: &Arc<dyn Storage>,
    log_id: LogId,
    incarnation: Incarnation,
    unclean: &Unclean,
    found: &mut Inspected,
) -> Result<()> {
    let preparer = Preparer::new(Arc::clone(storage), log_id, found.next_ordinal, false);
    let first = unclean.watermark.max(unclean.segment.name.base_seq);
    for (start, end) in readable_runs(&unclean.segment, first, unclean.end_seq) {
        let prepared = preparer.segment(DATA_START, false)?;
        let frames = copy_frames(&unclean.segment, start, end, prepared.salt(), incarnation)?;
        let installed = install(&**storage, prepared, start, incarnation, &frames)?;
        // Reads it as any other segment, so what was written is what readers will see.
        let segment = open_raw(storage, log_id, installed.name, u64::MAX)?.map_err(|detail| {
            Error::Damaged(crate::Damage {
                path: installed.path.clone(),
                offset: 0,
                detail,
                first_seq: Some(start),
                end_seq: Some(end),
            })
        })?;
        found.chain.segments.push(Segment::Raw(segment));
    }
    found.next_ordinal = preparer.next_ordinal();
    if unclean.end_seq > first {
        found.report.rewritten = Some(Rewritten { first_seq: first, end_seq: unclean.end_seq });
    }
    if first == unclean.segment.name.base_seq {
        // Nothing of the log is left in the old file.
        let old = unclean.segment.name;
        found.chain.segments.retain(|segment| segment.name() != old);
        found.leftovers.push(old.to_string());
    }
    Ok(())
}

/// The runs of readable records in `first..end`; one empty run if there are none, so that where the log ends is durable.
fn readable_runs(segment: &RawSegment, first: u64, end: u64) -> Vec<(u64, u64)> {
    let scan = segment.scan();
    let base_seq = scan.base_seq;
    let found = scan.positions.runs(first - base_seq, end - base_seq);
    let mut runs: Vec<_> = found.into_iter().map(|(from, to)| (base_seq + from, base_seq + to)).collect();
    if runs.last().is_none_or(|&(_, last)| last < end) || runs.is_empty() {
        runs.push((end, end));
    }
    runs
}

/// The frames of the records in `start..end` as they have to stand in a file with the salt `to`, and a final marker.
fn copy_frames(segment: &RawSegment, start: u64, end: u64, to: Salt, incarnation: Incarnation) -> Result<Vec<u8>> {
    let from = Salt::of(FileId(segment.header.file_id));
    let mut frames = Vec::new();
    let scan_start = start - segment.name.base_seq;
    if let Some(Position::At(at)) = segment.scan().positions.get(scan_start).filter(|_| start < end) {
        let offset = u64::from(at) - FRAME_HEADER_BYTES as u64;
        let len = segment.file.len().map_err(Error::io("read", segment.path.clone()))?;
        Scanner::new(&*segment.file, len, from)
            .frames(offset, start, end, &mut |header, payload| {
                if header.kind == FrameKind::Data {
                    let (at, mut header) = (frames.len(), *header);
                    frames.resize(at + FRAME_HEADER_BYTES, 0);
                    frames.extend_from_slice(payload);
                    let payload = &mut frames[at + FRAME_HEADER_BYTES..];
                    header.payload_crc = entry::place(payload, header.first_seq, Some(from), to, |_| ());
                    header.watermark = header.watermark.min(start);
                    frames[at..at + FRAME_HEADER_BYTES].copy_from_slice(&header.encode(to));
                    frames.resize(at + header.frame_bytes() as usize, 0);
                }
                Ok(())
            })
            .map_err(Error::io("read", segment.path.clone()))?;
    }
    // The file gets its name after its sync, so this marker is never seen before what it says is true.
    frames.extend_from_slice(&FrameHeader::empty(FrameKind::Close, end, end, incarnation, to).encode(to));
    Ok(frames)
}
