//! Retention: which segments at the beginning of a log are to go, and what is said of it.
//!
//! [`plan`] decides and changes nothing; `log/retain.rs` carries it out. Only whole sealed segments go, first to last, so
//! what is left has no holes; a hold, damage, or a segment that isn't due ends it. What a limit grants is never cut into: of the
//! newest bytes and records, as many as the limit says stay at least (docs/decisions/0013).

mod plan;

use crate::catalog::{Hold, Removal};
use crate::error::{Damage, Error, Result};
pub(crate) use plan::plan;
use std::fmt::Write;
use std::time::Duration;

/// Longest reason that a caller can give, in bytes: the limits are told beside it.
const REASON_BYTES_MAX: usize = 512;

/// What is to be removed from the beginning of a log. A segment is due if any of the limits says so.
///
/// ```
/// use annals::RetentionPolicy;
/// use std::time::Duration;
/// let policy = RetentionPolicy::new().older_than(Duration::from_secs(90 * 86_400)).max_bytes(10 << 30);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetentionPolicy {
    older_than: Option<Duration>,
    max_bytes: Option<u64>,
    max_records: Option<u64>,
    reason: String,
    dry_run: bool,
}

impl RetentionPolicy {
    /// No limit: [`crate::Log::retain`] refuses it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Segments are due of which the newest record is older than `age`, by the records' own times and the clock. A record counts
    /// as no younger than the sealing of its segment, so that a time in the future keeps nothing for longer than that. A segment
    /// that only tells of dropped records is as old as the last of these. Default: any age may stay.
    #[must_use]
    pub fn older_than(mut self, age: Duration) -> Self {
        self.older_than = Some(age);
        self
    }

    /// Segments are due as long as those behind them, sealed or not, have so many bytes with their indexes all the same. So the
    /// newest `bytes` of the log stay, and what is left exceeds them by less than one sealed segment. Default: any number may
    /// stay.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Segments are due as long as there are so many records behind them. So the newest `records` of the log stay, and with
    /// them those that share a segment with the oldest of them. Seqs in gaps are no records, and those of a damaged segment are
    /// not counted either. Default: any number may stay.
    #[must_use]
    pub fn max_records(mut self, records: u64) -> Self {
        self.max_records = Some(records);
        self
    }

    /// Why, for the record of it that the log keeps, beside the limits themselves: at most 512 bytes. Default: empty.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Whether to say only what would be removed. Default: no.
    #[must_use]
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    pub(crate) fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    pub(crate) fn check(&self) -> Result<()> {
        let invalid = |detail: &str| Err(Error::InvalidOption { option: "retention", detail: detail.into() });
        if self.older_than.is_none() && self.max_bytes.is_none() && self.max_records.is_none() {
            return invalid("an age, a number of bytes or a number of records has to be given");
        }
        if self.reason.len() > REASON_BYTES_MAX {
            return invalid("the reason has at most 512 bytes");
        }
        Ok(())
    }

    /// The limits and the reason, as the log keeps them.
    fn text(&self) -> String {
        let mut text = String::new();
        let mut add = |part: std::fmt::Arguments<'_>| {
            // Writing to a String can't fail.
            let _ = write!(text, "{}{part}", if text.is_empty() { "" } else { ", " });
        };
        if let Some(age) = self.older_than {
            add(format_args!("older than {} s", age.as_secs_f64()));
        }
        if let Some(bytes) = self.max_bytes {
            add(format_args!("beyond the newest {bytes} bytes"));
        }
        if let Some(records) = self.max_records {
            add(format_args!("beyond the newest {records} records"));
        }
        if !self.reason.is_empty() {
            add(format_args!("{}", self.reason));
        }
        text
    }
}

/// What retention removed, or would remove. Serializes for machines; `annals retain` prints it for people.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RetentionReport {
    /// Whether nothing was changed since only a plan was asked for.
    pub dry_run: bool,
    /// What was removed, or would be; `None` if nothing is due, or what is due has to stay.
    pub removal: Option<Removal>,
    /// The names of the segments that were removed, or would be, in order.
    pub segments: Vec<String>,
    /// Why the next segment stays though a limit says that it has to go, if that is so.
    pub stopped: Option<Stop>,
    /// The first seq that is left, or would be.
    pub first_seq: u64,
}

/// Why a segment stays that retention would remove.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stop {
    /// Some of its records are held.
    Hold(Hold),
    /// It, or what is before it, is damaged: nothing goes that nobody can judge. A repair settles it.
    Damage(Damage),
    /// It isn't sealed yet.
    Unsealed,
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Hold(hold) => write!(f, "the hold {hold}"),
            Self::Damage(damage) => write!(f, "{damage}; repair the log first"),
            Self::Unsealed => f.write_str("the next records are not sealed yet"),
        }
    }
}
