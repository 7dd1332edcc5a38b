//! A directory of Parquet files of one schema, and the manifest that makes it whole.
//!
//! The manifest is written last: a directory without one is what an interrupted export left, and no dataset.

use crate::durable::{Pending, io, sync_directory};
use crate::seqs::Seqs;
use crate::{
    ColumnReport, ExportError, ExportOptions, FileReport, FileSink, Plan, RecordSink, StreamReport, StreamSink, report,
};
use serde::Serialize;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The name of the manifest in its directory.
pub const MANIFEST_NAME: &str = "_manifest.json";

/// The version of the rules of docs/export.md by which the files were made.
pub const SCHEMA_VERSION: u32 = 1;

/// One file of a dataset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartReport {
    /// Its name in the directory.
    pub file: String,
    /// The first seq in it; `None` if the records are those of streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq_first: Option<u64>,
    /// The last seq in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq_last: Option<u64>,
    /// What there is of each stream that has records in it, if they are those of streams.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<StreamReport>,
    /// How many records.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
}

/// What a dataset holds; also what the manifest says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DatasetReport {
    /// [`SCHEMA_VERSION`]
    pub schema_version: u32,
    /// What the caller passed as `annals.log_id`.
    pub log_id: Option<String>,
    /// What the caller passed as `annals.store_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_id: Option<String>,
    /// How many records.
    pub rows: u64,
    /// The size of all files together.
    pub bytes: u64,
    /// The files, in the order of the rows.
    pub files: Vec<PartReport>,
    /// What there is of each stream that has records, over all files, if they are those of streams.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<StreamReport>,
    /// Key-value pairs in `_extra`.
    pub extra_values: u64,
    /// All cells that are JSON text.
    pub json_cells: u64,
    /// The columns, over all files.
    pub columns: Vec<ColumnReport>,
}

/// Writes files of at most [`ExportOptions::file_rows`] records, then the manifest. The files are called
/// `part-<first seq>-<last seq>.parquet`, or `part-<number>.parquet`, counted from 0, if the records are those of streams.
#[derive(Debug)]
pub struct DatasetSink {
    directory: PathBuf,
    plan: Plan,
    options: ExportOptions,
    metadata: Vec<(String, String)>,
    part: Option<FileSink>,
    /// Of all parts.
    seqs: Seqs,
    poisoned: bool,
    report: DatasetReport,
}

impl DatasetSink {
    /// Begins a dataset in `directory`, which is created if need be.
    ///
    /// # Errors
    /// [`ExportError::Exists`] if the directory holds anything, unless [`ExportOptions::overwrite`]: then an old
    /// manifest and old parts are removed, and nothing else. [`ExportError::Option`] or [`ExportError::Io`].
    pub fn create(
        directory: &Path,
        plan: &Plan,
        options: &ExportOptions,
        metadata: &[(String, String)],
    ) -> Result<DatasetSink, ExportError> {
        if options.file_rows == 0 {
            return Err(ExportError::Option { option: "file_rows" });
        }
        let told = |key: &str| metadata.iter().find(|(found, _)| found == key).map(|(_, value)| value.clone());
        fs::create_dir_all(directory).map_err(io("create", directory))?;
        clear(directory, options.overwrite)?;
        Ok(DatasetSink {
            directory: directory.to_owned(),
            plan: plan.clone(),
            options: options.clone(),
            metadata: metadata.to_vec(),
            part: None,
            seqs: Seqs::new(plan.has_stream()),
            poisoned: false,
            report: DatasetReport {
                schema_version: SCHEMA_VERSION,
                log_id: told("annals.log_id"),
                store_id: told("annals.store_id"),
                rows: 0,
                bytes: 0,
                files: Vec::new(),
                streams: Vec::new(),
                extra_values: 0,
                json_cells: 0,
                columns: Vec::new(),
            },
        })
    }

    /// Adds one record.
    ///
    /// # Errors
    /// As [`FileSink::push`]; the dataset never gets a manifest then.
    pub fn push(&mut self, seq: u64, timestamp_us: i64, body: &[u8]) -> Result<(), ExportError> {
        self.unless_poisoned(|sink| sink.push_record(seq, timestamp_us, body))
    }

    /// Begins a stream: see [`StreamSink::begin_stream`].
    ///
    /// # Errors
    /// As there; the dataset never gets a manifest then.
    pub fn begin_stream(&mut self, stream: &str) -> Result<(), ExportError> {
        self.unless_poisoned(|sink| {
            sink.seqs.begin(stream)?;
            sink.part.as_mut().map_or(Ok(()), |part| part.begin_stream(stream))
        })
    }

