//! SQLite: a table by seq, in WAL mode.

use super::{Appender, Contender, Facts, Index, Reads, Setup, Store, encode_each};
use crate::Result;
use crate::items::Item;
use rusqlite::{Connection, Row};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// SQLite.
#[derive(Debug)]
pub(super) struct Sqlite;

impl Contender for Sqlite {
    fn facts(&self) -> Facts {
        Facts {
            durable: Some(
                "WAL, `synchronous=FULL`: one fsync a commit. One connection behind a mutex, since only one may write and \
                 waiting for ours is kinder than its busy handler",
            ),
            unsynced: Some("WAL, `synchronous=OFF`, a transaction for each append; survives a kill"),
            reads: Some("`SELECT body WHERE seq = ?`, prepared; after `wal_checkpoint(TRUNCATE)`"),
            window: Some("an index on `timestamp`"),
            time_index: true,
            finds: Some("a column of its own with a unique index"),
            ..Facts::new("sqlite")
        }
    }

    fn version(&self) -> Result<String> {
        Ok(rusqlite::version().to_owned())
    }

    fn open(&self, dir: &Path, setup: Setup) -> Result<Box<dyn Store>> {
        std::fs::create_dir_all(dir)?;
        let path = dir.join("events.sqlite");
        let connection = Connection::open(&path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", if setup.durable { "FULL" } else { "OFF" })?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS events (seq INTEGER PRIMARY KEY, timestamp INTEGER NOT NULL, body BLOB NOT NULL, \
             id TEXT)",
        )?;
        match setup.index {
            Index::None => {}
            Index::Times => {
                connection.execute_batch("CREATE INDEX IF NOT EXISTS events_timestamp ON events (timestamp)")?;
            }
            Index::Ids => connection.execute_batch("CREATE UNIQUE INDEX IF NOT EXISTS events_id ON events (id)")?,
        }
        Ok(Box::new(Open { path, connection: Mutex::new(connection), has_ids: setup.index == Index::Ids }))
    }
}

struct Open {
    path: PathBuf,
    connection: Mutex<Connection>,
    has_ids: bool,
}

impl Open {
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Open {
    fn appender(&self) -> Result<Box<dyn Appender + '_>> {
        Ok(Box::new(Appending { store: self, bodies: Vec::new(), body: Vec::new() }))
    }

    fn reader(&self) -> Result<Box<dyn Reads + '_>> {
        Ok(Box::new(Reading(Connection::open(&self.path)?)))
    }

    fn len(&self) -> Result<u64> {
        let last: Option<i64> = self.lock().query_row("SELECT max(seq) FROM events", [], |row| row.get(0))?;
        Ok(last.map_or(0, |last| last as u64 + 1))
    }

    fn settle(&self) -> Result<()> {
        self.lock().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        let connection = self.connection.into_inner().unwrap_or_else(PoisonError::into_inner);
        connection.close().map_err(|(_, error)| error.into())
    }
}

struct Appending<'a> {
    store: &'a Open,
    bodies: Vec<(i64, Vec<u8>, Option<String>)>,
    body: Vec<u8>,
}

const INSERT: &str = "INSERT INTO events (seq, timestamp, body, id) VALUES \
                      ((SELECT coalesce(max(seq), -1) + 1 FROM events), ?1, ?2, ?3)";

impl Appender for Appending<'_> {
    fn append(&mut self, items: &[Item]) -> Result<()> {
        let Self { store, bodies, body } = self;
        let id = |item: &Item| item.id().filter(|_| store.has_ids).map(str::to_owned);
        if let [item] = items {
            item.encode(body)?;
            store.lock().prepare_cached(INSERT)?.execute((item.timestamp, &*body, id(item)))?;
            return Ok(());
        }
        // Encoded before the lock is taken.
        bodies.clear();
        encode_each(items, body, |item, body| {
            bodies.push((item.timestamp, body.to_vec(), id(item)));
            Ok(())
        })?;
        let mut connection = store.lock();
        let transaction = connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached(INSERT)?;
            for (timestamp, body, id) in bodies {
                insert.execute((*timestamp, &*body, &*id))?;
            }
        }
        Ok(transaction.commit()?)
    }
}

struct Reading(Connection);

impl Reading {
    fn each(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        see: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut select = self.0.prepare_cached(sql)?;
        let mut rows = select.query(parameters)?;
        while let Some(row) = rows.next()? {
            see(body(row)?)?;
        }
        Ok(())
    }
}

fn body<'a>(row: &'a Row<'_>) -> rusqlite::Result<&'a [u8]> {
    Ok(row.get_ref(0)?.as_blob()?)
}

impl Reads for Reading {
    fn get(&mut self, seq: u64, see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let mut select = self.0.prepare_cached("SELECT body FROM events WHERE seq = ?1")?;
        let mut rows = select.query([seq as i64])?;
        let Some(row) = rows.next()? else { return Ok(false) };
        see(body(row)?);
        Ok(true)
    }

    fn find(&mut self, id: &str, see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let mut select = self.0.prepare_cached("SELECT body FROM events WHERE id = ?1")?;
        let mut rows = select.query([id])?;
        let Some(row) = rows.next()? else { return Ok(false) };
        see(body(row)?);
        Ok(true)
    }

    fn scan(&mut self, see: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.each("SELECT body FROM events ORDER BY seq", [], see)
    }

    fn window(&mut self, from: i64, to: i64, see: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let sql = "SELECT body FROM events WHERE timestamp >= ?1 AND timestamp < ?2 ORDER BY timestamp";
        self.each(sql, [from, to], see)
    }
}
