//! The meters, by the facade `metrics`.

use super::Wait;
use crate::catalog::Removal;
use crate::drops::Limit;
use crate::error::{Error, Result};
use crate::log::SealReport;
use crate::query::QueryStats;
use crate::recovery::RecoveryReport;
use crate::sync::Instant;
use metrics::{Counter, Histogram, Unit, counter, describe_counter, describe_histogram, histogram};

/// When something began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment(Instant);

impl Moment {
    fn seconds(self) -> f64 {
        Instant::now().saturating_duration_since(self.0).as_secs_f64()
    }
}

/// The counters, with what they count and its unit.
const COUNTERS: [(&str, Unit, &str); 25] = [
    ("annals_appended_records_total", Unit::Count, "Records that were written to the active segment"),
    ("annals_appended_bytes_total", Unit::Bytes, "Bytes that were written to the active segment, frames included"),
    ("annals_append_waits_total", Unit::Count, "Appends that waited for a place"),
    ("annals_append_refusals_total", Unit::Count, "Appends that were refused before anything was written"),
    ("annals_dropped_records_total", Unit::Count, "Records that a limit dropped"),
    ("annals_dropped_bytes_total", Unit::Bytes, "Bytes of records that a limit dropped"),
    ("annals_poisonings_total", Unit::Count, "Writes or syncs that failed and ended the log for writing"),
    ("annals_recoveries_total", Unit::Count, "Openings, by what they found"),
    ("annals_recovery_damages_total", Unit::Count, "Damages that openings found"),
    ("annals_recovery_dropped_bytes_total", Unit::Bytes, "Bytes behind the end of the log that openings set aside"),
    ("annals_recovery_rewritten_records_total", Unit::Count, "Records above the watermark that got a new place"),
    ("annals_seals_total", Unit::Count, "Segments that were sealed"),
    ("annals_seal_failures_total", Unit::Count, "Segments whose sealing failed; it is tried again"),
    ("annals_sealed_records_total", Unit::Count, "Records in segments that were sealed"),
    ("annals_seal_raw_bytes_total", Unit::Bytes, "Bytes of frames that went into sealing"),
    ("annals_seal_sealed_bytes_total", Unit::Bytes, "Bytes of sealed segments and indexes that came out"),
    ("annals_indexes_built_total", Unit::Count, "Field indexes that were made of segments sealed before"),
    ("annals_retention_removed_records_total", Unit::Count, "Records that retention removed"),
    ("annals_retention_removed_segments_total", Unit::Count, "Segments that retention removed"),
    ("annals_retention_removed_bytes_total", Unit::Bytes, "Bytes of files that retention removed"),
    ("annals_cache_hits_total", Unit::Count, "Blocks that were asked of the cache, and there"),
    ("annals_cache_misses_total", Unit::Count, "Blocks that were asked of the cache, and not there"),
    ("annals_query_segments_total", Unit::Count, "Segments that queries came to, by how they were read"),
    ("annals_query_records_examined_total", Unit::Count, "Records of which queries asked their condition"),
    ("annals_query_records_matched_total", Unit::Count, "Records that queries found"),
];

/// The histograms, likewise.
const HISTOGRAMS: [(&str, Unit, &str); 5] = [
    ("annals_open_seconds", Unit::Seconds, "Time that openings took to recover the log"),
    (
        "annals_flight_seconds",
        Unit::Seconds,
        "Time of a write of frames, with the sync that makes it durable if it has one",
    ),
    ("annals_queue_bytes", Unit::Bytes, "Bytes that waited to be written when some were taken"),
    ("annals_append_wait_seconds", Unit::Seconds, "Time that an append waited for a place"),
    ("annals_seal_seconds", Unit::Seconds, "Time that sealing a segment took"),
];

fn describe() {
    for (name, unit, text) in COUNTERS {
        describe_counter!(name, unit, text);
    }
    for (name, unit, text) in HISTOGRAMS {
        describe_histogram!(name, unit, text);
    }
}

