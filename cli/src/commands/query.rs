//! `annals query`: records by what is in them.

use annals::{Condition, Error, FieldPath, Query, QueryStats};
use serde::Serialize;

use crate::args::PlaceArg;
use crate::condition::{parse_condition, parse_path};
use crate::failure::{Failure, Result};
use crate::output::{OutputArgs, count, facts, note, plural, report};
use crate::place::{Found, Place, StreamArgs};
use crate::range::{RangeArgs, with_threads};
use crate::records::{MetaArgs, Printer};

/// Print the records for which a condition holds, as NDJSON; of a store's streams, merged by time.
///
/// A condition compares fields with values: 'status = "failed" and (attempts > 3 or user.name in ("ada", "bob"))'. There
/// are = != < <= > >=, in (…), prefix "…", exists(…), and, or, not and parentheses. Strings are quoted as in JSON. A field is
/// a key, or keys joined by dots; keys of unusual characters are quoted. docs/query.md has all of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: PlaceArg,

    /// What has to be true of a record; without it, all records
    #[arg(value_name = "CONDITION", value_parser = parse_condition)]
    condition: Option<Condition>,

    #[command(flatten)]
    streams: StreamArgs,

    #[command(flatten)]
    range: RangeArgs,

    /// At most N records
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    limit: u64,

    /// Last record first
    #[arg(long)]
    reverse: bool,

    /// Print only these fields of each record
    #[arg(long = "field", value_name = "PATH", value_parser = parse_path)]
    fields: Vec<FieldPath>,

    /// Run the query and print what it took, in place of the records
    #[arg(long)]
    explain: bool,

    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten)]
    meta: MetaArgs,
}

/// What `--explain` prints.
#[derive(Serialize)]
struct Explained {
    /// The condition, as it was understood.
    condition: Option<String>,
    #[serde(flatten)]
    stats: QueryStats,
    /// Places of the log that could not be read.
    damage: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut range = args.range.scan_range();
    if args.reverse {
        range = range.reverse();
    }
    let place = args.streams.open(&args.place.path)?;
    // The limit says nothing of how many are read to find as many.
    let range = with_threads(range, place.records_max());
    let mut query = Query::over(range).limit(args.limit).project(args.fields.iter().cloned());
    if let Some(condition) = &args.condition {
        query = query.filter(condition.clone());
    }
    if args.explain {
        return explain(args, &place, &query);
    }
    let mut printer = Printer::new(args.meta);
    printer.matches(place.query(&query)?)?;
    printer.finish()
}

fn explain(args: &Args, place: &Place, query: &Query) -> Result<()> {
    let mut found = place.query(query)?;
    let mut damage = 0;
    loop {
        match found.skip() {
            Ok(true) => {}
            Ok(false) => break,
            Err(Error::Damaged(place)) => {
                note(format_args!("annals: {place}"));
                damage += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
    let condition = args.condition.as_ref().map(ToString::to_string);
    let explained = Explained { condition, stats: found.stats(), damage };
    report(args.output.format(), &explained, || table(&explained))?;
    match damage {
        0 => Ok(()),
        places => Err(Failure::Integrity(format!("{} of damage met", plural(places, "place")))),
    }
}

impl Found {
    /// Goes over the next record, if there is one.
    fn skip(&mut self) -> annals::Result<bool> {
        Ok(match self {
            Self::Log(matches) => matches.advance()?.is_some(),
            Self::Streams(matches) => matches.advance()?.is_some(),
        })
    }

    fn stats(&self) -> QueryStats {
        match self {
            Self::Log(matches) => matches.stats(),
            Self::Streams(matches) => matches.stats(),
        }
    }
}

fn table(explained: &Explained) -> String {
    let stats = &explained.stats;
    facts([
        ("condition", explained.condition.clone().unwrap_or_else(|| "none: all records".to_owned())),
        ("segments", count(stats.segments)),
        ("  skipped by time", count(stats.segments_skipped_by_time)),
        ("  skipped by index", count(stats.segments_skipped_by_index)),
        ("  narrowed by index", count(stats.segments_by_index)),
        ("blocks read", count(stats.blocks_read)),
        ("records examined", count(stats.records_examined)),
        ("records matched", count(stats.records_matched)),
    ])
}
