//! What the caller can choose.

use crate::ForcedType;
use std::num::NonZeroUsize;
use std::thread;

/// How to export. Every default is the value of [`ExportOptions::default`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ExportOptions {
    /// Types the caller insists on: path of a column, and its type. A path is a top-level key, or a JSON Pointer
    /// (`/a/b`), or keys joined by dots. Values that do not fit go to `_extra`. Default: none.
    pub columns: Vec<(String, ForcedType)>,
    /// Adds `_json`, each record's exact JSON. Default: `false`.
    pub with_json: bool,
    /// Adds `_stream`, the name of the stream that a record is of: the records are those of several streams, each begun by
    /// [`crate::StreamSink::begin_stream`], and `_seq` is the seq in that stream. Default: `false`.
    pub with_stream: bool,
    /// Replaces files that are there already. Default: `false`.
    pub overwrite: bool,
    /// Most rows of a row group. Default: [`ExportOptions::ROW_GROUP_ROWS`]. At least 1.
    pub row_group_rows: usize,
    /// A row group ends when the writer holds so many bytes of it. Default: [`ExportOptions::ROW_GROUP_BYTES`].
    pub row_group_bytes: usize,
    /// Most rows of one file of a dataset. Default: [`ExportOptions::FILE_ROWS`]. At least 1.
    pub file_rows: u64,
    /// The zstd level of all columns, 1 to 22. Default: `None`, 5 for long texts and 1 for all else, which is the best that
    /// was measured.
    pub zstd_level: Option<i32>,
    /// How many threads encode, that of the caller among them. The files do not depend on it. Default: `None`, as many
    /// as there are processors, but [`ExportOptions::THREADS_MAX`] at most.
    pub threads: Option<NonZeroUsize>,
}

impl ExportOptions {
    /// Default of [`ExportOptions::row_group_rows`].
    pub const ROW_GROUP_ROWS: usize = 1 << 18;
    /// Default of [`ExportOptions::row_group_bytes`].
    pub const ROW_GROUP_BYTES: usize = 32 << 20;
    /// Default of [`ExportOptions::file_rows`].
    pub const FILE_ROWS: u64 = 10_000_000;
    /// Most threads by default: more have nothing to do, since one reads the records.
    pub const THREADS_MAX: usize = 4;

    pub(crate) fn threads(&self) -> usize {
        let by_default = || thread::available_parallelism().map_or(1, NonZeroUsize::get).min(Self::THREADS_MAX);
        self.threads.map_or_else(by_default, NonZeroUsize::get)
    }
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self {
            columns: Vec::new(),
            with_json: false,
            with_stream: false,
            overwrite: false,
            row_group_rows: Self::ROW_GROUP_ROWS,
            row_group_bytes: Self::ROW_GROUP_BYTES,
            file_rows: Self::FILE_ROWS,
            zstd_level: None,
            threads: None,
        }
    }
}
