//! Holds that were released: what was held, since when, until when, and why no longer.

use super::Hold;
use super::removal::REASON_BYTES_MAX;
use crate::Timestamp;

/// Most releases that are kept. When there are more, the oldest are only counted.
pub(super) const RELEASES_MAX: usize = 512;

/// A hold that was released, as the log's catalog keeps it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Release {
    /// The hold as it was.
    #[serde(flatten)]
    pub hold: Hold,
    /// When it was released.
    pub released: Timestamp,
    /// Why, and by whom, as whoever released it said: at most 1,024 bytes.
    pub release_reason: String,
}

impl Release {
    /// What is not within the limits.
    pub(super) fn fault(&self) -> Option<String> {
        let bytes = self.release_reason.len();
        let too_long = || format!("the reason of its release has {bytes} bytes: {REASON_BYTES_MAX} at most");
        self.hold.fault().or_else(|| (bytes > REASON_BYTES_MAX).then(too_long))
    }
}

impl std::fmt::Display for Release {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, released {} µs after 1970", self.hold, self.released.as_micros())?;
        match self.release_reason.is_empty() {
            true => Ok(()),
            false => write!(f, ": {}", self.release_reason),
        }
    }
}

/// The newest releases, in the order in which they came about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Releases {
    kept: Vec<Release>,
    forgotten: u64,
}

impl Releases {
    /// Puts together what was written down; `None` beyond the limits.
    pub(super) fn of(kept: Vec<Release>, forgotten: u64) -> Option<Self> {
        (kept.len() <= RELEASES_MAX && kept.iter().all(|release| release.fault().is_none()))
            .then_some(Self { kept, forgotten })
    }

    /// Adds one that came later. The oldest goes where there is no room for more.
    pub(super) fn add(&mut self, release: Release) {
        self.kept.push(release);
        if self.kept.len() > RELEASES_MAX {
            self.kept.remove(0);
            self.forgotten = self.forgotten.saturating_add(1);
        }
    }

    /// Those that are kept.
    pub(crate) fn kept(&self) -> &[Release] {
        &self.kept
    }

    /// How many older ones there were.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn release(n: u64) -> Release {
        let hold = Hold::new(&format!("case {n}"), n.., Timestamp::from_micros(-1), "a court asked").unwrap();
        Release { hold, released: Timestamp::from_micros(n as i64), release_reason: "ada: the case is closed".into() }
    }

    #[test]
    fn the_oldest_are_only_counted() {
        let mut releases = Releases::default();
        (0..RELEASES_MAX as u64 + 3).for_each(|n| releases.add(release(n)));
        assert_eq!((releases.kept().len(), releases.forgotten()), (RELEASES_MAX, 3));
        assert_eq!(releases.kept()[0], release(3));
        assert_eq!(Releases::of(releases.kept.clone(), 3), Some(releases));
    }

    #[test]
    fn what_is_beyond_the_limits_is_refused() {
        assert!(Releases::of((0..=RELEASES_MAX as u64).map(release).collect(), 0).is_none());
        let long = Release { release_reason: "r".repeat(REASON_BYTES_MAX + 1), ..release(1) };
        assert!(long.fault().is_some() && Releases::of(vec![long], 0).is_none());
    }
}
