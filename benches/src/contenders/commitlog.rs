//! commitlog: segments of messages by offset, as Kafka has them.

use super::{Appender, Contender, Facts, Reads, Setup, Store, encode_each};
use crate::Result;
use crate::items::Item;
use commitlog::message::{MessageBuf, MessageSet};
use commitlog::{CommitLog, LogOptions, ReadLimit};
use std::path::Path;
use std::sync::{PoisonError, RwLock};

/// commitlog.
#[derive(Debug)]
pub(super) struct Commitlog;

impl Contender for Commitlog {
    fn facts(&self) -> Facts {
        Facts {
            package: Some("commitlog"),
            // Its `flush` syncs the index and never the messages, so nothing it does is durable.
            unsynced: Some("a `write` for each append, behind a lock; survives a kill. It has nothing durable"),
            reads: Some("`read` by offset, at least 4 KiB at a time; checksums are not checked by it"),
            ..Facts::new("commitlog")
        }
    }

    fn open(&self, dir: &Path, _setup: Setup) -> Result<Box<dyn Store>> {
        let mut options = LogOptions::new(dir);
        options.message_max_bytes(16 << 20);
        Ok(Box::new(Open(RwLock::new(CommitLog::new(options)?))))
    }
}

struct Open(RwLock<CommitLog>);

impl Store for Open {
    fn appender(&self) -> Result<Box<dyn Appender + '_>> {
        Ok(Box::new(Appending { store: self, messages: MessageBuf::default(), body: Vec::new() }))
    }

    fn reader(&self) -> Result<Box<dyn Reads + '_>> {
        Ok(Box::new(Reading(self)))
    }

    fn len(&self) -> Result<u64> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).next_offset())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.0.into_inner().unwrap_or_else(PoisonError::into_inner).flush()?)
    }
}

struct Appending<'a> {
    store: &'a Open,
    messages: MessageBuf,
    body: Vec<u8>,
}

impl Appender for Appending<'_> {
    fn append(&mut self, items: &[Item]) -> Result<()> {
        let Self { store, messages, body } = self;
        messages.clear();
        encode_each(items, body, |_, body| Ok(messages.push(body).map_err(|error| format!("{error:?}"))?))?;
        let mut log = store.0.write().unwrap_or_else(PoisonError::into_inner);
        log.append(messages).map_err(|error| format!("{error:?}"))?;
        Ok(())
    }
}

struct Reading<'a>(&'a Open);

/// What a `get` and a scan read at once.
const GET_BYTES: usize = 4 << 10;
const SCAN_BYTES: usize = 256 << 10;

impl Reading<'_> {
    /// At least one message from `offset` on; none only at the end.
    fn read(&self, offset: u64, mut bytes: usize) -> Result<MessageBuf> {
        let log = self.0.0.read().unwrap_or_else(PoisonError::into_inner);
        loop {
            let messages = log.read(offset, ReadLimit::max_bytes(bytes)).map_err(|error| format!("{error:?}"))?;
            if !messages.is_empty() || offset >= log.next_offset() {
                return Ok(messages);
            }
            bytes *= 8;
        }
    }
}

impl Reads for Reading<'_> {
    fn get(&mut self, seq: u64, see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        Ok(self.read(seq, GET_BYTES)?.iter().next().map(|message| see(message.payload())).is_some())
    }

    fn scan(&mut self, see: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut offset = 0;
        loop {
            let messages = self.read(offset, SCAN_BYTES)?;
            if messages.is_empty() {
                return Ok(());
            }
            for message in messages.iter() {
                see(message.payload())?;
                offset = message.offset() + 1;
            }
        }
    }
}
