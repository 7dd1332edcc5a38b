//! Placing frames in the queue: each gets its seqs, its place in the active segment, and the checksums of that place.

use crate::Timestamp;
use crate::batch::Batch;
use crate::commit::chunk::{Chunk, Job};
use crate::commit::space::SEGMENT_RESERVE_BYTES;
use crate::commit::state::State;
use crate::raw::entry;
use crate::raw::frame::{FRAME_HEADER_BYTES, FrameHeader, FrameKind, frame_bytes};
use crate::storage::BLOCK_BYTES;
use std::ops::Range;

/// A chunk that is written directly and has so many bytes is large enough: more at a time are not written faster.
const CHUNK_BYTES_MIN: usize = 512 << 10;

impl State {
    /// Places a finished batch in the active segment, where [`State::need`] has just found room for it.
    pub(super) fn place(&mut self, batch: &Batch, now: Timestamp) -> Range<u64> {
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
        if let Some(chunk) = self.queue.back_mut().and_then(Job::chunk_mut) {
            chunk.appends += 1;
        }
        self.next_seq = seqs.end;
        seqs
    }

    /// Notes that the record `seq`, in the frame that was placed last, tells of dropped ones.
    pub(super) fn note_drops(&mut self, seq: u64) {
        if let Some(chunk) = self.queue.back_mut().and_then(Job::chunk_mut) {
            chunk.drops.push(seq);
        }
    }

    /// Places a frame that says what has become durable, unless the last frame did. Returns whether there is one.
    pub(super) fn place_watermark(&mut self) -> bool {
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
        if header.kind == FrameKind::Data {
            self.fill_chunk(header.frame_bytes());
        }
        let Some(tail) = &mut self.tail else { return };
        if self.queue.back().and_then(Job::chunk).is_none_or(|chunk| chunk.is_full) {
            let mut bytes = self.spare.pop().unwrap_or_default();
            bytes.clear();
            bytes.extend_from_slice(&tail.begun_block);
            self.next_chunk += 1;
            self.queue.push_back(Job::Write(Chunk {
                number: self.next_chunk,
                direct: tail.direct.clone(),
                offset: tail.offset - bytes.len() as u64,
                again: bytes.len(),
                bytes,
                ..Chunk::default()
            }));
        }
        let Some(Job::Write(chunk)) = self.queue.back_mut() else { return };
        let start = chunk.bytes.len();
        chunk.bytes.resize(start + FRAME_HEADER_BYTES);
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
        chunk.bytes.resize(start + header.frame_bytes() as usize);
        chunk.note(&header);
        self.queued_bytes += header.frame_bytes() as usize;
        self.watermark_placed = self.watermark_placed.max(header.watermark);
        tail.offset += header.frame_bytes();
        chunk.end_offset = tail.offset;
    }

    /// Ends the last chunk of the queue if it is large enough: while one is being written, the next can be filled.
    fn fill_chunk(&mut self, frame: u64) {
        let last = self.queue.back().and_then(Job::chunk);
        if last.is_none_or(|chunk| chunk.is_full || chunk.direct.is_none() || chunk.bytes.len() < CHUNK_BYTES_MIN) {
            return;
        }
        self.pad(frame);
        if let Some(chunk) = self.queue.back_mut().and_then(Job::chunk_mut)
            && chunk.bytes.len().is_multiple_of(BLOCK_BYTES)
        {
            chunk.is_full = true;
            self.note_begun_block();
        }
    }

    /// Fills the block that the last frame ends in, so that the next begins in another one; unless there is no room
    /// for that and a frame of `frame` bytes.
    pub(super) fn pad(&mut self, frame: u64) {
        let Some(tail) = &self.tail else { return };
        let gap = tail.offset.next_multiple_of(BLOCK_BYTES as u64) - tail.offset;
        let gap = if gap > 0 && gap < FRAME_HEADER_BYTES as u64 { gap + BLOCK_BYTES as u64 } else { gap };
        if gap == 0 || tail.offset + gap + frame + SEGMENT_RESERVE_BYTES > tail.prepared {
            return;
        }
        let zeros = [0; 2 * BLOCK_BYTES];
        let payload = &zeros[..gap as usize - FRAME_HEADER_BYTES];
        let mut header =
            FrameHeader::empty(FrameKind::Pad, self.next_seq, self.durable_seq, self.incarnation, tail.salt);
        header.payload_len = payload.len() as u32;
        header.payload_crc = tail.salt.checksum(payload);
        self.place_frame(header, payload);
    }

    /// Notes the bytes of the last chunk's last block, if that isn't full: the next chunk begins with them.
    pub(super) fn note_begun_block(&mut self) {
        if let (Some(Job::Write(chunk)), Some(tail)) = (self.queue.back(), &mut self.tail)
            && tail.direct.is_some()
        {
            let full = chunk.bytes.len() / BLOCK_BYTES * BLOCK_BYTES;
            tail.begun_block.clear();
            tail.begun_block.extend_from_slice(&chunk.bytes[full..]);
        }
    }
}
