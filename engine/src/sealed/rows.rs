//! The rows codec: the records of a block one after the other. docs/format.md, "Rows".

use super::bytes::{Fields, put_signed_varint, put_varint, varint_bytes};
use crate::record::{KEY_BYTES_MAX, RECORD_BYTES_MAX, RecordKind, StoredRecord};
use crate::{Incarnation, Timestamp};

/// Largest plain payload of a block, in bytes: the largest record and what stands beside it.
pub(crate) const PLAIN_BYTES_MAX: usize = RECORD_BYTES_MAX + 64;

/// Most records of a block: the table of a block that is read takes 1.5 MiB then.
pub(crate) const RECORDS_MAX: u32 = 1 << 16;

/// Fewest bytes a record takes in a payload: a length and a timestamp.
const RECORD_BYTES_MIN: usize = 2;

const FLAG_META: u8 = 1;

/// Collects the records of a block.
#[derive(Debug, Default)]
pub(crate) struct RowsBuilder {
    count: u32,
    lengths: Vec<u8>,
    times: Vec<u8>,
    time_last: i64,
    time_min: i64,
    time_max: i64,
    meta: Vec<u8>,
    needs_meta: bool,
    keys: Vec<u8>,
    bodies: Vec<u8>,
}

impl RowsBuilder {
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The earliest and the latest timestamp of the records.
    pub(crate) fn time_range(&self) -> (i64, i64) {
        (self.time_min, self.time_max)
    }

    /// The bodies of the records, one after the other.
    pub(crate) fn bodies(&self) -> &[u8] {
        &self.bodies
    }

    /// Bytes of the payload with a record of this key and body added, at most.
    pub(crate) fn bytes_with(&self, record: &StoredRecord<'_>) -> usize {
        let own = varint_bytes(record.body.len() as u64) + 10 + 4 + record.key.len() + record.body.len();
        1 + self.lengths.len() + self.times.len() + self.meta.len() + self.keys.len() + self.bodies.len() + own
    }

    pub(crate) fn push(&mut self, record: &StoredRecord<'_>) {
        let time = record.timestamp.as_micros();
        if self.count == 0 {
            (self.time_last, self.time_min, self.time_max) = (0, time, time);
        }
        self.count += 1;
        put_varint(&mut self.lengths, record.body.len() as u64);
        // Wraps around, as the reader's sum does: no two moments are too far apart.
        put_signed_varint(&mut self.times, time.wrapping_sub(self.time_last));
        self.time_last = time;
        self.time_min = self.time_min.min(time);
        self.time_max = self.time_max.max(time);
        self.meta.extend([record.kind as u8, record.flags]);
        put_varint(&mut self.meta, record.key.len() as u64);
        self.needs_meta |= record.kind != RecordKind::User || record.flags != 0 || !record.key.is_empty();
        self.keys.extend(record.key);
        self.bodies.extend(record.body);
    }

    /// Puts the payload into `out` in place of what is there, and begins anew.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        out.clear();
        out.push(if self.needs_meta { FLAG_META } else { 0 });
        out.extend(&self.lengths);
        out.extend(&self.times);
        if self.needs_meta {
            out.extend(&self.meta);
            out.extend(&self.keys);
        }
        out.extend(&self.bodies);
        for part in [&mut self.lengths, &mut self.times, &mut self.meta, &mut self.keys, &mut self.bodies] {
            part.clear();
        }
        (self.count, self.needs_meta) = (0, false);
    }
}

/// Where a record lies in a plain payload.
#[derive(Debug, Clone, Copy)]
struct Row {
    timestamp: i64,
    body_end: u32,
    key_end: u32,
    kind: RecordKind,
    flags: u8,
}

/// The table of the rows of one payload. Its memory is kept from block to block.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    rows: Vec<Row>,
    keys_at: u32,
    bodies_at: u32,
}

