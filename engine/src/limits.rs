//! What of a log may be limited: how fast records come, and what happens to those beyond a limit.

use crate::drops::{Drops, Limit};
use crate::error::{Error, Result};
use std::time::Duration;

/// At most one record in so long a time tells of what a limit has dropped, while records go on to be dropped.
const NOTES_PAUSE: Duration = Duration::from_secs(1);

/// What happens to an append beyond a limit. A batch is one append: all of it waits, is refused or is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnLimit {
    /// It waits until it is within the limit.
    #[default]
    Wait,
    /// It returns [`Error::RateLimited`] or [`Error::QueueFull`]. Nothing was appended, and the log doesn't speak of it.
    Refuse,
    /// It returns [`Error::Dropped`], and the log counts the records: one of its own records tells soon how many were dropped, when,
    /// and by which limit, and readers meet that as a [`crate::Gap`]. Appends with a key are refused instead, since whoever has a key
    /// asks again.
    Drop,
}

/// How fast records may come, as a token bucket: so many a second in the long run, and a burst of so many at once. A batch larger
/// than the burst is taken when the bucket is full, and those after it wait the longer.
///
/// ```
/// use annals::{OnLimit, Options, RateLimit};
/// let limit = RateLimit::records(1_000).burst(5_000).bytes(1 << 20).on_limit(OnLimit::Drop);
/// let options = Options::new().rate_limit(limit);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    records: u64,
    burst: Option<u64>,
    bytes: Option<u64>,
    burst_bytes: Option<u64>,
    pub(crate) on_limit: OnLimit,
}

impl RateLimit {
    /// So many records a second; at least 1. What is beyond that is refused, unless [`RateLimit::on_limit`] says otherwise.
    pub fn records(per_second: u64) -> Self {
        Self { records: per_second, burst: None, bytes: None, burst_bytes: None, on_limit: OnLimit::Refuse }
    }

    /// How many records may come at once, after a time without any. Default: those of a second; at least 1.
    #[must_use]
    pub fn burst(mut self, records: u64) -> Self {
        self.burst = Some(records);
        self
    }

    /// So many bytes a second as well, as [`crate::Batch::bytes`] counts them; at least 1. Default: any.
    #[must_use]
    pub fn bytes(mut self, per_second: u64) -> Self {
        self.bytes = Some(per_second);
        self
    }

    /// How many bytes may come at once, where bytes are limited. Default: those of a second; at least 1.
    #[must_use]
    pub fn burst_bytes(mut self, bytes: u64) -> Self {
        self.burst_bytes = Some(bytes);
        self
    }

    /// What happens to records that come faster. Default: [`OnLimit::Refuse`].
    #[must_use]
    pub fn on_limit(mut self, on_limit: OnLimit) -> Self {
        self.on_limit = on_limit;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        let all = [Some(self.records), self.burst, self.bytes, self.burst_bytes];
        match all.contains(&Some(0)) {
            true => {
                Err(Error::InvalidOption { option: "rate_limit", detail: "rates and bursts are 1 at least".into() })
            }
            false => Ok(()),
        }
    }
}

/// What a log with limits keeps. One without has none of it.
#[derive(Debug)]
pub(crate) struct Limits {
    records: Option<Bucket>,
    bytes: Option<Bucket>,
    /// When the buckets were looked at last.
    seen: Duration,
    /// What was dropped and is not told yet, by the limit.
    dropped: [Option<Drops>; Limit::ALL.len()],
    /// When something was told last.
    told: Option<Duration>,
    /// The log is being closed: nothing is dropped any more, since nobody would tell of it.
    pub(crate) is_closing: bool,
}

impl Limits {
    /// At the moment `now` the buckets are full.
    pub(crate) fn new(rate: Option<&RateLimit>, now: Duration) -> Self {
        let bucket = |rate: u64, burst: Option<u64>| Bucket::new(rate, burst.unwrap_or(rate));
        Self {
            records: rate.map(|rate| bucket(rate.records, rate.burst)),
            bytes: rate.and_then(|rate| rate.bytes.map(|bytes| bucket(bytes, rate.burst_bytes))),
            seen: now,
            dropped: [None; Limit::ALL.len()],
            told: None,
            is_closing: false,
        }
    }

