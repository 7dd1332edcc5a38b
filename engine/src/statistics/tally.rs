//! What is added up about all groups.

use super::answer::{Group, GroupKey, Statistics};
use super::codec::{put_bytes, take_bytes};
use super::field::{FieldTally, Measures};
use super::question::StatisticsQuery;
use crate::Timestamp;
use crate::error::{Error, Result};
use crate::fields::{Fields, put_signed_varint, put_varint};
use crate::query::Value;
use std::collections::HashMap;

/// In the place of a term: the field leads to no value.
pub(super) const TERM_MISSING: &[u8] = &[0];
/// In the place of a term: a value that equals no other.
pub(super) const TERM_OTHER: &[u8] = &[8];

/// Bytes of memory of a group besides those of its key and fields, about.
const GROUP_BYTES: usize = 96;

/// Memory is looked at when records of so many bytes were added.
const UNCHECKED_BYTES: usize = 16 << 20;

/// What of a question decides how records are added up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) fields: usize,
    pub(super) measures: Measures,
    pub(super) groups_max: usize,
    pub(super) bytes_max: usize,
}

/// Groups, and what is known of each.
#[derive(Debug)]
pub(super) struct Tally {
    layout: Layout,
    /// Where each group is, by the start of the time bucket, if there are any, and the terms of the fields.
    places: HashMap<Box<[u8]>, usize>,
    groups: Vec<GroupTally>,
    /// Bytes of memory of the groups when they began.
    bytes_begun: usize,
    /// Bytes of the records that were added since the last [`Tally::check`].
    unchecked: usize,
    pub(super) records: u64,
    times: Option<(i64, i64)>,
}

/// What is known of one group.
#[derive(Debug)]
pub(super) struct GroupTally {
    pub(super) records: u64,
    pub(super) fields: Box<[FieldTally]>,
}

impl Tally {
    pub(super) fn new(layout: Layout) -> Self {
        let (places, groups) = (HashMap::new(), Vec::new());
        Self { layout, places, groups, bytes_begun: 0, unchecked: 0, records: 0, times: None }
    }

    /// Whether no record was counted.
    fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Counts a record, in whatever groups it is.
    pub(super) fn record(&mut self, time: i64) {
        self.record_all(1, (time, time));
    }

    /// Counts records, at least one, of which these are the earliest and the latest time.
    pub(super) fn record_all(&mut self, records: u64, (earliest, latest): (i64, i64)) {
        self.records += records;
        let (min, max) = self.times.unwrap_or((earliest, latest));
        self.times = Some((min.min(earliest), max.max(latest)));
    }

    /// The number of the group with this key.
    ///
    /// # Errors
    /// [`Error::StatisticsTooLarge`] if it would be one too many.
    pub(super) fn place(&mut self, key: &[u8]) -> Result<usize> {
        match self.places.get(key) {
            Some(at) => Ok(*at),
            None => self.begin(key),
        }
    }

    /// How many groups have numbers.
    pub(super) fn places(&self) -> usize {
        self.groups.len()
    }

    /// Counts a record in each of the groups with these numbers.
    pub(super) fn count(&mut self, places: &[usize]) {
        places.iter().for_each(|place| self.groups[*place].records += 1);
    }

    /// The group with this number.
    pub(super) fn at(&mut self, place: usize) -> &mut GroupTally {
        &mut self.groups[place]
    }

    fn begin(&mut self, key: &[u8]) -> Result<usize> {
        if self.groups.len() >= self.layout.groups_max {
            return Err(self.layout.too_many_groups());
        }
        // A key may be as large as a record.
        self.bytes_begun += key.len() + GROUP_BYTES + self.layout.fields * size_of::<FieldTally>();
        if self.bytes_begun > self.layout.bytes_max {
            return Err(self.too_much_memory());
        }
        let at = self.groups.len();
        self.places.insert(key.into(), at);
        self.groups.push(GroupTally::new(self.layout));
        Ok(at)
    }

    /// Adds what another has, of the same question.
    ///
    /// # Errors
    /// As [`Tally::place`].
    pub(super) fn merge(&mut self, other: Self) -> Result<()> {
        self.records = self.records.saturating_add(other.records);
        self.times = match (self.times, other.times) {
            (Some((min, max)), Some((other_min, other_max))) => Some((min.min(other_min), max.max(other_max))),
            (own, other) => own.or(other),
        };
        let mut groups: Vec<_> = other.groups.into_iter().map(Some).collect();
        for (key, at) in other.places {
            let Some(group) = groups[at].take() else { continue };
            let place = self.place(&key)?;
            let own = self.at(place);
            own.records = own.records.saturating_add(group.records);
            own.fields.iter_mut().zip(group.fields).for_each(|(own, field)| own.merge(field));
        }
        self.check()
    }

    /// Adds `other` to what is in `sum`, if anything is.
    ///
    /// # Errors
    /// As [`Tally::check`].
    pub(super) fn merge_into(sum: &mut Option<Self>, other: Self) -> Result<()> {
        match sum {
            Some(sum) if !sum.is_empty() => sum.merge(other),
            sum => {
                other.check()?;
                *sum = Some(other);
                Ok(())
            }
        }
    }

    /// Bytes of memory, about.
    pub(super) fn bytes(&self) -> usize {
        let keys: usize = self.places.keys().map(|key| key.len() + GROUP_BYTES).sum();
        keys + self.groups.iter().map(GroupTally::bytes).sum::<usize>()
    }

    /// Whether there are no more groups than there may be, with no more memory.
    ///
    /// # Errors
    /// [`Error::StatisticsTooLarge`] if there is more.
    pub(super) fn check(&self) -> Result<()> {
        if self.groups.len() > self.layout.groups_max {
            return Err(self.layout.too_many_groups());
        }
        if self.bytes() <= self.layout.bytes_max { Ok(()) } else { Err(self.too_much_memory()) }
    }