impl Rows {
    /// Reads the table of `plain`, which holds `count` records; or says what is wrong with it.
    pub(crate) fn parse(&mut self, plain: &[u8], count: u32) -> Result<(), &'static str> {
        self.rows.clear();
        let parsed = self.fill(plain, count);
        if parsed.is_err() {
            self.rows.clear();
        }
        parsed
    }

    fn fill(&mut self, plain: &[u8], count: u32) -> Result<(), &'static str> {
        let cut = "the block's payload is shorter than its table tells";
        if plain.len() > PLAIN_BYTES_MAX || count > RECORDS_MAX || count as usize > plain.len() / RECORD_BYTES_MIN {
            return Err(cut);
        }
        let mut fields = Fields(plain);
        let flags = fields.u8().ok_or(cut)?;
        if flags & !FLAG_META != 0 {
            return Err("the block's payload has flags that this version doesn't know");
        }
        self.rows.reserve(count as usize);
        let mut body_end = 0u64;
        for _ in 0..count {
            // Each addend is checked before the sum can overflow.
            body_end += fields.varint().filter(|len| *len <= RECORD_BYTES_MAX as u64).ok_or(cut)?;
            if body_end > plain.len() as u64 {
                return Err(cut);
            }
            let kind = RecordKind::User;
            self.rows.push(Row { timestamp: 0, body_end: body_end as u32, key_end: 0, kind, flags: 0 });
        }
        let mut time = 0i64;
        for row in &mut self.rows {
            time = time.wrapping_add(fields.signed_varint().ok_or(cut)?);
            row.timestamp = time;
        }
        if flags & FLAG_META != 0 {
            self.fill_meta(&mut fields)?;
        }
        let keys_len = self.rows.last().map_or(0, |row| row.key_end);
        self.keys_at = (plain.len() - fields.0.len()) as u32;
        fields.take(keys_len as usize).ok_or(cut)?;
        self.bodies_at = (plain.len() - fields.0.len()) as u32;
        match fields.0.len() as u64 == body_end {
            true => Ok(()),
            false => Err("the block's payload has another length than its table tells"),
        }
    }

    fn fill_meta(&mut self, fields: &mut Fields<'_>) -> Result<(), &'static str> {
        let cut = "the block's payload is shorter than its table tells";
        let mut key_end = 0u32;
        for row in &mut self.rows {
            let kind = fields.u8().ok_or(cut)?;
            row.kind = RecordKind::from_u8(kind).ok_or("a record is of a kind that this version doesn't know")?;
            row.flags = fields.u8().ok_or(cut)?;
            let len = fields.varint().filter(|len| *len <= KEY_BYTES_MAX as u64).ok_or(cut)?;
            key_end = key_end.checked_add(len as u32).ok_or(cut)?;
            row.key_end = key_end;
        }
        Ok(())
    }

    /// The rows of `count` records that are elsewhere, and a payload with their keys and bodies, in this memory.
    pub(crate) fn gather<'a, I>(count: usize, records: impl Fn() -> I, memory: (Self, Vec<u8>)) -> (Self, Vec<u8>)
    where
        I: Iterator<Item = StoredRecord<'a>>,
    {
        let (mut keys, mut bodies) = (0, 0);
        let row = |record: StoredRecord<'_>| {
            (keys, bodies) = (keys + record.key.len(), bodies + record.body.len());
            let (timestamp, kind, flags) = (record.timestamp.as_micros(), record.kind, record.flags);
            Row { timestamp, body_end: bodies as u32, key_end: keys as u32, kind, flags }
        };
        let (Self { mut rows, .. }, mut plain) = memory;
        rows.clear();
        rows.reserve_exact(count);
        rows.extend(records().map(row));
        plain.clear();
        plain.reserve_exact(keys + bodies);
        records().for_each(|record| plain.extend_from_slice(record.key));
        records().for_each(|record| plain.extend_from_slice(record.body));
        (Self { rows, keys_at: 0, bodies_at: keys as u32 }, plain)
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Row>()
    }

    /// The earliest and the latest timestamp.
    pub(crate) fn time_range(&self) -> Option<(i64, i64)> {
        let times = || self.rows.iter().map(|row| row.timestamp);
        times().min().zip(times().max())
    }

    /// The record at `position` of `plain`, the payload that was parsed.
    pub(crate) fn get<'a>(
        &self,
        plain: &'a [u8],
        position: usize,
        first_seq: u64,
        incarnation: Incarnation,
    ) -> Option<StoredRecord<'a>> {
        let row = self.rows.get(position)?;
        let (key_at, body_at) = match position.checked_sub(1).map(|before| self.rows[before]) {
            Some(before) => (before.key_end, before.body_end),
            None => (0, 0),
        };
        let slice = |base: u32, from: u32, to: u32| plain.get((base + from) as usize..(base + to) as usize);
        Some(StoredRecord {
            seq: first_seq + position as u64,
            incarnation,
            kind: row.kind,
            flags: row.flags,
            timestamp: Timestamp::from_micros(row.timestamp),
            key: slice(self.keys_at, key_at, row.key_end)?,
            body: slice(self.bodies_at, body_at, row.body_end)?,
        })
    }
}
