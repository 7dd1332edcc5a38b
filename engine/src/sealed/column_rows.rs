//! The records of a block of columns: one of them, or all.

use super::rows::{PLAIN_BYTES_MAX, RECORDS_MAX};
use super::shared::SharedColumns;
use crate::columns::{Block, Decompress, Plan};
use crate::msgpack::Fields;
use crate::record::{KEY_BYTES_MAX, RecordKind, StoredRecord};
use crate::{Incarnation, Timestamp};
use std::sync::Arc;

/// A block of columns, and those of its records that were read. Its memory is kept from block to block.
#[derive(Debug, Default)]
pub(super) struct ColumnRows {
    block: Block,
    /// Of which fields the bodies are made, if not of all; and how that is done by the dictionary of the block before.
    fields: Option<Fields>,
    plan: Option<(Arc<SharedColumns>, Plan)>,
    /// Set while there is a block.
    shared: Option<Arc<SharedColumns>>,
    /// The one record that was read, if not all were.
    only: Option<usize>,
    /// The timestamp of each record that was read.
    times: Vec<i64>,
    /// Where the body of each ends.
    ends: Vec<u32>,
}

impl ColumnRows {
    /// For bodies of these fields alone.
    pub(super) fn only(fields: Fields) -> Self {
        Self { fields: Some(fields), ..Self::default() }
    }

    /// Whether bodies are made of some fields alone.
    pub(super) fn is_partial(&self) -> bool {
        self.fields.is_some()
    }

    /// Bytes of memory.
    pub(super) fn memory_bytes(&self) -> usize {
        let own = self.times.capacity() * size_of::<i64>() + self.ends.capacity() * size_of::<u32>();
        own + self.block.memory_bytes()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shared.is_none()
    }

    pub(super) fn clear(&mut self) {
        self.shared = None;
    }

    /// Whether the record at `row` was read.
    pub(super) fn has(&self, row: usize) -> bool {
        self.only.is_none_or(|only| only == row)
    }

    /// Whether all records were read.
    pub(super) fn is_complete(&self) -> bool {
        self.only.is_none()
    }

    /// Reads a block of `count` records, or the one at `only`; the bodies go into `bodies`.
    pub(super) fn read(
        &mut self,
        shared: &Arc<SharedColumns>,
        payload: &[u8],
        count: u32,
        only: Option<usize>,
        decompress: &mut Decompress<'_>,
        bodies: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        if count > RECORDS_MAX {
            return Err("the block has more records than any block may");
        }
        self.block.open(&shared.columns, payload, count, decompress)?;
        let rows = if self.block.has_meta() { count as usize } else { 0 };
        for row in 0..rows {
            let meta = self.block.meta(row);
            if RecordKind::from_u8(meta.kind).is_none() || meta.key.len() > KEY_BYTES_MAX {
                return Err("a record is of a kind that this version doesn't know");
            }
        }
        if let Some(fields) = &self.fields
            && !self.plan.as_ref().is_some_and(|(planned, _)| Arc::ptr_eq(planned, shared))
        {
            self.plan = Some((Arc::clone(shared), Plan::new(&shared.columns, fields)));
        }
        match only {
            Some(row) => {
                self.times.clear();
                self.ends.clear();
                bodies.clear();
                self.times.push(self.block.time(row)?);
                match &self.plan {
                    Some((_, plan)) => self.block.fields(&shared.columns, plan, row, PLAIN_BYTES_MAX, bodies)?,
                    None => self.block.body(&shared.columns, row, PLAIN_BYTES_MAX, bodies)?,
                }
                self.ends.push(bodies.len() as u32);
            }
            None => self.read_all(shared, bodies)?,
        }
        (self.shared, self.only) = (Some(Arc::clone(shared)), only);
        Ok(())
    }

    /// Reads all records, if only one was read.
    pub(super) fn complete(&mut self, bodies: &mut Vec<u8>) -> Result<(), &'static str> {
        if let Some(shared) = self.shared.clone().filter(|_| self.only.is_some()) {
            self.read_all(&shared, bodies)?;
            self.only = None;
        }
        Ok(())
    }

    fn read_all(&mut self, shared: &SharedColumns, bodies: &mut Vec<u8>) -> Result<(), &'static str> {
        self.times.clear();
        self.ends.clear();
        bodies.clear();
        for row in 0..self.block.rows() {
            self.times.push(self.block.time(row)?);
        }
        match &self.plan {
            Some((_, plan)) => self.block.all_fields(&shared.columns, plan, PLAIN_BYTES_MAX, bodies, &mut self.ends),
            None => self.block.bodies(&shared.columns, PLAIN_BYTES_MAX, bodies, &mut self.ends),
        }
    }

    /// The earliest and the latest timestamp, if all records were read.
    pub(super) fn time_range(&self) -> Option<(i64, i64)> {
        let times = || self.times.iter().copied();
        times().min().zip(times().max()).filter(|_| self.only.is_none())
    }

    /// The record at `row`, if it was read.
    pub(super) fn get<'a>(
        &'a self,
        bodies: &'a [u8],
        row: usize,
        first_seq: u64,
        incarnation: Incarnation,
    ) -> Option<StoredRecord<'a>> {
        let n = match self.only {
            Some(only) if only == row => 0,
            Some(_) => return None,
            None => row,
        };
        let from = n.checked_sub(1).map_or(0, |before| self.ends[before]);
        let meta = self.block.meta(row);
        Some(StoredRecord {
            seq: first_seq + row as u64,
            incarnation,
            kind: RecordKind::from_u8(meta.kind)?,
            flags: meta.flags,
            timestamp: Timestamp::from_micros(*self.times.get(n)?),
            key: meta.key,
            body: bodies.get(from as usize..*self.ends.get(n)? as usize)?,
        })
    }
}
