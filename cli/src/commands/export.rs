//! `annals export`: Parquet for analysts.

mod job;
mod told;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};

use annals_export::{ExportError, ExportOptions, ForcedType};
use serde::Serialize;

use crate::args::PlaceArg;
use crate::condition::WhereArgs;
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::output::{note, plural, print};
use crate::place::StreamArgs;
use crate::range::RangeArgs;
pub(crate) use job::Job;
use told::Exported;

/// Export records to Parquet: one file if OUT ends with .parquet, otherwise a dataset directory.
///
/// Columns have the types that all the records have, not those of a sample. What no column type can hold is kept as JSON
/// text; nothing is dropped or coerced, and the report says what became what.
///
/// Of a store, all streams become one table, or those that --stream names: one after the other in the order of their names, with
/// the name in the column _stream.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: PlaceArg,

    /// A file whose name ends with .parquet, or a directory
    #[arg(value_name = "OUT")]
    out: PathBuf,

    #[command(flatten)]
    streams: StreamArgs,

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
    let job = args.job()?;
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

impl Args {
    fn job(&self) -> Result<Job<'_>> {
        let place = self.streams.open(&self.place.path)?;
        let mut job = Job::new(place, &self.out, self.range.clone(), self.condition.clone(), self.skip_damaged)?;
        self.choose(&mut job.options)?;
        Ok(job)
    }

    /// Sets what is asked for in `options`.
    fn choose(&self, options: &mut ExportOptions) -> Result<()> {
        if let Some(rows) = self.rows_per_file {
            if is_file(&self.out) {
                return Err(Failure::Usage(format!(
                    "--rows-per-file is for datasets, but {} names one file: leave out the option or the .parquet",
                    self.out.display()
                )));
            }
            options.file_rows = rows;
        }
        if let Some(schema) = &self.schema {
            options.columns = read_schema(schema)?;
        }
        options.columns.extend(self.columns.iter().cloned());
        (options.with_json, options.overwrite) = (self.with_json, self.force);
        Ok(())
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
