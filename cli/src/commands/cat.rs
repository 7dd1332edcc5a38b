//! `annals cat`: records out of a log, as NDJSON.

use annals::{FieldPath, Reader};

use crate::args::LogArg;
use crate::condition::WhereArgs;
use crate::failure::Result;
use crate::range::{RangeArgs, with_threads};
use crate::records::{MetaArgs, Printer};

/// Print records as NDJSON: the same JSON that was appended.
///
/// Keys and their order, types, numbers and strings are those of the input; white space and the spelling of escapes are
/// not kept. Damaged records are reported on stderr and left out, and the exit code is 3.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    log: LogArg,

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
    let reader = Reader::open(&args.log.log)?;
    let records = args.limit.min(reader.end_seq().saturating_sub(reader.first_seq()));
    let range = with_threads(range, records);
    if args.condition.is_all() {
        let mut scan = reader.scan(range)?;
        if !args.fields.is_empty() {
            scan = scan.only(&args.fields);
        }
        printer.scan(scan, args.limit)?;
        return printer.finish();
    }
    let fields = args.fields.iter().map(|name| FieldPath::new([name])).collect::<Result<Vec<_>, _>>();
    let fields = fields.map_err(annals::Error::from)?;
    printer.matches(reader.query(&args.condition.query(range).limit(args.limit).project(fields))?)?;
    printer.finish()
}
