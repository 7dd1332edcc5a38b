//! The bytes that were written last, still in memory: direct writes leave none in the system's cache.

use crate::storage::AlignedBuf;
use crate::sync::RwLock;
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

/// The last chunks of one file, each with the offset of its first byte.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    chunks: RwLock<VecDeque<(u64, Arc<AlignedBuf>)>>,
}

impl Recent {
    /// Adds the bytes that were written at `offset`, and keeps `most` of memory at most. Returns a buffer that is no longer
    /// needed, if there is one.
    pub(crate) fn push(&self, offset: u64, bytes: AlignedBuf, most: usize) -> Option<AlignedBuf> {
        if bytes.capacity() > most {
            self.clear();
            return Some(bytes);
        }
        let mut chunks = self.chunks.write().unwrap_or_else(PoisonError::into_inner);
        chunks.push_back((offset, Arc::new(bytes)));
        let mut unused = None;
        while chunks.iter().map(|(_, bytes)| bytes.capacity()).sum::<usize>() > most {
            unused = chunks.pop_front().and_then(|(_, bytes)| Arc::into_inner(bytes));
        }
        unused
    }

    /// Forgets all of it.
    pub(crate) fn clear(&self) {
        self.chunks.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Puts the bytes from `offset` on into `buffer`, at least those before `end`, if they are here.
    pub(crate) fn read(&self, offset: u64, end: u64, most: usize, buffer: &mut Vec<u8>) -> bool {
        let chunks = self.chunks.read().unwrap_or_else(PoisonError::into_inner);
        // Where chunks overlap, the later one repeats all that the earlier one ends with.
        let after = chunks.partition_point(|(start, _)| *start <= offset);
        let Some((start, bytes)) = after.checked_sub(1).and_then(|last| chunks.get(last)) else { return false };
        let Some(bytes) = bytes.get((offset - start) as usize..).filter(|bytes| end - offset <= bytes.len() as u64)
        else {
            return false;
        };
        buffer.clear();
        buffer.extend_from_slice(&bytes[..bytes.len().min(most.max((end - offset) as usize))]);
        true
    }
}
