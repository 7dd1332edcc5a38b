//! Conditions on records, and queries by them. docs/query.md is what they mean, and the grammar of their text.
//!
//! A condition is a typed tree; a [`Matcher`] asks it of bodies as they are stored, without decoding what it isn't about.

mod collect;
mod condition;
mod matcher;
mod matches;
mod number;
mod parse;
mod path;
mod plan;
mod project;
#[cfg(test)]
mod tests;
mod trie;
mod value;
mod walk;

pub(crate) use collect::{FieldCollector, Hashes};
pub use condition::{Comparison, Condition, field};
pub use matcher::Matcher;
pub(crate) use matches::Selection;
pub use matches::{Matches, QueryStats};
pub(crate) use number::Number;
pub use parse::ConditionError;
pub use path::FieldPath;
pub(crate) use trie::Trie;
pub use value::Value;
pub(crate) use value::{Cell, Inner};
pub(crate) use walk::{KnownKeys, walk_tokens};

use crate::reader::ScanRange;

/// Which records are asked for, in which order, and what of them.
///
/// ```
/// use annals::{Query, ScanRange, field};
/// # fn main() -> annals::Result<()> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let log = annals::Options::new().create(directory.path().join("log"))?;
/// # #[derive(serde::Serialize)] struct Login { user: &'static str, ok: bool }
/// log.append(&Login { user: "ada", ok: false })?;
/// log.append(&Login { user: "bob", ok: true })?;
///
/// // The last ten that failed, the newest first.
/// let query = Query::over(ScanRange::all().reverse()).filter(field("ok")?.is(false)).limit(10);
/// let mut matches = log.reader().query(&query)?;
/// while let Some(record) = matches.advance()? {
///     assert_eq!(record.seq(), 0);
/// }
/// assert_eq!(matches.stats().records_matched, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    range: ScanRange,
    condition: Option<Condition>,
    limit: u64,
    fields: Vec<FieldPath>,
}

impl Default for Query {
    fn default() -> Self {
        Self::over(ScanRange::all())
    }
}

impl Query {
    /// All records in `range`, in its order.
    pub fn over(range: ScanRange) -> Self {
        Self { range, condition: None, limit: u64::MAX, fields: Vec::new() }
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

    /// The same for each of so many streams.
    pub(crate) fn share(&self, streams: usize) -> Self {
        Self { range: self.range.share(streams), ..self.clone() }
    }

    pub(crate) fn is_reverse(&self) -> bool {
        self.range.is_reverse()
    }

    /// How many records at most.
    pub(crate) fn records_max(&self) -> u64 {
        self.limit
    }

    /// At most so many records. Default: all.
    #[must_use]
    pub fn limit(mut self, records: u64) -> Self {
        self.limit = records;
        self
    }

    /// Only these fields of each record, with the objects and arrays around them. Default: all.
    #[must_use]
    pub fn project(mut self, fields: impl IntoIterator<Item = FieldPath>) -> Self {
        self.fields = fields.into_iter().collect();
        self
    }
}
