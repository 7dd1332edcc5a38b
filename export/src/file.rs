//! One Parquet file.

use crate::cells::CellError;
use crate::durable::{Pending, io};
use crate::encodings::Levels;
use crate::names::{SEQ, TIME};
use crate::row_groups::RowGroups;
use crate::rows::Rows;
use crate::seqs::Seqs;
use crate::{ExportError, ExportOptions, FileReport, Plan, RecordSink, StreamSink, report};
use parquet::basic::Encoding;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use std::path::{Path, PathBuf};

/// Most bytes of the dictionary of one column. What all of them take counts to the bytes of a row group.
const DICTIONARY_BYTES: usize = 1 << 20;
/// Most bytes of a page, and as much more as one batch adds.
const PAGE_BYTES: usize = 1 << 20;
/// Most rows of a page.
const PAGE_ROWS: usize = 20_000;
/// Most rows of a page where there are many columns: most of their pages are small, and headers and indexes weigh.
const WIDE_PAGE_ROWS: usize = 1 << 15;
/// So many leaf columns are many.
const WIDE_LEAVES: usize = 64;

/// Writes one Parquet file, which appears under its name when it is complete.
///
/// Columns are written by the [`Plan`]; zstd, dictionaries, statistics, page index. Several threads encode, and the file
/// is the same for any number of them. Memory is bounded by the options and the number of columns. Dropped before
/// [`FileSink::finish`], it leaves nothing behind.
#[derive(Debug)]
pub struct FileSink {
    path: PathBuf,
    pending: Pending,
    /// `None` after an error.
    row_groups: Option<RowGroups>,
    plan: Plan,
    rows: Rows,
    seqs: Seqs,
}

impl FileSink {
    /// Begins the file `path`. `metadata` goes into the file as it is; `annals.rows`, `annals.first_seq`,
    /// `annals.last_seq` and `annals.writer` are added, and `annals.streams` in place of the seqs if there are streams.
    ///
    /// # Errors
    /// [`ExportError::Exists`] unless [`ExportOptions::overwrite`]; [`ExportError::Option`]; the file can't be created.
    pub fn create(
        path: &Path,
        plan: &Plan,
        options: &ExportOptions,
        metadata: &[(String, String)],
    ) -> Result<FileSink, ExportError> {
        let levels = Levels::new(options.zstd_level).map_err(|_| ExportError::Option { option: "zstd_level" })?;
        let properties = properties(plan, options, metadata)?;
        let (pending, file) = Pending::create(path, options.overwrite)?;
        let row_groups = RowGroups::new(file, plan.arrow_schema(), properties, levels, options)
            .map_err(|source| ExportError::Parquet { path: path.to_owned(), source })?;
        Ok(FileSink {
            path: path.to_owned(),
            pending,
            row_groups: Some(row_groups),
            plan: plan.clone(),
            rows: Rows::new(plan),
            seqs: Seqs::new(plan.has_stream()),
        })
    }

    /// How many records were pushed.
    pub fn len(&self) -> u64 {
        self.seqs.rows()
    }

    /// Whether no record was pushed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds one record.
    ///
    /// # Errors
    /// [`ExportError::Order`], [`ExportError::NoStream`], [`ExportError::Body`], [`ExportError::DoesNotFit`], or the file
    /// can't be written. Every later call then fails with [`ExportError::Poisoned`], and the file never appears.
    pub fn push(&mut self, seq: u64, timestamp_us: i64, body: &[u8]) -> Result<(), ExportError> {
        self.unless_poisoned(|sink| sink.push_record(seq, timestamp_us, body))
    }

    /// Begins a stream: see [`StreamSink::begin_stream`].
    ///
    /// # Errors
    /// As there; every later call then fails.
    pub fn begin_stream(&mut self, stream: &str) -> Result<(), ExportError> {
        self.unless_poisoned(|sink| {
            sink.seqs.begin(stream)?;
            sink.rows.begin_stream(stream);
            Ok(())
        })
    }

