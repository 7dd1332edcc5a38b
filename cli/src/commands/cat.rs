//! `annals cat`: records out of a log, as NDJSON.

use annals::Reader;

use crate::args::LogArg;
use crate::condition::WhereArgs;
use crate::failure::Result;
use crate::range::RangeArgs;
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

    #[command(flatten)]
    meta: MetaArgs,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut range = args.range.scan_range();
    if args.reverse {
        range = range.reverse();
    }
    let mut printer = Printer::new(args.meta);
    let query = args.condition.query(range).limit(args.limit);
    printer.matches(Reader::open(&args.log.log)?.query(&query)?)?;
    printer.finish()
}
