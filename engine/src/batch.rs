//! Records encoded and ready to be appended.

use crate::Timestamp;
use crate::drops::Drops;
use crate::error::{Error, Result};
use crate::msgpack::validate_body;
use crate::raw::entry::{self, ENTRY_HEADER_BYTES};
use crate::record::{KEY_BYTES_MAX, RECORD_BYTES_MAX, RecordKind};
use serde::Serialize;

/// Records that are appended together: all of them or none.
///
/// Encoding happens here, outside the log's lock. A batch can be cleared and filled again, which reuses its memory.
///
/// ```
/// # fn main() -> Result<(), annals::Error> {
/// # #[derive(serde::Serialize)] struct Login<'a> { user: &'a str, ok: bool }
/// let mut batch = annals::Batch::new();
/// batch.push(&Login { user: "ada", ok: true })?;
/// batch.push(&Login { user: "bob", ok: false })?;
/// assert_eq!(batch.len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default, Clone)]
pub struct Batch {
    payload: Vec<u8>,
    /// Where the last whole entry ends: an encoder that panicked may have left a part of one behind it.
    end: usize,
    count: u32,
    /// Where the entries begin whose records take the time of the append.
    untimed: Vec<usize>,
    times: Option<(Timestamp, Timestamp)>,
}

impl Batch {
    /// A batch without records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record that gets the time of its append.
    ///
    /// # Errors
    /// [`Error::Encode`] if `record` can't be encoded as a MessagePack map, [`Error::InvalidBody`] if it nests too
    /// deep, [`Error::TooLarge`] beyond 16 MiB. The batch is then as it was.
    pub fn push(&mut self, record: &(impl Serialize + ?Sized)) -> Result<()> {
        self.add(None, b"", |payload| encode(record, payload))
    }

    /// Adds a record with a time of its own, which need not be later than that of the one before.
    ///
    /// # Errors
    /// As [`Batch::push`].
    pub fn push_at(&mut self, timestamp: Timestamp, record: &(impl Serialize + ?Sized)) -> Result<()> {
        self.add(Some(timestamp), b"", |payload| encode(record, payload))
    }

    /// Adds a record whose body is already encoded: one MessagePack map, which is kept byte for byte. Without a
    /// `timestamp` it gets the time of its append.
    ///
    /// # Errors
    /// [`Error::InvalidBody`] if `body` is anything but one well-formed map, [`Error::TooLarge`] beyond 16 MiB. The
    /// batch is then as it was.
    pub fn push_raw(&mut self, timestamp: Option<Timestamp>, body: &[u8]) -> Result<()> {
        self.push_keyed_raw(b"", timestamp, body)
    }

    /// Adds a record with an idempotency key of at most [`KEY_BYTES_MAX`] bytes, which gets the time of its append.
    pub(crate) fn push_keyed(&mut self, key: &[u8], record: &(impl Serialize + ?Sized)) -> Result<()> {
        self.add(None, key, |payload| encode(record, payload))
    }

    /// As [`Batch::push_raw`], with an idempotency key of at most [`KEY_BYTES_MAX`] bytes.
    pub(crate) fn push_keyed_raw(&mut self, key: &[u8], timestamp: Option<Timestamp>, body: &[u8]) -> Result<()> {
        self.add(timestamp, key, |payload| {
            check_size(body.len())?;
            payload.extend_from_slice(body);
            Ok(())
        })
    }

    /// Adds what is told of dropped records: a record of its own kind, at the time when the last of them was dropped. The batch
    /// covers the time from the first on.
    pub(crate) fn push_drops(&mut self, drops: &Drops) -> Result<()> {
        let start = self.end;
        self.push_raw(Some(drops.until), &drops.encode())?;
        entry::set_kind(&mut self.payload[start..], RecordKind::Dropped);
        self.note_time(drops.since);
        Ok(())
    }

