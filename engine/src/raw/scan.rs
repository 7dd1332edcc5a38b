//! Reading a raw segment from its first frame on: what is intact, what is not, and where records stand.
//!
//! A scan takes nothing on trust and gives nothing up: past a bad range it looks for the next frame that checks.
//! It reads every byte once, or twice where it looks for frames in a bad range, whatever the bytes claim.

use crate::checksum::Salt;
use crate::drops::Drops;
use crate::raw::entry::{self, ENTRY_HEADER_BYTES};
use crate::raw::frame::{FRAME_ALIGN, FRAME_HEADER_BYTES, FRAME_MAGIC, FrameHeader, FrameKind};
use crate::raw::header::DATA_START;
use crate::raw::positions::Positions;
use crate::raw::window::{Window, is_zero};
use crate::record::RecordKind;
use crate::storage::File;
use crate::{Incarnation, Timestamp};
use std::io;

/// What a raw segment holds, as far as it has been read.
#[derive(Debug, Clone)]
pub(crate) struct Scan {
    /// The segment's first seq.
    pub(crate) base_seq: u64,
    /// Where the entry of each record from `base_seq` on begins in the file.
    pub(crate) positions: Positions,
    /// Where the next frame begins.
    pub(crate) end_offset: u64,
    /// The highest watermark that an intact frame carries.
    pub(crate) watermark: u64,
    /// Whether the last frame is the final marker of a clean close.
    pub(crate) closed: bool,
    /// First seq and incarnation of each run of frames with the same incarnation.
    pub(crate) runs: Vec<(u64, Incarnation)>,
    /// The seqs of the records that tell of dropped ones, in order.
    pub(crate) drops: Vec<u64>,
    /// The earliest and the latest timestamp of the records that could be read.
    pub(crate) times: Option<(Timestamp, Timestamp)>,
    /// What is not intact, in order.
    pub(crate) bad: Vec<BadRange>,
}

/// Bytes that are no intact frame, though they are not just unused space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadRange {
    /// Where it begins.
    pub(crate) start: u64,
    /// Where it ends: at the next intact frame, or after the last byte that is not zero.
    pub(crate) end: u64,
    /// The first record that is missing.
    pub(crate) first_seq: u64,
    /// The first record after those that are missing, if a frame or header tells.
    pub(crate) end_seq: Option<u64>,
    /// What is wrong.
    pub(crate) why: String,
    /// How many records it can have held, where nothing tells; otherwise 0.
    pub(crate) records_max: u64,
    /// Whether the bytes are what an unfinished write leaves: zeros where its bytes had to be, or the end of the file.
    pub(crate) unfinished: bool,
}

impl BadRange {
    /// Whether the record `seq` is missing because of it.
    pub(crate) fn holds(&self, seq: u64) -> bool {
        self.first_seq <= seq && self.end_seq.is_none_or(|end| seq < end)
    }
}

impl Scan {
    pub(crate) fn new(base_seq: u64) -> Self {
        Self {
            base_seq,
            positions: Positions::default(),
            end_offset: DATA_START,
            watermark: 0,
            closed: false,
            runs: Vec::new(),
            drops: Vec::new(),
            times: None,
            bad: Vec::new(),
        }
    }

    /// The seq after the last record that was found, or is known to be missing.
    pub(crate) fn end_seq(&self) -> u64 {
        self.base_seq + self.positions.len()
    }

    /// Takes in an intact frame at `offset`.
    fn take(&mut self, header: &FrameHeader, offset: u64, lens: &[u32]) {
        self.skip_to(header.first_seq);
        let mut at = offset as u32 + FRAME_HEADER_BYTES as u32;
        for len in lens {
            self.positions.push(at);
            at += len;
        }
        self.note(header);
        self.end_offset = offset + header.frame_bytes();
    }

