//! Blocks of columns, read for the values of some keys alone, without making records of them.

use super::block::CODEC_COLUMNS;
use super::codec::{BlockBuf, decompress_columns};
use super::file::SealedFile;
use super::rows::{PLAIN_BYTES_MAX, RECORDS_MAX};
use super::shared::{Shared, SharedColumns};
use super::table::SPAN_BYTES_MAX;
use crate::columns::{Block, Dictionary, TypedColumn, TypedMemory, TypedPlan};
use std::sync::Arc;

/// How much is read at once.
const RUN_BYTES: u64 = 128 << 10;

/// Memory for the values of some of the records' own keys, in blocks of one file.
#[derive(Debug)]
pub(crate) struct TypedBuf {
    keys: Vec<String>,
    /// Bytes of the file, and where in it they begin.
    run: Vec<u8>,
    run_at: u64,
    checks: BlockBuf,
    block: Block,
    plan: Option<(Arc<SharedColumns>, TypedPlan)>,
    memory: TypedMemory,
    columns: Vec<TypedColumn>,
}

/// The values of some keys in the records of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TypedBlock<'b> {
    dictionary: &'b Dictionary,
    /// What there is of each key.
    pub(crate) columns: &'b [TypedColumn],
    /// How many records there are.
    pub(crate) rows: usize,
    /// The earliest and the latest time of a record.
    pub(crate) times: (i64, i64),
    block: &'b Block,
    memory: &'b TypedMemory,
}

impl TypedBuf {
    /// For these keys, none of which is there twice.
    pub(crate) fn new(keys: Vec<String>) -> Self {
        let columns = keys.iter().map(|_| TypedColumn::default()).collect();
        Self {
            keys,
            run: Vec::new(),
            run_at: 0,
            checks: BlockBuf::new(),
            block: Block::default(),
            plan: None,
            memory: TypedMemory::default(),
            columns,
        }
    }
}

impl TypedBlock<'_> {
    /// The bytes of the value that `code` stands for in a column: one value. `None` if it stands for a number.
    pub(crate) fn value(&self, column: u32, code: u32) -> Option<&[u8]> {
        self.memory.value(self.dictionary, column, code)
    }

    /// The first number above all codes of a column: it grows from block to block.
    pub(crate) fn codes_end(&self, column: u32) -> usize {
        self.memory.codes_end(self.dictionary, column)
    }

    /// The time of each record, in place of what is in `times`; `None` if they can't be read.
    pub(crate) fn all_times(&self, times: &mut Vec<i64>) -> Option<()> {
        self.block.all_times(times).ok().filter(|()| times.len() == self.rows)
    }
}

impl SealedFile {
    /// The values of the buffer's keys in block `n`. `None` if it has none that are as simple, or if anything is wrong: who reads
    /// its records is told.
    pub(crate) fn typed_block<'b>(&self, n: usize, buffer: &'b mut TypedBuf) -> Option<TypedBlock<'b>> {
        let entry = *self.table().ok()?.0.get(n).filter(|entry| u64::from(entry.span) <= SPAN_BYTES_MAX)?;
        let Some(Shared::Columns(shared)) = self.dictionary().ok()? else { return None };
        let stored = self.stored(entry.offset, u64::from(entry.span), &mut buffer.run, &mut buffer.run_at)?;
        let header = buffer.checks.check(stored, self.opened.salt).ok()?;
        let is_told = (header.first_seq, header.count) == (entry.first_seq, entry.count);
        let plain_len = header.plain_len as usize;
        if header.codec != CODEC_COLUMNS || !is_told || plain_len > PLAIN_BYTES_MAX || header.count > RECORDS_MAX {
            return None;
        }
        if !buffer.plan.as_ref().is_some_and(|(planned, _)| Arc::ptr_eq(planned, shared)) {
            buffer.plan = Some((Arc::clone(shared), TypedPlan::new(&shared.columns, &buffer.keys)));
            buffer.memory = TypedMemory::default();
        }
        let (shared, plan) = buffer.plan.as_ref()?;
        let mut decompress = decompress_columns(shared, plain_len);
        let payload = stored.get(header.bytes()..)?;
        let (dictionary, block) = (&shared.columns, &mut buffer.block);
        block.open_until(dictionary, payload, header.count, plan.columns(), &mut decompress).ok()?;
        block.typed(dictionary, plan, &mut buffer.memory, &mut buffer.columns).ok()??;
        let (rows, times) = (header.count as usize, (header.time_min, header.time_max));
        Some(TypedBlock { dictionary, columns: &buffer.columns, rows, times, block, memory: &buffer.memory })
    }

    /// The `len` bytes at `offset`, from `run`, which has those of the file from `run_at` on; if they aren't there, they are read, and
    /// some that follow.
    fn stored<'b>(&self, offset: u64, len: u64, run: &'b mut Vec<u8>, run_at: &mut u64) -> Option<&'b [u8]> {
        let is_held = *run_at <= offset && offset + len <= *run_at + run.len() as u64;
        if !is_held {
            let end = offset.checked_add(len.max(RUN_BYTES))?.min(self.opened.len).max(offset.checked_add(len)?);
            *run_at = offset;
            if !matches!(self.opened.read_into(run, offset, end - offset), Ok(Ok(()))) {
                run.clear();
                return None;
            }
        }
        run.get((offset - *run_at) as usize..)?.get(..len as usize)
    }
}
