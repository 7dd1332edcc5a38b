//! What the records of a raw segment hold in indexed fields, in bounded memory: made when somebody asks a second time, and
//! carried on as the segment grows. Nothing on the way of an append knows of it.

use crate::error::{Error, Result};
use crate::query::{FieldPath, Hashes};
use crate::raw::{RawCursor, RawSegment, ReadAhead};
use crate::sync::Mutex;
use annals_index::Records;
use std::sync::PoisonError;

/// Most values of all fields together. Each takes 8 bytes.
const VALUES_MAX: usize = 2 << 20;

/// So many of the newest values are kept in no order.
const FRESH_MAX: usize = 4 << 10;

/// The values of a raw segment's indexed fields.
#[derive(Debug, Default)]
pub(crate) struct RawFields(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    /// Nobody has asked yet: whoever asks but once is served as well by reading the records.
    #[default]
    Unasked,
    Asked,
    Kept(Kept),
    /// There are too many values, or records that can't be read or tell of dropped ones.
    Unusable,
}

#[derive(Debug)]
struct Kept {
    hashes: Hashes,
    fields: Vec<Values>,
    /// How many records of the segment are in here.
    records: u32,
}

/// The values of one field: the upper half of a hash, and the record.
#[derive(Debug, Default, Clone)]
struct Values {
    /// In order.
    settled: Vec<(u32, u32)>,
    fresh: Vec<(u32, u32)>,
}

impl RawSegment {
    /// Asks what the records below `end_seq` hold in the fields at `paths`, of which [`RawLookup::find`] tells; `None` if that
    /// isn't known, and the records are to be read.
    ///
    /// # Errors
    /// What the operating system says of reading records that were added.
    pub(crate) fn lookup<T>(
        &self,
        paths: &[FieldPath],
        end_seq: u64,
        ask: impl FnOnce(&RawLookup<'_>) -> Option<T>,
    ) -> Result<Option<T>> {
        let mut state = self.fields.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *state {
            State::Unasked => *state = State::Asked,
            State::Unusable => {}
            State::Asked => *state = State::Kept(Kept::new(paths)),
            State::Kept(kept) if kept.hashes.paths() != paths => *state = State::Kept(Kept::new(paths)),
            State::Kept(_) => {}
        }
        let State::Kept(kept) = &mut *state else { return Ok(None) };
        match kept.carry_on(self, end_seq) {
            Ok(true) => Ok(ask(&RawLookup(kept))),
            Err(error) if !error.is_damage() => Err(error),
            _ => {
                *state = State::Unusable;
                Ok(None)
            }
        }
    }
}

/// What is known of a raw segment's indexed fields.
pub(crate) struct RawLookup<'a>(&'a Kept);

impl RawLookup<'_> {
    /// The records that may have a value of one of `hashes` in the field; `None` if the field isn't indexed.
    pub(crate) fn find(&self, path: &FieldPath, hashes: &[u64]) -> Option<Records> {
        let Values { settled, fresh } = &self.0.fields[self.0.hashes.paths().iter().position(|own| own == path)?];
        let mut found = Vec::new();
        for hash in hashes.iter().map(|&hash| upper(hash)) {
            let from = settled.partition_point(|(own, _)| *own < hash);
            found.extend(settled[from..].iter().take_while(|(own, _)| *own == hash).map(|(_, record)| *record));
        }
        let wanted: Vec<u32> = hashes.iter().map(|&hash| upper(hash)).collect();
        found.extend(fresh.iter().filter(|(own, _)| wanted.binary_search(own).is_ok()).map(|(_, record)| *record));
        Some(Records::new(found, self.0.records))
    }
}

impl Kept {
    fn new(paths: &[FieldPath]) -> Self {
        Self { hashes: Hashes::new(paths), fields: vec![Values::default(); paths.len()], records: 0 }
    }

    /// Adds the records up to `end_seq`. `false` if that makes too much.
    fn carry_on(&mut self, segment: &RawSegment, end_seq: u64) -> Result<bool> {
        let base_seq = segment.name.base_seq;
        let mut cursor = RawCursor::default();
        for seq in base_seq + u64::from(self.records)..end_seq {
            let read = match cursor.read(segment, seq, ReadAhead::Forward) {
                // Whoever asks is to be told of it, as by a segment that is sealed.
                Err(Error::Gap(_)) => return Ok(false),
                read => read?,
            };
            let (Some(record), Ok(number)) = (cursor.current().filter(|_| read), u32::try_from(seq - base_seq)) else {
                return Ok(false);
            };
            let fields = &mut self.fields;
            let hashed =
                self.hashes.each(record.body, &mut |field, hash| fields[field].fresh.push((upper(hash), number)));
            let count: usize = fields.iter().map(|values| values.settled.len() + values.fresh.len()).sum();
            if hashed.is_err() || count > VALUES_MAX {
                return Ok(false);
            }
            self.records = number + 1;
        }
        self.fields.iter_mut().filter(|values| values.fresh.len() > FRESH_MAX).for_each(Values::settle);
        Ok(true)
    }
}

impl Values {
    fn settle(&mut self) {
        self.settled.append(&mut self.fresh);
        // Two runs in order, nearly: the sort sees that.
        self.settled.sort();
        self.settled.dedup();
    }
}

fn upper(hash: u64) -> u32 {
    (hash >> 32) as u32
}
