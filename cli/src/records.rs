//! Printing records as NDJSON: the one way `cat`, `get` and `tail` share.

use std::io::Write;

use annals::{Error, Gap, Record, StreamName};

use crate::failure::{Failure, Result};
use crate::output::{Out, STDOUT_BUFFER_BYTES, note, plural};
use crate::place::Found;
use crate::time::Rfc3339;

/// So many damaged places are named on stderr; the others are only counted.
const DAMAGE_NAMED: u64 = 20;

/// The option for records in their envelope.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct MetaArgs {
    /// Wrap each record: {"_seq":…,"_time":"…","record":{…}}; of a store, with "_stream":"…" before that
    #[arg(long)]
    pub(crate) meta: bool,
}

/// Writes records to stdout, one a line, and remembers the damage met on the way.
pub(crate) struct Printer {
    out: Out,
    meta: MetaArgs,
    /// Whole lines that have not been written yet.
    lines: Vec<u8>,
    damage: u64,
    gaps: u64,
}

/// What was read before a failure is printed all the same.
impl Drop for Printer {
    fn drop(&mut self) {
        let _ = self.write();
    }
}

impl Printer {
    pub(crate) fn new(meta: MetaArgs) -> Self {
        Self { out: Out::new(), meta, lines: Vec::new(), damage: 0, gaps: 0 }
    }

    /// Prints one record.
    pub(crate) fn record(&mut self, record: Record<'_>) -> Result<()> {
        self.record_of(None, record)
    }

    /// Prints one record of a stream, if it is of one.
    fn record_of(&mut self, stream: Option<&StreamName>, record: Record<'_>) -> Result<()> {
        let start = self.lines.len();
        if self.meta.meta {
            self.lines.push(b'{');
            // Writing to a Vec can't fail, nor can a text be no JSON.
            if let Some(name) = stream.and_then(|name| serde_json::to_string(name).ok()) {
                let _ = write!(self.lines, r#""_stream":{name},"#);
            }
            let _ =
                write!(self.lines, r#""_seq":{},"_time":"{}","record":"#, record.seq(), Rfc3339(record.timestamp()));
        }
        record.to_json(&mut self.lines).inspect_err(|_| self.lines.truncate(start))?;
        self.lines.extend_from_slice(if self.meta.meta { b"}\n" } else { b"\n" });
        if self.lines.len() >= STDOUT_BUFFER_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<()> {
        let written = self.out.write(&self.lines);
        self.lines.clear();
        written
    }

    /// Reports damage, or that records were removed meanwhile, and returns, so that all others can still be printed; returns
    /// any other error.
    pub(crate) fn survive(&mut self, error: Error) -> Result<()> {
        self.survive_of(None, error)
    }

    fn survive_of(&mut self, stream: Option<&StreamName>, error: Error) -> Result<()> {
        if let Error::Removed(removal) = &error {
            note(format_args!("annals: {}{removal}", Of(stream)));
            return Ok(());
        }
        if !error.is_damage() {
            return Err(error.into());
        }
        self.damage += 1;
        match self.damage {
            ..=DAMAGE_NAMED => note(format_args!("annals: {error}")),
            number if number == DAMAGE_NAMED + 1 => note("annals: more damage is met and only counted"),
            _ => {}
        }
        Ok(())
    }

    /// Prints the records that a query finds, and goes on past damage.
    pub(crate) fn matches(&mut self, found: Found) -> Result<()> {
        match found {
            Found::Log(mut matches) => {
                loop {
                    match matches.advance() {
                        Ok(Some(record)) => self.record(record)?,
                        Ok(None) => break,
                        Err(error) => self.survive(error)?,
                    }
                }
                self.gaps(matches.gaps());
            }
            Found::Streams(mut matches) => {
                loop {
                    match matches.advance() {
                        Ok(Some((stream, record))) => self.record_of(Some(stream), record)?,
                        Ok(None) => break,
                        Err(error) => self.survive_of(matches.stream(), error)?,
                    }
                }
                matches.gaps().for_each(|(stream, gap)| self.gap(Some(stream), gap));
            }
        }
        Ok(())
    }

    /// Tells of gaps: the log itself says what is missing, so that is no damage.
    pub(crate) fn gaps(&mut self, gaps: &[Gap]) {
        gaps.iter().for_each(|gap| self.gap(None, gap));
    }

    fn gap(&mut self, stream: Option<&StreamName>, gap: &Gap) {
        self.gaps += 1;
        match self.gaps {
            ..=DAMAGE_NAMED => note(format_args!("annals: gap: {}{gap}", Of(stream))),
            number if number == DAMAGE_NAMED + 1 => note("annals: more gaps are met; `annals verify` lists all"),
            _ => {}
        }
    }

    /// Passes on what is buffered.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.write()?;
        self.out.flush()
    }

    /// Writes what is left. Fails if damage was met.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.flush()?;
        match self.damage {
            0 => Ok(()),
            places => Err(Failure::Integrity(format!(
                "{} of damage met: records are missing from the output, all others were printed. `annals verify` checks \
                 the whole log.",
                plural(places, "place")
            ))),
        }
    }
}

/// The stream that something is said of, for a message.
pub(crate) struct Of<'a>(pub(crate) Option<&'a StreamName>);

impl std::fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |name| write!(f, "stream {name}: "))
    }
}
