//! One RFC 6962 hash tree over the whole log: docs/format.md, "Merkle tree".
//!
//! Leaf `i` is the record with seq `i`. A [`Frontier`] is all that has to be kept of a tree to let it grow: the
//! roots of the perfect subtrees that its size falls into. Hashing is done when segments are sealed, off the way of
//! an append; storing frontiers, nodes and roots is left to the sealed segments.

mod frontier;
mod prover;

pub(crate) use frontier::Frontier;
pub(crate) use prover::{Proof, Prover, UNKNOWN_NODE};

use crate::LogId;
use crate::record::StoredRecord;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// A SHA-256 hash.
pub(crate) type Hash = [u8; 32];

/// Bytes of a [`Hash`].
pub(crate) const HASH_BYTES: usize = 32;

/// log2 of the leaves below each node that sealed segments keep.
pub(crate) const NODE_LEVEL: u32 = 8;

/// Leaves below each node that sealed segments keep.
pub(crate) const NODE_LEAVES: u64 = 1 << NODE_LEVEL;

const LEAF_PREFIX: u8 = 0x00;
const NODE_PREFIX: u8 = 0x01;

const LOG_ID_AT: usize = 1;
const INCARNATION_AT: usize = LOG_ID_AT + 16;
const SEQ_AT: usize = INCARNATION_AT + 16;
const KIND_AT: usize = SEQ_AT + 8;
const FLAGS_AT: usize = KIND_AT + 1;
const KEY_LEN_AT: usize = FLAGS_AT + 1;
const TIMESTAMP_AT: usize = KEY_LEN_AT + 2;
const KEY_AT: usize = TIMESTAMP_AT + 8;
const _: () = assert!(KEY_AT == 53);
const _: () = assert!(crate::record::KEY_BYTES_MAX <= u16::MAX as usize);

/// The leaf of `record` in the tree of the log `log_id`. Its key is at most `KEY_BYTES_MAX` bytes long.
pub(crate) fn leaf_hash(log_id: &LogId, record: &StoredRecord<'_>) -> Hash {
    let mut fixed = [0; KEY_AT];
    fixed[0] = LEAF_PREFIX;
    fixed[LOG_ID_AT..INCARNATION_AT].copy_from_slice(&log_id.0);
    fixed[INCARNATION_AT..SEQ_AT].copy_from_slice(&record.incarnation.0);
    fixed[SEQ_AT..KIND_AT].copy_from_slice(&record.seq.to_le_bytes());
    fixed[KIND_AT] = record.kind as u8;
    fixed[FLAGS_AT] = record.flags;
    fixed[KEY_LEN_AT..TIMESTAMP_AT].copy_from_slice(&(record.key.len() as u16).to_le_bytes());
    fixed[TIMESTAMP_AT..KEY_AT].copy_from_slice(&record.timestamp.as_micros().to_le_bytes());
    Sha256::new()
        .chain_update(fixed)
        .chain_update(record.key)
        .chain_update(Sha256::digest(record.body))
        .finalize()
        .into()
}

/// The node above `left` and `right`.
pub(crate) fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [NODE_PREFIX; 1 + 2 * HASH_BYTES];
    bytes[1..1 + HASH_BYTES].copy_from_slice(left);
    bytes[1 + HASH_BYTES..].copy_from_slice(right);
    Sha256::digest(bytes).into()
}

/// A hash as people write it.
pub(crate) fn hex(hash: &Hash) -> String {
    hash.iter().fold(String::with_capacity(2 * HASH_BYTES), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The root of a tree without leaves.
pub(crate) fn empty_root() -> Hash {
    Sha256::digest(b"").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RecordKind;
    use crate::{Incarnation, Timestamp};

    /// The leaf, written out as the format page has it and hashed in one piece.
    #[test]
    fn a_leaf_is_the_hash_of_the_documented_bytes() {
        let record = StoredRecord {
            seq: 0x0102_0304,
            incarnation: Incarnation([2; 16]),
            kind: RecordKind::User,
            flags: 0,
            timestamp: Timestamp::from_micros(-2),
            key: b"key",
            body: b"\x81\xa1a\x01",
        };
        let mut bytes = vec![0];
        bytes.extend([1; 16]);
        bytes.extend([2; 16]);
        bytes.extend([4, 3, 2, 1, 0, 0, 0, 0]);
        bytes.extend([1, 0]);
        bytes.extend([3, 0]);
        bytes.extend([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        bytes.extend(b"key");
        bytes.extend(Sha256::digest(b"\x81\xa1a\x01"));
        assert_eq!(leaf_hash(&LogId([1; 16]), &record), <Hash>::from(Sha256::digest(&bytes)));
    }

    #[test]
    fn every_part_of_a_record_changes_its_leaf() {
        let record = StoredRecord {
            seq: 5,
            incarnation: Incarnation([2; 16]),
            kind: RecordKind::User,
            flags: 0,
            timestamp: Timestamp::from_micros(7),
            key: b"ab",
            body: b"cd",
        };
        let log = LogId([1; 16]);
        let leaves = [
            leaf_hash(&log, &record),
            leaf_hash(&LogId([9; 16]), &record),
            leaf_hash(&log, &StoredRecord { seq: 6, ..record }),
            leaf_hash(&log, &StoredRecord { incarnation: Incarnation([3; 16]), ..record }),
            leaf_hash(&log, &StoredRecord { flags: 1, ..record }),
            leaf_hash(&log, &StoredRecord { timestamp: Timestamp::from_micros(8), ..record }),
            leaf_hash(&log, &StoredRecord { key: b"abc", ..record }),
            leaf_hash(&log, &StoredRecord { key: b"", ..record }),
            leaf_hash(&log, &StoredRecord { body: b"ce", ..record }),
        ];
        let distinct: std::collections::BTreeSet<_> = leaves.iter().collect();
        assert_eq!(distinct.len(), leaves.len());
    }
}
