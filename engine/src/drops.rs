//! What limits have dropped, as the log itself tells it: in an entry of a raw segment, in a block of a sealed one. For those
//! who read it is a [`crate::Gap`]. docs/format.md, "Dropped records".

use crate::record::{RecordKind, StoredRecord};
use crate::{Incarnation, Timestamp};
use serde::{Deserialize, Serialize};

/// Most bytes of what is told of dropped records.
pub(crate) const DROPS_BYTES_MAX: usize = 128;

/// A limit of a log that was opened with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Limit {
    /// How fast records may come: [`crate::Options::rate_limit`].
    Rate,
    /// How many bytes may wait to be written: [`crate::Options::queue_bytes`].
    Queue,
}

impl Limit {
    pub(crate) const ALL: [Self; 2] = [Self::Rate, Self::Queue];

    /// The limit in a sentence.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rate => "the rate limit",
            Self::Queue => "the limit of the queue",
        }
    }
}

/// Records that one limit has dropped: they never had a seq, and nothing else is known of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drops {
    /// Which limit they were beyond.
    pub limit: Limit,
    /// How many there were.
    pub records: u64,
    /// Their bytes, as [`crate::Batch::bytes`] counts them.
    pub bytes: u64,
    /// When the first of them was dropped, by the clock.
    pub since: Timestamp,
    /// When the last of them was.
    pub until: Timestamp,
}

impl Drops {
    /// Those that take most bytes to tell of.
    pub(crate) fn largest(limit: Limit) -> Self {
        Self { limit, records: u64::MAX, bytes: u64::MAX, since: Timestamp::MIN, until: Timestamp::MAX }
    }

    /// These and `later` ones of the same limit.
    pub(crate) fn plus(self, later: Self) -> Self {
        Self {
            limit: self.limit,
            records: self.records.saturating_add(later.records),
            bytes: self.bytes.saturating_add(later.bytes),
            since: self.since.min(later.since),
            until: self.until.max(later.until),
        }
    }

    /// The body of the entry that tells of them, and the payload of the block.
    pub(crate) fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).expect("numbers and a word are encoded")
    }

    /// What `bytes` tell, or what is wrong with them.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let bad = "what is told of dropped records is not what it has to be";
        if bytes.len() > DROPS_BYTES_MAX {
            return Err(bad);
        }
        let drops: Self = rmp_serde::from_slice(bytes).map_err(|_| bad)?;
        // One way to say it, as with gaps.
        match drops.records > 0 && drops.since <= drops.until && drops.encode() == bytes {
            true => Ok(drops),
            false => Err(bad),
        }
    }

    /// What the record `seq` is that tells of them: `body` is [`Drops::encode`]'s. It stands in an entry, and in the hash tree.
    pub(crate) fn record(self, seq: u64, incarnation: Incarnation, body: &[u8]) -> StoredRecord<'_> {
        StoredRecord { seq, incarnation, kind: RecordKind::Dropped, flags: 0, timestamp: self.until, key: b"", body }
    }

    /// What `record`, of kind [`RecordKind::Dropped`], tells; or what is wrong with it.
    pub(crate) fn of_record(record: &StoredRecord<'_>) -> Result<Self, &'static str> {
        let drops = Self::decode(record.body)?;
        match record.key.is_empty() && record.timestamp == drops.until {
            true => Ok(drops),
            false => Err("an entry that tells of dropped records contradicts itself"),
        }
    }
}

impl std::fmt::Display for Drops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.records {
            1 => write!(f, "1 record was dropped")?,
            records => write!(f, "{records} records were dropped")?,
        }
        let (since, until) = (self.since.as_micros(), self.until.as_micros());
        write!(f, " ({} bytes), {since} to {until} µs after 1970, since they were beyond ", self.bytes)?;
        f.write_str(self.limit.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_drops_come_back(records in 1..=u64::MAX, bytes: u64, times: (i64, i64), is_rate: bool) {
            let limit = if is_rate { Limit::Rate } else { Limit::Queue };
            let (since, until) = (times.0.min(times.1), times.0.max(times.1));
            let (since, until) = (Timestamp::from_micros(since), Timestamp::from_micros(until));
            let drops = Drops { limit, records, bytes, since, until };
            let encoded = drops.encode();
            prop_assert!(encoded.len() <= Drops::largest(limit).encode().len().min(DROPS_BYTES_MAX));
            prop_assert_eq!(Drops::decode(&encoded), Ok(drops));
            prop_assert_eq!(Drops::of_record(&drops.record(3, Incarnation([1; 16]), &encoded)), Ok(drops));
        }
    }

    fn drops() -> Drops {
        let (since, until) = (Timestamp::from_micros(1), Timestamp::from_micros(5));
        Drops { limit: Limit::Queue, records: 7, bytes: 300, since, until }
    }

    #[test]
    fn bytes_that_say_less_or_more_are_refused() {
        let good = drops().encode();
        for len in 0..good.len() {
            assert!(Drops::decode(&good[..len]).is_err(), "{len} bytes");
        }
        assert!(Drops::decode(&[good.as_slice(), &[0xc0]].concat()).is_err());
        assert!(Drops::decode(&[0x80; DROPS_BYTES_MAX + 1]).is_err());
        assert!(Drops::decode(&Drops { records: 0, ..drops() }.encode()).is_err());
        assert!(Drops::decode(&Drops { since: Timestamp::from_micros(6), ..drops() }.encode()).is_err());
    }

    #[test]
    fn a_record_of_another_time_or_with_a_key_tells_of_nothing() {
        let body = drops().encode();
        let record = drops().record(0, Incarnation([1; 16]), &body);
        assert!(Drops::of_record(&StoredRecord { timestamp: Timestamp::from_micros(4), ..record }).is_err());
        assert!(Drops::of_record(&StoredRecord { key: b"k", ..record }).is_err());
    }
}
