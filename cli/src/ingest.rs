//! NDJSON into a log, or into streams of a store: the one loop behind `append` and `demo`.

mod target;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use annals::{Error, StreamName};
use serde::Serialize;
use target::{Appended, Pending, text_of};

use crate::failure::{Failure, Result};
use crate::input::{self, LINE_BYTES_MAX, Piece, Source};
use crate::interrupt::interrupted;
use crate::output::{count, note};
use crate::progress::bytes_bar;
use crate::time::TimeSource;
pub(crate) use target::Target;

/// A batch is appended when its records take so many bytes, however few they are. One more record of the largest size
/// still fits a frame.
const BATCH_BYTES: usize = 1 << 20;

/// A batch waits no longer than this for more lines.
const WAIT: Duration = Duration::from_millis(50);

/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 1 << 10;

/// So many bad lines are named on stderr; the others are only counted.
const BAD_LINES_NAMED: u64 = 10;

/// How to ingest.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Where a record's time is.
    pub(crate) times: TimeSource,
    /// Whether a record without a usable time is a bad line.
    pub(crate) strict_time: bool,
    /// Records in a batch.
    pub(crate) batch_records: usize,
    /// Where bad lines go; without it the first one stops the ingest.
    pub(crate) rejects: Option<PathBuf>,
    /// The field whose value is the record's idempotency key, if each is to be appended once.
    pub(crate) once_key: Option<String>,
}

/// What was ingested.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Counts {
    /// Seqs of the records that were appended.
    #[serde(flatten)]
    pub(crate) seqs: Seqs,
    /// The same of each stream of a store.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) streams: BTreeMap<StreamName, Seqs>,
    /// Lines read, whatever was in them.
    pub(crate) lines: u64,
    /// Lines with nothing in them.
    pub(crate) blank_lines: u64,
    /// Lines that went to the rejects file.
    pub(crate) rejected_lines: u64,
    /// Lines that were skipped since the log has their key.
    pub(crate) known_keys: u64,
    /// Records that were dropped, since they came faster than the rate limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) dropped_records: u64,
    /// Records that have the time of ingest, since they had no usable one of their own.
    pub(crate) time_of_ingest: u64,
    /// How many records got their time from which field.
    pub(crate) time_fields: BTreeMap<String, u64>,
    /// Bytes read, as they are stored.
    pub(crate) bytes_read: u64,
    /// Bytes of the lines, decompressed.
    pub(crate) bytes_plain: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Counts {
    fn add(&mut self, stream: Option<&StreamName>, appended: &Range<u64>) {
        let Some(name) = stream else { return self.seqs.add(appended) };
        // Seqs are those of one stream each.
        self.seqs.records += appended.end - appended.start;
        match self.streams.get_mut(name) {
            Some(seqs) => seqs.add(appended),
            None => self.streams.entry(name.clone()).or_default().add(appended),
        }
    }
}

/// A dense run of seqs.
#[derive(Debug, Default, Clone, Serialize)]
pub(crate) struct Seqs {
    /// How many records were appended.
    pub(crate) records: u64,
    /// The first record's seq, if there is one.
    pub(crate) first_seq: Option<u64>,
    /// The seq after the last record's.
    pub(crate) end_seq: Option<u64>,
}

impl Seqs {
    fn add(&mut self, appended: &Range<u64>) {
        self.records += appended.end - appended.start;
        self.first_seq.get_or_insert(appended.start);
        self.end_seq = Some(appended.end);
    }
}

/// Appends the lines of `sources`. What was appended counts even where the ingest stopped early, for the reason returned
/// beside it; syncing is left to the caller.
pub(crate) fn ingest(target: Target<'_>, sources: Vec<Source>, options: Options) -> (Counts, Result<()>) {
    let mut ingest = match Ingest::new(target, &sources, options) {
        Ok(ingest) => ingest,
        Err(failure) => return (Counts::default(), Err(failure)),
    };
    let outcome = ingest.run(sources);
    // What came before a bad line, or before the signal, is appended all the same.
    let flushed = ingest.append_batch();
    let rejects = ingest.finish_rejects();
    (ingest.counts, outcome.and(flushed).and(rejects))
}

