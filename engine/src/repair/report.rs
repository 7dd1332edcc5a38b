//! What a repair says it found and did.

use crate::Damage;
use crate::gap::Gap;
use crate::recovery::RecoveryReport;

/// What a repair found and did, or would do. Serializes for machines; `annals repair` prints it for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct RepairReport {
    /// Whether anything was changed; `false` for a dry run.
    pub applied: bool,
    /// The damage that was found.
    pub damage: Vec<Damage>,
    /// What opening the log for the repair found, which comes first; of a dry run, what it would find.
    pub recovery: RecoveryReport,
    /// Files that were replaced, or would be.
    pub replaced: Vec<Replaced>,
    /// All gaps of the log after the repair, older ones included; of a dry run, those that the repair would add.
    pub gaps: Vec<Gap>,
    /// Indexes that were made again, or would be.
    pub indexes: Vec<String>,
    /// Frames in quarantine that may have been acknowledged, and what became of them.
    pub restorable: Vec<Restorable>,
    /// The seq that the next record gets.
    pub next_seq: u64,
    /// What is still damaged after the repair. Always empty, but for files that other programs change meanwhile, and of a
    /// dry run.
    pub remaining: Vec<Damage>,
}

impl RepairReport {
    /// Whether there is nothing to repair.
    pub fn is_needless(&self) -> bool {
        self.damage.is_empty() && self.replaced.is_empty() && self.indexes.is_empty()
    }

    /// Whether the log is as it has to be, gaps included.
    pub fn is_sound(&self) -> bool {
        match self.applied {
            true => self.remaining.is_empty(),
            false => self.damage.is_empty(),
        }
    }
}

/// Files that one new file takes the place of.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Replaced {
    /// The files; none where no file held the records.
    pub files: Vec<String>,
    /// The new file; `None` if there is no need of one, and of a dry run.
    pub by: Option<String>,
    /// The copies in quarantine of those that were damaged.
    pub kept: Vec<String>,
    /// The first seq of the new file.
    pub first_seq: u64,
    /// The first seq after it.
    pub end_seq: u64,
    /// How many records were kept.
    pub records: u64,
    /// How many are in gaps, older ones included.
    pub missing: u64,
}

/// Frames that an opening left behind the end of the log, since they followed an unfinished write. They may have been
/// acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Restorable {
    /// The file that keeps them.
    pub file: String,
    /// How many records are intact.
    pub records: u64,
    /// The seq of the first of them, as it was.
    pub first_seq: u64,
    /// The seq after the last.
    pub end_seq: u64,
    /// Which of their old seqs became which new ones: first and end of the old, first of the new. Empty as long as they
    /// weren't restored; the same seqs where they were restored in their place.
    pub restored: Vec<(u64, u64, u64)>,
}
