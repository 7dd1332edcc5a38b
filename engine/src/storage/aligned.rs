//! Memory as direct I/O wants it.

use std::ops::{Deref, DerefMut};

/// What offsets, lengths and memory of direct writes are multiples of, in bytes.
pub(crate) const BLOCK_BYTES: usize = 4096;

/// A growing buffer whose first byte stands at a multiple of [`BLOCK_BYTES`] in memory.
#[derive(Debug, Default)]
pub(crate) struct AlignedBuf {
    /// The buffer begins at `start` in it, and its length is never changed but by making room for more.
    room: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBuf {
    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let mut zeros = Self::default();
        zeros.resize(len);
        zeros
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// How many bytes fit without another allocation.
    pub(crate) fn capacity(&self) -> usize {
        self.room.len().saturating_sub(self.start)
    }

    pub(crate) fn extend_from_slice(&mut self, bytes: &[u8]) {
        let len = self.len;
        self.make_room(len + bytes.len());
        self[len..].copy_from_slice(bytes);
    }

    /// Makes the buffer `len` bytes long, by zeros or by cutting it.
    pub(crate) fn resize(&mut self, len: usize) {
        let old = self.len;
        self.make_room(len);
        if old < len {
            self[old..].fill(0);
        }
    }

    /// Sets the length; what is new in it may be anything.
    fn make_room(&mut self, len: usize) {
        if len > self.capacity() {
            let capacity = len.next_power_of_two().max(BLOCK_BYTES);
            let room = vec![0; capacity + BLOCK_BYTES - 1];
            let start = room.as_ptr().align_offset(BLOCK_BYTES);
            let mut larger = Self { room, start, len: self.len };
            larger.copy_from_slice(self);
            *self = larger;
        }
        self.len = len;
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.room[self.start..self.start + self.len]
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.room[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_holds_what_a_vec_would_and_stays_aligned(steps in proptest::collection::vec((0_usize..3, 0_usize..9_000), 1..20)) {
            let (mut buffer, mut model) = (AlignedBuf::default(), Vec::new());
            for (n, (step, len)) in steps.into_iter().enumerate() {
                match step {
                    0 => {
                        let bytes = vec![n as u8 + 1; len];
                        buffer.extend_from_slice(&bytes);
                        model.extend_from_slice(&bytes);
                    }
                    1 => {
                        buffer.resize(len);
                        model.resize(len, 0);
                    }
                    _ => {
                        buffer.clear();
                        model.clear();
                    }
                }
                prop_assert_eq!(&buffer[..], &model[..]);
                prop_assert!(buffer.is_empty() || (buffer.as_ptr() as usize).is_multiple_of(BLOCK_BYTES));
            }
        }
    }
}
