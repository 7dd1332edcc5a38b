//! Memory for a block, which a thread hands on from what it has read to what it reads next.
//!
//! A query is often for one record, and to set aside memory for its block anew takes a good part of its time.

use crate::sealed::BlockBuf;
use std::cell::Cell;
use std::ops::{Deref, DerefMut};

/// A thread keeps no buffer that has more memory, in bytes.
const SPARE_BYTES_MAX: usize = 256 << 10;

thread_local! {
    static SPARE: Cell<Option<BlockBuf>> = const { Cell::new(None) };
}

/// A buffer that the thread had to spare, or a new one; it is handed on when it is dropped.
#[derive(Debug)]
pub(super) struct SpareBlock(BlockBuf);

impl Default for SpareBlock {
    fn default() -> Self {
        // None is left while the thread ends.
        Self(SPARE.try_with(Cell::take).ok().flatten().unwrap_or_default())
    }
}

impl From<BlockBuf> for SpareBlock {
    fn from(block: BlockBuf) -> Self {
        Self(block)
    }
}

impl Deref for SpareBlock {
    type Target = BlockBuf;

    fn deref(&self) -> &BlockBuf {
        &self.0
    }
}

impl DerefMut for SpareBlock {
    fn deref_mut(&mut self) -> &mut BlockBuf {
        &mut self.0
    }
}

impl Drop for SpareBlock {
    fn drop(&mut self) {
        if let Some(spare) = std::mem::take(&mut self.0).into_spare(SPARE_BYTES_MAX) {
            let _ = SPARE.try_with(|own| own.set(Some(spare)));
        }
    }
}
