//! Types the caller insists on.

use crate::ExportError;
use crate::schema::{Column, ColumnType, JsonReason};
use jiff::Timestamp;
use std::str::FromStr;

/// A type the caller can give to a column. No value is converted beyond what is said here; others go to `_extra`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForcedType {
    /// Strings.
    String,
    /// Integers of 64 bits with sign.
    Int,
    /// Floats, and integers that are exactly one.
    Double,
    /// Booleans.
    Bool,
    /// RFC 3339 texts with at most microseconds, as the instants they mean; the offset they were spelled with is lost.
    Timestamp,
    /// Any value, as JSON text.
    Json,
}

impl FromStr for ForcedType {
    type Err = ExportError;

    /// Reads `string`, `int`, `double`, `bool`, `timestamp` or `json`.
    ///
    /// # Errors
    /// [`ExportError::Option`] for any other text.
    fn from_str(text: &str) -> Result<Self, ExportError> {
        Ok(match text {
            "string" => Self::String,
            "int" => Self::Int,
            "double" => Self::Double,
            "bool" => Self::Bool,
            "timestamp" => Self::Timestamp,
            "json" => Self::Json,
            _ => return Err(ExportError::Option { option: "column type" }),
        })
    }
}

impl From<ForcedType> for ColumnType {
    fn from(forced: ForcedType) -> Self {
        match forced {
            ForcedType::String => Self::String,
            ForcedType::Int => Self::Int,
            ForcedType::Double => Self::Float,
            ForcedType::Bool => Self::Bool,
            ForcedType::Timestamp => Self::Timestamp,
            ForcedType::Json => Self::Json(JsonReason::Forced),
        }
    }
}

/// Gives the column at `path` the type.
pub(crate) fn apply(columns: &mut [Column], path: &str, forced: ForcedType) -> Result<(), ExportError> {
    let column = find(columns, path).ok_or_else(|| ExportError::NoSuchColumn { path: path.to_owned() })?;
    column.column_type = forced.into();
    column.forced = true;
    Ok(())
}

/// A whole key comes before a JSON Pointer, and that before dots.
fn find<'a>(columns: &'a mut [Column], path: &str) -> Option<&'a mut Column> {
    if let Some(at) = columns.iter().position(|column| column.key == path) {
        return columns.get_mut(at);
    }
    let keys: Vec<String> = match path.strip_prefix('/') {
        Some(pointer) => pointer.split('/').map(|key| key.replace("~1", "/").replace("~0", "~")).collect(),
        None => path.split('.').map(str::to_owned).collect(),
    };
    descend(columns, &keys)
}

fn descend<'a>(columns: &'a mut [Column], keys: &[String]) -> Option<&'a mut Column> {
    let (first, rest) = keys.split_first()?;
    let column = columns.iter_mut().find(|column| column.key == *first)?;
    if rest.is_empty() {
        return Some(column);
    }
    match &mut column.column_type {
        ColumnType::Struct(fields) => descend(fields, rest),
        _ => None,
    }
}

/// The microseconds since the epoch that `text` means, if it is RFC 3339 and means no less than that.
pub(crate) fn timestamp_us(text: &str) -> Option<i64> {
    let offset_given = text.ends_with(['Z', 'z']) || text.rfind(['+', '-']).is_some_and(|at| at > "yyyy-mm-dd".len());
    // A leap second would be read as the second before it.
    if !offset_given || text.contains(":60") || text.contains('[') {
        return None;
    }
    let instant: Timestamp = text.parse().ok()?;
    (instant.subsec_nanosecond() % 1000 == 0).then(|| instant.as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_that_mean_an_instant() {
        assert_eq!(timestamp_us("1970-01-01T00:00:01Z"), Some(1_000_000));
        assert_eq!(timestamp_us("1970-01-01T01:00:00.000001+01:00"), Some(1));
        assert_eq!(timestamp_us("1969-12-31T23:59:59.999999Z"), Some(-1));
        for text in ["1970-01-01", "1970-01-01T00:00:00", "1970-01-01T00:00:00.0000001Z", "2016-12-31T23:59:60Z", "x"] {
            assert_eq!(timestamp_us(text), None, "{text}");
        }
    }
}
