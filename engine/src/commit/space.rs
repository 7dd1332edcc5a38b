//! Which space frames need, and what has to be prepared before they can be placed.

use crate::Timestamp;
use crate::checksum::Salt;
use crate::commit::chunk::Job;
use crate::commit::prepare::{Direct, Prepared, PreparedSegment};
use crate::commit::state::State;
use crate::error::Result;
use crate::raw::DATA_START;
use crate::raw::frame::FRAME_HEADER_BYTES;
use crate::storage::File;
use std::ops::Range;
use std::sync::Arc;

/// Space at a segment's end that records don't take: a watermark and the final marker.
pub(super) const SEGMENT_RESERVE_BYTES: u64 = 2 * FRAME_HEADER_BYTES as u64;
/// What a segment needs besides its records.
pub(super) const SEGMENT_OVERHEAD_BYTES: u64 = DATA_START + SEGMENT_RESERVE_BYTES;
/// A file that was prepared in part grows fourfold if it is written directly; otherwise twofold, up to the largest step.
const PREPARE_BYTES_STEP_MAX: u64 = 8 << 20;
/// Prepared space gets its zeros while chunks are smaller than this.
const ZEROED_CHUNK_BYTES_MAX: usize = 64 << 10;

/// The segment that frames are placed in. Its file may still have to be installed by a job that waits.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) file: Arc<dyn File>,
    pub(super) path: String,
    pub(super) salt: Salt,
    pub(super) begun: Timestamp,
    /// Where the next frame goes.
    pub(super) offset: u64,
    /// How far the file has been prepared.
    pub(super) prepared: u64,
    /// The same file for direct writes, if it takes them.
    pub(super) direct: Option<Arc<Direct>>,
    /// For direct writes: the bytes before `offset` in its block, if they were taken to be written.
    pub(super) begun_block: Vec<u8>,
}

/// What has to be prepared before a frame can be placed.
#[derive(Debug)]
pub(super) enum Need {
    /// The active file has to grow to `len` bytes.
    Space { file: Arc<dyn File>, direct: Option<Arc<Direct>>, path: String, prepared: u64, len: u64 },
    /// Another file is needed, of which `len` bytes are prepared to begin with, and space is set aside for `whole`.
    Segment { len: u64, whole: u64 },
    /// That other file is to have zeros in `zeros`, in addition to those it has; all of it is durable then if they are the `last`.
    Zeros { file: Arc<dyn File>, direct: Arc<Direct>, path: String, zeros: Range<u64>, last: bool },
}

impl State {
    /// What is needed before a frame of `frame` bytes can be placed; `None` if nothing is.
    pub(super) fn need(&mut self, frame: u64, now: Timestamp) -> Option<Need> {
        if let Some(tail) = &self.tail {
            let full = tail.offset + frame + SEGMENT_RESERVE_BYTES > self.segment_bytes;
            if !full && !self.is_past(tail, now) {
                let needed = tail.offset + frame + SEGMENT_RESERVE_BYTES;
                if needed <= tail.prepared {
                    return None;
                }
                return Some(self.more_space(tail, needed));
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
            Some(next) => Some(Need::Space {
                file: Arc::clone(&next.file),
                direct: next.direct.clone(),
                path: next.path.clone(),
                prepared: next.prepared,
                len: needed,
            }),
            None => {
                let len = needed.max(self.prepare_bytes());
                Some(Need::Segment { len, whole: len })
            }
        }
    }

    /// What will be needed soon, if nobody prepares it already.
    pub(super) fn need_soon(&self) -> Option<Need> {
        let tail = self.tail.as_ref().filter(|_| !self.preparing && !self.is_full && self.failed.is_none())?;
        if tail.prepared < self.segment_bytes {
            // Buffered writes are synced by whoever sets space aside for them, so that isn't done beside them.
            let soon = tail.direct.is_some() && tail.offset > tail.prepared / 2;
            return soon.then(|| self.more_space(tail, 0));
        }
        let passed = tail.offset.checked_sub(self.segment_bytes / 2)?;
        match &self.next {
            Some(next) => next.more_zeros(passed),
            // A file that grows while it is written to makes its writes wait for what the file system notes of it. So the
            // next gets all its space, now that it is known to be needed.
            None => {
                let len = self.prepare_bytes();
                Some(Need::Segment { len, whole: if tail.direct.is_some() { self.segment_bytes } else { len } })
            }
        }
    }

    /// How much of a file is prepared first.
    fn prepare_bytes(&self) -> u64 {
        self.footprint.prepare_bytes.min(self.segment_bytes)
    }

    fn more_space(&self, tail: &Tail, needed: u64) -> Need {
        let step = if tail.direct.is_some() { 3 * tail.prepared } else { tail.prepared.min(PREPARE_BYTES_STEP_MAX) };
        Need::Space {
            file: Arc::clone(&tail.file),
            direct: tail.direct.clone(),
            path: tail.path.clone(),
            prepared: tail.prepared,
            len: needed.max((tail.prepared + step).min(self.segment_bytes)),
        }
    }

    /// Whether prepared space gets its zeros: worth it where writes are small.
    pub(super) fn is_zeroing(&self) -> bool {
        self.chunk_bytes_mean < ZEROED_CHUNK_BYTES_MAX
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
            direct: next.direct.clone(),
            begun_block: Vec::new(),
        });
        self.queue.push_back(Job::Open(next, self.next_seq));
    }

    /// Ends the active segment, if there is one.
    pub(super) fn end_segment(&mut self) {
        if self.tail.take().is_some() {
            self.queue.push_back(Job::Close);
        }
    }

    /// Takes in what was prepared. A disk that is full, or too many open files, is the caller's error alone: nothing has been
    /// placed in what was to be prepared. Any other failure poisons.
    pub(super) fn take_prepared(&mut self, prepared: Result<Prepared>) -> Result<()> {
        match prepared {
            Ok(Prepared::Segment(next)) => {
                self.next = Some(next);
                self.is_full = false;
            }
            Ok(Prepared::Zeros { file, end }) => {
                if let Some(next) = self.next.as_mut().filter(|next| Arc::ptr_eq(&next.file, &file)) {
                    next.zeroed = next.zeroed.max(end);
                }
            }
            Ok(Prepared::Space { file, len }) => {
                self.is_full = false;
                if let Some(tail) = self.tail.as_mut().filter(|tail| Arc::ptr_eq(&tail.file, &file)) {
                    tail.prepared = tail.prepared.max(len);
                } else if let Some(next) = self.next.as_mut().filter(|next| Arc::ptr_eq(&next.file, &file)) {
                    next.prepared = next.prepared.max(len);
                    next.zeroed = next.zeroed.max(len);
                }
            }
            Err(error) if error.is_refusal() => return Err(error),
            Err(error) => {
                self.fail(error);
                return self.check_usable();
            }
        }
        Ok(())
    }
}
