//! Conditions as typed trees. docs/query.md says what they mean.

use super::parse::{self, ConditionError};
use super::path::FieldPath;
use super::value::{Value, quote};
use std::fmt;
use std::str::FromStr;

/// What has to be true of a record. Built by [`field`] and the methods here, or parsed from text:
///
/// ```
/// use annals::{Condition, field};
/// let parsed: Condition = r#"status = "failed" and not user.name in ("ada", "bob")"#.parse()?;
/// let built = field("status")?.is("failed").and(field("user.name")?.is_one_of(["ada", "bob"]).negated());
/// assert_eq!(parsed, built);
/// # Ok::<(), annals::ConditionError>(())
/// ```
///
/// It displays as the text that it is parsed from; one that always or never holds, of no parts, as text that is no condition.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Condition {
    /// Some value of the path compares so with the value.
    Compare(FieldPath, Comparison, Value),
    /// Some value of the path equals one of these.
    In(FieldPath, Vec<Value>),
    /// Some value of the path is a string that begins so.
    Prefix(FieldPath, String),
    /// The path leads to something, be it `null` or an empty array.
    Exists(FieldPath),
    /// All of these hold.
    And(Vec<Condition>),
    /// At least one of these holds.
    Or(Vec<Condition>),
    /// This doesn't hold.
    Not(Box<Condition>),
}

/// How a value of a record is to compare with that of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// It is the same.
    Equal,
    /// It is another, or of another type.
    NotEqual,
    /// It is a smaller number, or a string that sorts before.
    Less,
    /// It is the same, or less.
    LessOrEqual,
    /// It is a larger number, or a string that sorts behind.
    Greater,
    /// It is the same, or greater.
    GreaterOrEqual,
}

impl Comparison {
    pub(super) const fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

/// The field that conditions are to be made of: keys joined by dots, as [`FieldPath`] parses them.
///
/// # Errors
/// [`ConditionError`] if `path` is none.
pub fn field(path: &str) -> Result<FieldPath, ConditionError> {
    path.parse()
}

impl FieldPath {
    /// Some value of the field equals `value`.
    #[must_use]
    pub fn is(self, value: impl Into<Value>) -> Condition {
        Condition::Compare(self, Comparison::Equal, value.into())
    }

    /// Some value of the field compares with `value` as told.
    #[must_use]
    pub fn compares(self, comparison: Comparison, value: impl Into<Value>) -> Condition {
        Condition::Compare(self, comparison, value.into())
    }

    /// Some value of the field equals one of `values`, of which there may be many.
    #[must_use]
    pub fn is_one_of<V: Into<Value>>(self, values: impl IntoIterator<Item = V>) -> Condition {
        Condition::In(self, values.into_iter().map(Into::into).collect())
    }

    /// Some value of the field is a string that begins with `prefix`.
    #[must_use]
    pub fn has_prefix(self, prefix: impl Into<String>) -> Condition {
        Condition::Prefix(self, prefix.into())
    }

    /// The field is there, be it `null` or an empty array.
    #[must_use]
    pub fn exists(self) -> Condition {
        Condition::Exists(self)
    }
}

impl Condition {
    /// Both hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match self {
            Self::And(mut all) => {
                all.push(other);
                Self::And(all)
            }
            one => Self::And(vec![one, other]),
        }
    }

    /// At least one of the two holds.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match self {
            Self::Or(mut all) => {
                all.push(other);
                Self::Or(all)
            }
            one => Self::Or(vec![one, other]),
        }
    }

    /// Adds the paths that it is about to `paths`.
    pub(crate) fn paths<'c>(&'c self, paths: &mut Vec<&'c FieldPath>) {
        match self {
            Self::Compare(path, ..) | Self::In(path, _) | Self::Prefix(path, _) | Self::Exists(path) => {
                paths.push(path)
            }
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.paths(paths)),
            Self::Not(inner) => inner.paths(paths),
        }
    }

    /// It doesn't hold.
    #[must_use]
    pub fn negated(self) -> Self {
        Self::Not(Box::new(self))
    }
}

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        parse::condition(text)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compare(path, comparison, value) => write!(f, "{path} {} {value}", comparison.symbol()),
            Self::In(path, values) => {
                write!(f, "{path} in (")?;
                for (index, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if index > 0 { ", " } else { "" })?;
                }
                f.write_str(")")
            }
            Self::Prefix(path, prefix) => {
                write!(f, "{path} prefix ")?;
                quote(prefix, f)
            }
            Self::Exists(path) => write!(f, "exists({path})"),
            // What no text says, since it is about no path: always, and never.
            Self::And(all) if all.is_empty() => f.write_str("()"),
            Self::Or(all) if all.is_empty() => f.write_str("not ()"),
            Self::And(all) => joined(all, "and", operand, f),
            // `and` binds closer: parentheses would only add to the nesting, which has a limit.
            Self::Or(all) => {
                joined(all, "or", |one, f| if let Self::Or(_) = one { operand(one, f) } else { one.fmt(f) }, f)
            }
            Self::Not(inner) => {
                f.write_str("not ")?;
                operand(inner, f)
            }
        }
    }
}

fn joined(
    all: &[Condition],
    word: &str,
    part: fn(&Condition, &mut fmt::Formatter<'_>) -> fmt::Result,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    for (index, one) in all.iter().enumerate() {
        if index > 0 {
            write!(f, " {word} ")?;
        }
        part(one, f)?;
    }
    Ok(())
}

/// In parentheses if it consists of several.
fn operand(one: &Condition, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match one {
        Condition::And(_) | Condition::Or(_) => write!(f, "({one})"),
        _ => write!(f, "{one}"),
    }
}
