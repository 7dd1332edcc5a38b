//! `annals index`: fields by whose values records are found without a scan.

use annals::{Background, FieldPath, Options};
use serde::Serialize;

use crate::args::LogArg;
use crate::commands::append::tell_recovery;
use crate::condition::parse_path;
use crate::failure::{Failure, Result};
use crate::output::{OutputArgs, plural, report};

/// Index fields of what is sealed, so that `query` finds records by them without reading the others.
///
/// Adds the fields to those that are indexed, and makes what indexes are missing; without a field, only that. The log
/// remembers the fields: segments that are sealed later are indexed by them, whoever appends, until --drop takes them away.
/// Indexes that are there stay. It needs the log's lock, so no other process can be appending meanwhile. What isn't sealed yet
/// is found by reading it: `annals seal` seals it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    log: LogArg,

    /// Fields: keys, or keys joined by dots
    #[arg(value_name = "PATH", value_parser = parse_path)]
    fields: Vec<FieldPath>,

    /// Index this field no longer; given more than once, all of them
    #[arg(long, value_name = "PATH", value_parser = parse_path)]
    drop: Vec<FieldPath>,

    #[command(flatten)]
    output: OutputArgs,
}

/// What was done.
#[derive(Serialize)]
struct Indexed {
    /// The fields that are indexed now.
    fields: Vec<String>,
    /// How many indexes of segments were made.
    segments: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let options = Options::new().background(Background::Manual);
    let log = options.open(&args.log.log)?;
    tell_recovery(log.recovery());
    let fields = log.indexed_fields();
    log.close()?;
    let fields = changed(fields, &args.fields, &args.drop)?;

    let log = options.index_fields(fields.iter().cloned()).open(&args.log.log)?;
    let segments = log.build_indexes()?;
    log.close()?;
    let indexed = Indexed { fields: fields.iter().map(ToString::to_string).collect(), segments };
    report(args.output.format(), &indexed, || {
        let fields = if indexed.fields.is_empty() { "no field".to_owned() } else { indexed.fields.join(", ") };
        format!("indexed by {fields}: {} made", plural(segments, "index file"))
    })
}

/// `fields` with those `added` and without those `dropped`, in the order in which they were named.
fn changed(mut fields: Vec<FieldPath>, added: &[FieldPath], dropped: &[FieldPath]) -> Result<Vec<FieldPath>> {
    if let Some(unknown) = dropped.iter().find(|field| !fields.contains(field)) {
        return Err(Failure::Usage(format!("{unknown} is not indexed, so it can't be dropped")));
    }
    fields.retain(|field| !dropped.contains(field));
    for field in added {
        if !fields.contains(field) {
            fields.push(field.clone());
        }
    }
    Ok(fields)
}