/// What the writer of a log tells.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    open_seconds: Histogram,
    /// Clean, recovered, damaged.
    recoveries: [Counter; 3],
    recovery_damages: Counter,
    recovery_dropped_bytes: Counter,
    recovery_rewritten_records: Counter,
    appended_records: Counter,
    appended_bytes: Counter,
    flight_seconds: Histogram,
    queue_bytes: Histogram,
    /// For the queue, for sealing, for the rate.
    waits: [(Counter, Histogram); 3],
    /// The disk was full, no file could be opened, records came too fast, the queue was full.
    refusals: [Counter; 4],
    /// Records and bytes, by [`Limit`].
    dropped: [(Counter, Counter); 2],
    poisonings: Counter,
    seals: Counter,
    seal_failures: Counter,
    seal_seconds: Histogram,
    sealed_records: Counter,
    seal_raw_bytes: Counter,
    seal_sealed_bytes: Counter,
    indexes_built: Counter,
    removed_records: Counter,
    removed_segments: Counter,
    removed_bytes: Counter,
}

impl Meter {
    /// Registers what the log at `log` tells.
    pub(crate) fn new(log: &str) -> Self {
        describe();
        let counter = |name: &'static str| counter!(name, "log" => log.to_owned());
        let histogram = |name: &'static str| histogram!(name, "log" => log.to_owned());
        let recoveries = |outcome| counter!("annals_recoveries_total", "log" => log.to_owned(), "outcome" => outcome);
        let refusals = |cause| counter!("annals_append_refusals_total", "log" => log.to_owned(), "cause" => cause);
        let waits = |cause| {
            let count = counter!("annals_append_waits_total", "log" => log.to_owned(), "cause" => cause);
            (count, histogram!("annals_append_wait_seconds", "log" => log.to_owned(), "cause" => cause))
        };
        let dropped = |cause| {
            let records = counter!("annals_dropped_records_total", "log" => log.to_owned(), "cause" => cause);
            (records, counter!("annals_dropped_bytes_total", "log" => log.to_owned(), "cause" => cause))
        };
        Self {
            open_seconds: histogram("annals_open_seconds"),
            recoveries: ["clean", "recovered", "damaged"].map(recoveries),
            recovery_damages: counter("annals_recovery_damages_total"),
            recovery_dropped_bytes: counter("annals_recovery_dropped_bytes_total"),
            recovery_rewritten_records: counter("annals_recovery_rewritten_records_total"),
            appended_records: counter("annals_appended_records_total"),
            appended_bytes: counter("annals_appended_bytes_total"),
            flight_seconds: histogram("annals_flight_seconds"),
            queue_bytes: histogram("annals_queue_bytes"),
            waits: ["queue", "sealing", "rate"].map(waits),
            refusals: ["disk_full", "out_of_files", "rate", "queue"].map(refusals),
            dropped: ["rate", "queue"].map(dropped),
            poisonings: counter("annals_poisonings_total"),
            seals: counter("annals_seals_total"),
            seal_failures: counter("annals_seal_failures_total"),
            seal_seconds: histogram("annals_seal_seconds"),
            sealed_records: counter("annals_sealed_records_total"),
            seal_raw_bytes: counter("annals_seal_raw_bytes_total"),
            seal_sealed_bytes: counter("annals_seal_sealed_bytes_total"),
            indexes_built: counter("annals_indexes_built_total"),
            removed_records: counter("annals_retention_removed_records_total"),
            removed_segments: counter("annals_retention_removed_segments_total"),
            removed_bytes: counter("annals_retention_removed_bytes_total"),
        }
    }

    /// What is measured begins now.
    pub(crate) fn begin(&self) -> Moment {
        Moment(Instant::now())
    }

    /// An opening found what `report` says.
    pub(crate) fn recovered(&self, began: Moment, report: &RecoveryReport) {
        self.open_seconds.record(began.seconds());
        let outcome = match (report.is_complete(), report.clean) {
            (false, _) => 2,
            (true, false) => 1,
            (true, true) => 0,
        };
        self.recoveries[outcome].increment(1);
        self.recovery_damages.increment(report.damaged.len() as u64);
        let dropped = report.dropped.iter().fold(0u64, |sum, dropped| sum.saturating_add(dropped.bytes));
        self.recovery_dropped_bytes.increment(dropped);
        let rewritten = report.rewritten.map_or(0, |rewritten| rewritten.end_seq - rewritten.first_seq);
        self.recovery_rewritten_records.increment(rewritten);
    }

    /// Bytes were taken out of the queue, when there were so many in it.
    pub(crate) fn took_off(&self, queued_bytes: usize) {
        self.queue_bytes.record(queued_bytes as f64);
    }