struct Ingest<'a> {
    pending: Pending<'a>,
    options: Options,
    names: Vec<String>,
    /// The input being read, and the line in it, from 1.
    source: usize,
    line: u64,
    in_oversize: bool,
    body: Vec<u8>,
    rejects: Option<Rejects>,
    counts: Counts,
}

impl<'a> Ingest<'a> {
    fn new(target: Target<'a>, sources: &[Source], options: Options) -> Result<Self> {
        let rejects = options.rejects.as_deref().map(Rejects::open).transpose()?;
        let names = sources.iter().map(Source::name).collect();
        Ok(Self {
            pending: Pending::new(target),
            options,
            names,
            source: 0,
            line: 0,
            in_oversize: false,
            body: Vec::new(),
            rejects,
            counts: Counts::default(),
        })
    }

    fn run(&mut self, sources: Vec<Source>) -> Result<()> {
        let total = sources.iter().try_fold(0, |sum, source| source.check().ok().flatten().map(|size| sum + size));
        let bar = bytes_bar("appending", total);
        let stream = input::spawn(sources)?;
        let outcome = loop {
            if interrupted() {
                break Err(Failure::Interrupted);
            }
            let outcome = match stream.pieces.recv_timeout(WAIT) {
                Ok(piece) => self.piece(piece),
                // Nobody knows when more comes: what is here is appended.
                Err(RecvTimeoutError::Timeout) => self.append_batch(),
                Err(RecvTimeoutError::Disconnected) => break Ok(()),
            };
            if outcome.is_err() {
                break outcome;
            }
            bar.set_position(stream.meter.bytes());
        };
        self.counts.bytes_read = stream.meter.bytes();
        bar.finish_and_clear();
        outcome
    }

    fn piece(&mut self, piece: Piece) -> Result<()> {
        match piece {
            Piece::Begin(index) => (self.source, self.line) = (index, 0),
            Piece::Lines(bytes) => {
                self.counts.bytes_plain += bytes.len() as u64;
                input::lines(&bytes).try_for_each(|line| self.whole_line(line))?;
            }
            Piece::Oversize { bytes, is_last } => {
                self.counts.bytes_plain += bytes.len() as u64;
                self.oversize_line(&bytes, is_last)?;
            }
            Piece::Failed(failure) => return Err(failure),
        }
        Ok(())
    }

    fn whole_line(&mut self, raw: &[u8]) -> Result<()> {
        self.line += 1;
        self.counts.lines += 1;
        let line = input::trim_line_end(raw);
        if line.trim_ascii().is_empty() {
            self.counts.blank_lines += 1;
            return Ok(());
        }
        match self.record(line) {
            Ok(added) => added?,
            Err(reason) => {
                self.bad_line(&reason)?;
                return self.reject(raw, true);
            }
        }
        match self.pending.records() >= self.options.batch_records || self.pending.bytes() >= BATCH_BYTES {
            true => self.append_batch(),
            false => Ok(()),
        }
    }

    /// Adds the line's record to the batch, or submits it if it has a key; or says why the line is bad.
    fn record(&mut self, line: &[u8]) -> Result<Result<()>, String> {
        if line.len() > LINE_BYTES_MAX {
            return Err(too_long());
        }
        self.body.clear();
        annals::json::to_msgpack(line, &mut self.body).map_err(|error| error.to_string())?;
        let found = self.options.times.find(&self.body);
        if found.is_none() && self.options.strict_time {
            return Err(self.options.times.nothing_found());
        }
        let timestamp = self.pending.time_of(found.map(|found| found.timestamp));
        let stream = self.pending.stream_of(&self.body)?;
        match self.pending.admit(stream.as_ref()) {
            Ok(()) => {}
            // Others choose the names of streams: that is no reason to take no more records of those there are.
            Err(error @ Error::TooManyStreams { .. }) => return Err(format!("{error} (--streams-max)")),
            Err(error) => return Ok(Err(append_failure(error))),
        }
        match &self.options.once_key {
            None => self.pending.push(stream, timestamp, &self.body)?,
            Some(field) => {
                let key = key_of(&self.body, field)?;
                match self.pending.submit_once(stream, &key, timestamp, &self.body) {
                    Ok(true) => {}
                    Ok(false) => {
                        self.counts.known_keys += 1;
                        return Ok(Ok(()));
                    }
                    Err(error) => return Ok(Err(append_failure(error))),
                }
            }
        }
        match found {
            None => self.counts.time_of_ingest += 1,
            Some(found) => match self.counts.time_fields.get_mut(found.field) {
                Some(count) => *count += 1,
                None => {
                    self.counts.time_fields.insert(found.field.to_owned(), 1);
                }
            },
        }
        Ok(Ok(()))
    }

