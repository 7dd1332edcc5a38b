//! What the log has to hold, kept in the simplest way there is: a list of what was appended, and how far it was
//! acknowledged.

use crate::simulator::asking::CLASSES;
use crate::simulator::kept::Kept;
use crate::simulator::random::Random;
use crate::simulator::tree::Hash;
use annals::{Error, Incarnation, Reader, Record, Removal, ScanRange, Timestamp};
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// What is wrong, for people.
pub(crate) type Broken = String;

/// What went wrong in an operation.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The engine returned an error, as it may if the disk fails.
    Engine(Error),
    /// The engine broke a promise.
    Broken(Broken),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(error) => error.fmt(f),
            Self::Broken(broken) => f.write_str(broken),
        }
    }
}

pub(crate) type Step<T = ()> = Result<T, Failure>;

/// A record that was appended. It may be lost as long as it was not acknowledged.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) body: Arc<[u8]>,
    /// Its idempotency key; empty if it has none.
    pub(crate) key: Arc<[u8]>,
    /// The earliest and the latest that its time can be: the same, if it was given.
    pub(crate) time: (i64, i64),
    pub(crate) incarnation: Incarnation,
    /// Whether it is the last of its batch.
    pub(crate) ends_batch: bool,
}

impl Entry {
    /// Compares a record that was read with what was appended as `seq`.
    pub(crate) fn check(&self, seq: usize, found: &Record<'_>) -> Result<(), Broken> {
        if found.seq() != seq as u64 {
            return Err(format!("record {seq} says that it is record {}", found.seq()));
        }
        if found.body() != &*self.body {
            return Err(format!("record {seq} has the body of another: {:02x?}", &found.body()[..12]));
        }
        if found.key() != &*self.key {
            return Err(format!("record {seq} has the key {:02x?}, not {:02x?}", found.key(), self.key));
        }
        if found.incarnation() != self.incarnation {
            return Err(format!("record {seq} comes from {:?}, not from {:?}", found.incarnation(), self.incarnation));
        }
        let at = found.timestamp().as_micros();
        if at < self.time.0 || at > self.time.1 {
            return Err(format!("record {seq} is of {at}, and not of {:?}", self.time));
        }
        Ok(())
    }

    /// What the field `i` of its body says; `None` if it has no such field.
    pub(crate) fn id(&self) -> Option<u64> {
        let id = self.body.strip_prefix(BODY_START)?.first_chunk()?;
        Some(u64::from_be_bytes(*id))
    }
}

/// How a body with an id begins.
const BODY_START: &[u8] = &[0x83, 0xA1, b'i', 0xCF];

/// What was appended, and what was promised.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    /// All that was ever appended, what retention has removed included.
    pub(crate) entries: Vec<Entry>,
    /// So many records were acknowledged as durable.
    pub(crate) durable: usize,
    /// So many records were acknowledged as given to the operating system.
    pub(crate) written: usize,
    /// Whether the log was opened once, and so exists.
    pub(crate) created: bool,
    /// Every opening there was.
    pub(crate) incarnations: HashSet<Incarnation>,
    /// What the log's catalog may say: one thing, unless a change of it failed or was interrupted.
    pub(crate) kept: Vec<Kept>,
    /// The leaves of the hash tree over the records that retention has removed, or some more.
    pub(crate) leaves: Vec<Hash>,
    next_id: u64,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            durable: 0,
            written: 0,
            created: false,
            incarnations: HashSet::new(),
            kept: vec![Kept::default()],
            leaves: Vec::new(),
            next_id: 0,
        }
    }
}

impl Model {
    /// A body that no other record has, of about `size` bytes: a MessagePack map `{"i": id, "k": class, "p": bytes}`.
    pub(crate) fn body(&mut self, size: usize, random: &mut Random) -> Arc<[u8]> {
        let id = self.next_id;
        self.next_id += 1;
        let mut body = BODY_START.to_vec();
        body.extend(id.to_be_bytes());
        body.extend([0xA1, b'k', (id % CLASSES) as u8]);
        body.extend([0xA1, b'p', 0xC5]);
        body.extend((size as u16).to_be_bytes());
        // What compresses well, what doesn't, and what looks like space that was never written.
        match random.below(4) {
            0 => body.resize(body.len() + size, 0),
            1 => body.extend((0..size).map(|_| random.next() as u8)),
            _ => body.extend((0..size).map(|at| b"abcdefgh"[at % 8] ^ (id as u8 & 3))),
        }
        body.into()
    }

