//! Where records go: to a log, to one stream of a store, or each to the stream that a field of it names.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::SystemTime;

use annals::msgpack::{Reader as MsgPack, Token};
use annals::{Batch, Log, Store, Stream, StreamName, Ticket, Timestamp};

use crate::time::find_path;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) enum Target<'a> {
    Log(&'a Log),
    Stream(Stream),
    /// The store, and the path of the field.
    By(&'a Store, String),
}

/// What became of records.
pub(super) enum Appended {
    /// They were appended with these seqs.
    Seqs(Range<u64>),
    /// So many were beyond the rate limit, and dropped.
    Dropped(u64),
}

impl Appended {
    fn of(outcome: annals::Result<Range<u64>>) -> annals::Result<Self> {
        match outcome {
            Ok(seqs) => Ok(Self::Seqs(seqs)),
            Err(annals::Error::Dropped { records, .. }) => Ok(Self::Dropped(records)),
            Err(error) => Err(error),
        }
    }
}

/// What waits for one stream.
#[derive(Default)]
struct Waiting {
    batch: Batch,
    keyed: Keyed,
}

/// What takes the place of the batch where records have keys: those that were submitted, and not waited for yet.
#[derive(Default)]
struct Keyed {
    /// The one that becomes durable last.
    last: Option<Ticket>,
    /// The seqs of those that are new.
    seqs: Option<Range<u64>>,
}

impl Keyed {
    /// Adds a record that is new.
    fn add(&mut self, ticket: Ticket) {
        let seqs = ticket.seqs();
        let first = self.seqs.as_ref().map_or(seqs.start, |known| known.start);
        self.seqs = Some(first..seqs.end);
        self.last = Some(ticket);
    }

    /// Waits until all are durable. Returns the seqs of those that are new.
    fn wait(&mut self) -> annals::Result<Option<Range<u64>>> {
        match std::mem::take(self) {
            Self { last: Some(last), seqs } => last.wait().map(|()| seqs),
            _ => Ok(None),
        }
    }
}

/// Records on their way to a target: those for each stream are a batch of their own.
pub(super) struct Pending<'a> {
    target: Target<'a>,
    /// Streams that have a place.
    known: BTreeSet<StreamName>,
    /// `None` stands for a log that is no stream.
    waiting: BTreeMap<Option<StreamName>, Waiting>,
    records: usize,
    bytes: usize,
    /// The time that a record without one was given last.
    given: i64,
}

impl<'a> Pending<'a> {
    pub(super) fn new(target: Target<'a>) -> Self {
        Self { target, known: BTreeSet::new(), waiting: BTreeMap::new(), records: 0, bytes: 0, given: i64::MIN }
    }

    /// The time of a record, if it needs one before it is appended: where streams get their batches one after the other, records
    /// have the times at which they came, so that they are merged in that order.
    pub(super) fn time_of(&mut self, timestamp: Option<Timestamp>) -> Option<Timestamp> {
        if timestamp.is_some() || !matches!(self.target, Target::By(..)) {
            return timestamp;
        }
        let now = Timestamp::from(SystemTime::now()).as_micros();
        self.given = now.max(self.given.saturating_add(1));
        Some(Timestamp::from_micros(self.given))
    }

    pub(super) fn records(&self) -> usize {
        self.records
    }

    /// About how much memory the records take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The stream that the record `body` goes to; or why it can go to none.
    pub(super) fn stream_of(&self, body: &[u8]) -> Result<Option<StreamName>, String> {
        match &self.target {
            Target::Log(_) => Ok(None),
            Target::Stream(stream) => Ok(Some(stream.name().clone())),
            Target::By(_, field) => {
                let name = text_of(body, field).ok_or_else(|| {
                    format!("no string and no integer in the field {field}, which is to name the record's stream")
                })?;
                StreamName::new(&name).map(Some).map_err(|error| format!("the field {field}: {error}"))
            }
        }
    }