    /// Checks the memory now and then: `bytes` is how large the record is that was added.
    ///
    /// # Errors
    /// As [`Tally::check`].
    pub(super) fn check_after(&mut self, bytes: usize) -> Result<()> {
        self.unchecked += bytes;
        if self.unchecked < UNCHECKED_BYTES {
            return Ok(());
        }
        self.unchecked = 0;
        self.check()
    }

    fn too_much_memory(&self) -> Error {
        let what = format!("more than {} MiB in {} groups", self.layout.bytes_max >> 20, self.groups.len());
        Error::StatisticsTooLarge { what, option: "memory" }
    }

    /// All groups in their order, with what was asked about each.
    pub(super) fn answer(self, query: &StatisticsQuery) -> Statistics {
        let seconds = query.seconds(self.times);
        let by = query.by.len();
        let mut groups: Vec<Group> = self
            .places
            .iter()
            .filter_map(|(key, at)| {
                let tally = &self.groups[*at];
                let (bucket, keys) = decode_key(key, query.every.is_some(), by)?;
                let fields = tally.fields.iter().map(FieldTally::answer).collect();
                let per_second = seconds.map(|seconds| tally.records as f64 / seconds);
                Some(Group { bucket, keys, records: tally.records, per_second, fields })
            })
            .collect();
        groups.sort_by(|a, b| a.bucket.cmp(&b.bucket).then_with(|| GroupKey::order_all(&a.keys, &b.keys)));
        Statistics { groups, records: self.records, ..Statistics::default() }
    }

    /// Its bytes, by groups in the order of their keys' bytes. docs/format.md, "Statistics file".
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.records);
        let (min, max) = self.times.unwrap_or((0, 0));
        put_signed_varint(&mut out, min);
        put_signed_varint(&mut out, max);
        put_varint(&mut out, self.groups.len() as u64);
        let mut places: Vec<_> = self.places.iter().collect();
        places.sort_unstable();
        for (key, at) in places {
            let group = &self.groups[*at];
            put_bytes(key, &mut out);
            put_varint(&mut out, group.records);
            group.fields.iter().for_each(|field| field.encode(&mut out));
        }
        out
    }

    /// The tally in `bytes`; `None` if there is none of this layout.
    pub(super) fn decode(bytes: &[u8], layout: Layout, has_buckets: bool, by: usize) -> Option<Self> {
        let mut fields = Fields(bytes);
        let mut tally = Self::new(layout);
        tally.records = fields.varint()?;
        let times = (fields.signed_varint()?, fields.signed_varint()?);
        tally.times = (tally.records > 0).then_some(times);
        let (count, mut bytes) = (fields.varint()?, 0);
        for _ in 0..count {
            let key = take_bytes(&mut fields)?;
            decode_key(key, has_buckets, by)?;
            let records = fields.varint()?;
            let own = |_| {
                let field = FieldTally::decode(&mut fields, layout.measures)?;
                // Who lies about what is kept gets no more memory than who asks.
                bytes += size_of::<FieldTally>() + field.bytes();
                (bytes <= layout.bytes_max).then_some(field)
            };
            let own = (0..layout.fields).map(own).collect::<Option<_>>()?;
            if tally.places.insert(key.into(), tally.groups.len()).is_some() {
                return None;
            }
            tally.groups.push(GroupTally { records, fields: own });
        }
        fields.is_empty().then_some(tally)
    }
}

impl Layout {
    fn too_many_groups(self) -> Error {
        Error::StatisticsTooLarge { what: format!("more than {} groups", self.groups_max), option: "groups" }
    }
}

impl GroupTally {
    fn bytes(&self) -> usize {
        self.fields.iter().map(|field| size_of::<FieldTally>() + field.bytes()).sum()
    }

    fn new(layout: Layout) -> Self {
        Self { records: 0, fields: (0..layout.fields).map(|_| FieldTally::new(layout.measures)).collect() }
    }
}

/// Puts the start of a time bucket into a key.
pub(super) fn put_bucket(start: i64, key: &mut Vec<u8>) {
    key.extend_from_slice(&start.to_le_bytes());
}

/// Puts the term of a field's value into a key.
pub(super) fn put_term(term: &[u8], key: &mut Vec<u8>) {
    put_bytes(term, key);
}

fn decode_key(key: &[u8], has_bucket: bool, by: usize) -> Option<(Option<Timestamp>, Vec<GroupKey>)> {
    let mut fields = Fields(key);
    let bucket = if has_bucket { Some(Timestamp::from_micros(fields.i64()?)) } else { None };
    let key = |fields: &mut Fields<'_>| match take_bytes(fields)? {
        TERM_MISSING => Some(GroupKey::Missing),
        TERM_OTHER => Some(GroupKey::Other),
        term => Value::of_term(term).map(GroupKey::Value),
    };
    let keys = (0..by).map(|_| key(&mut fields)).collect::<Option<_>>()?;
    fields.is_empty().then_some((bucket, keys))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_take_no_more_memory_than_there_may_be() {
        let measures = Measures { quantiles: true, distinct: true };
        let mut tally = Tally::new(Layout { fields: 1, measures, groups_max: 1_000, bytes_max: 8 << 20 });
        let begun = (0..100u8).take_while(|n| tally.place(&vec![*n; 1 << 20]).is_ok()).count();
        assert_eq!(begun, 7, "the eighth has a little more beside its key");
        assert!(tally.places.keys().all(|key| tally.places[key] < 7));
    }
}
