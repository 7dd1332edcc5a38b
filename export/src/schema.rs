//! Columns: what they are called, what they hold, and how Arrow and Parquet see them.

use arrow::datatypes::{DataType, Field, TimeUnit};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;

/// Field metadata: the key in the records, if the column is called something else.
pub const META_NAME: &str = "annals.name";
/// Field metadata: `json` if the cells are JSON text.
pub const META_ENCODING: &str = "annals.encoding";

/// Why a column is JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum JsonReason {
    /// Nothing but null was seen.
    NullOnly,
    /// Nothing but `{}` was seen.
    EmptyObjects,
    /// Nothing but `[]` was seen.
    EmptyArrays,
    /// Values of types that have no common column.
    MixedTypes,
    /// An integer beyond 64 bits with sign.
    IntegerRange,
    /// Integers and floats, and an integer that no double is equal to.
    InexactInteger,
    /// A number or string that only JSON can spell.
    JsonToken,
    /// A MessagePack extension.
    Extension,
    /// Too many different keys.
    Wide,
    /// Nested too deeply.
    Deep,
    /// An object with a key twice.
    DuplicateKeys,
    /// An object with a key that is not a string.
    OtherKeys,
    /// The table would have had too many columns.
    ColumnLimit,
    /// The caller wants it so.
    Forced,
}

/// The type of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnType {
    /// Boolean.
    Bool,
    /// Int64.
    Int,
    /// Float64.
    Float,
    /// Utf8.
    String,
    /// Binary.
    Binary,
    /// Timestamp(µs, UTC); only by the caller's wish.
    Timestamp,
    /// Utf8 whose cells are JSON text.
    Json(JsonReason),
    /// List of one element type.
    List(Box<Column>),
    /// Struct of these fields; never empty.
    Struct(Vec<Column>),
}

/// A column, or a field of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The key in the records; empty for the element of a list.
    pub key: String,
    /// What it is called in Parquet.
    pub name: String,
    /// What it holds.
    pub column_type: ColumnType,
    /// Whether the caller chose the type; what does not fit goes to `_extra`.
    pub forced: bool,
}

impl ColumnType {
    /// The name of the type in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int => "int64",
            Self::Float => "float64",
            Self::String => "string",
            Self::Binary => "binary",
            Self::Timestamp => "timestamp[us, UTC]",
            Self::Json(_) => "json",
            Self::List(_) => "list",
            Self::Struct(_) => "struct",
        }
    }

    /// Columns in the sense of Parquet: leaves of the tree.
    pub(crate) fn leaves(&self) -> usize {
        match self {
            Self::List(element) => element.column_type.leaves(),
            Self::Struct(fields) => fields.iter().map(|field| field.column_type.leaves()).sum(),
            _ => 1,
        }
    }
}

impl Column {
    /// Only an element is called so while its key is empty: an empty key becomes `_2` or the like.
    fn is_element(&self) -> bool {
        self.key.is_empty() && self.name == ELEMENT_NAME
    }

    /// The Arrow field, numbered from `field_id` on, parent before children.
    pub(crate) fn to_arrow(&self, field_id: &mut i32) -> Field {
        let mut metadata = HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), field_id.to_string())]);
        *field_id += 1;
        if self.key != self.name && !self.is_element() {
            metadata.insert(META_NAME.to_owned(), self.key.clone());
        }
        let data_type = match &self.column_type {
            ColumnType::Bool => DataType::Boolean,
            ColumnType::Int => DataType::Int64,
            ColumnType::Float => DataType::Float64,
            ColumnType::String => DataType::Utf8,
            ColumnType::Binary => DataType::Binary,
            ColumnType::Timestamp => timestamp_type(),
            ColumnType::Json(_) => {
                metadata.insert(META_ENCODING.to_owned(), "json".to_owned());
                DataType::Utf8
            }
            ColumnType::List(element) => DataType::List(Arc::new(element.to_arrow(field_id))),
            ColumnType::Struct(fields) => {
                DataType::Struct(fields.iter().map(|field| field.to_arrow(field_id)).collect())
            }
        };
        Field::new(&self.name, data_type, true).with_metadata(metadata)
    }
}

/// What Parquet calls the element of a list.
pub(crate) const ELEMENT_NAME: &str = "element";

/// The name of a stream: there are few, and rows of one follow each other.
pub(crate) fn stream_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

pub(crate) fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}
