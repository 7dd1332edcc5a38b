//! One Parquet file.

use crate::cells::CellError;
use crate::durable::{Pending, io};
use crate::names::{SEQ, TIME};
use crate::rows::Rows;
use crate::{ExportError, ExportOptions, FileReport, Plan, RecordSink, report};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Memory for the dictionaries of all columns together.
const DICTIONARY_BYTES: usize = 24 << 20;
/// Memory for the pages being filled of all columns together.
const PAGE_BYTES: usize = 24 << 20;

/// Writes one Parquet file, which appears under its name when it is complete.
///
/// Columns are written by the [`Plan`]; zstd, dictionaries, statistics, page index. Memory is bounded by the options
/// and the number of columns. Dropped before [`FileSink::finish`], it leaves nothing behind.
#[derive(Debug)]
pub struct FileSink {
    path: PathBuf,
    pending: Pending,
    /// `None` after an error.
    writer: Option<ArrowWriter<File>>,
    plan: Plan,
    rows: Rows,
    row_group_bytes: usize,
    seq_first: Option<u64>,
    seq_last: Option<u64>,
    count: u64,
}

impl FileSink {
    /// Begins the file `path`. `metadata` goes into the file as it is; `annals.rows`, `annals.first_seq`,
    /// `annals.last_seq` and `annals.writer` are added.
    ///
    /// # Errors
    /// [`ExportError::Exists`] unless [`ExportOptions::overwrite`]; [`ExportError::Option`]; the file can't be created.
    pub fn create(
        path: &Path,
        plan: &Plan,
        options: &ExportOptions,
        metadata: &[(String, String)],
    ) -> Result<FileSink, ExportError> {
        let properties = properties(plan, options, metadata)?;
        let (pending, file) = Pending::create(path, options.overwrite)?;
        let writer = ArrowWriter::try_new(file, plan.arrow_schema().clone(), Some(properties))
            .map_err(|source| ExportError::Parquet { path: path.to_owned(), source })?;
        Ok(FileSink {
            path: path.to_owned(),
            pending,
            writer: Some(writer),
            plan: plan.clone(),
            rows: Rows::new(plan),
            row_group_bytes: options.row_group_bytes,
            seq_first: None,
            seq_last: None,
            count: 0,
        })
    }

    /// How many records were pushed.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether no record was pushed.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds one record.
    ///
    /// # Errors
    /// [`ExportError::Order`], [`ExportError::Body`], [`ExportError::DoesNotFit`], or the file can't be written. Every
    /// later call then fails with [`ExportError::Poisoned`], and the file never appears.
    pub fn push(&mut self, seq: u64, timestamp_us: i64, body: &[u8]) -> Result<(), ExportError> {
        if self.writer.is_none() {
            return Err(ExportError::Poisoned);
        }
        let pushed = self.push_record(seq, timestamp_us, body);
        if pushed.is_err() {
            self.writer = None;
        }
        pushed
    }

    /// Writes what is left, syncs the file and gives it its name.
    ///
    /// # Errors
    /// The file can't be written, synced or renamed, or an earlier call failed. Nothing is left behind.
    pub fn finish(mut self) -> Result<FileReport, ExportError> {
        self.flush()?;
        let Some(mut writer) = self.writer.take() else { return Err(ExportError::Poisoned) };
        let mut note =
            |key: &str, value: String| writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
        note("annals.rows", self.count.to_string());
        if let (Some(first), Some(last)) = (self.seq_first, self.seq_last) {
            note("annals.first_seq", first.to_string());
            note("annals.last_seq", last.to_string());
        }
        let path = self.path;
        let file = writer.into_inner().map_err(|source| ExportError::Parquet { path: path.clone(), source })?;
        let bytes = file.metadata().map_err(io("measure", &path))?.len();
        self.pending.publish(file)?;
        let columns = report::columns(self.plan.columns(), self.rows.columns());
        Ok(FileReport {
            rows: self.count,
            seq_first: self.seq_first,
            seq_last: self.seq_last,
            bytes,
            extra_values: self.rows.extra_values,
            json_cells: columns.iter().map(|column| column.json_cells).sum(),
            columns,
        })
    }

    fn push_record(&mut self, seq: u64, timestamp_us: i64, body: &[u8]) -> Result<(), ExportError> {
        let order = ExportError::Order { seq, previous: self.seq_last };
        let signed = match i64::try_from(seq) {
            Ok(signed) if self.seq_last.is_none_or(|last| last < seq) => signed,
            _ => return Err(order),
        };
        self.rows.push(signed, timestamp_us, body).map_err(|error| match error {
            CellError::Body(source) => ExportError::Body { seq, source },
            CellError::DoesNotFit(path) => ExportError::DoesNotFit { seq, path },
        })?;
        self.seq_first.get_or_insert(seq);
        self.seq_last = Some(seq);
        self.count += 1;
        if self.rows.is_full() { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ExportError> {
        let Some(writer) = &mut self.writer else { return Err(ExportError::Poisoned) };
        if self.rows.is_empty() {
            return Ok(());
        }
        let path = &self.path;
        let batch = self.rows.take().map_err(|source| ExportError::Arrow { path: path.clone(), source })?;
        let written = writer.write(&batch).and_then(|()| match writer.memory_size() > self.row_group_bytes {
            true => writer.flush(),
            false => Ok(()),
        });
        written.map_err(|source| ExportError::Parquet { path: path.clone(), source })
    }
}

impl RecordSink for FileSink {
    fn push(&mut self, seq: u64, timestamp_us: i64, body: &[u8]) -> Result<(), ExportError> {
        FileSink::push(self, seq, timestamp_us, body)
    }
}

fn properties(
    plan: &Plan,
    options: &ExportOptions,
    metadata: &[(String, String)],
) -> Result<WriterProperties, ExportError> {
    let out_of_bounds = |option| move |_: ParquetError| ExportError::Option { option };
    if options.row_group_rows == 0 {
        return Err(ExportError::Option { option: "row_group_rows" });
    }
    let level = ZstdLevel::try_new(options.zstd_level).map_err(out_of_bounds("zstd_level"))?;
    let writer = ("annals.writer".to_owned(), concat!("annals-export ", env!("CARGO_PKG_VERSION")).to_owned());
    let pairs = metadata.iter().cloned().chain([writer]).map(|(key, value)| KeyValue::new(key, value)).collect();
    let each = |total: usize| (total / (plan.leaves() + 4)).clamp(16 << 10, 1 << 20);
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_dictionary_page_size_limit(each(DICTIONARY_BYTES))
        .set_data_page_size_limit(each(PAGE_BYTES))
        .set_max_row_group_row_count(Some(options.row_group_rows))
        .set_created_by(concat!("annals-export ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(pairs));
    for name in [SEQ, TIME] {
        let column = ColumnPath::from(name);
        properties = properties
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
    }
    Ok(properties.build())
}
