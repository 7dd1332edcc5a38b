//! The meters of a build without the feature: of no size, and what they do is nothing.

use super::Wait;
use crate::catalog::Removal;
use crate::drops::Limit;
use crate::error::{Error, Result};
use crate::log::SealReport;
use crate::query::QueryStats;
use crate::recovery::RecoveryReport;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment;

#[derive(Debug, Clone, Default)]
pub(crate) struct Meter;

impl Meter {
    pub(crate) fn new(_log: &str) -> Self {
        Self
    }

    #[inline]
    pub(crate) fn begin(&self) -> Moment {
        Moment
    }

    pub(crate) fn recovered(&self, _began: Moment, _report: &RecoveryReport) {}

    #[inline]
    pub(crate) fn took_off(&self, _queued_bytes: usize) {}

    #[inline]
    pub(crate) fn wrote(&self, _began: Moment, _bytes: usize) {}

    #[inline]
    pub(crate) fn appended(&self, _records: u64) {}

    pub(crate) fn waited(&self, _began: Moment, _wait: Wait) {}

    pub(crate) fn refused(&self, _error: &Error) {}

    pub(crate) fn dropped(&self, _limit: Limit, _records: u64, _bytes: u64) {}

    pub(crate) fn poisoned(&self) {}

    pub(crate) fn sealed(&self, _began: Moment, _outcome: &Result<Option<SealReport>>) {}

    pub(crate) fn indexed(&self) {}

    pub(crate) fn removed(&self, _removal: &Removal) {}
}

#[derive(Debug, Clone, Default)]
pub(crate) struct CacheMeter;

impl CacheMeter {
    pub(crate) fn new(_log: &str) -> Self {
        Self
    }

    #[inline]
    pub(crate) fn asked(&self, _is_hit: bool) {}
}

#[derive(Debug)]
pub(crate) struct QueryMeter;

impl QueryMeter {
    pub(crate) fn new(_log: impl FnOnce() -> String) -> Self {
        Self
    }

    pub(crate) fn ended(&self, _stats: &QueryStats) {}
}