    /// What a frame's header says about the segment, apart from positions.
    pub(crate) fn note(&mut self, header: &FrameHeader) {
        self.watermark = self.watermark.max(header.watermark);
        self.closed = header.kind == FrameKind::Close;
        if header.kind != FrameKind::Data {
            return;
        }
        if self.runs.last().is_none_or(|&(_, incarnation)| incarnation != header.incarnation) {
            self.runs.push((header.first_seq, header.incarnation));
        }
        let (min, max) = self.times.unwrap_or((header.time_min, header.time_max));
        self.times = Some((min.min(header.time_min), max.max(header.time_max)));
    }

    /// Notes the records before `seq` as missing.
    fn skip_to(&mut self, seq: u64) {
        self.positions.skip_to(seq.saturating_sub(self.base_seq));
    }
}

/// How many records a frame or frames in `start..end` can have held. The checksum and the length of each are not zero, so
/// a bit that is set in unused space is none.
pub(super) fn records_max_in(window: &mut Window<'_>, start: u64, end: u64) -> io::Result<u64> {
    const SET_BYTES_MIN: u64 = 4;
    let payload = (end - start).saturating_sub(FRAME_HEADER_BYTES as u64);
    Ok(payload.div_ceil(ENTRY_HEADER_BYTES as u64).min(window.set_bytes(start, end)? / SET_BYTES_MIN))
}

/// Reads frames of one raw segment into a [`Scan`].
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    window: Window<'a>,
    salt: Salt,
    lens: Vec<u32>,
    /// The seqs of the frame's records that tell of dropped ones.
    drops: Vec<u64>,
}

/// What stands where a frame was expected.
pub(super) enum Found {
    Intact(FrameHeader),
    /// The header is sound and the rest is not, or not as expected.
    Broken(FrameHeader, String),
    Nothing(String),
}

impl<'a> Scanner<'a> {
    /// A scanner of the first `len` bytes of `file`. Segments are smaller than 4 GiB; `len` beyond that is ignored.
    pub(crate) fn new(file: &'a dyn File, len: u64, salt: Salt) -> Self {
        Self { window: Window::new(file, len.min(u64::from(u32::MAX))), salt, lens: Vec::new(), drops: Vec::new() }
    }

    /// Reads on from where `scan` ends, to the end of the file or until `scan` holds all records below `until_seq`.
    pub(crate) fn run(&mut self, scan: &mut Scan, until_seq: u64) -> io::Result<()> {
        self.run_observed(scan, until_seq, &mut |_, _| ())
    }

    /// As [`Scanner::run`], and calls `each` with the offset and the header of every intact frame.
    pub(crate) fn run_observed(
        &mut self,
        scan: &mut Scan,
        until_seq: u64,
        each: &mut dyn FnMut(u64, &FrameHeader),
    ) -> io::Result<()> {
        while scan.end_seq() < until_seq && scan.end_offset < self.window.file_len() {
            let offset = scan.end_offset;
            match self.frame_at(offset, scan.end_seq(), false)? {
                Found::Intact(header) => {
                    scan.take(&header, offset, &self.lens);
                    scan.drops.append(&mut self.drops);
                    each(offset, &header);
                }
                Found::Broken(header, why) if self.plausible(&header, scan.end_seq(), header.frame_bytes()) => {
                    let end = (offset + header.frame_bytes()).min(self.window.file_len());
                    let cut = offset + header.frame_bytes() > self.window.file_len();
                    // Behind the payload there are zeros in any case.
                    let content = FRAME_HEADER_BYTES as u64 + u64::from(header.payload_len);
                    let unfinished = cut || self.window.looks_unfinished(offset, offset + content)?;
                    let end_seq = Some(header.end_seq());
                    let first_seq = scan.end_seq();
                    let bad = BadRange { start: offset, end, first_seq, end_seq, why, records_max: 0, unfinished };
                    scan.bad.push(bad);
                    scan.skip_to(header.end_seq());
                    scan.end_offset = end;
                }
                Found::Broken(_, why) | Found::Nothing(why) => {
                    if self.window.is_zero_from(offset)? {
                        return Ok(());
                    }
                    self.resynchronise(scan, why)?;
                }
            }
        }
        Ok(())
    }

