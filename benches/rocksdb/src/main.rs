//! The comparison with RocksDB among the contenders: `compare-rocksdb run …` takes what `compare run …` takes.
#![forbid(unsafe_code)]

use annals_bench::Result;
use annals_bench::contenders::{
    self, Appender, Contender, Facts, Index, Reads, Setup, Store, encode_each, locked_version,
};
use annals_bench::items::Item;
use rocksdb::{DB, DBCompressionType, Direction, IteratorMode, Options, ReadOptions, WriteBatch, WriteOptions};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

fn main() -> ExitCode {
    let mut all = contenders::all();
    all.push(Box::new(RocksDb));
    annals_bench::compare::main(&all)
}

#[derive(Debug)]
struct RocksDb;

/// The column family of timestamp and seq.
const TIMES: &str = "times";
/// That of id and seq.
const IDS: &str = "ids";

impl Contender for RocksDb {
    fn facts(&self) -> Facts {
        Facts {
            durable: Some("a write batch with `sync = true` for each append; group commit; WAL files recycled"),
            unsynced: Some("a write batch with `sync = false`; survives a kill"),
            reads: Some("keys are big-endian seqs; LZ4 blocks; memtable flushed and compacted before"),
            window: Some("a second column family of timestamp and seq"),
            time_index: true,
            finds: Some("a second column family of id and seq"),
            ..Facts::new("rocksdb")
        }
    }

    fn version(&self) -> Result<String> {
        locked_version(include_str!("../Cargo.lock"), "librocksdb-sys")
    }

    fn open(&self, dir: &Path, setup: Setup) -> Result<Box<dyn Store>> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_recycle_log_file_num(4);
        let families: &[&str] = match setup.index {
            Index::None => &[],
            Index::Times => &[TIMES],
            Index::Ids => &[IDS],
        };
        let database = DB::open_cf(&options, dir, families)?;
        let store = Open { database, setup, next: AtomicU64::new(0) };
        store.next.store(store.len()?, Ordering::Relaxed);
        Ok(Box::new(store))
    }
}

struct Open {
    database: DB,
    setup: Setup,
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
        match self.database.iterator(IteratorMode::End).next() {
            Some(last) => Ok(seq_of(&last?.0)? + 1),
            None => Ok(0),
        }
    }

    fn settle(&self) -> Result<()> {
        self.database.flush()?;
        self.database.compact_range(None::<&[u8]>, None::<&[u8]>);
        for family in [TIMES, IDS].into_iter().filter_map(|name| self.database.cf_handle(name)) {
            self.database.flush_cf(family)?;
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.database.flush_wal(true)?)
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
        let (times, ids) = (store.database.cf_handle(TIMES), store.database.cf_handle(IDS));
        let mut seq = store.next.fetch_add(items.len() as u64, Ordering::Relaxed);
        let mut batch = WriteBatch::default();
        encode_each(items, &mut self.body, |item, body| {
            batch.put(seq.to_be_bytes(), body);
            if let Some(times) = times {
                // Times are after the epoch, so their bytes sort as they do.
                batch.put_cf(times, [item.timestamp.to_be_bytes(), seq.to_be_bytes()].concat(), []);
            }
            if let Some(ids) = ids {
                batch.put_cf(ids, item.id().ok_or("an event has no request_id")?, seq.to_be_bytes());
            }
            seq += 1;
            Ok(())
        })?;
        let mut options = WriteOptions::default();
        options.set_sync(store.setup.durable);
        Ok(store.database.write_opt(batch, &options)?)
    }
}

struct Reading<'a>(&'a Open);

impl Reads for Reading<'_> {
    fn get(&mut self, seq: u64, see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        Ok(self.0.database.get_pinned(seq.to_be_bytes())?.map(|body| see(&body)).is_some())
    }

    fn find(&mut self, id: &str, see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let ids = self.0.database.cf_handle(IDS).ok_or("opened without an index of ids")?;
        match self.0.database.get_pinned_cf(ids, id)? {
            Some(seq) => self.get(seq_of(&seq)?, see),
            None => Ok(false),
        }
    }

    fn scan(&mut self, see: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut options = ReadOptions::default();
        options.set_readahead_size(1 << 20);
        for entry in self.0.database.iterator_opt(IteratorMode::Start, options) {
            see(&entry?.1)?;
        }
        Ok(())
    }

    fn window(&mut self, from: i64, to: i64, see: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let database = &self.0.database;
        let times = database.cf_handle(TIMES).ok_or("opened without an index of times")?;
        let from = from.to_be_bytes();
        for entry in database.iterator_cf(times, IteratorMode::From(&from, Direction::Forward)) {
            let (key, _) = entry?;
            if key[..] >= to.to_be_bytes()[..] {
                break;
            }
            let seq = seq_of(&key)?.to_be_bytes();
            see(&database.get_pinned(seq)?.ok_or("the index names an event that isn't there")?)?;
        }
        Ok(())
    }
}
