//! What field indexes can say of a condition: which records of a segment it may hold for.

use super::condition::{Comparison, Condition};
use super::path::FieldPath;
use super::value::{TERM_PRESENT, Value};
use annals_index::{Records, term_hash};

/// Gives the records that have one of the hashes in the field, if that is known.
pub(crate) type Find<'a, E> = dyn Fn(&FieldPath, &[u64]) -> Result<Option<Records>, E> + 'a;

/// The look-ups that narrow a condition down. What it gives has every record for which the condition holds.
#[derive(Debug, Clone)]
pub(crate) enum Plan {
    /// Records with one of these hashes in the field.
    Lookup(FieldPath, Vec<u64>),
    /// Records that all of these give.
    All(Vec<Plan>),
    /// Records that some of these give.
    Any(Vec<Plan>),
}

impl Plan {
    /// The plan for `condition`; `None` if no index can say anything of it.
    pub(crate) fn of(condition: &Condition) -> Option<Self> {
        let values = |path: &FieldPath, values: &[Value]| {
            let mut hashes: Vec<u64> = values.iter().filter_map(Value::term).map(|term| term_hash(&term)).collect();
            hashes.sort_unstable();
            hashes.dedup();
            Some(Self::Lookup(path.clone(), hashes))
        };
        match condition {
            Condition::Compare(path, Comparison::Equal, value) => values(path, std::slice::from_ref(value)),
            Condition::In(path, all) => values(path, all),
            // Whatever it is compared with, it has to be there.
            Condition::Exists(path) | Condition::Compare(path, ..) | Condition::Prefix(path, _) => {
                Some(Self::Lookup(path.clone(), vec![term_hash(&TERM_PRESENT)]))
            }
            Condition::And(parts) => {
                let known: Vec<Self> = parts.iter().filter_map(Self::of).collect();
                (!known.is_empty()).then_some(Self::All(known))
            }
            Condition::Or(parts) => parts.iter().map(Self::of).collect::<Option<_>>().map(Self::Any),
            Condition::Not(_) => None,
        }
    }

    /// Whether a field is looked up that `has` knows.
    pub(crate) fn is_about(&self, has: &dyn Fn(&FieldPath) -> bool) -> bool {
        match self {
            Self::Lookup(path, _) => has(path),
            Self::All(parts) | Self::Any(parts) => parts.iter().any(|part| part.is_about(has)),
        }
    }

    /// The records of a segment that may be asked for; `None` if nothing tells. `find` gives those that have one of the hashes
    /// in a field, if that is known.
    ///
    /// # Errors
    /// What `find` says.
    pub(crate) fn records<E>(&self, find: &Find<'_, E>) -> Result<Option<Records>, E> {
        match self {
            Self::Lookup(path, hashes) => find(path, hashes),
            Self::All(parts) => {
                let mut found: Option<Records> = None;
                for part in parts {
                    let Some(records) = part.records(find)? else { continue };
                    let both = match found {
                        Some(before) => before.intersection(records),
                        None => records,
                    };
                    if both.is_empty() {
                        return Ok(Some(both));
                    }
                    found = Some(both);
                }
                Ok(found)
            }
            Self::Any(parts) => {
                let mut found = Records::default();
                for part in parts {
                    let Some(records) = part.records(find)? else { return Ok(None) };
                    found = found.union(records);
                }
                Ok(Some(found))
            }
        }
    }
}
