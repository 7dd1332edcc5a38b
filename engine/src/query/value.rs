//! Values that conditions compare with, and values as they stand in records.

use super::number::Number;
use crate::msgpack::{EXT_JSON_TOKEN, Token};
use std::cmp::Ordering;
use std::fmt;

/// A value that fields are compared with: any JSON value but arrays and objects.
///
/// ```
/// use annals::Value;
/// assert_eq!(Value::from(5), Value::from(5.0));
/// assert_ne!(Value::from(5), Value::from("5"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Value(pub(crate) Inner);

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Inner {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
}

/// Tags of terms, with those in `number.rs`. docs/format.md, "Field index file".
const TAG_NULL: u8 = 1;
const TAG_BOOL: u8 = 2;
const TAG_STRING: u8 = 6;
const TAG_PRESENT: u8 = 7;

/// The term of every record that has the field at all.
pub(crate) const TERM_PRESENT: [u8; 1] = [TAG_PRESENT];

impl Value {
    /// JSON's `null`, which is a value: a field that is missing has none.
    pub const NULL: Self = Self(Inner::Null);

    pub(crate) fn as_cell(&self) -> Cell<'_> {
        match &self.0 {
            Inner::Null => Cell::Null,
            Inner::Bool(value) => Cell::Bool(*value),
            Inner::Number(number) => Cell::Number(number.clone()),
            Inner::String(text) => Cell::Str(text),
        }
    }

    /// What indexes hash of it.
    pub(crate) fn term(&self) -> Option<Box<[u8]>> {
        let mut term = Vec::new();
        self.as_cell().term(&mut term).then(|| term.into())
    }

    /// The value that has this term.
    pub(crate) fn of_term(term: &[u8]) -> Option<Self> {
        let (tag, rest) = term.split_first()?;
        Some(Self(match (*tag, rest) {
            (TAG_NULL, []) => Inner::Null,
            (TAG_BOOL, [value @ (0 | 1)]) => Inner::Bool(*value == 1),
            (TAG_STRING, text) => Inner::String(std::str::from_utf8(text).ok()?.to_owned()),
            _ => Inner::Number(Number::of_term(term)?),
        }))
    }

    /// In what order values are told: null, booleans, numbers, strings; each among themselves by their own order.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        let class = |value: &Self| match value.0 {
            Inner::Null => 0,
            Inner::Bool(_) => 1,
            Inner::Number(_) => 2,
            Inner::String(_) => 3,
        };
        class(self).cmp(&class(other)).then_with(|| match (&self.0, &other.0) {
            (Inner::Bool(a), Inner::Bool(b)) => a.cmp(b),
            _ => self.as_cell().compare(&other.as_cell()).unwrap_or(Ordering::Equal),
        })
    }

    /// The double next to a number; `None` for everything else.
    pub fn as_f64(&self) -> Option<f64> {
        match &self.0 {
            Inner::Number(number) => Some(number.nearest()),
            _ => None,
        }
    }

    /// The text of a string; `None` for everything else.
    pub fn as_str(&self) -> Option<&str> {
        match &self.0 {
            Inner::String(text) => Some(text),
            _ => None,
        }
    }

    /// Whether nothing equals it, not even itself.
    pub(crate) fn is_nan(&self) -> bool {
        matches!(&self.0, Inner::Number(number) if number.is_nan())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self(Inner::Bool(value))
    }
}

macro_rules! from_integers {
    ($($integer:ty),*) => {
        $(impl From<$integer> for Value {
            fn from(value: $integer) -> Self {
                Self(Inner::Number(Number::Int(value.into())))
            }
        })*
    };
}
from_integers!(i32, u32, i64, u64);

impl From<f64> for Value {
    /// Not a number (NaN) is a value that nothing equals.
    fn from(value: f64) -> Self {
        Self(Inner::Number(Number::of_f64(value)))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self(Inner::String(value.to_owned()))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self(Inner::String(value))
    }
}