    /// Sees to it that the stream that a record names is there or can be created, before the record waits for it: a store takes
    /// only so many.
    pub(super) fn admit(&mut self, stream: Option<&StreamName>) -> annals::Result<()> {
        let (Target::By(store, _), Some(name)) = (&self.target, stream) else { return Ok(()) };
        if !self.known.contains(name) {
            store.stream(name.as_str())?.reserve()?;
            self.known.insert(name.clone());
        }
        Ok(())
    }

    /// Adds a record; or says why it can't be one.
    pub(super) fn push(
        &mut self,
        stream: Option<StreamName>,
        timestamp: Option<Timestamp>,
        body: &[u8],
    ) -> Result<(), String> {
        let batch = &mut self.waiting.entry(stream).or_default().batch;
        let before = batch.bytes();
        batch.push_raw(timestamp, body).map_err(|error| error.to_string())?;
        self.records += 1;
        self.bytes += batch.bytes() - before;
        Ok(())
    }

    /// Appends all batches, and tells of each that was. After a failure none is left.
    pub(super) fn append(&mut self, told: &mut dyn FnMut(Option<&StreamName>, Appended)) -> annals::Result<()> {
        let mut outcome = Ok(());
        for (stream, Waiting { batch, keyed }) in &mut self.waiting {
            let keyed = keyed.wait();
            if outcome.is_ok() {
                outcome =
                    keyed.map(|seqs| seqs.into_iter().for_each(|seqs| told(stream.as_ref(), Appended::Seqs(seqs))));
            }
            if outcome.is_ok() && !batch.is_empty() {
                let appended = match (&self.target, stream.as_ref()) {
                    (Target::Log(log), _) => log.append_batch(batch),
                    (Target::Stream(stream), _) => stream.append_batch(batch),
                    (Target::By(store, _), Some(name)) => {
                        store.stream(name.as_str()).and_then(|stream| stream.append_batch(batch))
                    }
                    // Every record of such a target was given a stream.
                    (Target::By(..), None) => continue,
                };
                outcome = Appended::of(appended).map(|appended| told(stream.as_ref(), appended));
            }
            batch.clear();
        }
        if self.waiting.len() > 1 {
            // The next records may be for other streams.
            self.waiting.clear();
        }
        (self.records, self.bytes) = (0, 0);
        outcome
    }

    /// Submits a record with a key. Returns whether the key is new.
    pub(super) fn submit_once(
        &mut self,
        stream: Option<StreamName>,
        key: &[u8],
        timestamp: Option<Timestamp>,
        body: &[u8],
    ) -> annals::Result<bool> {
        let submit = |log: &Log| -> annals::Result<(Ticket, bool)> {
            let next = log.next_seq();
            let ticket = log.submit_once_raw(key, timestamp, body)?;
            // The log may have told of something before it.
            let is_new = ticket.seqs().start >= next;
            Ok((ticket, is_new))
        };
        let (ticket, is_new) = match (&self.target, &stream) {
            (Target::Log(log), _) => submit(log)?,
            (Target::Stream(stream), _) => stream.with(submit)?,
            (Target::By(store, _), Some(name)) => store.stream(name.as_str())?.with(submit)?,
            (Target::By(..), None) => return Ok(false),
        };
        let keyed = &mut self.waiting.entry(stream).or_default().keyed;
        if is_new {
            keyed.add(ticket);
            self.records += 1;
            self.bytes += body.len();
        } else {
            // The record that it repeats may still be on its way.
            let _ = keyed.last.get_or_insert(ticket);
        }
        Ok(is_new)
    }
}

/// The text in the field `path` of the record `body`: a string, or an integer in decimal digits.
pub(super) fn text_of(body: &[u8], path: &str) -> Option<String> {
    match find_path(body, path).and_then(|value| MsgPack::new(value).token().ok())? {
        Token::Str(text) => Some(text.to_owned()),
        Token::UInt(integer) => Some(integer.to_string()),
        Token::Int(integer) => Some(integer.to_string()),
        _ => None,
    }
}
