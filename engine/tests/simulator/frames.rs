//! Where intact frames stand in raw segments, found by a reader of its own that was written from docs/format.md and knows
//! nothing of the engine's.

use crate::simulator::model::Broken;
use annals::RecoveryReport;
use annals::storage::sim::SimDisk;

const DATA_START: usize = 8192;
const HEADER: usize = 72;
const ENTRY_HEADER: usize = 20;

/// An intact data frame.
#[derive(Debug, Clone, Copy)]
struct Frame {
    start: usize,
    end: usize,
    first_seq: u64,
    count: u64,
}

/// A raw segment after a crash.
#[derive(Debug)]
pub(crate) struct Raw {
    name: String,
    bytes: Vec<u8>,
    frames: Vec<Frame>,
}

/// The raw segments of `disk`.
pub(crate) fn raw_segments(disk: &SimDisk) -> Vec<Raw> {
    let names = disk.files().into_iter().map(|(name, _)| name);
    let raw = |name: String| {
        let bytes = disk.read(&name)?;
        let frames = frames(&bytes);
        Some(Raw { name, bytes, frames })
    };
    let names: Vec<_> = names.filter(|name| name.ends_with(".log") && !name.contains('/')).collect();
    // The older ones were looked at when they were the last.
    names[names.len().saturating_sub(2)..].iter().cloned().filter_map(raw).collect()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    if bytes.len() < DATA_START {
        return frames;
    }
    let salt = crc32fast::hash(&bytes[48..64]);
    let mut start = DATA_START;
    while start + HEADER <= bytes.len() {
        match frame_at(bytes, start, salt) {
            Some(frame) => {
                start = frame.end;
                if frame.count > 0 {
                    frames.push(frame);
                }
            }
            None => start += 8,
        }
    }
    frames
}

fn frame_at(bytes: &[u8], start: usize, salt: u32) -> Option<Frame> {
    let header = &bytes[start..start + HEADER];
    if !header.starts_with(b"aFrm") || crc32fast::hash(&header[..68]) ^ salt != u32_at(header, 68) {
        return None;
    }
    let payload_len = u32_at(header, 8) as usize;
    let payload = bytes.get(start + HEADER..start + HEADER + payload_len)?;
    let (first_seq, count) = (u64_at(header, 16), u64::from(u32_at(header, 12)));
    let mut checksums = Vec::new();
    let mut at = 0;
    for seq in first_seq..first_seq + count {
        let len = u32_at(payload.get(at..at + ENTRY_HEADER)?, 4) as usize;
        let entry = payload.get(at..at + len)?;
        let mix = (seq.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32;
        if crc32fast::hash(entry.get(4..)?) ^ salt ^ mix != u32_at(entry, 0) {
            return None;
        }
        checksums.extend(&entry[..4]);
        at += len;
    }
    let intact = at == payload_len && crc32fast::hash(&checksums) ^ salt == u32_at(header, 64);
    let end = start + (HEADER + payload_len).next_multiple_of(8);
    intact.then_some(Frame { start, end, first_seq, count })
}

/// Checks that what a recovery to `found` records left out of the log is kept in quarantine, and named.
pub(crate) fn check_quarantine(
    disk: &SimDisk,
    raws: &[Raw],
    found: usize,
    report: &RecoveryReport,
) -> Result<(), Broken> {
    for raw in raws {
        let beyond = |frame: &&Frame| frame.first_seq >= found as u64;
        let intact: Vec<_> = raw.frames.iter().filter(beyond).collect();
        let path = format!("sim:/{}", raw.name);
        let Some(dropped) = report.dropped.iter().find(|dropped| dropped.path == path) else {
            // An opening before this one has dropped them, if they were not to be kept.
            let lost = intact.iter().find(|frame| !is_kept(disk, raw, frame));
            match lost {
                Some(frame) => return Err(format!("record {} of {path} went without a word", frame.first_seq)),
                None => continue,
            }
        };
        let records: u64 = intact.iter().map(|frame| frame.count).sum();
        if records != dropped.possibly_acknowledged {
            return Err(format!("{records} records beyond the end of {path} are intact"));
        }
        if dropped.first_seq != found as u64 {
            return Err(format!("the log ends at {found}, not where bytes were dropped"));
        }
        let kept = dropped.kept_in.as_ref().and_then(|path| disk.read(path.strip_prefix("sim:/")?));
        let (start, end) = (dropped.offset as usize, (dropped.offset + dropped.bytes) as usize);
        if kept.as_deref() != raw.bytes.get(start..end) {
            return Err(format!("bytes {start} to {end} of {path} are not kept"));
        }
        let outside = |frame: &&Frame| frame.start < start || frame.end > end;
        if raw.bytes[end..].iter().any(|&byte| byte != 0) || intact.into_iter().any(|frame| outside(&frame)) {
            return Err(format!("bytes beyond {start} to {end} of {path} are dropped without a word"));
        }
    }
    Ok(())
}

/// Whether quarantine holds the frame.
fn is_kept(disk: &SimDisk, raw: &Raw, frame: &Frame) -> bool {
    let folder = format!("quarantine/{}.from-", raw.name);
    disk.files().iter().any(|(name, _)| {
        let from = name.strip_prefix(&folder).map(|from| from.split_once('.').map_or(from, |(from, _)| from));
        let from = from.and_then(|from| from.parse::<usize>().ok());
        let Some((from, kept)) = from.zip(disk.read(name)) else { return false };
        frame.start >= from && kept.get(frame.start - from..frame.end - from) == raw.bytes.get(frame.start..frame.end)
    })
}
