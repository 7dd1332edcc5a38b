//! `annals get`: single records by seq.

use annals::{Error, ReadBuffer, Reader};

use crate::args::LogArg;
use crate::failure::{Failure, Result};
use crate::output::{note, plural};
use crate::records::{MetaArgs, Printer};

/// Print the records with these seqs as NDJSON, in the order asked for.
///
/// A seq that the log doesn't have, that is in a gap, or that retention removed, is an error (exit code 1); the others are printed all the same.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    log: LogArg,

    /// Seqs: a record's position in the log, from 0
    #[arg(value_name = "SEQ", required = true)]
    seqs: Vec<u64>,

    #[command(flatten)]
    meta: MetaArgs,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let reader = Reader::open(&args.log.log)?;
    let mut buffer = ReadBuffer::new();
    let mut printer = Printer::new(args.meta);
    let mut missing = Vec::new();
    let (mut gaps, mut removed) = (0, 0);
    for &seq in &args.seqs {
        match reader.get_into(seq, &mut buffer) {
            Ok(Some(record)) => printer.record(record)?,
            Ok(None) => missing.push(seq.to_string()),
            Err(Error::Gap(gap)) => {
                printer.gaps(&[gap]);
                gaps += 1;
            }
            Err(Error::Removed(removal)) => {
                note(format_args!("annals: record {seq}: {removal}"));
                removed += 1;
            }
            Err(error) => printer.survive(error)?,
        }
    }
    let printed = printer.finish();
    if missing.is_empty() && (gaps + removed == 0 || printed.is_err()) {
        return printed;
    }
    if missing.is_empty() {
        let what = match (gaps, removed) {
            (gaps, 0) => format!("{} in gaps of the log", plural(gaps, "record")),
            (0, removed) => format!("{} removed by retention", plural(removed, "record")),
            (gaps, removed) => {
                format!(
                    "{} in gaps of the log, {} removed by retention",
                    plural(gaps, "record"),
                    plural(removed, "record")
                )
            }
        };
        return Err(Failure::Failed(what));
    }
    let log = args.log.log.display();
    let held = match (reader.first_seq(), reader.end_seq()) {
        (first, end) if first < end => format!("holds seqs {first} to {}", end - 1),
        _ => "is empty".to_owned(),
    };
    let failure = Failure::Failed(format!("there is no record {}: {log} {held}", missing.join(", ")));
    match printed {
        Ok(()) => Err(failure),
        // One exit code can tell only one of the two, and damage is the worse.
        Err(damage) => {
            note(format_args!("annals: {failure}"));
            Err(damage)
        }
    }
}
