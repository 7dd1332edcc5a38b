//! What is written at once: frames that follow each other in one segment, and what has to happen between them.

use crate::commit::prepare::{Direct, PreparedSegment};
use crate::raw::frame::FrameHeader;
use crate::storage::{AlignedBuf, BLOCK_BYTES};
use std::sync::Arc;

/// What the writer is to do next.
#[derive(Debug)]
pub(super) enum Job {
    /// Write frames to the active segment.
    Write(Chunk),
    /// End the active segment with its final marker.
    Close,
    /// Make a prepared file the active segment.
    Open(PreparedSegment, u64),
}

/// Frames that follow each other in one segment.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// Counts the chunks of the log.
    pub(super) number: u64,
    /// For direct writes: the file. Then the bytes begin and end with a block.
    pub(super) direct: Option<Arc<Direct>>,
    /// Where the bytes go.
    pub(super) offset: u64,
    pub(super) bytes: AlignedBuf,
    /// How many of the bytes, from the first on, were written before.
    pub(super) again: usize,
    /// Where the next frame goes.
    pub(super) end_offset: u64,
    /// Where each record's entry begins in the file.
    pub(super) positions: Vec<u32>,
    /// The seqs of its records that tell of dropped ones.
    pub(super) drops: Vec<u64>,
    /// The headers of the first and of all later frames, joined: what the segment's scan has to learn.
    pub(super) headers: Vec<FrameHeader>,
    pub(super) end_seq: u64,
    /// How many batches of records it holds.
    pub(super) appends: u32,
    /// It is large enough, and ends with a block: what follows is another chunk.
    pub(super) is_full: bool,
    /// Some thread waits for it.
    pub(super) is_awaited: bool,
}

impl Job {
    /// Ends a chunk that is taken out of the queue with a block, if it is written directly.
    pub(super) fn fill_block(&mut self) {
        if let Self::Write(chunk) = self
            && chunk.direct.is_some()
        {
            chunk.bytes.resize(chunk.bytes.len().next_multiple_of(BLOCK_BYTES));
        }
    }

    pub(super) fn chunk(&self) -> Option<&Chunk> {
        match self {
            Self::Write(chunk) => Some(chunk),
            Self::Close | Self::Open(..) => None,
        }
    }

    pub(super) fn chunk_mut(&mut self) -> Option<&mut Chunk> {
        match self {
            Self::Write(chunk) => Some(chunk),
            Self::Close | Self::Open(..) => None,
        }
    }
}

impl Chunk {
    /// How many of its bytes are written for the first time, and not only to fill the last block.
    pub(super) fn new_bytes(&self) -> usize {
        (self.end_offset - self.offset) as usize - self.again
    }

    /// Takes in the header of a frame that was added. Frames of one chunk share an incarnation, so their headers can be
    /// joined into one that says the same of the segment.
    pub(super) fn note(&mut self, header: &FrameHeader) {
        self.end_seq = header.end_seq();
        match self.headers.iter_mut().find(|joined| joined.kind == header.kind) {
            Some(joined) => {
                joined.watermark = joined.watermark.max(header.watermark);
                joined.time_min = joined.time_min.min(header.time_min);
                joined.time_max = joined.time_max.max(header.time_max);
            }
            None => self.headers.push(*header),
        }
    }
}
