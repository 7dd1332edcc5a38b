//! What appending threads share: seqs given out, frames that wait, how far writing has come. Pure bookkeeping.

use crate::batch::Batch;
use crate::checksum::Salt;
use crate::commit::prepare::{Prepared, PreparedSegment};
use crate::error::{Error, Result};
use crate::options::Options;
use crate::raw::frame::{FRAME_HEADER_BYTES, FrameHeader, FrameKind, frame_bytes};
use crate::raw::{DATA_START, entry};
use crate::storage::File;
use crate::{Incarnation, Timestamp};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Space at a segment's end that records don't take: a watermark and the final marker.
const SEGMENT_RESERVE_BYTES: u64 = 2 * FRAME_HEADER_BYTES as u64;
/// What a segment needs besides its records.
pub(crate) const SEGMENT_OVERHEAD_BYTES: u64 = DATA_START + SEGMENT_RESERVE_BYTES;
/// How much of a file is prepared first; each time after that as much again, up to the largest step.
const PREPARE_BYTES_FIRST: u64 = 256 << 10;
const PREPARE_BYTES_STEP_MAX: u64 = 8 << 20;

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) next_seq: u64,
    pub(crate) written_seq: u64,
    pub(crate) durable_seq: u64,
    /// Somebody waits for everything below this to be durable.
    pub(crate) sync_wanted: u64,
    /// Some thread is writing.
    pub(crate) leading: bool,
    /// How often the queue has been taken to be written, and how often all of it was.
    pub(crate) rounds_begun: u64,
    pub(crate) rounds_done: u64,
    pub(crate) closed: bool,
    pub(crate) failed: Option<Arc<Error>>,
    /// Whether the background has been told that there is work.
    pub(crate) stirred: bool,
    pub(crate) queue: VecDeque<Job>,
    pub(crate) queued_bytes: usize,
    /// A file that is ready to become the next segment.
    pub(crate) next: Option<PreparedSegment>,
    /// The highest watermark that a frame was given.
    pub(crate) watermark_placed: u64,
    tail: Option<Tail>,
    spare: Vec<Vec<u8>>,
    incarnation: Incarnation,
    segment_bytes: u64,
    segment_age: Option<Duration>,
    roll_daily: bool,
}

/// The segment that frames are placed in. Its file may still have to be installed by a job that waits.
#[derive(Debug)]
struct Tail {
    file: Arc<dyn File>,
    path: String,
    salt: Salt,
    begun: Timestamp,
    /// Where the next frame goes.
    offset: u64,
    /// How far the file has been prepared.
    prepared: u64,
}

/// What the writer is to do next.
#[derive(Debug)]
pub(crate) enum Job {
    /// Write frames to the active segment.
    Write(Chunk),
    /// End the active segment with its final marker.
    Close,
    /// Make a prepared file the active segment.
    Open(PreparedSegment, u64),
}

/// Frames that follow each other in one segment.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
    /// Where each record's entry begins in the file.
    pub(crate) positions: Vec<u32>,
    /// The headers of the first and of all later frames, joined: what the segment's scan has to learn.
    pub(crate) headers: Vec<FrameHeader>,
    pub(crate) end_seq: u64,
}

/// What has to be prepared before a frame can be placed.
#[derive(Debug)]
pub(crate) enum Need {
    /// The active file has to grow to `len` bytes.
    Space { file: Arc<dyn File>, path: String, len: u64 },
    /// Another file is needed, of `len` bytes to begin with.
    Segment { len: u64 },
}

impl State {
    pub(crate) fn new(options: &Options, incarnation: Incarnation, next_seq: u64) -> Self {
        Self {
            next_seq,
            written_seq: next_seq,
            durable_seq: next_seq,
            sync_wanted: next_seq,
            leading: false,
            rounds_begun: 0,
            rounds_done: 0,
            closed: false,
            failed: None,
            stirred: false,
            queue: VecDeque::new(),
            queued_bytes: 0,
            next: None,
            watermark_placed: next_seq,
            tail: None,
            spare: Vec::new(),
            incarnation,
            segment_bytes: options.segment_bytes,
            segment_age: options.segment_age,
            roll_daily: options.roll_daily,
        }
    }

