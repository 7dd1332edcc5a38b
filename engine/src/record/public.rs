//! Records as users get them: borrowed from the reader's buffer, or owned.

use crate::error::{Error, Result};
use crate::record::StoredRecord;
use crate::{Incarnation, Timestamp};
use serde::Deserialize;

/// A record, borrowed from the buffer it was read into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a>(StoredRecord<'a>);

impl<'a> Record<'a> {
    pub(crate) fn new(stored: StoredRecord<'a>) -> Self {
        Self(stored)
    }

    pub(crate) fn stored(&self) -> &StoredRecord<'a> {
        &self.0
    }

    /// The record's position in the log.
    pub fn seq(&self) -> u64 {
        self.0.seq
    }

    /// The record's time.
    pub fn timestamp(&self) -> Timestamp {
        self.0.timestamp
    }

    /// The opening of the writer that appended the record. Together with the seq it names the record for ever.
    pub fn incarnation(&self) -> Incarnation {
        self.0.incarnation
    }

    /// The key that it was appended with by [`crate::Log::append_once`]; empty if it has none.
    pub fn key(&self) -> &'a [u8] {
        self.0.key
    }

    /// The body: one MessagePack map, byte for byte as it was appended.
    pub fn body(&self) -> &'a [u8] {
        self.0.body
    }

    /// The body as a value of type `T`, which may borrow from it.
    ///
    /// # Errors
    /// [`Error::Decode`] if the body is not of that type.
    pub fn decode<T: Deserialize<'a>>(&self) -> Result<T> {
        rmp_serde::from_slice(self.0.body).map_err(|e| Error::Decode { seq: self.0.seq, detail: e.to_string() })
    }

    /// The body as a dynamic value, for those without a type.
    ///
    /// # Errors
    /// [`Error::Decode`] if the body is not MessagePack; it was when it was appended.
    pub fn value(&self) -> Result<rmpv::ValueRef<'a>> {
        let depth = crate::msgpack::DEPTH_MAX + 1;
        rmpv::decode::read_value_ref_with_max_depth(&mut &*self.0.body, depth)
            .map_err(|error| Error::Decode { seq: self.0.seq, detail: error.to_string() })
    }

    /// Appends the body to `out` as one line of JSON, without a line end.
    ///
    /// # Errors
    /// [`Error::Decode`] if the body is not MessagePack; it was when it was appended.
    #[cfg(feature = "json")]
    pub fn to_json(&self, out: &mut Vec<u8>) -> Result<()> {
        crate::json::to_json(self.0.body, out)
            .map_err(|error| Error::Decode { seq: self.0.seq, detail: error.to_string() })
    }

    /// The record with another body in place of its own.
    pub(crate) fn with_body<'b>(&self, body: &'b [u8]) -> Record<'b>
    where
        'a: 'b,
    {
        Record(StoredRecord { body, ..self.0 })
    }

    /// A copy of its own.
    pub fn to_owned(&self) -> RecordBuf {
        RecordBuf {
            seq: self.0.seq,
            timestamp: self.0.timestamp,
            incarnation: self.0.incarnation,
            key_len: self.0.key.len(),
            bytes: [self.0.key, self.0.body].concat(),
        }
    }
}

/// A record that owns its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordBuf {
    seq: u64,
    timestamp: Timestamp,
    incarnation: Incarnation,
    key_len: usize,
    /// The key, then the body.
    bytes: Vec<u8>,
}

impl RecordBuf {
    /// The record, borrowed: everything that can be done with one is there.
    pub fn as_record(&self) -> Record<'_> {
        let (key, body) = self.bytes.split_at(self.key_len);
        let kind = crate::record::RecordKind::User;
        let (seq, incarnation, timestamp) = (self.seq, self.incarnation, self.timestamp);
        Record(StoredRecord { seq, incarnation, kind, flags: 0, timestamp, key, body })
    }

    /// The record's position in the log.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The record's time.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// The body: one MessagePack map, byte for byte as it was appended.
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.key_len..]
    }

    /// The body as a value of type `T`, which may borrow from it.
    ///
    /// # Errors
    /// [`Error::Decode`] if the body is not of that type.
    pub fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        self.as_record().decode()
    }
}
