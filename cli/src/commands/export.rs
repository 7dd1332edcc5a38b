//! `annals export`: Parquet for analysts.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};

use annals::shape::Shape;
use annals::{Damage, Error, Gap, Query, Reader, Record, ScanRange};
use annals_export::{
    ColumnReport, DatasetReport, DatasetSink, ExportError, ExportOptions, FileReport, FileSink, ForcedType, Plan,
    RecordSink,
};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::args::LogArg;
use crate::condition::WhereArgs;
use crate::failure::{Failure, Result};
use crate::interrupt::{self, interrupted};
use crate::output::{bytes, count, note, plural, print};
use crate::progress::records_bar;
use crate::range::{RangeArgs, with_threads};

/// Columns of JSON text that the summary names; the report has all.
const JSON_COLUMNS_NAMED: usize = 8;

/// Records between two looks at the clock and at signals.
const PROGRESS_RECORDS: u64 = 1024;

/// Export records to Parquet: one file if OUT ends with .parquet, otherwise a dataset directory.
///
/// Columns have the types that all the records have, not those of a sample. What no column type can hold is kept as JSON
/// text; nothing is dropped or coerced, and the report says what became what.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    log: LogArg,

    /// A file whose name ends with .parquet, or a directory
    #[arg(value_name = "OUT")]
    out: PathBuf,

    #[command(flatten)]
    range: RangeArgs,

    #[command(flatten)]
    condition: WhereArgs,

    /// Add the column _json: each record's exact JSON
    #[arg(long)]
    with_json: bool,

    /// Give a column a type: string, int, double, bool, timestamp or json; values that don't fit go to _extra
    #[arg(long = "column", value_name = "PATH=TYPE", value_parser = parse_column)]
    columns: Vec<(String, ForcedType)>,

    /// Read such types from a JSON file: {"PATH":"TYPE",…}
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,

    /// Rows in a file of a dataset, at most [default: 10,000,000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rows_per_file: Option<u64>,

    /// Replace what is there
    #[arg(long)]
    force: bool,

    /// Export what can be read of a damaged log, instead of nothing; the exit code is 3 all the same
    #[arg(long)]
    skip_damaged: bool,

    /// Write the report, column by column, as JSON to FILE; - is standard output
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let job = Job::new(args)?;
    interrupt::install()?;
    let exported = job.run()?;
    if let Some(target) = &args.report {
        write_report(target, &exported)?;
    }
    note(exported.text(&args.out));
    match exported.damage.len() as u64 {
        0 => Ok(()),
        places => Err(Failure::Integrity(format!(
            "{} of damage: the records there are missing from {}",
            plural(places, "place"),
            args.out.display()
        ))),
    }
}

/// What was exported, as the report says it.
#[derive(Serialize)]
pub(crate) struct Exported {
    #[serde(flatten)]
    pub(crate) written: Written,
    /// Places of the log that could not be read.
    damage: Vec<Damage>,
    /// Records in the range of seqs that the log says are missing.
    gaps: Vec<Gap>,
}

/// The report of the export library, by kind of output.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Written {
    File(FileReport),
    Dataset(DatasetReport),
}

/// An export that is ready to run.
pub(crate) struct Job<'a> {
    reader: Reader,
    out: &'a Path,
    options: ExportOptions,
    /// Which records; never any that are appended while the export runs, since the records may be read twice.
    range: ScanRange,
    /// Which of those in the range.
    query: Query,
    end_seq: u64,
    /// Whether `query` leaves out none below `end_seq`.
    is_whole: bool,
    skip_damaged: bool,
}

impl<'a> Job<'a> {
    /// An export of the whole log with the defaults.
    pub(crate) fn whole(reader: &Reader, out: &'a Path) -> Result<Self> {
        reader.refresh()?;
        let end_seq = reader.end_seq();
        Ok(Self {
            reader: reader.clone(),
            out,
            options: ExportOptions::default(),
            range: ScanRange::all().seqs(..end_seq),
            query: Query::over(with_threads(
                ScanRange::all().seqs(..end_seq),
                end_seq - reader.first_seq().min(end_seq),
            )),
            end_seq,
            is_whole: true,
            skip_damaged: false,
        })
    }

