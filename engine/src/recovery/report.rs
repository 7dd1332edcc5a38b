//! What recovery says it found and did.

use crate::Damage;

/// What opening a log found out. Serializes for machines; `annals info` prints it for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct RecoveryReport {
    /// Whether the log had been closed as it should be, with nothing to recover.
    pub clean: bool,
    /// The seq that the next record gets.
    pub next_seq: u64,
    /// Everything below this seq is known to have been durable before this opening.
    pub watermark: u64,
    /// Records that were acknowledged, or may have been, and cannot be read. They stay missing until a repair.
    pub damaged: Vec<Damage>,
    /// Bytes at the end of the log that are no longer part of it.
    pub dropped: Vec<Dropped>,
    /// Records above the watermark, which were given a new place and synced.
    pub rewritten: Option<Rewritten>,
    /// Names of files that had never been completed, or whose records have another place: removed.
    pub removed: Vec<String>,
}

impl RecoveryReport {
    /// Whether nothing that was acknowledged at `Durable` is missing.
    pub fn is_complete(&self) -> bool {
        self.damaged.is_empty()
    }
}

/// Bytes that an unfinished write left behind the end of the log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Dropped {
    /// The file they stand in.
    pub path: String,
    /// Where they begin, in bytes.
    pub offset: u64,
    /// How many bytes there are.
    pub bytes: u64,
    /// Why the first of them could not be read.
    pub detail: String,
    /// The seq after the last record that is kept.
    pub first_seq: u64,
    /// How many intact records follow the unfinished write. They are above every watermark and below nothing that is
    /// known to be durable, but one of them may have been acknowledged.
    pub possibly_acknowledged: u64,
    /// The file that keeps the bytes; `None` when nothing was changed since the log was only read.
    pub kept_in: Option<String>,
}

/// Records that were given a new place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Rewritten {
    /// The first of them.
    pub first_seq: u64,
    /// The seq after the last.
    pub end_seq: u64,
}
