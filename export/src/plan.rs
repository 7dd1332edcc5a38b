//! From the shape of the records to columns: the lattice of docs/export.md.

use crate::names::{EXTRA, JSON, RESERVED, RESERVED_OF_STREAMS, SEQ, STREAM, TIME, unique_names};
use crate::schema::{Column, ColumnType, ELEMENT_NAME, JsonReason, stream_type, timestamp_type};
use crate::{ExportError, ExportOptions, forced};
use annals::shape::{Field, Kind, Node, Shape};
use arrow::datatypes::{DataType, Field as ArrowField, Schema, SchemaRef};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use std::collections::HashMap;
use std::sync::Arc;

/// Most leaf columns; above it the top-level column with the most leaves becomes JSON text, and so on.
pub const LEAVES_MAX: usize = 4096;

/// The columns of an export.
#[derive(Debug, Clone)]
pub struct Plan {
    columns: Vec<Column>,
    stream: bool,
    extra: bool,
    json: bool,
    schema: SchemaRef,
}

impl Plan {
    /// The columns for records of this shape.
    ///
    /// # Errors
    /// [`ExportError::NoSuchColumn`] if [`ExportOptions::columns`] names a column that is not there.
    pub fn new(shape: &Shape, options: &ExportOptions) -> Result<Plan, ExportError> {
        let root = shape.root();
        let reserved: &[&str] = if options.with_stream { &RESERVED_OF_STREAMS } else { &RESERVED };
        let mut columns = columns(root.fields(), reserved);
        limit_leaves(&mut columns);
        for (path, forced_type) in &options.columns {
            forced::apply(&mut columns, path, *forced_type)?;
        }
        let extra = shape.is_truncated()
            || root.has_other_keys()
            || root.fields().iter().any(Field::is_duplicated)
            || !options.columns.is_empty();
        let (stream, json) = (options.with_stream, options.with_json);
        let schema = Arc::new(arrow_schema(&columns, stream, extra, json));
        Ok(Plan { columns, stream, extra, json, schema })
    }

    /// The columns made of the records' own keys, in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Whether there is a column `_stream`.
    pub fn has_stream(&self) -> bool {
        self.stream
    }

    /// Whether there is a column `_extra`.
    pub fn has_extra(&self) -> bool {
        self.extra
    }

    /// Whether there is a column `_json`.
    pub fn has_json(&self) -> bool {
        self.json
    }

    /// The Arrow schema of the files.
    pub fn arrow_schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many columns there are before those of the records' own keys.
    pub(crate) fn own_columns(&self) -> usize {
        2 + usize::from(self.stream)
    }

    pub(crate) fn leaves(&self) -> usize {
        self.columns.iter().map(|column| column.column_type.leaves()).sum()
    }
}

fn columns(fields: &[Field], reserved: &[&str]) -> Vec<Column> {
    let keys: Vec<&str> = fields.iter().map(Field::name).collect();
    let names = unique_names(&keys, reserved);
    let column = |(field, name): (&Field, String)| Column {
        key: field.name().to_owned(),
        name,
        column_type: column_type(field.node()),
        forced: false,
    };
    fields.iter().zip(names).map(column).collect()
}