    /// So many bytes of frames are written, and synced if that belongs to it.
    pub(crate) fn wrote(&self, began: Moment, bytes: usize) {
        self.flight_seconds.record(began.seconds());
        self.appended_bytes.increment(bytes as u64);
    }

    /// So many records more are written, as their acknowledgement says.
    pub(crate) fn appended(&self, records: u64) {
        self.appended_records.increment(records);
    }

    /// An append has waited.
    pub(crate) fn waited(&self, began: Moment, wait: Wait) {
        let (count, seconds) = &self.waits[wait as usize];
        count.increment(1);
        seconds.record(began.seconds());
    }

    /// An append ends with `error` before it got its place.
    pub(crate) fn refused(&self, error: &Error) {
        match error {
            Error::DiskFull { .. } => self.refusals[0].increment(1),
            Error::OutOfFiles { .. } => self.refusals[1].increment(1),
            Error::RateLimited { .. } => self.refusals[2].increment(1),
            Error::QueueFull { .. } => self.refusals[3].increment(1),
            _ => {}
        }
    }

    /// A limit has dropped so many records, of so many bytes.
    pub(crate) fn dropped(&self, limit: Limit, records: u64, bytes: u64) {
        let (of_records, of_bytes) = &self.dropped[limit as usize];
        of_records.increment(records);
        of_bytes.increment(bytes);
    }

    /// The log accepts nothing from now on.
    pub(crate) fn poisoned(&self) {
        self.poisonings.increment(1);
    }

    /// Sealing came to this.
    pub(crate) fn sealed(&self, began: Moment, outcome: &Result<Option<SealReport>>) {
        match outcome {
            Ok(Some(report)) if report.segments > 0 => {
                self.seal_seconds.record(began.seconds());
                self.seals.increment(report.segments);
                self.sealed_records.increment(report.records);
                self.seal_raw_bytes.increment(report.raw_bytes);
                self.seal_sealed_bytes.increment(report.sealed_bytes);
            }
            Ok(_) => {}
            Err(_) => self.seal_failures.increment(1),
        }
    }

    /// A field index was made of a segment that had been sealed without.
    pub(crate) fn indexed(&self) {
        self.indexes_built.increment(1);
    }

    /// Retention has removed this.
    pub(crate) fn removed(&self, removal: &Removal) {
        self.removed_records.increment(removal.records);
        self.removed_segments.increment(removal.segments);
        self.removed_bytes.increment(removal.bytes);
    }
}

/// What a cache of blocks tells.
#[derive(Debug, Clone)]
pub(crate) struct CacheMeter {
    hits: Counter,
    misses: Counter,
}

impl CacheMeter {
    /// Registers what the cache of readers of the log at `log` tells.
    pub(crate) fn new(log: &str) -> Self {
        describe();
        let counter = |name: &'static str| counter!(name, "log" => log.to_owned());
        Self { hits: counter("annals_cache_hits_total"), misses: counter("annals_cache_misses_total") }
    }

    /// A block was asked for.
    pub(crate) fn asked(&self, is_hit: bool) {
        if is_hit { &self.hits } else { &self.misses }.increment(1);
    }
}

/// What a query tells when it ends.
#[derive(Debug)]
pub(crate) struct QueryMeter {
    log: String,
}

impl QueryMeter {
    /// A query of the log of this name.
    pub(crate) fn new(log: impl FnOnce() -> String) -> Self {
        Self { log: log() }
    }

    /// The query did this.
    pub(crate) fn ended(&self, stats: &QueryStats) {
        describe();
        let by_index = stats.segments_skipped_by_index + stats.segments_by_index;
        let whole = stats.segments.saturating_sub(by_index + stats.segments_skipped_by_time);
        for (way, segments) in [
            ("skipped_by_time", stats.segments_skipped_by_time),
            ("skipped_by_index", stats.segments_skipped_by_index),
            ("by_index", stats.segments_by_index),
            ("whole", whole),
        ] {
            counter!("annals_query_segments_total", "log" => self.log.clone(), "way" => way).increment(segments);
        }
        counter!("annals_query_records_examined_total", "log" => self.log.clone()).increment(stats.records_examined);
        counter!("annals_query_records_matched_total", "log" => self.log.clone()).increment(stats.records_matched);
    }
}
