//! What an export did, column by column.

use crate::StreamReport;
use crate::cells::{Cells, pointer};
use crate::schema::{Column, ColumnType, JsonReason};
use serde::Serialize;

/// What became of one column, or of a field or element inside one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnReport {
    /// Where the values are in the records, as a JSON Pointer; `[]` stands for the elements of an array.
    pub path: String,
    /// What it is called in Parquet, without what it is part of.
    pub name: String,
    /// The name of its type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Cells that hold a value.
    pub values: u64,
    /// Cells that are NULL: explicit nulls, and missing ones wherever the parent is there or not.
    pub nulls: u64,
    /// Cells that are JSON text.
    pub json_cells: u64,
    /// Why they are.
    pub json_reason: Option<JsonReason>,
    /// Values that do not have the type the caller wanted, and are in `_extra`.
    pub misfits: u64,
}

/// What one file holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileReport {
    /// How many records.
    pub rows: u64,
    /// The first seq; `None` if there are no records, or if they are those of streams.
    pub seq_first: Option<u64>,
    /// The last seq.
    pub seq_last: Option<u64>,
    /// What there is of each stream that has records here, if they are those of streams.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<StreamReport>,
    /// The size of the file.
    pub bytes: u64,
    /// Key-value pairs in `_extra`.
    pub extra_values: u64,
    /// All cells that are JSON text, `_extra` and `_json` not counted.
    pub json_cells: u64,
    /// The columns made of the records' keys, parents before children.
    pub columns: Vec<ColumnReport>,
}

pub(crate) fn columns(columns: &[Column], cells: &[Cells]) -> Vec<ColumnReport> {
    let mut reports = Vec::new();
    for (column, cells) in columns.iter().zip(cells) {
        append(column, cells, &mut Vec::new(), &mut reports);
    }
    reports
}

fn append(column: &Column, cells: &Cells, path: &mut Vec<Option<String>>, reports: &mut Vec<ColumnReport>) {
    path.push(cells.key());
    let json_reason = match &column.column_type {
        ColumnType::Json(reason) => Some(*reason),
        _ => None,
    };
    let counts = cells.counts;
    reports.push(ColumnReport {
        path: pointer(path),
        name: column.name.clone(),
        type_name: column.column_type.name().to_owned(),
        values: counts.values,
        nulls: counts.cells - counts.values,
        json_cells: if json_reason.is_some() { counts.values } else { 0 },
        json_reason,
        misfits: counts.misfits,
    });
    let children: &[Column] = match &column.column_type {
        ColumnType::List(element) => std::slice::from_ref(element),
        ColumnType::Struct(fields) => fields,
        _ => &[],
    };
    for (column, cells) in children.iter().zip(cells.children()) {
        append(column, cells, path, reports);
    }
    path.pop();
}

/// Adds up the columns of the files of one dataset.
pub(crate) fn add(totals: &mut Vec<ColumnReport>, file: &[ColumnReport]) {
    if totals.is_empty() {
        totals.extend_from_slice(file);
        return;
    }
    for (total, part) in totals.iter_mut().zip(file) {
        total.values += part.values;
        total.nulls += part.nulls;
        total.json_cells += part.json_cells;
        total.misfits += part.misfits;
    }
}