/// The table of docs/export.md, row by row. The first that matches counts.
fn column_type(node: &Node) -> ColumnType {
    let seen = |kinds: &[Kind]| kinds.iter().any(|&kind| node.count(kind) > 0);
    let only = |kinds: &[Kind]| Kind::ALL.iter().all(|kind| kinds.contains(kind) || node.count(*kind) == 0);
    let integers_fit =
        node.integers().is_none_or(|range| i64::try_from(range.min).is_ok() && i64::try_from(range.max).is_ok());
    let exact = node.integers().is_none_or(|range| range.all_exact_as_f64);

    match () {
        () if only(&[Kind::Null]) => ColumnType::Json(JsonReason::NullOnly),
        () if seen(&[Kind::Extension]) => ColumnType::Json(JsonReason::Extension),
        () if seen(&[Kind::JsonNumber, Kind::JsonString]) => ColumnType::Json(JsonReason::JsonToken),
        () if node.is_wide() => ColumnType::Json(JsonReason::Wide),
        () if seen(&[Kind::Deep]) => ColumnType::Json(JsonReason::Deep),
        () if node.has_other_keys() => ColumnType::Json(JsonReason::OtherKeys),
        () if node.fields().iter().any(Field::is_duplicated) => ColumnType::Json(JsonReason::DuplicateKeys),
        () if only(&[Kind::Null, Kind::Bool]) => ColumnType::Bool,
        () if only(&[Kind::Null, Kind::Int]) && integers_fit => ColumnType::Int,
        () if only(&[Kind::Null, Kind::Int]) => ColumnType::Json(JsonReason::IntegerRange),
        () if only(&[Kind::Null, Kind::Int, Kind::Float]) && exact => ColumnType::Float,
        () if only(&[Kind::Null, Kind::Int, Kind::Float]) => ColumnType::Json(JsonReason::InexactInteger),
        () if only(&[Kind::Null, Kind::String]) => ColumnType::String,
        () if only(&[Kind::Null, Kind::Binary]) => ColumnType::Binary,
        () if only(&[Kind::Null, Kind::EmptyArray]) => ColumnType::Json(JsonReason::EmptyArrays),
        () if only(&[Kind::Null, Kind::EmptyObject]) => ColumnType::Json(JsonReason::EmptyObjects),
        () if only(&[Kind::Null, Kind::Array, Kind::EmptyArray]) => list(node),
        () if only(&[Kind::Null, Kind::Object, Kind::EmptyObject]) => structure(node),
        () => ColumnType::Json(JsonReason::MixedTypes),
    }
}

fn list(node: &Node) -> ColumnType {
    let Some(element) = node.element() else { return ColumnType::Json(JsonReason::EmptyArrays) };
    ColumnType::List(Box::new(Column {
        key: String::new(),
        name: ELEMENT_NAME.to_owned(),
        column_type: column_type(element),
        forced: false,
    }))
}

fn structure(node: &Node) -> ColumnType {
    match node.fields() {
        [] => ColumnType::Json(JsonReason::EmptyObjects),
        fields => ColumnType::Struct(columns(fields, &[])),
    }
}

fn limit_leaves(columns: &mut [Column]) {
    let mut leaves: usize = columns.iter().map(|column| column.column_type.leaves()).sum();
    while leaves > LEAVES_MAX {
        let widest = columns.iter_mut().rev().max_by_key(|column| column.column_type.leaves());
        let Some(widest) = widest.filter(|column| column.column_type.leaves() > 1) else { return };
        leaves -= widest.column_type.leaves() - 1;
        widest.column_type = ColumnType::Json(JsonReason::ColumnLimit);
    }
}

fn arrow_schema(columns: &[Column], stream: bool, extra: bool, json: bool) -> Schema {
    let mut field_id = 1;
    let mut own = |name: &str, data_type: DataType| {
        let id = HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), field_id.to_string())]);
        field_id += 1;
        ArrowField::new(name, data_type, false).with_metadata(id)
    };
    let mut fields = Vec::new();
    if stream {
        fields.push(own(STREAM, stream_type()));
    }
    fields.extend([own(SEQ, DataType::Int64), own(TIME, timestamp_type())]);
    fields.extend(columns.iter().map(|column| column.to_arrow(&mut field_id)));
    for (name, present) in [(EXTRA, extra), (JSON, json)] {
        if present {
            let text = Column {
                key: name.to_owned(),
                name: name.to_owned(),
                column_type: ColumnType::Json(JsonReason::Forced),
                forced: false,
            };
            fields.push(text.to_arrow(&mut field_id).with_nullable(name == EXTRA));
        }
    }
    Schema::new(fields)
}