    /// Takes an append of so many records and bytes out of the buckets; or says how long it has to wait, and takes nothing.
    pub(crate) fn take(&mut self, records: u64, bytes: u64, now: Duration) -> Result<(), Duration> {
        let passed = now.saturating_sub(self.seen);
        self.seen = self.seen.max(now);
        let mut wait = Duration::ZERO;
        for (bucket, amount) in [(&mut self.records, records), (&mut self.bytes, bytes)] {
            if let Some(bucket) = bucket {
                bucket.fill(passed);
                wait = wait.max(bucket.wait_for(amount));
            }
        }
        if !wait.is_zero() {
            return Err(wait);
        }
        self.each(records, bytes, |bucket, amount| bucket.debt += amount);
        Ok(())
    }

    /// Gives back what [`Limits::take`] took: the append didn't take place.
    pub(crate) fn give_back(&mut self, records: u64, bytes: u64) {
        self.each(records, bytes, |bucket, amount| bucket.debt = bucket.debt.saturating_sub(amount));
    }

    fn each(&mut self, records: u64, bytes: u64, change: impl Fn(&mut Bucket, u128)) {
        for (bucket, amount) in [(&mut self.records, records), (&mut self.bytes, bytes)] {
            bucket.iter_mut().for_each(|bucket| change(bucket, u128::from(amount) * UNIT));
        }
    }

    /// Adds what was dropped.
    pub(crate) fn count(&mut self, drops: Drops) {
        let of_limit = &mut self.dropped[drops.limit as usize];
        *of_limit = Some(of_limit.map_or(drops, |earlier| earlier.plus(drops)));
    }

    /// Whether something was dropped and is not told yet.
    pub(crate) fn has_drops(&self) -> bool {
        self.dropped.iter().any(Option::is_some)
    }

    /// Begins to tell of drops at the moment `now`. `false` if that is too soon after the last time, unless `all` are to be told.
    pub(crate) fn begin_telling(&mut self, now: Duration, all: bool) -> bool {
        let is_due = all || self.told.is_none_or(|told| now.saturating_sub(told) >= NOTES_PAUSE);
        if is_due {
            self.told = Some(now);
        }
        is_due
    }

    /// Whether `limit` has dropped something that is not told yet.
    pub(crate) fn has_drops_of(&self, limit: Limit) -> bool {
        self.dropped[limit as usize].is_some()
    }

    /// Takes what `limit` has dropped, to be told now.
    pub(crate) fn take_drops(&mut self, limit: Limit) -> Option<Drops> {
        self.dropped[limit as usize].take()
    }
}

/// In a bucket, one record or byte is so much: then a rate is what flows off in a nanosecond, and nothing is ever rounded.
const UNIT: u128 = 1_000_000_000;

/// A token bucket, upside down: what is in it is owed, and flows off.
#[derive(Debug)]
struct Bucket {
    per_nanosecond: u128,
    burst: u128,
    debt: u128,
}

impl Bucket {
    fn new(per_second: u64, burst: u64) -> Self {
        Self { per_nanosecond: per_second.into(), burst: u128::from(burst) * UNIT, debt: 0 }
    }

    fn fill(&mut self, passed: Duration) {
        self.debt = self.debt.saturating_sub(passed.as_nanos().saturating_mul(self.per_nanosecond));
    }

