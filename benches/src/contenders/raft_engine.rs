//! raft-engine: the log of TiKV, many logs of consecutive entries in one stream of files.

use super::{Appender, Contender, Facts, Reads, Setup, Store, encode_each};
use crate::Result;
use crate::items::Item;
use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine, LogBatch, MessageExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// raft-engine.
#[derive(Debug)]
pub(super) struct RaftEngine;

impl Contender for RaftEngine {
    fn facts(&self) -> Facts {
        Facts {
            package: Some("raft-engine"),
            durable: Some(
                "`write(batch, sync = true)`, group commit; files recycled. Each thread is a raft group of its own, since \
                 entries of one have to be consecutive",
            ),
            unsynced: Some("`write(batch, sync = false)`; survives a kill"),
            reads: Some(
                "`get_entry`, `fetch_entries_to`; LZ4 over batches of 8 KiB and more, each group's index in memory",
            ),
            ..Facts::new("raft-engine")
        }
    }

    fn open(&self, dir: &Path, setup: Setup) -> Result<Box<dyn Store>> {
        let dir = dir.to_str().ok_or("raft-engine wants a path in UTF-8")?.to_owned();
        let engine = Engine::open(Config { dir, ..Config::default() })?;
        Ok(Box::new(Open { engine, durable: setup.durable, groups: AtomicU64::new(FIRST_GROUP) }))
    }
}

/// The group that is read back.
const FIRST_GROUP: u64 = 1;

/// An entry is a protobuf message, here of nothing but bytes: the index, then the event.
#[derive(Debug, Clone)]
struct Entries;

impl MessageExt for Entries {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        entry.value.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

/// The event of an entry.
fn body(entry: &BytesValue) -> &[u8] {
    entry.value.get(8..).unwrap_or_default()
}

struct Open {
    engine: Engine,
    durable: bool,
    groups: AtomicU64,
}

/// Indexes begin at 1.
fn index_of(seq: u64) -> u64 {
    seq + 1
}

impl Store for Open {
    fn appender(&self) -> Result<Box<dyn Appender + '_>> {
        let group = self.groups.fetch_add(1, Ordering::Relaxed);
        let next = self.engine.last_index(group).unwrap_or(0) + 1;
        Ok(Box::new(Appending { store: self, group, next, batch: LogBatch::default(), body: Vec::new() }))
    }

    fn reader(&self) -> Result<Box<dyn Reads + '_>> {
        Ok(Box::new(Reading(&self.engine)))
    }

    fn len(&self) -> Result<u64> {
        Ok(self.engine.last_index(FIRST_GROUP).unwrap_or(0))
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.engine.sync()?)
    }
}

struct Appending<'a> {
    store: &'a Open,
    group: u64,
    next: u64,
    batch: LogBatch,
    body: Vec<u8>,
}

impl Appender for Appending<'_> {
    fn append(&mut self, items: &[Item]) -> Result<()> {
        let mut entries = Vec::with_capacity(items.len());
        encode_each(items, &mut self.body, |_, body| {
            let mut entry = BytesValue::new();
            entry.value = [&self.next.to_le_bytes(), body].concat();
            entries.push(entry);
            self.next += 1;
            Ok(())
        })?;
        self.batch.add_entries::<Entries>(self.group, &entries)?;
        self.store.engine.write(&mut self.batch, self.store.durable)?;
        Ok(())
    }
}

struct Reading<'a>(&'a Engine);

/// How many entries a scan fetches at once.
const FETCHED: u64 = 1_000;

impl Reads for Reading<'_> {
    fn get(&mut self, seq: u64, see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let entry = self.0.get_entry::<Entries>(FIRST_GROUP, index_of(seq))?;
        Ok(entry.map(|entry| see(body(&entry))).is_some())
    }

    fn scan(&mut self, see: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let end = self.0.last_index(FIRST_GROUP).map_or(0, |last| last + 1);
        let mut next = index_of(0);
        let mut entries = Vec::new();
        while next < end {
            let upper = (next + FETCHED).min(end);
            entries.clear();
            self.0.fetch_entries_to::<Entries>(FIRST_GROUP, next, upper, None, &mut entries)?;
            entries.iter().try_for_each(|entry| see(body(entry)))?;
            next = upper;
        }
        Ok(())
    }
}
