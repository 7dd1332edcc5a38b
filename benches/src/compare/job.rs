//! What a process is told to measure, and what it prints.

use crate::items::Source;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One measurement, done in a process of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Job {
    /// Name of the measure.
    pub measure: String,
    /// Name of the contender.
    pub contender: String,
    /// An empty place for what the measure writes.
    pub scratch: PathBuf,
    /// The store that is made, or read.
    pub store: PathBuf,
    /// The events as NDJSON.
    pub ndjson: PathBuf,
    /// The run's events.
    pub source: Source,
    /// How many there are.
    pub events: u64,
    /// Longest time of an append measure, in s.
    pub seconds_max: f64,
    /// How many events are read by seq.
    pub gets: u64,
}

/// What one measurement found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Sample {
    /// Name of the measure.
    pub measure: String,
    /// Name of the contender.
    pub contender: String,
    /// Which repetition, from 0.
    pub repetition: usize,
    /// The figure, in the unit of the measure.
    pub value: f64,
    /// Events that were appended or read.
    pub events: u64,
    /// The time it took.
    pub seconds: f64,
    /// Times of the single calls.
    pub latencies: Option<Latencies>,
    /// The most anonymous memory beyond that of the workload, in bytes.
    pub anonymous_bytes_max: u64,
    /// The most memory of all kinds, workload and mapped files included, in bytes.
    pub resident_bytes_max: u64,
    /// Bytes on the disk afterwards, for `disk_events`.
    pub disk_bytes: u64,
    /// The events that they hold.
    pub disk_events: u64,
    /// What else there is to say.
    pub notes: Vec<String>,
    /// The share of the processors that others used just before.
    pub busy: f64,
}

/// Times of calls, in µs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Latencies {
    /// Half were no longer.
    pub p50: f64,
    /// 99 of 100 were no longer.
    pub p99: f64,
    /// 999 of 1,000 were no longer.
    pub p999: f64,
    /// The longest.
    pub max: f64,
    /// How many were timed.
    pub count: u64,
}

/// Times in ns to a hundredth, up to a minute. Small, since each thread has one.
pub(super) type Times = Histogram<u32>;

/// An empty histogram.
pub(super) fn times() -> Times {
    // Both are valid: one below the other, and two digits.
    Histogram::new_with_bounds(1, 60_000_000_000, 2).expect("the bounds of a histogram")
}

impl Latencies {
    /// What `times` says.
    pub(super) fn of(times: &Times) -> Self {
        let micros = |nanos: u64| nanos as f64 / 1_000.0;
        Self {
            p50: micros(times.value_at_quantile(0.5)),
            p99: micros(times.value_at_quantile(0.99)),
            p999: micros(times.value_at_quantile(0.999)),
            max: micros(times.max()),
            count: times.len(),
        }
    }
}
