//! Paths: where in a record a value stands.

use super::parse::{self, ConditionError};
use super::value::quote;
use std::fmt;
use std::str::FromStr;

/// Most keys of a path.
pub(crate) const KEYS_MAX: usize = 32;

/// Most bytes of all keys of a path together.
pub(crate) const PATH_BYTES_MAX: usize = 1 << 10;

/// A field of records: one key, or keys that lead into objects. docs/query.md tells what it leads to.
///
/// Parsed from keys joined by dots; a key of other characters than letters, digits, `_`, `-`, `@` and `$` is quoted.
///
/// ```
/// let path: annals::FieldPath = r#"user."full name""#.parse()?;
/// assert_eq!(path, annals::FieldPath::new(["user", "full name"])?);
/// # Ok::<(), annals::ConditionError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldPath(Vec<String>);

impl FieldPath {
    /// The path of these keys.
    ///
    /// # Errors
    /// [`ConditionError`] if there are none, more than 32, or keys of more than 1 KiB together.
    pub fn new<K: Into<String>>(keys: impl IntoIterator<Item = K>) -> Result<Self, ConditionError> {
        let keys: Vec<String> = keys.into_iter().take(KEYS_MAX + 1).map(Into::into).collect();
        let bytes: usize = keys.iter().map(String::len).sum();
        let detail = match () {
            () if keys.is_empty() => "a path has at least one key",
            () if keys.len() > KEYS_MAX => "a path has at most 32 keys",
            () if bytes > PATH_BYTES_MAX => "the keys of a path have at most 1 KiB",
            () => return Ok(Self(keys)),
        };
        Err(ConditionError::new(1, detail))
    }

    /// The keys, outermost first.
    pub fn keys(&self) -> &[String] {
        &self.0
    }
}

impl FromStr for FieldPath {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        parse::path(text)
    }
}

impl fmt::Display for FieldPath {
    /// As it is spelled in a condition.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, key) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            if parse::is_bare(key) { f.write_str(key)? } else { quote(key, f)? }
        }
        Ok(())
    }
}
