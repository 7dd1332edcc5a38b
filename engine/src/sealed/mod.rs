//! Sealed segments.
mod slot;
use crate::record::StoredRecord;
use crate::*;
pub(crate) use slot::SealedSlot;
use std::ops::Range;
use std::sync::Arc;
#[derive(Debug)]
pub(crate) struct SealedFile;
impl SealedFile {
    pub(crate) fn open(_: &Arc<dyn Storage>, _: names::SegmentName, _: LogId) -> Result<Self> {
        Ok(Self)
    }
    pub(crate) fn seqs(&self) -> Range<u64> {
        0..0
    }
    pub(crate) fn path(&self) -> String {
        String::new()
    }
    pub(crate) fn times(&self) -> (Timestamp, Timestamp) {
        Default::default()
    }
    pub(crate) fn block_bounds(&self, _seq: u64) -> Option<(Range<u64>, (Timestamp, Timestamp))> {
        None
    }
    pub(crate) fn read_block_of(&self, _seq: u64, _b: &mut BlockBuf) -> Result<()> {
        Ok(())
    }
}
#[derive(Debug, Default)]
pub(crate) struct BlockBuf;
impl BlockBuf {
    pub(crate) fn get(&self, _seq: u64) -> Option<StoredRecord<'_>> {
        None
    }
    pub(crate) fn holds(&self, _f: &Arc<SealedFile>, _s: u64) -> bool {
        false
    }
}
