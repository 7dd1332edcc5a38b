//! Which records were taken. Seqs ascend: those of a log, or those of each stream, and streams come in the order of their
//! names.

use crate::ExportError;
use serde::Serialize;

/// What was written of one stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamReport {
    /// Its name.
    pub stream: String,
    /// How many records.
    pub rows: u64,
    /// The seq of the first, which is one of that stream.
    pub seq_first: u64,
    /// The seq of the last.
    pub seq_last: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Seqs {
    has_streams: bool,
    rows: u64,
    /// The stream that was begun last.
    stream: Option<String>,
    /// The first and the last seq in it, or in the log.
    bounds: Option<(u64, u64)>,
    /// The streams that have records.
    streams: Vec<StreamReport>,
}

impl Seqs {
    pub(crate) fn new(has_streams: bool) -> Self {
        Self { has_streams, rows: 0, stream: None, bounds: None, streams: Vec::new() }
    }

    /// Begins a stream.
    pub(crate) fn begin(&mut self, stream: &str) -> Result<(), ExportError> {
        if !self.has_streams {
            return Err(ExportError::StreamNotPlanned { stream: stream.to_owned() });
        }
        if self.stream.as_deref().is_some_and(|previous| previous >= stream) {
            return Err(ExportError::StreamOrder { stream: stream.to_owned(), previous: self.stream.clone() });
        }
        (self.stream, self.bounds) = (Some(stream.to_owned()), None);
        Ok(())
    }

    /// The seq as a number with sign, if the next record can have it.
    pub(crate) fn check(&self, seq: u64) -> Result<i64, ExportError> {
        if self.has_streams && self.stream.is_none() {
            return Err(ExportError::NoStream { seq });
        }
        let previous = self.bounds.map(|(_, last)| last);
        match i64::try_from(seq) {
            Ok(signed) if previous.is_none_or(|last| last < seq) => Ok(signed),
            _ => Err(ExportError::Order { seq, previous }),
        }
    }

    /// Counts a record that has been checked.
    pub(crate) fn add(&mut self, seq: u64) {
        self.rows += 1;
        let before = self.bounds;
        self.bounds = Some((before.map_or(seq, |(first, _)| first), seq));
        match (&self.stream, self.streams.last_mut()) {
            (None, _) => {}
            (Some(_), Some(report)) if before.is_some() => (report.rows, report.seq_last) = (report.rows + 1, seq),
            (Some(stream), _) => {
                self.streams.push(StreamReport { stream: stream.clone(), rows: 1, seq_first: seq, seq_last: seq });
            }
        }
    }

    /// How many records there are.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// The stream that was begun last.
    pub(crate) fn stream(&self) -> Option<&str> {
        self.stream.as_deref()
    }

    /// The first and the last seq of a log.
    pub(crate) fn of_log(&self) -> Option<(u64, u64)> {
        self.bounds.filter(|_| !self.has_streams)
    }

    /// What there is of streams.
    pub(crate) fn into_streams(self) -> Vec<StreamReport> {
        self.streams
    }

    /// The same, to look at.
    pub(crate) fn streams(&self) -> &[StreamReport] {
        &self.streams
    }
}