    fn oversize_line(&mut self, part: &[u8], is_last: bool) -> Result<()> {
        if !self.in_oversize {
            self.line += 1;
            self.counts.lines += 1;
            self.bad_line(&too_long())?;
        }
        self.in_oversize = !is_last;
        self.reject(part, is_last)
    }

    /// Counts a bad line; stops the ingest if there is nowhere to put it.
    fn bad_line(&mut self, reason: &str) -> Result<()> {
        let place = format!("{}, line {}: {reason}", self.names[self.source], self.line);
        if self.rejects.is_none() {
            // Counted only when they are appended: the batch goes first.
            self.append_batch()?;
            return Err(Failure::BadInput(format!(
                "{place}. Everything before this line is in the log, nothing from it on. Correct the line and append the \
                 rest, or use --rejects FILE to set bad lines aside and go on."
            )));
        }
        self.counts.rejected_lines += 1;
        match self.counts.rejected_lines {
            ..=BAD_LINES_NAMED => note(format_args!("annals: rejected {place}")),
            number if number == BAD_LINES_NAMED + 1 => note("annals: more lines are rejected and only counted"),
            _ => {}
        }
        Ok(())
    }

    fn reject(&mut self, raw: &[u8], is_last: bool) -> Result<()> {
        match &mut self.rejects {
            Some(rejects) => rejects.write(raw, is_last),
            None => Ok(()),
        }
    }

    fn append_batch(&mut self) -> Result<()> {
        let counts = &mut self.counts;
        let told = &mut |stream: Option<&StreamName>, appended: Appended| match appended {
            Appended::Seqs(seqs) => counts.add(stream, &seqs),
            Appended::Dropped(records) => counts.dropped_records += records,
        };
        self.pending.append(told).map_err(append_failure)
    }

    fn finish_rejects(&mut self) -> Result<()> {
        self.rejects.take().map_or(Ok(()), Rejects::finish)
    }
}

/// The idempotency key in the field `path` of the record `body`: a string, or an integer in decimal digits.
fn key_of(body: &[u8], path: &str) -> Result<Vec<u8>, String> {
    let Some(key) = text_of(body, path).map(String::into_bytes) else {
        return Err(format!("no string and no integer in the field {path}, which is to hold the key"));
    };
    match key.len() {
        1..=KEY_BYTES_MAX => Ok(key),
        len => Err(format!("the key in the field {path} has {len} bytes: 1 to {KEY_BYTES_MAX} are possible")),
    }
}

fn too_long() -> String {
    format!("the line is longer than {} bytes", count(LINE_BYTES_MAX as u64))
}

fn append_failure(error: Error) -> Failure {
    match Failure::from(error) {
        Failure::Failed(message) => Failure::Failed(format!("appending stopped: {message}")),
        other => other,
    }
}

/// The file of bad lines. Lines are added at its end: what an earlier run put there stays.
struct Rejects {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Rejects {
    fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path);
        let file = file.map_err(|error| Failure::io("open the rejects file", path, &error))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    fn write(&mut self, raw: &[u8], is_last: bool) -> Result<()> {
        let mut outcome = self.file.write_all(raw);
        if is_last && !raw.ends_with(b"\n") {
            outcome = outcome.and_then(|()| self.file.write_all(b"\n"));
        }
        outcome.map_err(|error| Failure::io("write the rejects file", &self.path, &error))
    }

    fn finish(mut self) -> Result<()> {
        let flushed = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        flushed.map_err(|error| Failure::io("write the rejects file", &self.path, &error))
    }
}