    /// Removes all records and keeps the memory.
    pub fn clear(&mut self) {
        self.payload.clear();
        self.untimed.clear();
        (self.end, self.count, self.times) = (0, 0, None);
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many bytes the records take in a frame.
    pub fn bytes(&self) -> usize {
        self.end
    }

    fn add(
        &mut self,
        timestamp: Option<Timestamp>,
        key: &[u8],
        body: impl FnOnce(&mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        debug_assert!(key.len() <= KEY_BYTES_MAX);
        self.payload.truncate(self.end);
        let start = entry::begin(&mut self.payload, timestamp.unwrap_or_default(), key);
        let body_at = start + ENTRY_HEADER_BYTES + key.len();
        let added = body(&mut self.payload).and_then(|()| {
            check_size(key.len() + self.payload.len() - body_at)?;
            Ok(validate_body(&self.payload[body_at..])?)
        });
        if let Err(error) = added {
            self.payload.truncate(start);
            return Err(error);
        }
        entry::set_len(&mut self.payload[start..]);
        match timestamp {
            Some(timestamp) => self.note_time(timestamp),
            None => self.untimed.push(start),
        }
        self.count += 1;
        self.end = self.payload.len();
        Ok(())
    }

    fn note_time(&mut self, timestamp: Timestamp) {
        let (min, max) = self.times.unwrap_or((timestamp, timestamp));
        self.times = Some((min.min(timestamp), max.max(timestamp)));
    }

    /// Whether every record has a time of its own.
    pub(crate) fn is_timed(&self) -> bool {
        self.untimed.is_empty()
    }

    /// Gives the records without a time the time `now`, and computes the entries' checksums.
    pub(crate) fn finish(&mut self, now: Timestamp) {
        if !self.untimed.is_empty() {
            self.note_time(now);
        }
        for start in self.untimed.drain(..) {
            entry::set_timestamp(&mut self.payload[start..], now);
        }
        self.payload.truncate(self.end);
        entry::checksum_all(&mut self.payload);
    }

    /// The entries, as [`Batch::finish`] left them.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The earliest and the latest time of the records; the epoch if there are none.
    pub(crate) fn times(&self) -> (Timestamp, Timestamp) {
        self.times.unwrap_or_default()
    }

    /// Gives back memory that a large batch left behind.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        self.payload.shrink_to(bytes);
    }
}

fn encode(record: &(impl Serialize + ?Sized), payload: &mut Vec<u8>) -> Result<()> {
    let mut serializer = rmp_serde::Serializer::new(payload).with_struct_map();
    record.serialize(&mut serializer).map_err(|error| Error::Encode(error.to_string()))
}

fn check_size(body_len: usize) -> Result<()> {
    match body_len <= RECORD_BYTES_MAX {
        true => Ok(()),
        false => Err(Error::TooLarge { what: "the record", found: body_len as u64, limit: RECORD_BYTES_MAX as u64 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msgpack::MsgPackError;

    #[test]
    fn a_record_that_is_no_map_is_refused_and_leaves_no_trace() {
        let mut batch = Batch::new();
        assert!(matches!(batch.push(&7), Err(Error::InvalidBody(MsgPackError::NotAMap))));
        assert!(matches!(batch.push_raw(None, &[0x80, 0x80]), Err(Error::InvalidBody(_))));
        assert!(matches!(batch.push_raw(None, &vec![0; RECORD_BYTES_MAX + 1]), Err(Error::TooLarge { .. })));
        assert_eq!((batch.len(), batch.bytes()), (0, 0));
    }

    #[test]
    fn an_encoder_that_panics_leaves_no_trace() {
        struct Panics;
        impl Serialize for Panics {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serde::ser::SerializeMap::serialize_entry(&mut serializer.serialize_map(Some(2))?, "text", "a")?;
                panic!("planted")
            }
        }
        let now = Timestamp::from_micros(1);
        let (mut batch, mut other) = (Batch::new(), Batch::new());
        for n in 0..2 {
            for batch in [&mut batch, &mut other] {
                batch.push_raw(None, &[0x81, 0xA1, b'n', n]).unwrap();
            }
            let push = std::panic::AssertUnwindSafe(|| batch.push(&Panics));
            assert!(std::panic::catch_unwind(push).is_err());
            assert_eq!((batch.len(), batch.bytes()), (other.len(), other.bytes()));
        }
        batch.finish(now);
        other.finish(now);
        assert_eq!(batch.payload(), other.payload());
    }

    #[test]
    fn structs_are_encoded_with_their_field_names() {
        #[derive(Serialize)]
        struct Event {
            user: &'static str,
        }
        let mut batch = Batch::new();
        batch.push_at(Timestamp::from_micros(1), &Event { user: "ada" }).unwrap();
        assert_eq!(batch.payload()[ENTRY_HEADER_BYTES..], *b"\x81\xA4user\xA3ada");
    }
}
