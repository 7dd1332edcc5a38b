//! A window onto a file that is read once from front to back, whatever the sizes of what is in it.

use crate::storage::{File, read_exact_at};
use std::io;

/// How much is read at a time.
const WINDOW_BYTES: usize = 256 << 10;

/// The bytes of a file around where a reader stands. Holds one window, or one item where that is larger.
#[derive(Debug)]
pub(crate) struct Window<'a> {
    file: &'a dyn File,
    len: u64,
    start: u64,
    buffer: Vec<u8>,
}

impl<'a> Window<'a> {
    /// A window onto the first `len` bytes of `file`.
    pub(crate) fn new(file: &'a dyn File, len: u64) -> Self {
        Self { file, len, start: 0, buffer: Vec::new() }
    }

    /// Bytes of the file.
    pub(crate) fn file_len(&self) -> u64 {
        self.len
    }

    /// The bytes from `offset` on: `want` of them, or fewer where the file ends before.
    pub(crate) fn bytes(&mut self, offset: u64, want: usize) -> io::Result<&[u8]> {
        let want = want.min(usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX));
        let held = self.start <= offset && offset + want as u64 <= self.start + self.buffer.len() as u64;
        if !held {
            let load = want.max(WINDOW_BYTES.min((self.len - offset.min(self.len)) as usize));
            // The buffer is left empty if the read fails, so that nothing half read is ever served.
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.resize(load, 0);
            read_exact_at(self.file, &mut buffer, offset)?;
            (self.buffer, self.start) = (buffer, offset);
        }
        let at = (offset - self.start) as usize;
        Ok(&self.buffer[at..at + want])
    }

    /// Where from `offset` on bytes may be other than zero, at most the end of the file.
    pub(crate) fn data_from(&self, offset: u64) -> io::Result<u64> {
        // What is held has been read already.
        let is_held = self.start <= offset && offset < self.start + self.buffer.len() as u64;
        if is_held { Ok(offset) } else { Ok(self.file.data_from(offset)?.min(self.len)) }
    }

    /// Whether there are only zeros from `offset` to the end of the file.
    pub(crate) fn is_zero_from(&mut self, mut offset: u64) -> io::Result<bool> {
        while offset < self.len {
            offset = self.data_from(offset)?;
            let bytes = self.bytes(offset, WINDOW_BYTES)?;
            if !is_zero(bytes) {
                return Ok(false);
            }
            offset += bytes.len() as u64;
        }
        Ok(true)
    }

    /// Whether `from..to`, where a frame had to begin, is what a write leaves that did not end: a disk sector in it never
    /// arrived, or it stops somewhere and nothing follows.
    pub(crate) fn looks_unfinished(&mut self, from: u64, to: u64) -> io::Result<bool> {
        let mut at = from;
        while at < to {
            let sector_end = (at + 1).next_multiple_of(SECTOR_BYTES);
            let end = sector_end.min(to);
            // No frame begins with a zero, and a long run of them is none of its content. Of a short run at the end, the
            // rest of the sector tells.
            if self.is_zero_in(at, end)?
                && (at == from || end - at >= RUN_BYTES_MIN || self.is_zero_in(end, sector_end)?)
            {
                return Ok(true);
            }
            at = end;
        }
        let tail = to.saturating_sub(TAIL_BYTES_MIN).max(from);
        Ok(to - tail >= TAIL_BYTES_MIN && self.is_zero_in(tail, to)? && self.is_zero_from(to)?)
    }

    /// Whether there are only zeros in `from..to`, as far as the file goes. Less than a window, or an item.
    fn is_zero_in(&mut self, from: u64, to: u64) -> io::Result<bool> {
        Ok(is_zero(self.bytes(from, to.saturating_sub(from) as usize)?))
    }

    /// The end of what is not zero in `from..` to the end of the file; `from` if there is nothing.
    pub(crate) fn end_of_data(&mut self, from: u64) -> io::Result<u64> {
        let (mut at, mut end) = (from, from);
        while at < self.len {
            at = self.data_from(at)?;
            let bytes = self.bytes(at, WINDOW_BYTES)?;
            if let Some(last) = bytes.iter().rposition(|&byte| byte != 0) {
                end = at + last as u64 + 1;
            }
            at += bytes.len() as u64;
        }
        Ok(end)
    }

    /// How many bytes of `from..to` are not zero.
    pub(crate) fn set_bytes(&mut self, from: u64, to: u64) -> io::Result<u64> {
        let (mut at, mut count) = (from, 0);
        while at < to {
            at = self.data_from(at)?.min(to);
            let bytes = self.bytes(at, WINDOW_BYTES.min((to - at) as usize))?;
            count += bytes.iter().filter(|&&byte| byte != 0).count() as u64;
            at += bytes.len() as u64;
        }
        Ok(count)
    }
}

/// The smallest unit a disk writes as one.
const SECTOR_BYTES: u64 = 512;
/// A shorter run of zeros, in a sector that holds other bytes too, says nothing.
const RUN_BYTES_MIN: u64 = 32;
/// A shorter run of zeros at the end of a frame may be its content.
const TAIL_BYTES_MIN: u64 = 16;

pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // Whole chunks first: this compiles to vector code.
    let mut chunks = bytes.chunks_exact(64);
    chunks.by_ref().all(|chunk| chunk.iter().fold(0, |seen, byte| seen | byte) == 0)
        && chunks.remainder().iter().all(|&byte| byte == 0)
}
