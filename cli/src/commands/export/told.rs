//! What an export says of itself: the report, and a few lines for people.

use std::path::Path;

use annals::{Damage, Gap, StreamName};
use annals_export::{ColumnReport, DatasetReport, FileReport};
use serde::Serialize;

use crate::output::{bytes, count, plural, total};

/// Columns of JSON text that the summary names; the report has all.
const JSON_COLUMNS_NAMED: usize = 8;

/// What was exported, as the report says it.
#[derive(Serialize)]
pub(crate) struct Exported {
    #[serde(flatten)]
    pub(crate) written: Written,
    /// Places that could not be read.
    pub(super) damage: Vec<Of<Damage>>,
    /// Records in the range of seqs that the log says are missing.
    pub(super) gaps: Vec<Of<Gap>>,
}

/// Something of a log, or of a stream, which it names.
#[derive(Clone, Serialize)]
pub(crate) struct Of<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stream: Option<StreamName>,
    #[serde(flatten)]
    pub(super) what: T,
}

/// The report of the export library, by kind of output.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Written {
    File(FileReport),
    Dataset(DatasetReport),
}

impl Exported {
    /// How many records were written.
    pub(crate) fn rows(&self) -> u64 {
        match &self.written {
            Written::File(file) => file.rows,
            Written::Dataset(dataset) => dataset.rows,
        }
    }

    /// The size of what was written.
    pub(crate) fn bytes(&self) -> u64 {
        match &self.written {
            Written::File(file) => file.bytes,
            Written::Dataset(dataset) => dataset.bytes,
        }
    }

    /// All columns, those inside others included.
    pub(crate) fn columns(&self) -> &[ColumnReport] {
        match &self.written {
            Written::File(file) => &file.columns,
            Written::Dataset(dataset) => &dataset.columns,
        }
    }

    /// The columns that hold JSON text.
    pub(crate) fn json_columns(&self) -> impl Iterator<Item = &ColumnReport> {
        self.columns().iter().filter(|column| column.json_reason.is_some())
    }

    /// A few lines for people.
    pub(super) fn text(&self, out: &Path) -> String {
        let (files, extra, streams) = match &self.written {
            Written::File(file) => (1, file.extra_values, file.streams.len()),
            Written::Dataset(dataset) => (dataset.files.len() as u64, dataset.extra_values, dataset.streams.len()),
        };
        let of_streams = match streams as u64 {
            0 => String::new(),
            streams => format!(" of {}", plural(streams, "stream")),
        };
        let mut text = format!(
            "exported {}{of_streams} to {}: {}, {}",
            plural(self.rows(), "record"),
            out.display(),
            plural(files, "file"),
            bytes(self.bytes())
        );
        let json = self.json_columns().count();
        let columns = plural(self.columns().len() as u64, "column");
        text += &format!("\n  {columns}, of which {} with JSON text", count(json as u64));
        if json > 0 {
            let named: Vec<_> =
                self.json_columns().take(JSON_COLUMNS_NAMED).map(|column| column.path.as_str()).collect();
            let more = if json > named.len() { ", …" } else { "" };
            text += &format!(": {}{more}", named.join(", "));
        }
        if !self.gaps.is_empty() {
            let missing = plural(total(self.gaps.iter().map(|gap| gap.what.count())), "record");
            text += &format!("\n  {missing} missing in {}, as the log says", plural(self.gaps.len() as u64, "gap"));
        }
        if extra > 0 {
            text += &format!("\n  {} without a column of their own in _extra", plural(extra, "value"));
        }
        text
    }
}