    pub(crate) fn check_usable(&self) -> Result<()> {
        match &self.failed {
            Some(cause) => Err(Error::Poisoned(Arc::clone(cause))),
            None => Ok(()),
        }
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        self.check_usable()?;
        match self.closed {
            true => Err(Error::Closed),
            false => Ok(()),
        }
    }

    pub(crate) fn fail(&mut self, error: Error) {
        self.failed.get_or_insert_with(|| Arc::new(error));
        self.queue.clear();
    }

    /// What is needed before a frame of `frame` bytes can be placed; `None` if nothing is.
    pub(crate) fn need(&mut self, frame: u64, now: Timestamp) -> Option<Need> {
        if let Some(tail) = &self.tail {
            let full = tail.offset + frame + SEGMENT_RESERVE_BYTES > self.segment_bytes;
            if !full && !self.is_past(tail, now) {
                let needed = tail.offset + frame + SEGMENT_RESERVE_BYTES;
                if needed <= tail.prepared {
                    return None;
                }
                let step = tail.prepared.min(PREPARE_BYTES_STEP_MAX);
                let len = needed.max((tail.prepared + step).min(self.segment_bytes));
                return Some(Need::Space { file: Arc::clone(&tail.file), path: tail.path.clone(), len });
            }
        }
        let needed = SEGMENT_OVERHEAD_BYTES + frame;
        match &self.next {
            Some(next) if next.prepared >= needed => {
                self.end_segment();
                let next = self.next.take()?;
                self.begin_segment(next, now);
                None
            }
            Some(next) => Some(Need::Space { file: Arc::clone(&next.file), path: next.path.clone(), len: needed }),
            None => Some(Need::Segment { len: needed.max(PREPARE_BYTES_FIRST.min(self.segment_bytes)) }),
        }
    }

    fn is_past(&self, tail: &Tail, now: Timestamp) -> bool {
        let age_us = now.as_micros().saturating_sub(tail.begun.as_micros());
        let too_old =
            self.segment_age.is_some_and(|limit| u128::try_from(age_us).is_ok_and(|a| a >= limit.as_micros()));
        too_old || (self.roll_daily && now.utc_day() != tail.begun.utc_day())
    }

    fn begin_segment(&mut self, next: PreparedSegment, now: Timestamp) {
        self.tail = Some(Tail {
            file: Arc::clone(&next.file),
            path: next.path.clone(),
            salt: next.salt(),
            begun: now,
            offset: DATA_START,
            prepared: next.prepared,
        });
        self.queue.push_back(Job::Open(next, self.next_seq));
    }

    /// Ends the active segment, if there is one.
    pub(crate) fn end_segment(&mut self) {
        if self.tail.take().is_some() {
            self.queue.push_back(Job::Close);
        }
    }

    /// Places a finished batch in the active segment, where [`State::need`] has just found room for it.
    pub(crate) fn place(&mut self, batch: &Batch, now: Timestamp) -> Range<u64> {
        debug_assert!(self.need(frame_bytes(batch.bytes()), now).is_none());
        let seqs = self.next_seq..self.next_seq + batch.len() as u64;
        let (time_min, time_max) = batch.times();
        let header = FrameHeader {
            kind: FrameKind::Data,
            payload_len: batch.bytes() as u32,
            count: batch.len() as u32,
            first_seq: seqs.start,
            watermark: self.durable_seq,
            incarnation: self.incarnation,
            time_min,
            time_max,
            payload_crc: 0,
        };
        self.place_frame(header, batch.payload());
        self.next_seq = seqs.end;
        seqs
    }

