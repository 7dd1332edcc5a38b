//! What statistics are asked for.

use super::codec::put_bytes;
use super::field::Measures;
use super::tally::Layout;
use crate::error::{Error, Result};
use crate::fields::put_varint;
use crate::query::{Condition, FieldPath, Matcher};
use crate::reader::ScanRange;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// Most groups, unless it is told otherwise.
pub(super) const GROUPS_DEFAULT: usize = 100_000;

/// Most bytes of memory, unless it is told otherwise.
pub(super) const MEMORY_DEFAULT: usize = 256 << 20;

/// Most fields that groups are made by, and most that are added up.
const FIELDS_MAX: usize = 64;

/// Changes when the same question is to be answered otherwise, or when answers are kept otherwise.
const VERSION: u8 = 1;

/// Which records statistics are about, how these are grouped, and what is added up of them. docs/statistics.md has the rules.
///
/// ```
/// use annals::{ScanRange, StatisticsQuery, field};
/// # fn main() -> annals::Result<()> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let log = annals::Options::new().create(directory.path().join("log"))?;
/// # #[derive(serde::Serialize)] struct Call { user: &'static str, ms: u64 }
/// for (user, ms) in [("ada", 5), ("bob", 9), ("ada", 8)] {
///     log.append(&Call { user, ms })?;
/// }
///
/// let query = StatisticsQuery::over(ScanRange::all()).by([field("user")?]).of([field("ms")?]);
/// let statistics = log.reader().statistics(&query)?;
/// let ada = &statistics.groups[0];
/// assert_eq!((ada.keys[0].to_string(), ada.records), ("\"ada\"".to_owned(), 2));
/// assert_eq!(ada.fields[0].sum, Some(13.into()));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct StatisticsQuery {
    pub(super) range: ScanRange,
    pub(super) condition: Option<Condition>,
    pub(super) by: Vec<FieldPath>,
    pub(super) of: Vec<FieldPath>,
    /// In µs.
    pub(super) every: Option<i64>,
    quantiles: bool,
    distinct: bool,
    groups_max: usize,
    bytes_max: usize,
    pub(super) keeps: bool,
}

impl StatisticsQuery {
    /// All records in `range`, in one group, of which only the number is asked for. The range's threads share the work; its
    /// order means nothing.
    pub fn over(range: ScanRange) -> Self {
        Self {
            range,
            condition: None,
            by: Vec::new(),
            of: Vec::new(),
            every: None,
            quantiles: true,
            distinct: true,
            groups_max: GROUPS_DEFAULT,
            bytes_max: MEMORY_DEFAULT,
            keeps: true,
        }
    }

    /// Only those for which `condition` holds, too.
    #[must_use]
    pub fn filter(mut self, condition: Condition) -> Self {
        self.condition = Some(match self.condition {
            Some(before) => before.and(condition),
            None => condition,
        });
        self
    }

    /// A group for each combination of values of these fields; a record with several values is in several groups.
    #[must_use]
    pub fn by(mut self, fields: impl IntoIterator<Item = FieldPath>) -> Self {
        self.by = fields.into_iter().collect();
        self
    }

    /// Groups for each span of time, too: spans of this length, of which one begins with the Unix epoch. At least 1 µs.
    #[must_use]
    pub fn every(mut self, span: Duration) -> Self {
        self.every = Some(i64::try_from(span.as_micros()).unwrap_or(i64::MAX));
        self
    }

    /// The fields whose values are added up.
    #[must_use]
    pub fn of(mut self, fields: impl IntoIterator<Item = FieldPath>) -> Self {
        self.of = fields.into_iter().collect();
        self
    }

    /// Whether quantiles are asked for. Default: yes.
    #[must_use]
    pub fn quantiles(mut self, asked: bool) -> Self {
        self.quantiles = asked;
        self
    }

    /// Whether it is asked how many different values there are. Default: yes.
    #[must_use]
    pub fn distinct(mut self, asked: bool) -> Self {
        self.distinct = asked;
        self
    }

    /// At most so many groups: more are an error. Default: 100,000.
    #[must_use]
    pub fn groups_max(mut self, groups: usize) -> Self {
        self.groups_max = groups;
        self
    }

    /// At most about so many bytes of memory for what is added up, in all and in each thread: more are an error. Default: 256 MiB.
    #[must_use]
    pub fn memory_max(mut self, bytes: usize) -> Self {
        self.bytes_max = bytes;
        self
    }

    /// Whether what is computed of sealed segments is kept beside them for the next time, and what was kept is used. Default: yes.
    /// Where nothing can be written, nothing is kept.
    #[must_use]
    pub fn keep(mut self, keeps: bool) -> Self {
        self.keeps = keeps;
        self
    }

    /// # Errors
    /// [`Error::InvalidOption`] or [`Error::Condition`] if the question can't be asked.
    pub(super) fn check(&self) -> Result<()> {
        let wrong = |option, detail: &str| Err(Error::InvalidOption { option, detail: detail.to_owned() });
        match () {
            () if self.every == Some(0) => wrong("every", "a span of time has at least 1 µs"),
            () if self.by.len() > FIELDS_MAX => wrong("by", "groups are made by at most 64 fields"),
            () if self.of.len() > FIELDS_MAX => wrong("of", "at most 64 fields are added up"),
            () => Ok(self.condition.as_ref().map(Matcher::new).transpose().map(drop)?),
        }
    }

    pub(super) fn layout(&self) -> Layout {
        Layout {
            fields: self.of.len(),
            measures: self.measures(),
            groups_max: self.groups_max,
            bytes_max: self.bytes_max,
        }
    }

    fn measures(&self) -> Measures {
        Measures { quantiles: self.quantiles, distinct: self.distinct }
    }

    /// What the question is known by: the same for the same question about any range.
    pub(super) fn id(&self) -> [u8; 32] {
        let mut text = vec![VERSION, self.measures().flags()];
        put_varint(&mut text, self.every.unwrap_or(0) as u64);
        for paths in [&self.by, &self.of] {
            put_varint(&mut text, paths.len() as u64);
            paths.iter().for_each(|path| put_bytes(path.to_string().as_bytes(), &mut text));
        }
        text.push(u8::from(self.condition.is_some()));
        if let Some(condition) = &self.condition {
            put_bytes(condition.to_string().as_bytes(), &mut text);
        }
        Sha256::digest(&text).into()
    }

    /// The keys of records themselves that have to be known.
    pub(super) fn own_keys(&self) -> Vec<&str> {
        let mut paths: Vec<&FieldPath> = self.by.iter().chain(&self.of).collect();
        if let Some(condition) = &self.condition {
            condition.paths(&mut paths);
        }
        let mut keys: Vec<&str> =
            paths.into_iter().filter_map(|path| path.keys().first()).map(String::as_str).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// How many seconds the records of a group are from, if all were of `times`; `None` if nothing tells.
    pub(super) fn seconds(&self, times: Option<(i64, i64)>) -> Option<f64> {
        let bucket = self.every.map(|micros| micros as f64 / 1e6);
        let found = || {
            let (min, max) = times.filter(|(min, max)| min < max)?;
            Some((i128::from(max) - i128::from(min)) as f64 / 1e6)
        };
        bucket.or_else(|| self.range.seconds()).or_else(found)
    }
}