    fn new(args: &'a Args) -> Result<Self> {
        let mut options = ExportOptions::default();
        if let Some(rows) = args.rows_per_file {
            if is_file(&args.out) {
                return Err(Failure::Usage(format!(
                    "--rows-per-file is for datasets, but {} names one file: leave out the option or the .parquet",
                    args.out.display()
                )));
            }
            options.file_rows = rows;
        }
        if let Some(schema) = &args.schema {
            options.columns = read_schema(schema)?;
        }
        options.columns.extend(args.columns.iter().cloned());
        options.with_json = args.with_json;
        options.overwrite = args.force;

        let mut job = Self::whole(&Reader::open(&args.log.log)?, &args.out)?;
        job.options = options;
        job.range = args.range.scan_range_below(job.end_seq);
        let records = job.end_seq.saturating_sub(job.reader.first_seq());
        job.query = args.condition.query(with_threads(job.range, records));
        job.is_whole = args.range.is_all() && args.condition.is_all();
        job.skip_damaged = args.skip_damaged;
        Ok(job)
    }

    /// Finds the schema, then writes the records.
    pub(crate) fn run(&self) -> Result<Exported> {
        let shape = self.shape()?;
        let plan = Plan::new(&shape, &self.options).map_err(export_failure)?;
        let gaps: Vec<Gap> = self.reader.gaps()?.into_iter().filter(|gap| self.range.includes(gap)).collect();
        let metadata = [
            ("annals.log_id".to_owned(), self.reader.id().to_string()),
            ("annals.merkle_roots".to_owned(), self.roots()?),
            ("annals.gaps".to_owned(), as_json(&gaps)?),
        ];
        let bar = records_bar("exporting", shape.records());
        let (written, damage) = if is_file(self.out) {
            let mut sink = FileSink::create(self.out, &plan, &self.options, &metadata).map_err(export_failure)?;
            let damage = self.push_all(&mut sink, &bar)?;
            (Written::File(sink.finish().map_err(export_failure)?), damage)
        } else {
            let mut sink = DatasetSink::create(self.out, &plan, &self.options, &metadata).map_err(export_failure)?;
            let damage = self.push_all(&mut sink, &bar)?;
            (Written::Dataset(sink.finish().map_err(export_failure)?), damage)
        };
        bar.finish_and_clear();
        Ok(Exported { written, damage, gaps })
    }

    /// The roots of the log's hash tree at the ends of its sealed segments, as a JSON array, so that what was exported
    /// can be traced to what was sealed.
    fn roots(&self) -> Result<String> {
        #[derive(serde::Serialize)]
        struct Root {
            end_seq: u64,
            root: String,
        }
        let segments = self.reader.info()?.segments;
        let roots: Vec<_> = segments
            .into_iter()
            .filter_map(|segment| Some(Root { end_seq: segment.end_seq, root: segment.root? }))
            .collect();
        as_json(&roots)
    }

    /// The exact shape of the records: for a whole log, mostly what was kept when it was sealed.
    fn shape(&self) -> Result<Shape> {
        if self.is_whole {
            return Ok(self.reader.shape(self.end_seq)?);
        }
        let mut shape = Shape::new();
        let bar = records_bar("reading", self.end_seq - self.reader.first_seq());
        self.each(&bar, |record| {
            shape.observe(record.body()).map_err(|error| {
                Failure::Integrity(format!("the body of record {} is not MessagePack: {error}", record.seq()))
            })
        })?;
        bar.finish_and_clear();
        Ok(shape)
    }

    fn push_all(&self, sink: &mut impl RecordSink, bar: &ProgressBar) -> Result<Vec<Damage>> {
        self.each(bar, |record| {
            let pushed = sink.push(record.seq(), record.timestamp().as_micros(), record.body());
            pushed.map_err(export_failure)
        })
    }