    fn unless_poisoned(&mut self, act: impl FnOnce(&mut Self) -> Result<(), ExportError>) -> Result<(), ExportError> {
        if self.row_groups.is_none() {
            return Err(ExportError::Poisoned);
        }
        let outcome = act(self);
        if outcome.is_err() {
            self.row_groups = None;
        }
        outcome
    }

    /// Writes what is left, syncs the file and gives it its name.
    ///
    /// # Errors
    /// The file can't be written, synced or renamed, or an earlier call failed. Nothing is left behind.
    pub fn finish(mut self) -> Result<FileReport, ExportError> {
        self.flush()?;
        let path = self.path;
        let parquet = |source| ExportError::Parquet { path: path.clone(), source };
        let Some(row_groups) = self.row_groups.take() else { return Err(ExportError::Poisoned) };
        let mut writer = row_groups.finish().map_err(parquet)?;
        let mut note =
            |key: &str, value: String| writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
        note("annals.rows", self.seqs.rows().to_string());
        if let Some((first, last)) = self.seqs.of_log() {
            note("annals.first_seq", first.to_string());
            note("annals.last_seq", last.to_string());
        }
        if self.plan.has_stream() {
            let streams =
                serde_json::to_string(self.seqs.streams()).map_err(|error| io("write", &path)(error.into()))?;
            note("annals.streams", streams);
        }
        let file = writer.into_inner().map_err(parquet)?;
        let bytes = file.metadata().map_err(io("measure", &path))?.len();
        self.pending.publish(file)?;
        let columns = report::columns(self.plan.columns(), self.rows.columns());
        Ok(FileReport {
            rows: self.seqs.rows(),
            seq_first: self.seqs.of_log().map(|(first, _)| first),
            seq_last: self.seqs.of_log().map(|(_, last)| last),
            streams: self.seqs.into_streams(),
            bytes,
            extra_values: self.rows.extra_values,
            json_cells: columns.iter().map(|column| column.json_cells).sum(),
            columns,
        })
    }

    fn push_record(&mut self, seq: u64, timestamp_us: i64, body: &[u8]) -> Result<(), ExportError> {
        let signed = self.seqs.check(seq)?;
        self.rows.push(signed, timestamp_us, body).map_err(|error| match error {
            CellError::Body(source) => ExportError::Body { seq, source },
            CellError::DoesNotFit(path) => ExportError::DoesNotFit { seq, path },
        })?;
        self.seqs.add(seq);
        let room = self.row_groups.as_ref().map_or(0, RowGroups::room);
        if self.rows.is_full() || self.rows.len() >= room { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ExportError> {
        let Some(row_groups) = &mut self.row_groups else { return Err(ExportError::Poisoned) };
        if self.rows.is_empty() {
            return Ok(());
        }
        let path = &self.path;
        let batch = self.rows.take().map_err(|source| ExportError::Arrow { path: path.clone(), source })?;
        row_groups.push(&batch).map_err(|source| ExportError::Parquet { path: path.clone(), source })
    }
}

impl RecordSink for FileSink {
    fn push(&mut self, seq: u64, timestamp_us: i64, body: &[u8]) -> Result<(), ExportError> {
        FileSink::push(self, seq, timestamp_us, body)
    }
}

impl StreamSink for FileSink {
    fn begin_stream(&mut self, stream: &str) -> Result<(), ExportError> {
        FileSink::begin_stream(self, stream)
    }
}

fn properties(
    plan: &Plan,
    options: &ExportOptions,
    metadata: &[(String, String)],
) -> Result<WriterProperties, ExportError> {
    if options.row_group_rows == 0 {
        return Err(ExportError::Option { option: "row_group_rows" });
    }
    let writer = ("annals.writer".to_owned(), concat!("annals-export ", env!("CARGO_PKG_VERSION")).to_owned());
    let pairs = metadata.iter().cloned().chain([writer]).map(|(key, value)| KeyValue::new(key, value)).collect();
    let mut properties = WriterProperties::builder()
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_data_page_row_count_limit(if plan.leaves() < WIDE_LEAVES { PAGE_ROWS } else { WIDE_PAGE_ROWS })
        .set_max_row_group_row_count(None)
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
