//! `annals tail`: the last records, and those to come.

use std::time::Duration;

use annals::msgpack::MsgPackError;
use annals::{Error, Matcher, Reader, ScanRange};

use crate::args::LogArg;
use crate::condition::WhereArgs;
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::output::reader_is_gone;
use crate::place::Found;
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
    condition: WhereArgs,

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
    let first = first_of_the_last(args, &reader, end)?;
    let last = reader.query(&args.condition.query(ScanRange::all().seqs(first..end)))?;
    printer.matches(Found::Log(Box::new(last)))?;
    if !args.follow {
        return printer.finish();
    }
    printer.flush()?;
    let mut tail = reader.tail(end);
    let condition = args.condition.condition();
    let mut matcher = condition.map(|condition| Matcher::new(&condition)).transpose().map_err(Error::from)?;
    // While records wait, they are gathered; when none does, what is gathered is passed on.
    let mut wait = Duration::ZERO;
    while !interrupt::interrupted() {
        let next = tail.next(Some(wait));
        printer.gaps(&tail.take_gaps());
        match next {
            Ok(Some(record)) => {
                wait = Duration::ZERO;
                let asked_for = matcher.as_mut().map_or(Ok(true), |matcher| matcher.matches(record.body()));
                let unreadable = |error: MsgPackError| Error::Decode { seq: record.seq(), detail: error.to_string() };
                if asked_for.map_err(unreadable)? {
                    printer.record(record.as_record())?;
                }
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

/// The seq from which on the last records are: all there are, or those for which the condition holds.
fn first_of_the_last(args: &Args, reader: &Reader, end: u64) -> Result<u64> {
    if args.condition.is_all() || args.lines == 0 {
        return Ok(end.saturating_sub(args.lines));
    }
    let mut matches = reader.query(&args.condition.query(ScanRange::all().seqs(..end).reverse()).limit(args.lines))?;
    let mut first = end;
    loop {
        match matches.advance() {
            Ok(Some(record)) => first = record.seq(),
            Ok(None) => return Ok(first),
            // It is named when the records are printed, if it is among them.
            Err(Error::Damaged(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
