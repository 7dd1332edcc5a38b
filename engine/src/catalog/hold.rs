//! Legal holds: seqs that retention has to leave alone until somebody releases them.

use crate::Timestamp;
use crate::catalog::removal::REASON_BYTES_MAX;
use crate::error::{Error, Result};
use std::ops::{Bound, Range, RangeBounds};

/// Most holds of a log.
pub(super) const HOLDS_MAX: usize = 1 << 10;

/// Longest name of a hold, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 128;

/// A range of records that retention doesn't remove, until the hold is released.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Hold {
    /// Its name: 1 to 128 bytes, no two of a log the same.
    pub name: String,
    /// The first seq that is held.
    pub first_seq: u64,
    /// The first seq after those; `None` if all that follow are held, those to come included.
    pub end_seq: Option<u64>,
    /// When the hold was made.
    pub since: Timestamp,
    /// Why, as whoever made it said: at most 1,024 bytes.
    pub reason: String,
}

impl Hold {
    /// A hold within the limits.
    ///
    /// # Errors
    /// [`Error::InvalidOption`].
    pub(crate) fn new(name: &str, seqs: impl RangeBounds<u64>, since: Timestamp, reason: &str) -> Result<Self> {
        let invalid = |detail: String| Error::InvalidOption { option: "hold", detail };
        let beyond = || invalid("it ends beyond the last seq that there can be".into());
        let first_seq = match seqs.start_bound() {
            Bound::Included(&seq) => seq,
            Bound::Excluded(&seq) => seq.checked_add(1).ok_or_else(beyond)?,
            Bound::Unbounded => 0,
        };
        let end_seq = match seqs.end_bound() {
            Bound::Included(&seq) => Some(seq.checked_add(1).ok_or_else(beyond)?),
            // No seq is as large: all that follow are meant.
            Bound::Excluded(&u64::MAX) | Bound::Unbounded => None,
            Bound::Excluded(&seq) => Some(seq),
        };
        let hold = Self { name: name.to_owned(), first_seq, end_seq, since, reason: reason.to_owned() };
        match hold.fault() {
            Some(fault) => Err(invalid(fault)),
            None => Ok(hold),
        }
    }

    /// What is not within the limits.
    pub(super) fn fault(&self) -> Option<String> {
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX {
            return Some(format!("its name has {} bytes: 1 to {NAME_BYTES_MAX} are possible", self.name.len()));
        }
        if self.reason.len() > REASON_BYTES_MAX {
            return Some(format!("its reason has {} bytes: {REASON_BYTES_MAX} at most", self.reason.len()));
        }
        self.end_seq.is_some_and(|end| end <= self.first_seq).then(|| "it holds no seq".to_owned())
    }

    /// Whether some of `seqs` are held.
    pub(crate) fn holds(&self, seqs: &Range<u64>) -> bool {
        self.first_seq < seqs.end && self.end_seq.is_none_or(|end| seqs.start < end)
    }
}

impl std::fmt::Display for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.first_seq, self.end_seq) {
            (0, None) => write!(f, "{}: all records", self.name)?,
            (first, None) => write!(f, "{}: records from {first} on", self.name)?,
            (first, Some(end)) => write!(f, "{}: records {first} to {}", self.name, end.saturating_sub(1))?,
        }
        match self.reason.is_empty() {
            true => Ok(()),
            false => write!(f, " ({})", self.reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(seqs: impl RangeBounds<u64>) -> Result<Hold> {
        Hold::new("case 7", seqs, Timestamp::from_micros(5), "a court asked")
    }

    #[test]
    fn every_form_of_a_range_holds_what_is_in_it() {
        assert!(hold(..).unwrap().holds(&(0..1)));
        assert!(hold(5..).unwrap().holds(&(0..6)) && !hold(5..).unwrap().holds(&(0..5)));
        assert!(hold(5..=7).unwrap().holds(&(7..9)) && !hold(5..7).unwrap().holds(&(7..9)));
        assert_eq!(hold(3..u64::MAX).unwrap().end_seq, None);
    }

    #[test]
    #[allow(clippy::reversed_empty_ranges, reason = "they are to be refused")]
    fn what_is_beyond_the_limits_is_refused() {
        assert!(hold(5..5).is_err() && hold(7..5).is_err() && hold(..=u64::MAX).is_err());
        assert!(Hold::new("", .., Timestamp::MIN, "").is_err());
        assert!(Hold::new(&"n".repeat(129), .., Timestamp::MIN, "").is_err());
        assert!(Hold::new("n", .., Timestamp::MIN, &"r".repeat(1_025)).is_err());
    }
}