impl fmt::Display for Value {
    /// As it is spelled in a condition.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Null => f.write_str("null"),
            Inner::Bool(value) => write!(f, "{value}"),
            Inner::Number(number) => write!(f, "{number}"),
            Inner::String(text) => quote(text, f),
        }
    }
}

/// Writes `text` as a JSON string.
pub(super) fn quote(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("\"")?;
    for character in text.chars() {
        match character {
            '"' | '\\' => write!(f, "\\{character}")?,
            '\0'..='\x1f' => write!(f, "\\u{:04x}", u32::from(character))?,
            _ => write!(f, "{character}")?,
        }
    }
    f.write_str("\"")
}

/// A value of a record, as far as conditions tell values apart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Str(&'a str),
    /// An object, or what JSON has no value for: it differs from every [`Value`].
    Other,
}

impl<'a> Cell<'a> {
    /// The value of a token that is no array.
    pub(crate) fn of(token: Token<'a>) -> Self {
        match token {
            Token::Nil => Self::Null,
            Token::Bool(value) => Self::Bool(value),
            Token::UInt(value) => Self::Number(Number::Int(value.into())),
            Token::Int(value) => Self::Number(Number::Int(value.into())),
            Token::F32(value) => Self::of_f64(value.into()),
            Token::F64(value) => Self::of_f64(value),
            Token::Str(text) => Self::Str(text),
            Token::Ext(EXT_JSON_TOKEN, text) => Number::of_token(text).map_or(Self::Other, Self::Number),
            Token::Bin(_) | Token::Ext(..) | Token::Array(_) | Token::Map(_) => Self::Other,
        }
    }

    fn of_f64(value: f64) -> Self {
        if value.is_nan() { Self::Other } else { Self::Number(Number::of_f64(value)) }
    }

    /// Which of the two is less: of two numbers, or of two strings by their bytes. Nothing else is ordered.
    pub(crate) fn compare(&self, other: &Cell<'_>) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(a), Cell::Number(b)) => a.compare(b),
            (Self::Str(a), Cell::Str(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            _ => None,
        }
    }

    /// Puts bytes into `out` that are the same for equal values only: what indexes hash. `false` if no value equals it.
    pub(crate) fn term(&self, out: &mut Vec<u8>) -> bool {
        out.clear();
        match self {
            Self::Null => out.push(TAG_NULL),
            Self::Bool(value) => out.extend_from_slice(&[TAG_BOOL, u8::from(*value)]),
            Self::Number(number) => number.term(out),
            Self::Str(text) => {
                out.push(TAG_STRING);
                out.extend_from_slice(text.as_bytes());
            }
            Self::Other => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(value: impl Into<Value>) -> Vec<u8> {
        let mut term = Vec::new();
        assert!(value.into().as_cell().term(&mut term));
        term
    }

    #[test]
    fn terms_are_the_same_for_equal_values_only() {
        assert_eq!(term(5), term(5.0));
        assert_eq!(term(0), term(-0.0));
        let different = [
            term(5),
            term(-5),
            term("5"),
            term(5.5),
            term(true),
            term(false),
            term(Value::NULL),
            term(u64::MAX),
            term(-1),
        ];
        for (i, a) in different.iter().enumerate() {
            assert!(different.iter().enumerate().all(|(j, b)| (i == j) == (a == b)), "{a:?}");
        }
    }

    #[test]
    fn types_are_never_mixed() {
        let cell = |token| Cell::of(token);
        assert_ne!(cell(Token::Str("5")), cell(Token::UInt(5)));
        assert_eq!(cell(Token::Str("5")).compare(&cell(Token::UInt(6))), None);
        assert_eq!(cell(Token::Bool(false)).compare(&cell(Token::Bool(true))), None);
        assert_eq!(cell(Token::F64(f64::NAN)), Cell::Other);
        assert_eq!(
            cell(Token::Ext(EXT_JSON_TOKEN, b"1e400")).compare(&cell(Token::F64(1e300))),
            Some(Ordering::Greater)
        );
        assert_eq!(cell(Token::F32(0.5)), cell(Token::F64(0.5)));
    }
}