    /// How long it takes until there is room for `amount`; or, where that is more than ever fits, until nothing is owed.
    fn wait_for(&self, amount: u64) -> Duration {
        let allowed = self.burst.saturating_sub(u128::from(amount) * UNIT);
        let beyond = self.debt.saturating_sub(allowed);
        Duration::from_nanos(u64::try_from(beyond.div_ceil(self.per_nanosecond)).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits(rate: RateLimit) -> Limits {
        Limits::new(Some(&rate), Duration::ZERO)
    }

    #[test]
    fn a_burst_is_taken_at_once_and_the_rest_at_its_rate() {
        let mut limits = limits(RateLimit::records(10).burst(3));
        for _ in 0..3 {
            assert_eq!(limits.take(1, 0, Duration::ZERO), Ok(()));
        }
        assert_eq!(limits.take(1, 0, Duration::ZERO), Err(Duration::from_millis(100)));
        assert_eq!(limits.take(1, 0, Duration::from_millis(99)), Err(Duration::from_millis(1)));
        assert_eq!(limits.take(1, 0, Duration::from_millis(100)), Ok(()));
        // However long nothing comes, no more than the burst gathers.
        assert_eq!(limits.take(3, 0, 1_000 * SECOND), Ok(()));
        assert!(limits.take(1, 0, 1_000 * SECOND).is_err());
    }

    #[test]
    fn a_batch_beyond_the_burst_is_taken_when_the_bucket_is_full_and_paid_for_afterwards() {
        let mut limits = limits(RateLimit::records(10).burst(3));
        assert_eq!(limits.take(20, 0, Duration::ZERO), Ok(()));
        assert_eq!(limits.take(20, 0, SECOND), Err(SECOND));
        assert_eq!(limits.take(1, 0, SECOND), Err(Duration::from_millis(800)));
        assert_eq!(limits.take(20, 0, 2 * SECOND), Ok(()));
    }

    #[test]
    fn what_did_not_take_place_costs_nothing_and_bytes_are_limited_with_records() {
        let mut limits = limits(RateLimit::records(10).bytes(100));
        assert_eq!(limits.take(1, 100, Duration::ZERO), Ok(()));
        assert_eq!(limits.take(1, 50, Duration::ZERO), Err(SECOND / 2));
        limits.give_back(1, 100);
        assert_eq!(limits.take(10, 100, Duration::ZERO), Ok(()));
        assert!(limits.take(1, 0, Duration::ZERO).is_err());
    }

    #[test]
    fn drops_are_told_at_once_and_then_once_a_second() {
        let mut limits = Limits::new(None, Duration::ZERO);
        let at = Timestamp::from_micros;
        let drops = |limit, at| Drops { limit, records: 2, bytes: 9, since: at, until: at };
        limits.count(drops(Limit::Queue, at(5)));
        limits.count(drops(Limit::Rate, at(6)));
        limits.count(drops(Limit::Queue, at(3)));
        let queue = Drops { limit: Limit::Queue, records: 4, bytes: 18, since: at(3), until: at(5) };
        let take = |limits: &mut Limits, now, all| match limits.begin_telling(now, all) {
            true => Limit::ALL.map(|limit| limits.take_drops(limit)),
            false => [None; 2],
        };
        assert_eq!(take(&mut limits, SECOND, false), [Some(drops(Limit::Rate, at(6))), Some(queue)]);
        assert!(!limits.has_drops());
        limits.count(drops(Limit::Rate, at(7)));
        assert_eq!(take(&mut limits, SECOND + SECOND / 2, false), [None; 2]);
        assert!(limits.has_drops() && limits.has_drops_of(Limit::Rate) && !limits.has_drops_of(Limit::Queue));
        assert_eq!(take(&mut limits, 2 * SECOND, false), [Some(drops(Limit::Rate, at(7))), None]);
        limits.count(drops(Limit::Rate, at(8)));
        assert_eq!(take(&mut limits, 2 * SECOND, true), [Some(drops(Limit::Rate, at(8))), None]);
    }

    proptest! {
        /// In any span of time, no more is taken than the burst and what the rate gives in that time.
        #[test]
        fn no_span_of_time_takes_more_than_burst_and_rate(
            rate in 1u64..2_000, burst in 1u64..50, steps in prop::collection::vec((0u64..400_000_000, 1u64..5), 1..200),
        ) {
            let mut limits = limits(RateLimit::records(rate).burst(burst.max(5)));
            let (mut now, mut taken) = (Duration::ZERO, Vec::new());
            for (pause, records) in steps {
                now += Duration::from_nanos(pause);
                match limits.take(records, 0, now) {
                    Ok(()) => taken.push((now, records)),
                    // And whoever waits as long as he is told is taken.
                    Err(after) => {
                        let mut other = Limits { seen: limits.seen, ..self::limits(RateLimit::records(rate).burst(burst.max(5))) };
                        other.records.as_mut().unwrap().debt = limits.records.as_ref().unwrap().debt;
                        prop_assert_eq!(other.take(records, 0, now + after), Ok(()));
                    }
                }
            }
            for from in 0..taken.len() {
                let mut sum = 0u128;
                for (at, records) in &taken[from..] {
                    sum += u128::from(*records);
                    let allowed = u128::from(burst.max(5)) * UNIT + (*at - taken[from].0).as_nanos() * u128::from(rate);
                    prop_assert!(sum * UNIT <= allowed, "{sum} records");
                }
            }
        }
    }
}
