//! Typed Parquet files and datasets from an Annals log.
//!
//! A [`Plan`] turns the exact [`Shape`](annals::shape::Shape) of a run of records into columns by the rules of
//! docs/export.md. A [`FileSink`] or a [`DatasetSink`] takes the records in seq order and writes them. No value is
//! dropped or coerced: what a column can't hold is kept as JSON text, or the export fails and says where.
//! The records of many streams become one table with [`ExportOptions::with_stream`] and a [`StreamSink`].
//!
//! ```
//! use annals::shape::Shape;
//! use annals_export::{ExportOptions, FileSink, Plan};
//!
//! let mut body = Vec::new();
//! annals::json::to_msgpack(br#"{"user": "ada", "attempts": 3}"#, &mut body)?;
//! let mut shape = Shape::new();
//! shape.observe(&body)?;
//!
//! let options = ExportOptions::default();
//! let plan = Plan::new(&shape, &options)?;
//! let directory = tempfile::tempdir()?;
//! let mut sink = FileSink::create(&directory.path().join("log.parquet"), &plan, &options, &[])?;
//! sink.push(0, 1_700_000_000_000_000, &body)?;
//! assert_eq!(sink.finish()?.rows, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod cells;
mod dataset;
mod durable;
mod encodings;
mod error;
mod file;
mod forced;
mod keys;
mod lanes;
mod names;
mod options;
mod output;
mod plan;
mod report;
mod row_groups;
mod rows;
mod schema;
mod seqs;
mod sink;
mod stream_names;

pub use dataset::{DatasetReport, DatasetSink, MANIFEST_NAME, PartReport, SCHEMA_VERSION};
pub use error::ExportError;
pub use file::FileSink;
pub use forced::ForcedType;
pub use options::ExportOptions;
pub use plan::{LEAVES_MAX, Plan};
pub use report::{ColumnReport, FileReport};
pub use schema::{Column, ColumnType, JsonReason, META_ENCODING, META_NAME};
pub use seqs::StreamReport;
pub use sink::{CopyError, RecordSink, StreamSink, copy};