    /// Places a frame that says what has become durable, unless the last frame did. Returns whether there is one.
    pub(crate) fn place_watermark(&mut self) -> bool {
        let Some(tail) = &self.tail else { return false };
        // One frame of the reserve is for this; the other is for the final marker.
        let room = tail.prepared.saturating_sub(tail.offset) >= SEGMENT_RESERVE_BYTES;
        if !room || self.watermark_placed >= self.durable_seq || self.durable_seq < self.next_seq {
            return false;
        }
        let (next, durable) = (self.next_seq, self.durable_seq);
        self.place_frame(FrameHeader::empty(FrameKind::Watermark, next, durable, self.incarnation, tail.salt), &[]);
        true
    }

    fn place_frame(&mut self, mut header: FrameHeader, payload: &[u8]) {
        let Some(tail) = &mut self.tail else { return };
        let fresh = !matches!(self.queue.back(), Some(Job::Write(_)));
        if fresh {
            let mut bytes = self.spare.pop().unwrap_or_default();
            bytes.clear();
            self.queue.push_back(Job::Write(Chunk { offset: tail.offset, bytes, ..Chunk::default() }));
        }
        let Some(Job::Write(chunk)) = self.queue.back_mut() else { return };
        let start = chunk.bytes.len();
        chunk.bytes.resize(start + FRAME_HEADER_BYTES, 0);
        chunk.bytes.extend_from_slice(payload);
        let payload_at = start + FRAME_HEADER_BYTES;
        let payload_offset = tail.offset as u32 + FRAME_HEADER_BYTES as u32;
        if header.kind == FrameKind::Data {
            let positions = &mut chunk.positions;
            header.payload_crc =
                entry::place(&mut chunk.bytes[payload_at..], header.first_seq, None, tail.salt, |at| {
                    positions.push(payload_offset + at as u32);
                });
        }
        chunk.bytes[start..payload_at].copy_from_slice(&header.encode(tail.salt));
        chunk.bytes.resize(start + header.frame_bytes() as usize, 0);
        chunk.end_seq = header.end_seq();
        note_header(&mut chunk.headers, &header);
        self.queued_bytes += header.frame_bytes() as usize;
        self.watermark_placed = self.watermark_placed.max(header.watermark);
        tail.offset += header.frame_bytes();
    }

    /// Takes in what was prepared. A disk that is full is the caller's error alone; any other failure poisons.
    pub(crate) fn take_prepared(&mut self, prepared: Result<Prepared>) -> Result<()> {
        match prepared {
            Ok(Prepared::Segment(next)) => self.next = Some(next),
            Ok(Prepared::Space { file, len }) => {
                if let Some(tail) = self.tail.as_mut().filter(|tail| Arc::ptr_eq(&tail.file, &file)) {
                    tail.prepared = tail.prepared.max(len);
                } else if let Some(next) = self.next.as_mut().filter(|next| Arc::ptr_eq(&next.file, &file)) {
                    next.prepared = next.prepared.max(len);
                }
            }
            Err(error @ Error::DiskFull { .. }) => return Err(error),
            Err(error) => {
                self.fail(error);
                return self.check_usable();
            }
        }
        Ok(())
    }

    /// Keeps buffers for the next chunks.
    pub(crate) fn reuse(&mut self, buffers: Vec<Vec<u8>>) {
        /// One is being filled while another is being written.
        const SPARE_BUFFERS_MAX: usize = 2;
        for mut buffer in buffers {
            if self.spare.len() < SPARE_BUFFERS_MAX {
                buffer.shrink_to(1 << 20);
                self.spare.push(buffer);
            }
        }
    }
}

/// Frames of one chunk share an incarnation, so their headers can be joined into one that says the same of the
/// segment.
fn note_header(headers: &mut Vec<FrameHeader>, header: &FrameHeader) {
    match headers.iter_mut().find(|joined| joined.kind == header.kind) {
        Some(joined) => {
            joined.watermark = joined.watermark.max(header.watermark);
            joined.time_min = joined.time_min.min(header.time_min);
            joined.time_max = joined.time_max.max(header.time_max);
        }
        None => headers.push(*header),
    }
}
