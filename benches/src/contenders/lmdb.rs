//! LMDB: a copy-on-write B-tree by seq, mapped into memory.
//!
//! By `lmdb-rkv`, whose functions are safe to call; heed's `open` is not, and this workspace has its `unsafe` in one
//! file. Both call the same C library.

use super::{Appender, Contender, Facts, Index, LOCK, Reads, Setup, Store, encode_each, locked_version};
use crate::Result;
use crate::items::Item;
use lmdb::{Cursor, Database, DatabaseFlags, Environment, EnvironmentFlags, RoTransaction, Transaction, WriteFlags};
use std::path::Path;

/// LMDB.
#[derive(Debug)]
pub(super) struct Lmdb;

/// `MDB_LAST` of `lmdb.h`: the operation of a cursor that goes to the last key.
const LAST: u32 = 6;

impl Contender for Lmdb {
    fn facts(&self) -> Facts {
        Facts {
            durable: Some("no flags: one fdatasync a commit; threads wait for each other. `MDB_APPEND` for keys"),
            unsynced: Some("`MDB_NOSYNC`; survives a kill, and a crash of the system may damage it"),
            reads: Some("one read transaction for all; bytes are borrowed from the map"),
            window: Some("a second database of timestamp and seq"),
            time_index: true,
            finds: Some("a second database of id and seq"),
            ..Facts::new("lmdb")
        }
    }

    fn version(&self) -> Result<String> {
        let binding = locked_version(LOCK, "lmdb-rkv")?;
        // The binding has no function for it; its `mdb/libraries/liblmdb/CHANGES` says so.
        Ok(format!("0.9.24 (lmdb-rkv {binding})"))
    }

    fn open(&self, dir: &Path, setup: Setup) -> Result<Box<dyn Store>> {
        std::fs::create_dir_all(dir)?;
        let flags = if setup.durable { EnvironmentFlags::empty() } else { EnvironmentFlags::NO_SYNC };
        let map_bytes = (setup.events * 4_096).max(1 << 30) as usize;
        let environment = Environment::new().set_flags(flags).set_max_dbs(2).set_map_size(map_bytes).open(dir)?;
        let events = environment.create_db(Some("events"), DatabaseFlags::empty())?;
        let second = match setup.index {
            Index::None => None,
            Index::Times => Some(environment.create_db(Some("times"), DatabaseFlags::empty())?),
            Index::Ids => Some(environment.create_db(Some("ids"), DatabaseFlags::empty())?),
        };
        Ok(Box::new(Open { environment, events, index: setup.index, second }))
    }
}

struct Open {
    environment: Environment,
    events: Database,
    index: Index,
    /// That index.
    second: Option<Database>,
}

impl Store for Open {
    fn appender(&self) -> Result<Box<dyn Appender + '_>> {
        Ok(Box::new(Appending { store: self, bodies: Vec::new(), body: Vec::new() }))
    }

    fn reader(&self) -> Result<Box<dyn Reads + '_>> {
        Ok(Box::new(Reading { store: self, transaction: self.environment.begin_ro_txn()? }))
    }

    fn len(&self) -> Result<u64> {
        next_seq(&self.environment.begin_ro_txn()?, self.events)
    }

    fn settle(&self) -> Result<()> {
        Ok(self.environment.sync(true)?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.environment.sync(true)?)
    }
}

fn next_seq(transaction: &impl Transaction, events: Database) -> Result<u64> {
    match transaction.open_ro_cursor(events)?.get(None, None, LAST) {
        Ok((Some(key), _)) => Ok(u64::from_be_bytes(key.try_into()?) + 1),
        Ok((None, _)) | Err(lmdb::Error::NotFound) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

struct Appending<'a> {
    store: &'a Open,
    bodies: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
}

impl Appender for Appending<'_> {
    fn append(&mut self, items: &[Item]) -> Result<()> {
        let Self { store, bodies, body } = self;
        // Encoded before the transaction is begun: only one can be open.
        bodies.clear();
        encode_each(items, body, |item, body| {
            let key = match store.index {
                Index::None => Vec::new(),
                Index::Times => item.timestamp.to_be_bytes().to_vec(),
                Index::Ids => item.id().ok_or("an event has no request_id")?.as_bytes().to_vec(),
            };
            bodies.push((key, body.to_vec()));
            Ok(())
        })?;
        let mut write = store.environment.begin_rw_txn()?;
        let next = next_seq(&write, store.events)?;
        for (seq, (key, body)) in (next..).zip(bodies) {
            write.put(store.events, &seq.to_be_bytes(), body, WriteFlags::APPEND)?;
            match (store.second, store.index) {
                (Some(ids), Index::Ids) => write.put(ids, key, &seq.to_be_bytes(), WriteFlags::empty())?,
                (Some(times), _) => {
                    key.extend(seq.to_be_bytes());
                    write.put(times, key, b"", WriteFlags::empty())?;
                }
                (None, _) => {}
            }
        }
        Ok(write.commit()?)
    }
}

struct Reading<'a> {
    store: &'a Open,
    transaction: RoTransaction<'a>,
}

impl Reads for Reading<'_> {
    fn get(&mut self, seq: u64, see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        match self.transaction.get(self.store.events, &seq.to_be_bytes()) {
            Ok(body) => see(body),
            Err(lmdb::Error::NotFound) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    fn find(&mut self, id: &str, see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let ids = self.store.second.ok_or("opened without an index of ids")?;
        let seq = match self.transaction.get(ids, &id.as_bytes()) {
            Ok(seq) => u64::from_be_bytes(seq.try_into()?),
            Err(lmdb::Error::NotFound) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        self.get(seq, see)
    }

    fn scan(&mut self, see: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        for entry in self.transaction.open_ro_cursor(self.store.events)?.iter() {
            see(entry?.1)?;
        }
        Ok(())
    }

    fn window(&mut self, from: i64, to: i64, see: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let times = self.store.second.ok_or("opened without an index of times")?;
        let mut cursor = self.transaction.open_ro_cursor(times)?;
        for entry in cursor.iter_from(from.to_be_bytes()) {
            let (key, _) = entry?;
            if *key >= to.to_be_bytes()[..] {
                break;
            }
            let seq: &[u8] = &key[8..];
            see(self.transaction.get(self.store.events, &seq)?)?;
        }
        Ok(())
    }
}