    /// Calls `take` with each record, and returns the damage met on the way if that is to be skipped.
    fn each(&self, bar: &ProgressBar, mut take: impl FnMut(Record<'_>) -> Result<()>) -> Result<Vec<Damage>> {
        let mut matches = self.reader.query(&self.query)?;
        let mut damage = Vec::new();
        let mut done = 0u64;
        loop {
            match matches.advance() {
                Ok(Some(record)) => take(record)?,
                Ok(None) => return Ok(damage),
                Err(Error::Damaged(place)) if self.skip_damaged => damage.push(place),
                Err(Error::Damaged(place)) => {
                    return Err(Failure::Integrity(format!(
                        "{place}. Nothing was exported; --skip-damaged exports what can be read, and `annals verify` \
                         tells all that can't"
                    )));
                }
                Err(error) => return Err(error.into()),
            }
            done += 1;
            if done.is_multiple_of(PROGRESS_RECORDS) {
                bar.set_position(done);
                if interrupted() {
                    return Err(Failure::Interrupted);
                }
            }
        }
    }
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
    fn text(&self, out: &Path) -> String {
        let (files, extra) = match &self.written {
            Written::File(file) => (1, file.extra_values),
            Written::Dataset(dataset) => (dataset.files.len() as u64, dataset.extra_values),
        };
        let mut text = format!(
            "exported {} to {}: {}, {}",
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
            let missing = plural(self.gaps.iter().map(Gap::count).sum(), "record");
            text += &format!("\n  {missing} missing in {}, as the log says", plural(self.gaps.len() as u64, "gap"));
        }
        if extra > 0 {
            text += &format!("\n  {} without a column of their own in _extra", plural(extra, "value"));
        }
        text
    }
}

fn as_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Failure::Failed(error.to_string()))
}

/// Whether `out` names one file rather than a dataset.
fn is_file(out: &Path) -> bool {
    out.extension().is_some_and(|extension| extension == "parquet")
}

fn write_report(target: &Path, exported: &Exported) -> Result<()> {
    let mut text = serde_json::to_string_pretty(exported)
        .map_err(|error| Failure::Failed(format!("cannot write the report as JSON: {error}")))?;
    text.push('\n');
    if target == Path::new("-") {
        return print(text.as_bytes());
    }
    fs::write(target, text).map_err(|error| Failure::io("write the report to", target, &error))
}

fn export_failure(error: ExportError) -> Failure {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    match error {
        ExportError::Exists { .. } => Failure::Failed(format!("{text} (--force)")),
        ExportError::NoSuchColumn { .. } | ExportError::Option { .. } => Failure::Usage(text),
        ExportError::Body { .. } => Failure::Integrity(text),
        _ => Failure::Failed(text),
    }
}

fn parse_column(text: &str) -> Result<(String, ForcedType), String> {
    // A path may contain an equals sign, a type never does.
    let (path, type_name) = text.rsplit_once('=').ok_or("expected PATH=TYPE, such as eventTime=timestamp")?;
    Ok((path.to_owned(), parse_type(type_name)?))
}

fn parse_type(name: &str) -> Result<ForcedType, String> {
    name.parse().map_err(|_| format!("there is no type {name:?}: string, int, double, bool, timestamp or json"))
}

fn read_schema(path: &Path) -> Result<Vec<(String, ForcedType)>> {
    let text = fs::read(path).map_err(|error| Failure::io("read the schema", path, &error))?;
    let bad = |reason: String| Failure::BadInput(format!("the schema {} is not usable: {reason}", path.display()));
    let columns: BTreeMap<String, String> = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
    columns.into_iter().map(|(path, name)| parse_type(&name).map(|found| (path, found)).map_err(bad)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_a_path_and_a_type() {
        assert_eq!(parse_column("eventTime=timestamp"), Ok(("eventTime".to_owned(), ForcedType::Timestamp)));
        assert_eq!(parse_column("/a=b/c=int"), Ok(("/a=b/c".to_owned(), ForcedType::Int)));
        assert!(parse_column("eventTime").is_err());
        assert!(parse_column("eventTime=date").is_err_and(|error| error.contains("timestamp")));
    }

    #[test]
    fn the_name_of_the_output_tells_a_file_from_a_dataset() {
        assert!(is_file(Path::new("a/b.parquet")));
        assert!(!is_file(Path::new("a/b")));
        assert!(!is_file(Path::new("a.parquet/b")));
    }
}
