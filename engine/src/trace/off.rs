//! The steps of a build without the feature: of no size, and nobody hears of them.

use crate::error::Result;
use crate::log::SealReport;
use crate::recovery::RecoveryReport;
use crate::retention::RetentionReport;
use crate::storage::Storage;

#[derive(Debug)]
pub(crate) struct Step;

impl Step {
    pub(crate) fn open(_storage: &dyn Storage) -> Self {
        Self
    }

    pub(crate) fn recover(_storage: &dyn Storage) -> Self {
        Self
    }

    pub(crate) fn seal(_storage: &dyn Storage, _first_seq: u64, _end_seq: u64) -> Self {
        Self
    }

    pub(crate) fn retain(_storage: &dyn Storage) -> Self {
        Self
    }

    pub(crate) fn recovered(&self, _report: &RecoveryReport) {}

    pub(crate) fn sealed(&self, _report: &SealReport) {}

    pub(crate) fn retained(&self, _report: &RetentionReport) {}

    pub(crate) fn ended<T>(&self, _outcome: &Result<T>) {}
}
