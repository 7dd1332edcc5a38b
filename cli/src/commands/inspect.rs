//! `annals inspect`: one file of a log, piece by piece.

use std::path::PathBuf;

use annals::{Piece, Timestamp, What};

use crate::failure::{Failure, Result};
use crate::output::{Format, Out, OutputArgs, count, plural};
use crate::time::Rfc3339;

/// Show what is in one file of a log: headers, frames, blocks, offsets. For debugging.
///
/// Works on a damaged file and on one taken out of its log. Bytes that don't check make the exit code 3, though they may
/// be harmless, as what an unfinished write leaves behind is: `annals verify` judges the whole log.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A file in a log's directory
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut listing = Listing { out: Out::new(), format: args.output.format(), pieces: 0, bad: 0 };
    let mut outcome = listing.begin();
    // The engine goes through the whole file in any case; after a failure there is nobody to tell the rest.
    let inspected = annals::inspect(&args.file, &mut |piece| {
        if outcome.is_ok() {
            outcome = listing.piece(&piece);
        }
    });
    outcome?;
    listing.end()?;
    inspected?;
    match listing.bad {
        0 => Ok(()),
        bad => Err(Failure::Integrity(format!(
            "{} in {}: `annals verify` tells whether the log is damaged",
            plural(bad, "bad piece"),
            args.file.display()
        ))),
    }
}

/// The pieces as they are printed, one after the other: a file may have very many.
struct Listing {
    out: Out,
    format: Format,
    pieces: u64,
    bad: u64,
}

impl Listing {
    fn begin(&mut self) -> Result<()> {
        match self.format {
            Format::Table => self.out.write(row("offset", "bytes", "piece", "").as_bytes()),
            Format::Json => self.out.write(b"[\n"),
            Format::Ndjson => Ok(()),
        }
    }

    fn piece(&mut self, piece: &Piece) -> Result<()> {
        self.bad += u64::from(matches!(piece.what, What::Bad { .. }));
        let json = || {
            serde_json::to_string(piece)
                .map_err(|error| Failure::Failed(format!("cannot write the piece as JSON: {error}")))
        };
        let text = match self.format {
            Format::Table => {
                let (name, details) = describe(&piece.what);
                row(&count(piece.offset), &count(piece.bytes), name, &details)
            }
            Format::Json => format!("{}  {}", if self.pieces > 0 { ",\n" } else { "" }, json()?),
            Format::Ndjson => format!("{}\n", json()?),
        };
        self.pieces += 1;
        self.out.write(text.as_bytes())
    }

    fn end(&mut self) -> Result<()> {
        if self.format == Format::Json {
            self.out.write(b"\n]\n")?;
        }
        self.out.flush()
    }
}

fn row(offset: &str, bytes: &str, name: &str, details: &str) -> String {
    format!("{}\n", format!("{offset:>15}  {bytes:>13}  {name:<8}  {details}").trim_end())
}

/// A piece's name, and what there is to say of it.
fn describe(what: &What) -> (&'static str, String) {
    match what {
        What::Header { file, log_id, file_id, base_seq, ordinal, created } => (
            "header",
            format!(
                "{file}, log {log_id}, file {file_id}, from seq {base_seq}, ordinal {ordinal}, created {}",
                Rfc3339(*created)
            ),
        ),
        What::Frame { kind, first_seq, count, watermark, incarnation, time_min, time_max } => {
            let holds = if *count > 0 { records(*first_seq, *count, *time_min, *time_max) } else { String::new() };
            ("frame", format!("{kind}, {holds}watermark {watermark}, incarnation {incarnation}"))
        }
        What::Block { first_seq, count, time_min, time_max } => {
            ("block", records(*first_seq, *count, *time_min, *time_max).trim_end_matches(", ").to_owned())
        }
        What::Gap(gap) => ("gap", gap.to_string()),
        What::Section { tag } => ("section", tag.clone()),
        What::Trailer => ("trailer", "directory and trailer".to_owned()),
        What::Index => ("index", "positions and times".to_owned()),
        What::Catalog { fields, holds, releases, removals } => {
            let listed = |texts: Vec<String>| if texts.is_empty() { "none".to_owned() } else { texts.join("; ") };
            let holds = listed(holds.iter().map(ToString::to_string).collect());
            let releases = listed(releases.iter().map(ToString::to_string).collect());
            let removals = listed(removals.iter().map(ToString::to_string).collect());
            let fields = listed(fields.clone().unwrap_or_default());
            ("catalog", format!("fields: {fields}, holds: {holds}, released: {releases}, removed: {removals}"))
        }
        What::Head { durable_seq, written_seq, ordinal, incarnation } => (
            "head",
            format!(
                "durable below seq {durable_seq}, written below {written_seq}, newest segment has ordinal {ordinal}, \
                 incarnation {incarnation}"
            ),
        ),
        What::Unused => ("unused", "zeros, prepared for what comes".to_owned()),
        What::Bad { detail, first_seq, end_seq } => {
            let missing = match (first_seq, end_seq) {
                (Some(first), Some(end)) if end > first => format!(" (records {first} to {})", end - 1),
                (Some(first), None) => format!(" (from record {first})"),
                _ => String::new(),
            };
            ("BAD", format!("{detail}{missing}"))
        }
        // The engine may learn of more than this program.
        _ => ("other", String::new()),
    }
}

fn records(first_seq: u64, count: u32, time_min: Timestamp, time_max: Timestamp) -> String {
    let last = first_seq + u64::from(count.max(1)) - 1;
    format!("seqs {first_seq} to {last}, {} to {}, ", Rfc3339(time_min), Rfc3339(time_max))
}
