//! Blocks of columns, read for the values of some keys alone, without making records of them.

use super::block::CODEC_COLUMNS;
use super::codec::{BlockBuf, decompress_columns};
use super::file::SealedFile;
use super::rows::{PLAIN_BYTES_MAX, RECORDS_MAX};
use super::shared::{Shared, SharedColumns};
use super::table::SPAN_BYTES_MAX;
use crate::columns::{Block, Dictionary, TypedCell, TypedPlan};
use std::sync::Arc;

/// Memory for the values of some of the records' own keys.
#[derive(Debug)]
pub(crate) struct TypedBuf {
    keys: Vec<String>,
    stored: Vec<u8>,
    checks: BlockBuf,
    block: Block,
    plan: Option<(Arc<SharedColumns>, TypedPlan)>,
    /// For each key, the value of each record.
    cells: Vec<Vec<TypedCell>>,
    times: Vec<i64>,
}

/// The values of some keys in the records of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TypedBlock<'b> {
    pub(crate) dictionary: &'b Dictionary,
    /// For each key the column that it is in; `None` if no record has it.
    pub(crate) columns: &'b [Option<u32>],
    /// For each key that the records have, the value of each record.
    pub(crate) cells: &'b [Vec<TypedCell>],
    /// The time of each record.
    pub(crate) times: &'b [i64],
}

impl TypedBuf {
    /// For these keys, none of which is there twice.
    pub(crate) fn new(keys: Vec<String>) -> Self {
        let cells = keys.iter().map(|_| Vec::new()).collect();
        let (stored, times) = (Vec::new(), Vec::new());
        Self { keys, stored, checks: BlockBuf::new(), block: Block::default(), plan: None, cells, times }
    }
}

impl SealedFile {
    /// The values of the buffer's keys in block `n`. `None` if it has none that are as simple, or if anything is wrong: who reads
    /// its records is told.
    pub(crate) fn typed_block<'b>(&self, n: usize, buffer: &'b mut TypedBuf) -> Option<TypedBlock<'b>> {
        let entry = *self.table().ok()?.0.get(n).filter(|entry| u64::from(entry.span) <= SPAN_BYTES_MAX)?;
        let Some(Shared::Columns(shared)) = self.dictionary().ok()? else { return None };
        self.opened.read_into(&mut buffer.stored, entry.offset, u64::from(entry.span)).ok()?.ok()?;
        let header = buffer.checks.check(&buffer.stored, self.opened.salt).ok()?;
        let is_told = (header.first_seq, header.count) == (entry.first_seq, entry.count);
        let plain_len = header.plain_len as usize;
        if header.codec != CODEC_COLUMNS || !is_told || plain_len > PLAIN_BYTES_MAX || header.count > RECORDS_MAX {
            return None;
        }
        let mut decompress = decompress_columns(shared, plain_len);
        let payload = buffer.stored.get(header.bytes()..)?;
        buffer.block.open(&shared.columns, payload, header.count, &mut decompress).ok()?;
        if !buffer.plan.as_ref().is_some_and(|(planned, _)| Arc::ptr_eq(planned, shared)) {
            buffer.plan = Some((Arc::clone(shared), TypedPlan::new(&shared.columns, &buffer.keys)));
        }
        let (shared, plan) = buffer.plan.as_ref()?;
        buffer.times.clear();
        buffer.block.all_times(&mut buffer.times).ok()?;
        let columns = buffer.block.typed(&shared.columns, plan, &mut buffer.cells).ok()??;
        Some(TypedBlock { dictionary: &shared.columns, columns, cells: &buffer.cells, times: &buffer.times })
    }
}
