//! The hash tree over a log's records, made by docs/format.md alone.

use annals::{LogId, Record};
use sha2::{Digest, Sha256};

pub(crate) type Hash = [u8; 32];

/// The leaf of a record of the log `log`.
pub(crate) fn leaf(log: LogId, record: &Record<'_>) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0]);
    hasher.update(log.0);
    hasher.update(record.incarnation().0);
    hasher.update(record.seq().to_le_bytes());
    // An ordinary record, without flags.
    hasher.update([1, 0]);
    hasher.update((record.key().len() as u16).to_le_bytes());
    hasher.update(record.timestamp().as_micros().to_le_bytes());
    hasher.update(record.key());
    hasher.update(Sha256::digest(record.body()));
    hasher.finalize().into()
}

/// The root over `leaves`: RFC 6962, section 2.1.
pub(crate) fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            let mut hasher = Sha256::new();
            hasher.update([1]);
            hasher.update(root(left));
            hasher.update(root(right));
            hasher.finalize().into()
        }
    }
}

/// A root as reports tell it.
pub(crate) fn hex(root: Hash) -> String {
    root.iter().map(|byte| format!("{byte:02x}")).collect()
}