    /// Reads the frames from `offset` on, as long as they are intact and continue at `seq`, up to `until_seq`.
    pub(crate) fn frames(
        &mut self,
        mut offset: u64,
        mut seq: u64,
        until_seq: u64,
        sink: &mut dyn FnMut(&FrameHeader, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        while seq < until_seq {
            let Found::Intact(header) = self.frame_at(offset, seq, false)? else { return Ok(()) };
            let payload_at = offset + FRAME_HEADER_BYTES as u64;
            sink(&header, self.window.bytes(payload_at, header.payload_len as usize)?)?;
            (offset, seq) = (offset + header.frame_bytes(), header.end_seq());
        }
        Ok(())
    }

    /// Looks for the next intact frame after a bad place.
    fn resynchronise(&mut self, scan: &mut Scan, why: String) -> io::Result<()> {
        const STEP_BYTES: usize = 64 << 10;
        let (start, first_seq) = (scan.end_offset, scan.end_seq());
        let mut at = start + FRAME_ALIGN;
        let mut found = None;
        'search: while at < self.window.file_len() {
            at = self.window.data_from(at)? / FRAME_ALIGN * FRAME_ALIGN;
            let bytes = self.window.bytes(at, STEP_BYTES)?;
            let candidate = bytes.chunks(FRAME_ALIGN as usize).position(|chunk| chunk.starts_with(&FRAME_MAGIC));
            let Some(chunk) = candidate else {
                at += bytes.len() as u64;
                continue;
            };
            at += chunk as u64 * FRAME_ALIGN;
            match self.frame_at(at, first_seq, true)? {
                Found::Intact(header) if self.plausible(&header, first_seq, at - start) => {
                    found = Some((at, header.first_seq));
                    break 'search;
                }
                // A sound header tells where its frame ends, so nothing is hashed twice.
                Found::Broken(header, _) => at += header.frame_bytes(),
                Found::Intact(_) | Found::Nothing(_) => at += FRAME_ALIGN,
            }
        }
        let end = match found {
            Some((at, _)) => at,
            None => self.window.end_of_data(start)?,
        };
        let end_seq = found.map(|(_, seq)| seq);
        // If nothing follows, there was to be a header at least.
        let wanted = if found.is_some() { end } else { end.max(start + FRAME_HEADER_BYTES as u64) };
        let unfinished = end == self.window.file_len() || self.window.looks_unfinished(start, wanted)?;
        let records_max = if found.is_some() { 0 } else { records_max_in(&mut self.window, start, end)? };
        scan.bad.push(BadRange { start, end, first_seq, end_seq, why, records_max, unfinished });
        match found {
            Some((at, seq)) => {
                scan.skip_to(seq);
                scan.end_offset = at;
            }
            // Zeros follow: the next look there ends the scan.
            None => scan.end_offset = end.next_multiple_of(FRAME_ALIGN).min(self.window.file_len()),
        }
        Ok(())
    }

    /// Whether the records that `header` says precede and make up its frame could have stood in `bytes` more bytes
    /// than its own.
    fn plausible(&self, header: &FrameHeader, expected_seq: u64, bytes: u64) -> bool {
        let skipped = header.first_seq.checked_sub(expected_seq);
        skipped.is_some_and(|skipped| skipped <= bytes / ENTRY_HEADER_BYTES as u64)
    }

