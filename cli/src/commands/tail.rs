//! `annals tail`: the last records, and those to come.

use std::time::Duration;

use annals::{Reader, ScanRange};

use crate::args::LogArg;
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::output::reader_is_gone;
use crate::records::{MetaArgs, Printer};

/// How soon a signal is noticed while no record comes.
const WAIT: Duration = Duration::from_millis(100);

/// Print the last records, and with -f those to come until interrupted.
///
/// Follows a log that another process writes. Ends when the reader of its output goes away.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    log: LogArg,

    /// How many of the last records
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 10)]
    lines: u64,

    /// Go on with new records as they come
    #[arg(short, long)]
    follow: bool,

    #[command(flatten)]
    meta: MetaArgs,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.follow {
        interrupt::install()?;
    }
    let reader = Reader::open(&args.log.log)?;
    reader.refresh()?;
    let end = reader.end_seq();
    let mut printer = Printer::new(args.meta);
    printer.scan(reader.scan(ScanRange::all().seqs(end.saturating_sub(args.lines)..end))?, u64::MAX)?;
    if !args.follow {
        return printer.finish();
    }
    printer.flush()?;
    let mut tail = reader.tail(end);
    // While records wait, they are gathered; when none does, what is gathered is passed on.
    let mut wait = Duration::ZERO;
    while !interrupt::interrupted() {
        let next = tail.next(Some(wait));
        printer.gaps(&tail.take_gaps());
        match next {
            Ok(Some(record)) => {
                printer.record(record.as_record())?;
                wait = Duration::ZERO;
            }
            Ok(None) => {
                printer.flush()?;
                if reader_is_gone() {
                    return Err(Failure::ClosedPipe);
                }
                wait = WAIT;
            }
            Err(error) => printer.survive(error)?,
        }
    }
    printer.finish()?;
    Err(Failure::Interrupted)
}
