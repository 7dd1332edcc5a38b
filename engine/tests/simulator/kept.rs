//! What a log keeps beside its records, as the model has it: what is held, what was, and what retention has removed.

use crate::simulator::model::{Failure, Step};
use annals::{Hold, Reader, Release, Removal, Timestamp};

/// A time in the model that nobody has told: the call that would have failed.
pub(crate) const UNTOLD: Timestamp = Timestamp::MIN;

/// Holds, releases and removals, each in its order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Kept {
    pub(crate) holds: Vec<Hold>,
    pub(crate) releases: Vec<Release>,
    pub(crate) removals: Vec<Removal>,
}

impl Kept {
    /// What the log's catalog says now.
    fn of(reader: &Reader) -> Step<Self> {
        Ok(Self { holds: reader.holds()?, releases: reader.releases()?, removals: reader.removals()? })
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
        let same_removal =
            |(a, b): (&Removal, &Removal)| *a == Removal { removed: told(a.removed, b.removed), ..b.clone() };
        self.holds.len() == found.holds.len()
            && self.releases.len() == found.releases.len()
            && self.removals.len() == found.removals.len()
            && self.holds.iter().zip(&found.holds).all(|(a, b)| same_hold(a, b))
            && self.releases.iter().zip(&found.releases).all(|(a, b)| same_release(a, b))
            && self.removals.iter().zip(&found.removals).all(same_removal)
    }
}

/// The time `found`, unless the model doesn't know it.
fn told(known: Timestamp, found: Timestamp) -> Timestamp {
    if known == UNTOLD { UNTOLD } else { found }
}

fn same_hold(known: &Hold, found: &Hold) -> bool {
    *known == Hold { since: told(known.since, found.since), ..found.clone() }
}

/// Whether `found` is `known`, but for times that nobody has told.
pub(crate) fn same_release(known: &Release, found: &Release) -> bool {
    same_hold(&known.hold, &found.hold)
        && known.released == told(known.released, found.released)
        && known.release_reason == found.release_reason
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
