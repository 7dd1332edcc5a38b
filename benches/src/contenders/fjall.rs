//! fjall: a log-structured merge tree by seq.

use super::{Appender, Contender, Facts, Index, Reads, Setup, Store, encode_each};
use crate::Result;
use crate::items::Item;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// fjall.
#[derive(Debug)]
pub(super) struct Fjall;

impl Contender for Fjall {
    fn facts(&self) -> Facts {
        Facts {
            package: Some("fjall"),
            durable: Some("a batch with `PersistMode::SyncData` (fdatasync of the journal) for each append"),
            unsynced: Some("the journal is given to the system at each append; survives a kill"),
            reads: Some("keys are big-endian seqs; LZ4 blocks; the memtable flushed before"),
            window: Some("a second keyspace of timestamp and seq"),
            time_index: true,
            ..Facts::new("fjall")
        }
    }

    fn open(&self, dir: &Path, setup: Setup) -> Result<Box<dyn Store>> {
        let database = Database::builder(dir).open()?;
        let events = database.keyspace("events", KeyspaceCreateOptions::default)?;
        let times = if setup.index == Index::Times {
            Some(database.keyspace("times", KeyspaceCreateOptions::default)?)
        } else {
            None
        };
        let store = Open { database, events, times, durable: setup.durable, next: AtomicU64::new(0) };
        store.next.store(store.len()?, Ordering::Relaxed);
        Ok(Box::new(store))
    }
}

struct Open {
    database: Database,
    events: Keyspace,
    times: Option<Keyspace>,
    durable: bool,
    next: AtomicU64,
}

impl Store for Open {
    fn appender(&self) -> Result<Box<dyn Appender + '_>> {
        Ok(Box::new(Appending { store: self, body: Vec::new() }))
    }

    fn reader(&self) -> Result<Box<dyn Reads + '_>> {
        Ok(Box::new(Reading(self)))
    }

    fn len(&self) -> Result<u64> {
        match self.events.last_key_value() {
            Some(last) => Ok(seq_of(&last.key()?)? + 1),
            None => Ok(0),
        }
    }

    fn settle(&self) -> Result<()> {
        for keyspace in [Some(&self.events), self.times.as_ref()].into_iter().flatten() {
            keyspace.rotate_memtable_and_wait()?;
        }
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }
}

fn seq_of(key: &[u8]) -> Result<u64> {
    Ok(u64::from_be_bytes(key[key.len().saturating_sub(8)..].try_into()?))
}

struct Appending<'a> {
    store: &'a Open,
    body: Vec<u8>,
}

impl Appender for Appending<'_> {
    fn append(&mut self, items: &[Item]) -> Result<()> {
        let store = self.store;
        let mut seq = store.next.fetch_add(items.len() as u64, Ordering::Relaxed);
        let mut batch = store.database.batch().durability(store.durable.then_some(PersistMode::SyncData));
        encode_each(items, &mut self.body, |item, body| {
            batch.insert(&store.events, seq.to_be_bytes(), body);
            if let Some(times) = &store.times {
                // Times are after the epoch, so their bytes sort as they do.
                let key = [item.timestamp.to_be_bytes(), seq.to_be_bytes()].concat();
                batch.insert(times, key, []);
            }
            seq += 1;
            Ok(())
        })?;
        Ok(batch.commit()?)
    }
}

struct Reading<'a>(&'a Open);

impl Reads for Reading<'_> {
    fn get(&mut self, seq: u64, see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        Ok(self.0.events.get(seq.to_be_bytes())?.map(|body| see(&body)).is_some())
    }

    fn scan(&mut self, see: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        for entry in self.0.events.iter() {
            see(&entry.value()?)?;
        }
        Ok(())
    }

    fn window(&mut self, from: i64, to: i64, see: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let times = self.0.times.as_ref().ok_or("opened without an index of times")?;
        for entry in times.range(from.to_be_bytes()..to.to_be_bytes()) {
            let seq = seq_of(&entry.key()?)?;
            see(&self.0.events.get(seq.to_be_bytes())?.ok_or("the index names an event that isn't there")?)?;
        }
        Ok(())
    }
}
