//! redb: a copy-on-write B-tree by seq.

use super::{Appender, Contender, Facts, Index, Reads, Setup, Store, encode_each};
use crate::Result;
use crate::items::Item;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use std::path::Path;

/// redb.
#[derive(Debug)]
pub(super) struct Redb;

const EVENTS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("events");
/// Time and seq, so that times need not be unique.
const TIMES: TableDefinition<'static, (i64, u64), ()> = TableDefinition::new("times");
const IDS: TableDefinition<'static, &str, u64> = TableDefinition::new("ids");

impl Contender for Redb {
    fn facts(&self) -> Facts {
        Facts {
            package: Some("redb"),
            durable: Some("`Durability::Immediate`, one write transaction an append; threads wait for each other"),
            unsynced: Some("`Durability::None`: a kill loses everything since the last immediate commit"),
            reads: Some("one read transaction for all"),
            window: Some("a second table of (timestamp, seq)"),
            time_index: true,
            finds: Some("a second table of id and seq"),
            ..Facts::new("redb")
        }
    }

    fn open(&self, dir: &Path, setup: Setup) -> Result<Box<dyn Store>> {
        std::fs::create_dir_all(dir)?;
        let database = Database::create(dir.join("events.redb"))?;
        let store = Open { database, setup };
        let write = store.database.begin_write()?;
        write.open_table(EVENTS)?;
        write.commit()?;
        Ok(Box::new(store))
    }
}

struct Open {
    database: Database,
    setup: Setup,
}

impl Store for Open {
    fn appender(&self) -> Result<Box<dyn Appender + '_>> {
        Ok(Box::new(Appending { store: self, bodies: Vec::new(), body: Vec::new() }))
    }

    fn reader(&self) -> Result<Box<dyn Reads + '_>> {
        let transaction = self.database.begin_read()?;
        let has = |index| self.setup.index == index;
        let times = if has(Index::Times) { Some(transaction.open_table(TIMES)?) } else { None };
        let ids = if has(Index::Ids) { Some(transaction.open_table(IDS)?) } else { None };
        Ok(Box::new(Reading { events: transaction.open_table(EVENTS)?, times, ids }))
    }

    fn len(&self) -> Result<u64> {
        let events = self.database.begin_read()?.open_table(EVENTS)?;
        Ok(events.last()?.map_or(0, |(seq, _)| seq.value() + 1))
    }

    /// Makes what was committed without durability durable.
    fn settle(&self) -> Result<()> {
        Ok(self.database.begin_write()?.commit()?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.database.close()?)
    }
}

struct Appending<'a> {
    store: &'a Open,
    bodies: Vec<(i64, Option<String>, Vec<u8>)>,
    body: Vec<u8>,
}

impl Appender for Appending<'_> {
    fn append(&mut self, items: &[Item]) -> Result<()> {
        let Self { store, bodies, body } = self;
        // Encoded before the transaction is begun: only one can be open.
        bodies.clear();
        encode_each(items, body, |item, body| {
            let id = item.id().filter(|_| store.setup.index == Index::Ids).map(str::to_owned);
            bodies.push((item.timestamp, id, body.to_vec()));
            Ok(())
        })?;
        let mut write = store.database.begin_write()?;
        write.set_durability(if store.setup.durable { Durability::Immediate } else { Durability::None })?;
        {
            let mut events = write.open_table(EVENTS)?;
            let mut times = if store.setup.index == Index::Times { Some(write.open_table(TIMES)?) } else { None };
            let mut ids = if store.setup.index == Index::Ids { Some(write.open_table(IDS)?) } else { None };
            let next = events.last()?.map_or(0, |(seq, _)| seq.value() + 1);
            for (seq, (timestamp, id, body)) in (next..).zip(bodies) {
                events.insert(seq, body.as_slice())?;
                if let Some(times) = &mut times {
                    times.insert((*timestamp, seq), ())?;
                }
                if let Some((ids, id)) = ids.as_mut().zip(id.as_deref()) {
                    ids.insert(id, seq)?;
                }
            }
        }
        Ok(write.commit()?)
    }
}

struct Reading {
    events: redb::ReadOnlyTable<u64, &'static [u8]>,
    times: Option<redb::ReadOnlyTable<(i64, u64), ()>>,
    ids: Option<redb::ReadOnlyTable<&'static str, u64>>,
}

impl Reads for Reading {
    fn get(&mut self, seq: u64, see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        Ok(self.events.get(seq)?.map(|body| see(body.value())).is_some())
    }

    fn find(&mut self, id: &str, see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let ids = self.ids.as_ref().ok_or("opened without an index of ids")?;
        match ids.get(id)? {
            Some(seq) => self.get(seq.value(), see),
            None => Ok(false),
        }
    }

    fn scan(&mut self, see: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        for entry in self.events.iter()? {
            see(entry?.1.value())?;
        }
        Ok(())
    }

    fn window(&mut self, from: i64, to: i64, see: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let times = self.times.as_ref().ok_or("opened without an index of times")?;
        for entry in times.range((from, 0)..(to, 0))? {
            let (_, seq) = entry?.0.value();
            see(self.events.get(seq)?.ok_or("the index names an event that isn't there")?.value())?;
        }
        Ok(())
    }
}
