//! What a log keeps beside its records, as the model has it: what is held, and what retention has removed.

use crate::simulator::model::{Failure, Step};
use annals::{Hold, Reader, Removal, Timestamp};

/// A time in the model that nobody has told: the call that would have failed.
pub(crate) const UNTOLD: Timestamp = Timestamp::MIN;

/// Holds and removals, each in its order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Kept {
    pub(crate) holds: Vec<Hold>,
    pub(crate) removals: Vec<Removal>,
}

impl Kept {
    /// What the log's catalog says now.
    fn of(reader: &Reader) -> Step<Self> {
        Ok(Self { holds: reader.holds()?, removals: reader.removals()? })
    }

    /// The first seq that was not removed.
    pub(crate) fn first_seq(&self) -> u64 {
        self.removals.last().map_or(0, |removal| removal.end_seq)
    }

    /// Whether some of the seqs are held.
    pub(crate) fn holds_some(&self, first_seq: u64, end_seq: u64) -> bool {
        self.holds.iter().any(|hold| hold.first_seq < end_seq && hold.end_seq.is_none_or(|end| first_seq < end))
    }

    /// With one more removal.
    pub(crate) fn with(&self, removal: Option<Removal>) -> Self {
        let mut after = self.clone();
        after.removals.extend(removal);
        after
    }

    /// Whether `found` is this, but for times that nobody has told.
    pub(crate) fn is(&self, found: &Self) -> bool {
        let told = |known: Timestamp, found: Timestamp| if known == UNTOLD { UNTOLD } else { found };
        let same_hold = |(a, b): (&Hold, &Hold)| *a == Hold { since: told(a.since, b.since), ..b.clone() };
        let same_removal =
            |(a, b): (&Removal, &Removal)| *a == Removal { removed: told(a.removed, b.removed), ..b.clone() };
        self.holds.len() == found.holds.len()
            && self.removals.len() == found.removals.len()
            && self.holds.iter().zip(&found.holds).all(same_hold)
            && self.removals.iter().zip(&found.removals).all(same_removal)
    }
}

/// What the log's catalog says to `reader`: one of `possible`, and no record is there that was removed, none missing that
/// wasn't.
pub(crate) fn check_kept(reader: &Reader, possible: &[Kept]) -> Step<Kept> {
    let found = Kept::of(reader)?;
    if !possible.iter().any(|kept| kept.is(&found)) {
        return Err(Failure::Broken(format!("the catalog says {found:?}, and may say {possible:?}")));
    }
    match reader.first_seq() == found.first_seq() {
        true => Ok(found),
        false => Err(Failure::Broken(format!("the log begins at {}, after {:?}", reader.first_seq(), found.removals))),
    }
}

/// All of both, each once.
pub(crate) fn either(one: &[Kept], other: &[Kept]) -> Vec<Kept> {
    let mut all = one.to_vec();
    all.extend(other.iter().filter(|kept| !one.contains(kept)).cloned());
    all
}
