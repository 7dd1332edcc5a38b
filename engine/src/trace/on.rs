//! The steps, as spans of the facade `tracing`.

use crate::error::Result;
use crate::log::SealReport;
use crate::recovery::RecoveryReport;
use crate::retention::RetentionReport;
use crate::storage::Storage;
use tracing::field::{Empty, display};
use tracing::info_span;
use tracing::span::EnteredSpan;

/// A step that this thread takes. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Step(EnteredSpan);

impl Step {
    /// A log is opened for writing.
    pub(crate) fn open(storage: &dyn Storage) -> Self {
        Self(info_span!("annals.open", log = storage.describe(""), error = Empty).entered())
    }

    /// What is there is read, and made ready to be appended to.
    pub(crate) fn recover(storage: &dyn Storage) -> Self {
        let log = storage.describe("");
        let span = info_span!(
            "annals.recover",
            log,
            clean = Empty,
            next_seq = Empty,
            damages = Empty,
            dropped_bytes = Empty,
            error = Empty
        );
        Self(span.entered())
    }

    /// The records from `first_seq` to before `end_seq` become one sealed segment.
    pub(crate) fn seal(storage: &dyn Storage, first_seq: u64, end_seq: u64) -> Self {
        let log = storage.describe("");
        let span =
            info_span!("annals.seal", log, first_seq, end_seq, raw_bytes = Empty, sealed_bytes = Empty, error = Empty);
        Self(span.entered())
    }

    /// What is old or too much goes.
    pub(crate) fn retain(storage: &dyn Storage) -> Self {
        let log = storage.describe("");
        let span = info_span!(
            "annals.retain",
            log,
            dry_run = Empty,
            first_seq = Empty,
            records = Empty,
            segments = Empty,
            error = Empty
        );
        Self(span.entered())
    }

    /// What an opening found.
    pub(crate) fn recovered(&self, report: &RecoveryReport) {
        self.0.record("clean", report.clean).record("next_seq", report.next_seq);
        let dropped = report.dropped.iter().fold(0u64, |sum, dropped| sum.saturating_add(dropped.bytes));
        self.0.record("damages", report.damaged.len()).record("dropped_bytes", dropped);
    }

    /// What sealing made.
    pub(crate) fn sealed(&self, report: &SealReport) {
        self.0.record("raw_bytes", report.raw_bytes).record("sealed_bytes", report.sealed_bytes);
    }

    /// What retention did.
    pub(crate) fn retained(&self, report: &RetentionReport) {
        let records = report.removal.as_ref().map_or(0, |removal| removal.records);
        self.0.record("dry_run", report.dry_run).record("first_seq", report.first_seq);
        self.0.record("records", records).record("segments", report.segments.len());
    }

    /// How the step ended, if with an error.
    pub(crate) fn ended<T>(&self, outcome: &Result<T>) {
        if let Err(error) = outcome {
            self.0.record("error", display(error));
        }
    }
}
