//! `annals cat`: records out of a log, as NDJSON.

use annals::FieldPath;

use crate::args::PlaceArg;
use crate::condition::WhereArgs;
use crate::failure::{Failure, Result};
use crate::place::StreamArgs;
use crate::range::{RangeArgs, with_threads};
use crate::records::{MetaArgs, Printer};

/// Print records as NDJSON: the same JSON that was appended.
///
/// Keys and their order, types, numbers and strings are those of the input; white space and the spelling of escapes are
/// not kept. The streams of a store are merged by time, those of one time in the order of the streams' names. Damaged records are reported on stderr and left out, and the exit code is 3.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: PlaceArg,

    #[command(flatten)]
    streams: StreamArgs,

    #[command(flatten)]
    range: RangeArgs,

    #[command(flatten)]
    condition: WhereArgs,

    /// At most N records
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    limit: u64,

    /// Last record first
    #[arg(long)]
    reverse: bool,

    /// Only this field of records: a key of their own, not inside others; may be given several times
    #[arg(long = "field", value_name = "NAME")]
    fields: Vec<String>,

    #[command(flatten)]
    meta: MetaArgs,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut range = args.range.scan_range();
    if args.reverse {
        range = range.reverse();
    }
    let mut printer = Printer::new(args.meta);
    let place = args.streams.open(&args.place.path)?;
    let there = place.records_max();
    let records = if args.condition.is_all() { there.min(args.limit) } else { there };
    let key =
        |name: &String| FieldPath::new([name]).map_err(|error| Failure::Usage(format!("--field {name}: {error}")));
    let fields = args.fields.iter().map(key).collect::<Result<Vec<_>>>()?;
    let query = args.condition.query(with_threads(range, records)).limit(args.limit).project(fields);
    printer.matches(place.query(&query)?)?;
    printer.finish()
}