    /// Checks all of the frame at `offset`. Its first seq has to be `seq`, or at least that if `later` is set.
    pub(super) fn frame_at(&mut self, offset: u64, seq: u64, later: bool) -> io::Result<Found> {
        let bytes = self.window.bytes(offset, FRAME_HEADER_BYTES)?;
        let Some(bytes) = bytes.first_chunk() else {
            return Ok(Found::Nothing("the file ends inside a frame header".into()));
        };
        let header = match FrameHeader::decode(bytes, self.salt) {
            Ok(header) => header,
            Err(error) => return Ok(Found::Nothing(error.to_string())),
        };
        if header.first_seq < seq || (header.first_seq > seq && !later) {
            let why = format!("a frame that begins at record {} where record {seq} belongs", header.first_seq);
            return Ok(Found::Broken(header, why));
        }
        if offset + header.frame_bytes() > self.window.file_len() {
            return Ok(Found::Broken(header, "the file ends inside a frame".into()));
        }
        let checked = match header.kind {
            FrameKind::Data => self.check_entries(&header, offset + FRAME_HEADER_BYTES as u64)?,
            _ => self.check_empty(&header, offset + FRAME_HEADER_BYTES as u64)?,
        };
        if let Err(why) = checked {
            return Ok(Found::Broken(header, why));
        }
        let end = offset + (FRAME_HEADER_BYTES as u64) + u64::from(header.payload_len);
        let padding = self.window.bytes(end, (offset + header.frame_bytes() - end) as usize)?;
        Ok(match is_zero(padding) {
            true => Found::Intact(header),
            false => Found::Broken(header, "a frame followed by bytes that are not zero".into()),
        })
    }

    /// Checks every byte of a payload without records, a window at a time.
    fn check_empty(&mut self, header: &FrameHeader, mut at: u64) -> io::Result<Result<(), String>> {
        const STEP_BYTES: usize = 64 << 10;
        let end = at + u64::from(header.payload_len);
        let mut hasher = crc32fast::Hasher::new();
        self.lens.clear();
        self.drops.clear();
        while at < end {
            let bytes = self.window.bytes(at, STEP_BYTES.min((end - at) as usize))?;
            if !is_zero(bytes) {
                return Ok(Err("a frame without records whose payload is not zero".into()));
            }
            hasher.update(bytes);
            at += bytes.len() as u64;
        }
        Ok(match self.salt.salted(hasher.finalize()) == header.payload_crc {
            true => Ok(()),
            false => Err("a frame without records that does not match its payload checksum".into()),
        })
    }

    /// Checks every byte of a payload with records, one record at a time, and notes the lengths of the entries: memory is
    /// that of the largest record, whatever length a header tells.
    fn check_entries(&mut self, header: &FrameHeader, mut at: u64) -> io::Result<Result<(), String>> {
        let end = at + u64::from(header.payload_len);
        let mut hasher = crc32fast::Hasher::new();
        self.lens.clear();
        self.drops.clear();
        for seq in header.first_seq..header.end_seq() {
            let left = (end - at) as usize;
            let peeked = entry::peek(self.window.bytes(at, ENTRY_HEADER_BYTES.min(left))?);
            let wanted = match peeked {
                Ok((len, _)) => len.min(left),
                Err(error) => return Ok(Err(error.to_string())),
            };
            let bytes = self.window.bytes(at, wanted)?;
            let (record, len) = match entry::decode(bytes, seq, header.incarnation, self.salt) {
                Ok(decoded) => decoded,
                Err(error) => return Ok(Err(error.to_string())),
            };
            if record.timestamp < header.time_min || record.timestamp > header.time_max {
                return Ok(Err(format!("record {seq} lies outside the times of its frame")));
            }
            hasher.update(&bytes[..4]);
            if record.kind == RecordKind::Dropped {
                // A frame that is intact can be read.
                if let Err(detail) = Drops::of_record(&record) {
                    return Ok(Err(detail.to_owned()));
                }
                self.drops.push(seq);
            }
            self.lens.push(len as u32);
            at += len as u64;
        }
        Ok(match at == end && self.salt.salted(hasher.finalize()) == header.payload_crc {
            true => Ok(()),
            false => Err("a frame that does not match its payload checksum".into()),
        })
    }
}
