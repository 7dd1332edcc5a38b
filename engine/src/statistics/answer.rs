//! What statistics are answered with.

use crate::Timestamp;
use crate::error::Damage;
use crate::gap::Gap;
use crate::query::{QueryStats, Value};
use std::cmp::Ordering;
use std::fmt;

/// Statistics of the records that were asked for, and what is missing in them.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Statistics {
    /// The groups that have records, by time bucket and then by key.
    pub groups: Vec<Group>,
    /// How many records there are in all. Those in several groups are counted once.
    pub records: u64,
    /// Places that can't be read: their records are in no group.
    pub damage: Vec<Damage>,
    /// Records in the range of seqs that the log says are missing.
    pub gaps: Vec<Gap>,
    /// What it took.
    pub work: StatisticsWork,
}

/// One group.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Group {
    /// The first moment of the time bucket, if there are any.
    pub bucket: Option<Timestamp>,
    /// The value of each field that groups are made by.
    pub keys: Vec<GroupKey>,
    /// How many records are in the group.
    pub records: u64,
    /// Records a second: of the bucket's length, or of the range of times if it has both ends, or of the time from the earliest
    /// record of all groups to the latest. `None` if that is no time at all.
    pub per_second: Option<f64>,
    /// What was asked of each field.
    pub fields: Vec<FieldStatistics>,
}

/// The value of a field that the records of a group have in common.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupKey {
    /// A value of the field equals this one.
    Value(Value),
    /// A value of the field equals no other: an object, binary, not a number.
    Other,
    /// The field has no value: it is not there, or an empty array.
    Missing,
}

/// What is known of the values of one field in one group.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FieldStatistics {
    /// How many values there are, of whatever type, `null` included; each element of an array is one.
    pub values: u64,
    /// How many of these are numbers. All that follows but `distinct` is about them; it is `None` without any.
    pub numbers: u64,
    /// Their sum: an integer if all of them are, otherwise the double next to the exact sum.
    pub sum: Option<Value>,
    /// Whether no number had to be taken as the double next to it for the sum.
    pub is_sum_exact: bool,
    /// The sum divided by how many there are, as a double.
    pub avg: Option<f64>,
    /// The least.
    pub min: Option<Value>,
    /// The greatest.
    pub max: Option<Value>,
    /// Quantiles, if they were asked for.
    pub quantiles: Option<Quantiles>,
    /// How many different values there are, if that was asked for. What equals no other value is not among them.
    pub distinct: Option<u64>,
    /// Whether `distinct` is exact; it is for up to 10,000. Otherwise its standard error is 1 %.
    pub is_distinct_exact: bool,
}

/// Quantiles by nearest rank: the least number that so many of a hundred don't exceed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Quantiles {
    /// The median.
    pub p50: Value,
    /// 90 of a hundred.
    pub p90: Value,
    /// 95 of a hundred.
    pub p95: Value,
    /// 99 of a hundred.
    pub p99: Value,
    /// Whether they are exact; they are for up to 4,096 numbers. Otherwise each is within 1 part in 512 of the exact one.
    pub is_exact: bool,
}

/// What statistics took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct StatisticsWork {
    /// Segments in the range of seqs.
    pub segments_in_range: u64,
    /// Of those, answered by what was kept.
    pub segments_kept: u64,
    /// Of those, computed and kept for the next time.
    pub segments_stored: u64,
    /// Blocks of columns whose values were added up without making records of them.
    pub blocks_by_column: u64,
    /// Records that are not sealed, answered by what was kept of them in memory.
    pub records_remembered: u64,
    /// What was done for all that was not kept.
    #[serde(flatten)]
    pub query: QueryStats,
}

impl StatisticsWork {
    pub(super) fn merge(&mut self, other: &Self) {
        self.segments_in_range += other.segments_in_range;
        self.segments_kept += other.segments_kept;
        self.segments_stored += other.segments_stored;
        self.blocks_by_column += other.blocks_by_column;
        self.records_remembered += other.records_remembered;
        self.query.merge(&other.query);
    }
}

impl GroupKey {
    fn class(&self) -> u8 {
        match self {
            Self::Value(_) => 0,
            Self::Other => 1,
            Self::Missing => 2,
        }
    }

    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Value(a), Self::Value(b)) => a.order(b),
            (a, b) => a.class().cmp(&b.class()),
        }
    }

    pub(super) fn order_all(a: &[Self], b: &[Self]) -> Ordering {
        a.iter().zip(b).map(|(a, b)| a.order(b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }
}

impl fmt::Display for GroupKey {
    /// A value as it is spelled in a condition; the other two in parentheses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => value.fmt(f),
            Self::Other => f.write_str("(other)"),
            Self::Missing => f.write_str("(missing)"),
        }
    }
}