    pub(crate) fn append(&mut self, bodies: Vec<Arc<[u8]>>, time: (i64, i64), incarnation: Incarnation) {
        let count = bodies.len();
        for (index, body) in bodies.into_iter().enumerate() {
            let ends_batch = index + 1 == count;
            self.entries.push(Entry { body, key: Arc::default(), time, incarnation, ends_batch });
        }
    }

    pub(crate) fn append_keyed(&mut self, body: Arc<[u8]>, key: Arc<[u8]>, time: (i64, i64), incarnation: Incarnation) {
        self.entries.push(Entry { body, key, time, incarnation, ends_batch: true });
    }

    /// Everything appended so far is durable.
    pub(crate) fn all_durable(&mut self) {
        (self.durable, self.written) = (self.entries.len(), self.entries.len());
    }

    /// After a restart there are `found` records, and these are durable.
    pub(crate) fn restarted(&mut self, found: usize) {
        self.entries.truncate(found);
        self.leaves.truncate(found);
        self.all_durable();
    }

    /// Checks what somebody was told who asked for record `seq`.
    pub(crate) fn was_removed(&self, seq: usize, removal: &Removal) -> Step {
        let is_known = self.kept.iter().any(|kept| kept.first_seq() >= removal.end_seq);
        match is_known && removal.first_seq <= seq as u64 && (seq as u64) < removal.end_seq {
            true => Ok(()),
            false => Err(Failure::Broken(format!("record {seq} is said to be removed: {removal:?}, {:?}", self.kept))),
        }
    }

    pub(crate) fn ends_batch(&self, end: usize) -> bool {
        end == 0 || self.entries.get(end - 1).is_some_and(|entry| entry.ends_batch)
    }
}

/// Reads all that `reader` sees, and compares it with `entries`, of which those before its first seq are removed. Returns the
/// seq behind the last.
pub(crate) fn compare(reader: &Reader, entries: &[Entry]) -> Step<usize> {
    let mut scan = reader.scan(ScanRange::all())?;
    let mut next = reader.first_seq() as usize;
    while let Some(record) = scan.advance()? {
        let entry = entries.get(next).ok_or_else(|| format!("record {next} was never appended"))?;
        entry.check(next, &record)?;
        next += 1;
    }
    match reader.end_seq() == next as u64 {
        true => Ok(next),
        false => Err(Failure::Broken(format!("records are read up to {next}, of {}", reader.end_seq()))),
    }
}

/// Reads as users do who look for one thing: by seq, backwards, in ranges of seqs and of times.
pub(crate) fn read_in_every_way(reader: &Reader, entries: &[Entry], random: &mut Random) -> Step {
    let end = compare(reader, entries)?;
    let (begin, entries) = (reader.first_seq() as usize, &entries[..end]);
    for _ in 0..4 {
        let seq = random.below(end + 2);
        match (reader.get(seq as u64), entries.get(seq)) {
            (Ok(Some(record)), Some(entry)) if seq >= begin => entry.check(seq, &record.as_record())?,
            (Ok(None), None) => {}
            (Err(Error::Removed(removal)), _) if seq < begin && removal.end_seq <= begin as u64 => {}
            (Err(error), _) if !matches!(error, Error::Removed(_)) => return Err(error.into()),
            (found, _) => return Err(Failure::Broken(format!("record {seq} of {begin} to {end}: {found:?}"))),
        }
    }
    let (first, last) = (random.below(end + 1), random.below(end + 1));
    let expected: Vec<usize> = (first.max(begin)..last).collect();
    same(reader, ScanRange::all().seqs(first as u64..last as u64), expected)?;
    // Only records whose time was given say exactly whether they belong into a range of times.
    if begin == end || entries[begin..].iter().any(|entry| entry.time.0 != entry.time.1) {
        return Ok(());
    }
    let mut time = || entries[begin + random.below(end - begin)].time.0;
    let (since, until) = (time(), time());
    let in_range = |seq: &usize| entries[*seq].time.0 >= since && entries[*seq].time.0 < until;
    let expected: Vec<usize> = (begin..end).filter(in_range).collect();
    let range = ScanRange::all().since(Timestamp::from_micros(since)).until(Timestamp::from_micros(until));
    same(reader, range, expected)
}

/// Both ways.
fn same(reader: &Reader, range: ScanRange, mut expected: Vec<usize>) -> Step {
    for range in [range, range.reverse()] {
        let found: Vec<_> = reader.scan(range)?.collect::<annals::Result<_>>()?;
        let found: Vec<_> = found.iter().map(|record| record.seq() as usize).collect();
        if found != expected {
            return Err(Failure::Broken(format!("{range:?} gives {found:?}, not {expected:?}")));
        }
        expected.reverse();
    }
    Ok(())
}