    /// Finishes the last file and writes the manifest. Without records there are no files, only the manifest.
    ///
    /// # Errors
    /// A file can't be written, or an earlier call failed.
    pub fn finish(mut self) -> Result<DatasetReport, ExportError> {
        if self.poisoned {
            return Err(ExportError::Poisoned);
        }
        self.finish_part()?;
        self.report.streams = self.seqs.into_streams();
        let path = self.directory.join(MANIFEST_NAME);
        let (pending, mut file) = Pending::create(&path, self.options.overwrite)?;
        let text = serde_json::to_vec_pretty(&self.report).map_err(|error| io("write", &path)(error.into()))?;
        file.write_all(&text).and_then(|()| file.write_all(b"\n")).map_err(io("write", &path))?;
        pending.publish(file)?;
        Ok(self.report)
    }

    fn unless_poisoned(&mut self, act: impl FnOnce(&mut Self) -> Result<(), ExportError>) -> Result<(), ExportError> {
        if self.poisoned {
            return Err(ExportError::Poisoned);
        }
        let outcome = act(self);
        self.poisoned = outcome.is_err();
        outcome
    }

    fn push_record(&mut self, seq: u64, timestamp_us: i64, body: &[u8]) -> Result<(), ExportError> {
        if self.part.as_ref().is_some_and(|part| part.len() >= self.options.file_rows) {
            self.finish_part()?;
        }
        self.seqs.check(seq)?;
        if self.part.is_none() {
            self.part = Some(self.begin_part()?);
        }
        if let Some(part) = &mut self.part {
            part.push(seq, timestamp_us, body)?;
        }
        self.seqs.add(seq);
        Ok(())
    }

    /// A file that goes on where the one before has ended.
    fn begin_part(&self) -> Result<FileSink, ExportError> {
        // The last seq is not known yet, so the final name isn't either.
        let path = self.directory.join(PART_UNNAMED);
        let options = ExportOptions { overwrite: true, ..self.options.clone() };
        let mut part = FileSink::create(&path, &self.plan, &options, &self.metadata)?;
        match self.seqs.stream() {
            Some(stream) => part.begin_stream(stream).map(|()| part),
            None => Ok(part),
        }
    }

    fn finish_part(&mut self) -> Result<(), ExportError> {
        let Some(part) = self.part.take() else { return Ok(()) };
        let mut report = part.finish()?;
        self.name_part(&mut report)?;
        self.report.rows += report.rows;
        self.report.bytes += report.bytes;
        self.report.extra_values += report.extra_values;
        self.report.json_cells += report.json_cells;
        report::add(&mut self.report.columns, &report.columns);
        Ok(())
    }

    fn name_part(&mut self, report: &mut FileReport) -> Result<(), ExportError> {
        let (seq_first, seq_last) = (report.seq_first, report.seq_last);
        let file = match (seq_first, seq_last) {
            (Some(first), Some(last)) => format!("part-{first:019}-{last:019}.parquet"),
            _ => format!("part-{:010}.parquet", self.report.files.len()),
        };
        let streams = std::mem::take(&mut report.streams);
        let unnamed = self.directory.join(PART_UNNAMED);
        fs::rename(&unnamed, self.directory.join(&file)).map_err(io("rename", &unnamed))?;
        sync_directory(Some(&self.directory))?;
        let (rows, bytes) = (report.rows, report.bytes);
        self.report.files.push(PartReport { file, seq_first, seq_last, streams, rows, bytes });
        Ok(())
    }
}

impl RecordSink for DatasetSink {
    fn push(&mut self, seq: u64, timestamp_us: i64, body: &[u8]) -> Result<(), ExportError> {
        DatasetSink::push(self, seq, timestamp_us, body)
    }
}

impl StreamSink for DatasetSink {
    fn begin_stream(&mut self, stream: &str) -> Result<(), ExportError> {
        DatasetSink::begin_stream(self, stream)
    }
}

/// The file being written. Readers of datasets skip names that begin with an underscore.
const PART_UNNAMED: &str = "_part.parquet";

fn clear(directory: &Path, overwrite: bool) -> Result<(), ExportError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(io("list", directory))? {
        names.push(entry.map_err(io("list", directory))?.file_name());
    }
    if !overwrite && !names.is_empty() {
        return Err(ExportError::Exists { path: directory.to_owned() });
    }
    let ours = |name: &str| {
        name == MANIFEST_NAME
            || name.starts_with(PART_UNNAMED)
            || (name.starts_with("part-") && name.ends_with(".parquet"))
    };
    // The manifest first: what is left is then no dataset, whatever happens.
    names.sort_by_key(|name| name != MANIFEST_NAME);
    for name in names.iter().filter(|name| name.to_str().is_some_and(ours)) {
        let path = directory.join(name);
        fs::remove_file(&path).map_err(io("remove", &path))?;
        if name == MANIFEST_NAME {
            sync_directory(Some(directory))?;
        }
    }
    Ok(())
}
