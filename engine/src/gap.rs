//! Gaps: what the log itself says is missing. Runs of seqs, as a repair writes them; and records that a limit dropped, of which one
//! seq tells. docs/format.md, "Gaps" and "Dropped records".

use crate::drops::Drops;
use crate::record::{RecordKind, StoredRecord};
use crate::{Incarnation, Timestamp};
use serde::{Deserialize, Serialize};

/// Longest cause that is kept, in bytes.
const CAUSE_BYTES_MAX: usize = 1 << 10;

/// Most files in quarantine that a gap names.
const KEPT_MAX: usize = 32;

/// Longest name of one, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// Largest payload of a gap's block, in bytes.
pub(crate) const GAP_BYTES_MAX: usize = 64 + CAUSE_BYTES_MAX + KEPT_MAX * (NAME_BYTES_MAX + 3);

/// Most seqs of a block that have a leaf each: as many as a block has records.
const NARROW_MAX: u64 = 1 << 16;

/// Records that are missing, as the log itself says: a repair could not bring them back, or a limit dropped them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The first seq that is missing; of dropped records, which never had any, the one that tells of them.
    pub first_seq: u64,
    /// The first seq after those.
    pub end_seq: u64,
    /// What was found in their place, or which limit dropped them.
    pub cause: String,
    /// The files in `quarantine/` that keep the bytes that were there.
    pub kept: Vec<String>,
    /// When the repair took place, or the last of the records was dropped.
    pub repaired: Timestamp,
    /// What was dropped, if that is what is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Drops>,
}

/// What stands in a gap's block beside its header, in this order.
#[derive(Serialize, Deserialize)]
struct Payload {
    cause: String,
    kept: Vec<String>,
    at: i64,
}

impl Gap {
    /// A gap within the limits: what is too long is cut.
    pub(crate) fn new(seqs: std::ops::Range<u64>, mut cause: String, kept: &[String], repaired: Timestamp) -> Self {
        while cause.len() > CAUSE_BYTES_MAX {
            cause.pop();
        }
        let kept = kept.iter().filter(|name| name.len() <= NAME_BYTES_MAX).take(KEPT_MAX).cloned().collect();
        Self { first_seq: seqs.start, end_seq: seqs.end, cause, kept, repaired, dropped: None }
    }

    /// What the record `seq` says was dropped.
    pub(crate) fn of_drops(seq: u64, drops: Drops) -> Self {
        let cause = format!("dropped by {}", drops.limit.name());
        let dropped = Some(drops);
        Self { first_seq: seq, end_seq: seq + 1, cause, kept: Vec::new(), repaired: drops.until, dropped }
    }

    /// How many records are missing.
    pub fn count(&self) -> u64 {
        self.dropped.map_or(self.end_seq - self.first_seq, |dropped| dropped.records)
    }

    /// From when to when the missing records belong, where that is known.
    pub(crate) fn times(&self) -> Option<(Timestamp, Timestamp)> {
        self.dropped.map(|dropped| (dropped.since, dropped.until))
    }

    /// The payload of the gap's block.
    pub(crate) fn encode(&self) -> Vec<u8> {
        if let Some(dropped) = &self.dropped {
            return dropped.encode();
        }
        let payload = Payload { cause: self.cause.clone(), kept: self.kept.clone(), at: self.repaired.as_micros() };
        rmp_serde::to_vec_named(&payload).expect("strings and a number are encoded")
    }

    /// The gap over `seqs` that the payload `bytes` tells of, or what is wrong with them.
    pub(crate) fn decode(seqs: std::ops::Range<u64>, bytes: &[u8]) -> Result<Self, &'static str> {
        let bad = "the gap doesn't tell what it has to";
        if bytes.len() > GAP_BYTES_MAX {
            return Err("the gap tells more than it may");
        }
        let Payload { cause, kept, at } = rmp_serde::from_slice(bytes).map_err(|_| bad)?;
        let gap = Self::new(seqs, cause, &kept, Timestamp::from_micros(at));
        // One way to say it, so that equal gaps have equal bytes and none says more than is read here.
        match gap.encode() == bytes {
            true => Ok(gap),
            false => Err(bad),
        }
    }

    /// Whether all `count` seqs of a block have one leaf, so that nobody has to hash as many as a few bytes tell of.
    pub(crate) fn is_wide(count: u64) -> bool {
        count > NARROW_MAX
    }

    /// What stands in the hash tree for each seq of a block that is wide.
    pub(crate) fn wide_leaf(incarnation: Incarnation) -> StoredRecord<'static> {
        Self::leaf(0, incarnation)
    }

    /// What stands for the seq `seq` in the hash tree, in a block that isn't wide.
    pub(crate) fn leaf(seq: u64, incarnation: Incarnation) -> StoredRecord<'static> {
        let timestamp = Timestamp::from_micros(0);
        StoredRecord { seq, incarnation, kind: RecordKind::Gap, flags: 0, timestamp, key: b"", body: b"" }
    }
}

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(dropped) = &self.dropped {
            return write!(f, "{dropped}, as record {} tells", self.first_seq);
        }
        match self.count() {
            1 => write!(f, "record {} is missing", self.first_seq)?,
            _ => write!(f, "records {} to {} are missing", self.first_seq, self.end_seq - 1)?,
        }
        write!(f, ", as a repair found: {}", self.cause)?;
        match self.kept.is_empty() {
            true => Ok(()),
            false => write!(f, " (what was there is kept in {})", self.kept.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap() -> Gap {
        let kept = ["quarantine/a.seg.from-0".to_owned()];
        Gap::new(7..9, "a block that doesn't check".to_owned(), &kept, Timestamp::from_micros(-5))
    }

    #[test]
    fn a_gap_comes_back_as_it_was_written() {
        assert_eq!(Gap::decode(7..9, &gap().encode()), Ok(gap()));
    }

    #[test]
    fn what_is_too_long_is_cut_and_what_is_left_fits() {
        let kept: Vec<_> = (0..100).map(|n| format!("{n:0255}")).collect();
        let gap = Gap::new(0..1, "é".repeat(3_000), &kept, Timestamp::MAX);
        assert_eq!((gap.cause.len(), gap.kept.len()), (CAUSE_BYTES_MAX, KEPT_MAX));
        assert!(gap.encode().len() <= GAP_BYTES_MAX);
        assert_eq!(Gap::decode(0..1, &gap.encode()), Ok(gap));
    }

    #[test]
    fn bytes_that_say_less_or_more_are_refused() {
        let good = gap().encode();
        for len in 0..good.len() {
            assert!(Gap::decode(7..9, &good[..len]).is_err(), "{len} bytes");
        }
        assert!(Gap::decode(7..9, &[good.as_slice(), &[0xc0]].concat()).is_err());
        assert!(Gap::decode(7..9, &vec![0x80; GAP_BYTES_MAX + 1]).is_err());
    }
}
