//! A record: what one event is, apart from where it is stored.

mod public;

use crate::{Incarnation, Timestamp};
pub use public::{Record, RecordBuf};

/// Largest record: its key and body together, in bytes.
pub(crate) const RECORD_BYTES_MAX: usize = 16 << 20;

/// Longest idempotency key, in bytes.
pub(crate) const KEY_BYTES_MAX: usize = 1 << 10;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum RecordKind {
    /// An event that the application appended. Nothing else stands in a row.
    User = 1,
    /// A seq that is known to be missing: stands in the leaves of a gap, and nowhere else.
    Gap = 2,
    /// Tells of records that a limit dropped: [`crate::Drops`]. Stands in an entry by itself, and never in a row.
    Dropped = 4,
}

impl RecordKind {
    pub(crate) fn from_u8(byte: u8) -> Option<Self> {
        (byte == Self::User as u8).then_some(Self::User)
    }

    /// The kind of an entry.
    pub(crate) fn of_entry(byte: u8) -> Option<Self> {
        if byte == Self::Dropped as u8 { Some(Self::Dropped) } else { Self::from_u8(byte) }
    }
}

/// A record as it is stored, borrowed from the bytes that hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoredRecord<'a> {
    pub(crate) seq: u64,
    pub(crate) incarnation: Incarnation,
    pub(crate) kind: RecordKind,
    /// Reserved: always 0 in this version.
    pub(crate) flags: u8,
    pub(crate) timestamp: Timestamp,
    /// The idempotency key; empty if there is none.
    pub(crate) key: &'a [u8],
    /// One MessagePack map, byte for byte as it was appended.
    pub(crate) body: &'a [u8],
}
