//! What the writer does about an unclean end before its first append. Every step may be cut off by another crash: the
//! next opening then finds the same, and does it again.

use crate::checksum::Salt;
use crate::commit::{PreparedSegment, Preparer, install};
use crate::error::{Damage, Error, Result};
use crate::names::{self, QUARANTINE, SegmentKind, SegmentName};
use crate::raw::entry::ENTRY_HEADER_BYTES;
use crate::raw::frame::{FRAME_ALIGN, FRAME_HEADER_BYTES, FrameHeader, FrameKind};
use crate::raw::{DATA_START, Position, RawSegment, Scan, Scanner, entry};
use crate::recovery::inspect::{Inspected, Unclean};
use crate::recovery::raws::open_raw;
use crate::recovery::report::Rewritten;
use crate::storage::{File, read_exact_at, write_all_at};
use crate::view::Segment;
use crate::{Incarnation, LogId, Storage};
use std::io;
use std::ops::Range;
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
    if let Some(missing) = found.uncounted.take() {
        mark_missing(storage, log_id, incarnation, missing, found)?;
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

/// Copies `len` bytes of a segment from `offset` on into quarantine, as `kept` or under the next name that doesn't stand for
/// other bytes. Returns the path of the copy.
fn quarantine(storage: &Arc<dyn Storage>, segment: &RawSegment, kept: String, offset: u64, len: u64) -> Result<String> {
    storage.create_dir(QUARANTINE).map_err(Error::io("create", storage.describe(QUARANTINE)))?;
    let mut n = 0;
    let name = loop {
        let name = names::quarantined_again(&kept, n);
        match storage.open(&name) {
            // The same opening, cut off later, has made it: it has got its name, though perhaps in the system's memory only.
            Ok(file) if is_copy(&*file, segment, offset, len)? => {
                storage.sync_dir(QUARANTINE).map_err(Error::io("sync", storage.describe(QUARANTINE)))?;
                return Ok(storage.describe(&name));
            }
            Ok(_) => n += 1,
            // Something that is no file has the name.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => n += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => break name,
            Err(error) => return Err(Error::io("open", storage.describe(&name))(error)),
        }
    };
    let path = storage.describe(&name);
    let temporary = names::temporary(&name);
    let copy = create_anew(storage, &temporary)?;
    each_part(segment, offset, len, &mut |at, part| {
        write_all_at(&*copy, part, at).map_err(Error::io("write", path.clone()))?;
        Ok(true)
    })?;
    copy.sync().map_err(Error::io("sync", path.clone()))?;
    storage.rename(&temporary, &name).map_err(Error::io("rename", path.clone()))?;
    storage.sync_dir(QUARANTINE).map_err(Error::io("sync", storage.describe(QUARANTINE)))?;
    Ok(path)
}

/// Whether `file` has the same bytes as `len` of a segment from `offset` on. A file that can't be read has others.
fn is_copy(file: &dyn File, segment: &RawSegment, offset: u64, len: u64) -> Result<bool> {
    if file.len().ok() != Some(len) {
        return Ok(false);
    }
    let (mut own, mut next) = (Vec::new(), 0);
    each_part(segment, offset, len, &mut |at, part| {
        own.resize(part.len(), 0);
        let is_same = is_zero(file, next, at) && read_exact_at(file, &mut own, at).is_ok() && own == part;
        next = at + part.len() as u64;
        Ok(is_same)
    })
}

/// Whether `file` has nothing but zeros from `at` to before `end`.
fn is_zero(file: &dyn File, mut at: u64, end: u64) -> bool {
    let mut buffer = Vec::new();
    while at < end {
        let Ok(data) = file.data_from(at) else { return false };
        at = data.max(at);
        buffer.resize(COPY_BYTES.min(end.saturating_sub(at) as usize), 0);
        if read_exact_at(file, &mut buffer, at).is_err() || buffer.iter().any(|&byte| byte != 0) {
            return false;
        }
        at += buffer.len() as u64;
    }
    true
}

/// Calls `each` for parts of `len` bytes of a segment from `offset` on, with the place of each from there, as long as it asks for
/// more; holes are left out but for the last byte, so that a copy is as long as what it is of. Whether it always did.
fn each_part(
    segment: &RawSegment,
    offset: u64,
    len: u64,
    each: &mut dyn FnMut(u64, &[u8]) -> Result<bool>,
) -> Result<bool> {
    let read = |error| Error::io("read", segment.path.clone())(error);
    let mut buffer = vec![0; COPY_BYTES];
    let mut done = 0;
    while done < len {
        let data = segment.file.data_from(offset + done).map_err(read)?;
        done = (data - offset).clamp(done, len - 1);
        let part = &mut buffer[..COPY_BYTES.min((len - done) as usize)];
        read_exact_at(&*segment.file, part, offset + done).map_err(read)?;
        if !each(done, part)? {
            return Ok(false);
        }
        done += part.len() as u64;
    }
    Ok(true)
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
    // Somebody may have put a file back that was set aside before.
    let mut names = std::iter::once(kept).chain((1..).map(|n| names::quarantined_copy(&name, n)));
    let kept = loop {
        let Some(kept) = names.next() else { return Ok(()) };
        match storage.open(&kept) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => break kept,
            Err(error) => return Err(Error::io("open", storage.describe(&kept))(error)),
        }
    };
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
/// failed once can't be believed when it is repeated. All of them get it by one name, since what is left in the old file
/// is no longer part of the log as soon as there is a new one.
fn rewrite(
    storage: &Arc<dyn Storage>,
    log_id: LogId,
    incarnation: Incarnation,
    unclean: &Unclean,
    found: &mut Inspected,
) -> Result<()> {
    let preparer = Preparer::new(Arc::clone(storage), log_id, found.next_ordinal, false);
    let old = &unclean.segment;
    let first = first_of_frame(old, unclean.watermark.max(old.name.base_seq), unclean.end_seq)?;
    let prepared = preparer.segment(DATA_START, DATA_START, false)?;
    copy_frames(old, first, unclean.end_seq, &prepared, incarnation)?;
    let installed = install(&**storage, prepared, first, incarnation, old.header.incompatible)?;
    // Reads it as any other segment, so what was written is what readers will see.
    let segment = open_raw(storage, log_id, installed.name, u64::MAX)?.map_err(|detail| {
        Error::Damaged(Damage {
            path: installed.path.clone(),
            offset: 0,
            detail,
            first_seq: Some(first),
            end_seq: Some(unclean.end_seq),
        })
    })?;
    found.chain.segments.push(Segment::Raw(segment));
    found.next_ordinal = preparer.next_ordinal();
    if unclean.end_seq > first {
        found.report.rewritten = Some(Rewritten { first_seq: first, end_seq: unclean.end_seq });
    }
    if first == old.name.base_seq {
        // Nothing of the log is left in the old file.
        let old = old.name;
        found.chain.segments.retain(|segment| segment.name() != old);
        found.leftovers.push(old.to_string());
    }
    Ok(())
}

/// Installs a segment that has none of the records in `missing` and says that there were some, in place of a last one of
/// which nothing can be read.
fn mark_missing(
    storage: &Arc<dyn Storage>,
    log_id: LogId,
    incarnation: Incarnation,
    missing: Range<u64>,
    found: &mut Inspected,
) -> Result<()> {
    let preparer = Preparer::new(Arc::clone(storage), log_id, found.next_ordinal, false);
    let prepared = preparer.segment(DATA_START, DATA_START, false)?;
    write_end(&prepared, DATA_START, missing.start, missing.end, incarnation)?;
    let installed = install(&**storage, prepared, missing.start, incarnation, 0)?;
    let segment = open_raw(storage, log_id, installed.name, u64::MAX)?.map_err(|detail| {
        let (path, first_seq, end_seq) = (installed.path.clone(), Some(missing.start), Some(missing.end));
        Error::Damaged(Damage { path, offset: 0, detail, first_seq, end_seq })
    })?;
    found.chain.segments.push(Segment::Raw(segment));
    found.next_ordinal = preparer.next_ordinal();
    Ok(())
}

/// The first record of the frame that holds `seq`: a frame moves as a whole, and that the watermark lies between two of
/// them may be a stray file's word.
fn first_of_frame(segment: &RawSegment, seq: u64, end: u64) -> Result<u64> {
    let number = seq - segment.name.base_seq;
    let Some(Position::At(at)) = segment.scan().positions.get(number).filter(|_| seq < end) else { return Ok(seq) };
    let read = |error| Error::io("read", segment.path.clone())(error);
    let mut scanner = Scanner::new(&*segment.file, segment.file.len().map_err(read)?, segment.salt);
    let mut first = None;
    let mut note = |header: &FrameHeader, _: &[u8]| {
        first = Some(header.first_seq);
        Ok(())
    };
    scanner.frames(u64::from(at) - FRAME_HEADER_BYTES as u64, seq, seq + 1, &mut note).map_err(read)?;
    if let Some(first) = first {
        return Ok(first);
    }
    let (mut scan, mut first) = (Scan::new(segment.name.base_seq), seq);
    let mut note = |_: u64, header: &FrameHeader| {
        if (header.first_seq..header.end_seq()).contains(&seq) {
            first = header.first_seq;
        }
    };
    scanner.run_observed(&mut scan, seq + 1, &mut note).map_err(read)?;
    Ok(first)
}

/// Copies the frames of the records in `first..end` into `new`, as they have to stand there, and a final marker. Where
/// records are missing, as many bytes are left free as they take at least, so that whoever reads the frames behind
/// believes them.
fn copy_frames(
    segment: &RawSegment,
    first: u64,
    end: u64,
    new: &PreparedSegment,
    incarnation: Incarnation,
) -> Result<()> {
    let (from, to) = (segment.salt, new.salt());
    let base_seq = segment.name.base_seq;
    let read = |error| Error::io("read", segment.path.clone())(error);
    let write = |error| Error::io("write", new.path.clone())(error);
    let mut scanner = Scanner::new(&*segment.file, segment.file.len().map_err(read)?, from);
    let mut out = Vec::new();
    let (mut offset, mut next) = (DATA_START, first);
    let runs = segment.scan().positions.runs(first - base_seq, end - base_seq);
    for (start, end) in runs.into_iter().map(|(start, end)| (base_seq + start, base_seq + end)) {
        offset += ((start - next) * ENTRY_HEADER_BYTES as u64).next_multiple_of(FRAME_ALIGN);
        next = start;
        // Bad bytes without records may lie between two frames.
        while next < end {
            let (at, before) = (segment.scan().positions.get(next - base_seq), next);
            if let Some(Position::At(at)) = at {
                let mut copy = |header: &FrameHeader, payload: &[u8]| {
                    next = header.end_seq();
                    place(&mut out, header, payload, from, to);
                    Ok(())
                };
                let at = u64::from(at) - FRAME_HEADER_BYTES as u64;
                scanner.frames(at, before, end, &mut copy).map_err(read)?;
            }
            if next == before {
                return Err(Error::Damaged(Damage {
                    path: segment.path.clone(),
                    offset: DATA_START,
                    detail: "what was found there a moment ago is not there: open the log again".into(),
                    first_seq: Some(next),
                    end_seq: Some(end),
                }));
            }
        }
        write_all_at(&*new.file, &out, offset).map_err(write)?;
        offset += out.len() as u64;
        out.clear();
    }
    write_end(new, offset, next, end, incarnation)
}

/// Writes the final marker of a segment whose records end at `end`, where those from `next` on are missing. The file gets
/// its name after its sync, so the marker is never seen before what it says is true.
fn write_end(new: &PreparedSegment, offset: u64, next: u64, end: u64, incarnation: Incarnation) -> Result<()> {
    let offset = offset + ((end - next) * ENTRY_HEADER_BYTES as u64).next_multiple_of(FRAME_ALIGN);
    let marker = FrameHeader::empty(FrameKind::Close, end, end, incarnation, new.salt()).encode(new.salt());
    write_all_at(&*new.file, &marker, offset).map_err(Error::io("write", new.path.clone()))
}

/// Adds a frame to `out`, if it has records, as it has to stand in a file with the salt `to`.
fn place(out: &mut Vec<u8>, header: &FrameHeader, payload: &[u8], from: Salt, to: Salt) {
    if header.kind != FrameKind::Data {
        return;
    }
    let (at, mut header) = (out.len(), *header);
    out.resize(at + FRAME_HEADER_BYTES, 0);
    out.extend_from_slice(payload);
    let payload = &mut out[at + FRAME_HEADER_BYTES..];
    header.payload_crc = entry::place(payload, header.first_seq, Some(from), to, |_| ());
    // As with the final marker. So what is missing before it never looks like a write that didn't end.
    header.watermark = header.first_seq;
    out[at..at + FRAME_HEADER_BYTES].copy_from_slice(&header.encode(to));
    out.resize(at + header.frame_bytes() as usize, 0);
}
