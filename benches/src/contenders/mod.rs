//! Who is measured: one file for each contender, with how it is set up said in its [`Facts`], which the report prints.
//!
//! A contender offers what its facts say it offers, and is measured in that only. To add one: a file here, and a line in
//! [`all`].

use crate::items::{Encoding, Item};
use crate::{Error, Result};
use std::path::Path;

mod annals;
mod arrow_json;
#[cfg(feature = "peers")]
mod commitlog;
#[cfg(feature = "peers")]
mod fjall;
#[cfg(feature = "peers")]
mod lmdb;
mod ndjson;
#[cfg(feature = "peers")]
mod okaywal;
mod python;
#[cfg(feature = "peers")]
mod raft_engine;
mod raw;
#[cfg(target_os = "linux")]
mod raw_direct;
mod raw_frames;
#[cfg(feature = "peers")]
mod redb;
#[cfg(feature = "peers")]
mod sqlite;

/// Everybody who can be measured by this build, Annals first.
pub fn all() -> Vec<Box<dyn Contender>> {
    let ours = [
        annals::SEALED,
        annals::UNSEALED,
        annals::BUFFERED,
        annals::THROUGHPUT,
        annals::LATENCY,
        annals::STORAGE,
        annals::INDEXED,
    ];
    let mut all: Vec<_> = ours.map(|contender| Box::new(contender) as Box<dyn Contender>).into();
    #[cfg(feature = "peers")]
    all.extend([
        Box::new(sqlite::Sqlite) as Box<dyn Contender>,
        Box::new(redb::Redb),
        Box::new(fjall::Fjall),
        Box::new(lmdb::Lmdb),
        Box::new(raft_engine::RaftEngine),
        Box::new(okaywal::OkayWal),
        Box::new(commitlog::Commitlog),
    ]);
    all.extend([Box::new(ndjson::WRITE) as Box<dyn Contender>, Box::new(ndjson::BUFFERED)]);
    all.extend([Box::new(raw::GROWING) as Box<dyn Contender>, Box::new(raw::ZEROED)]);
    #[cfg(target_os = "linux")]
    all.push(Box::new(raw_direct::RawDirect));
    all.push(Box::new(arrow_json::ArrowJson));
    all.extend(python::ALL.map(|contender| Box::new(contender) as Box<dyn Contender>));
    all
}

/// The versions that were built.
const LOCK: &str = include_str!("../../../Cargo.lock");

/// How a contender is set up, in words for the report. What is `None` it does not offer, and is not measured in.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// What it is called on the command line and in the results.
    pub name: &'static str,
    /// The package whose version `Cargo.lock` has.
    pub package: Option<&'static str>,
    /// How it stores events.
    pub encoding: Encoding,
    /// Durable appends: what has happened when one returns, and how threads share the log.
    pub durable: Option<&'static str>,
    /// Appends that are not synced: what survives what.
    pub unsynced: Option<&'static str>,
    /// Durable appends that return before they are: how it is told that they are.
    pub tickets: Option<&'static str>,
    /// Reading by seq, scanning, opening: what is read, and what it was turned into before.
    pub reads: Option<&'static str>,
    /// Whether events can be read by seq.
    pub gets: bool,
    /// Reading a window of time: by which index.
    pub window: Option<&'static str>,
    /// Whether that index has to be asked for, so that the window is read from a store of its own.
    pub time_index: bool,
    /// Reading an event by its unique id, `request_id`: by which index.
    pub finds: Option<&'static str>,
    /// Writing Parquet: from what.
    pub export: Option<&'static str>,
    /// Count, average and p99 by group: from what.
    pub aggregates: Option<&'static str>,
}

impl Facts {
    /// One who offers nothing.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            package: None,
            encoding: Encoding::MessagePack,
            durable: None,
            unsynced: None,
            tickets: None,
            reads: None,
            gets: true,
            window: None,
            time_index: false,
            finds: None,
            export: None,
            aggregates: None,
        }
    }
}

/// An index besides that of seqs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Index {
    /// None.
    None,
    /// Of times.
    Times,
    /// Of the unique field `request_id`.
    Ids,
}

/// How a store is opened.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// Whether an append returns when it is durable; otherwise nothing is synced.
    pub durable: bool,
    /// Which index there has to be. Many are slower and larger with one, so only who reads by it asks.
    pub index: Index,
    /// How many events there will be at most.
    pub events: u64,
    /// How many threads append them.
    pub threads: u64,
}

/// What an export did.
#[derive(Debug, Clone, Copy)]
pub struct Exported {
    /// Seconds from the open source to the closed file, without starting a process or loading a library.
    pub seconds: f64,
    /// The most anonymous memory, in bytes, if it was another process; otherwise this one is looked at.
    pub anonymous_bytes_max: Option<u64>,
}

/// What aggregating did.
#[derive(Debug, Clone)]
pub struct Aggregated {
    /// Seconds of each repetition, as those of [`Exported`].
    pub seconds: Vec<f64>,
    /// How many events were counted, of all groups together.
    pub events: u64,
    /// As that of [`Exported`].
    pub anonymous_bytes_max: Option<u64>,
}

/// Somebody who is measured.
pub trait Contender: Send + Sync {
    /// What it is called and how it is set up.
    fn facts(&self) -> Facts;

    /// Its version.
    ///
    /// # Errors
    /// It can't be measured on this machine, and why.
    fn version(&self) -> Result<String> {
        match self.facts().package {
            Some(package) => locked_version(LOCK, package),
            None => Ok(String::new()),
        }
    }

    /// Opens the store in `dir`, or makes one.
    ///
    /// # Errors
    /// As the contender says.
    fn open(&self, dir: &Path, setup: Setup) -> Result<Box<dyn Store>> {
        let _ = (dir, setup);
        Err(self.lacks("a store"))
    }

    /// Writes the events to a Parquet file, from its own store in `store` or from `ndjson`.
    ///
    /// # Errors
    /// As the contender says.
    fn export(&self, store: &Path, ndjson: &Path, out: &Path) -> Result<Exported> {
        let _ = (store, ndjson, out);
        Err(self.lacks("an export"))
    }

    /// Count, average and p99 of `latency_ms` by `event_type`, `repetitions` times after one that only warms, from its own
    /// store in `store` or from `ndjson`. What it makes of that beforehand goes to the empty directory `scratch`.
    ///
    /// # Errors
    /// As the contender says.
    fn aggregate(&self, store: &Path, ndjson: &Path, scratch: &Path, repetitions: usize) -> Result<Aggregated> {
        let _ = (store, ndjson, scratch, repetitions);
        Err(self.lacks("aggregates"))
    }

    /// The error for what it does not offer.
    fn lacks(&self, what: &str) -> Error {
        format!("{} has no {what}", self.facts().name).into()
    }
}

/// An open store.
pub trait Store: Send + Sync {
    /// A thread's handle for appending.
    ///
    /// # Errors
    /// As the contender says.
    fn appender(&self) -> Result<Box<dyn Appender + '_>>;

    /// A thread's handle for appending without waiting.
    ///
    /// # Errors
    /// It has none, or as the contender says.
    fn submitter(&self) -> Result<Box<dyn Submitter + '_>> {
        Err("this store has no appends that are waited for later".into())
    }

    /// A handle for reading.
    ///
    /// # Errors
    /// It can't be read, or as the contender says.
    fn reader(&self) -> Result<Box<dyn Reads + '_>> {
        Err("this store is not read back".into())
    }

    /// How many events there are.
    ///
    /// # Errors
    /// As the contender says.
    fn len(&self) -> Result<u64>;

    /// Whether there are no events.
    ///
    /// # Errors
    /// As [`Store::len`].
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Brings everything into the form in which it is kept for long: sealed, flushed, compacted.
    ///
    /// # Errors
    /// As the contender says.
    fn settle(&self) -> Result<()> {
        Ok(())
    }

    /// Closes the store as it should be closed.
    ///
    /// # Errors
    /// As the contender says.
    fn close(self: Box<Self>) -> Result<()>;
}

/// Appends, in one thread.
pub trait Appender {
    /// Encodes and appends items, all in one commit, and waits as the store was opened.
    ///
    /// # Errors
    /// As the contender says.
    fn append(&mut self, items: &[Item]) -> Result<()>;
}

/// Appends without waiting, in one thread.
pub trait Submitter {
    /// Encodes and appends an item. If it is `timed`, returns what tells when it is durable.
    ///
    /// # Errors
    /// As the contender says.
    fn submit(&mut self, item: &Item, timed: bool) -> Result<Option<Box<dyn Pending>>>;

    /// Waits until everything is durable.
    ///
    /// # Errors
    /// As the contender says.
    fn finish(&mut self) -> Result<()>;
}

/// An append that is to become durable.
pub trait Pending: Send {
    /// Waits until it is.
    ///
    /// # Errors
    /// It never will be.
    fn wait(&self) -> Result<()>;
}

/// Reads encoded events, in one thread. Who asks decodes them.
pub trait Reads {
    /// Shows the event `seq` to `see`. Returns whether there is one.
    ///
    /// # Errors
    /// As the contender says.
    fn get(&mut self, seq: u64, see: &mut dyn FnMut(&[u8])) -> Result<bool>;

    /// Shows all events in order.
    ///
    /// # Errors
    /// As the contender or `see` says.
    fn scan(&mut self, see: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>;

    /// Shows the event whose `request_id` is `id` to `see`. Returns whether there is one.
    ///
    /// # Errors
    /// It has no such index, or as the contender says.
    fn find(&mut self, id: &str, see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let _ = (id, see);
        Err("this store has no index of ids".into())
    }

    /// Shows the events whose times are in `from..to`, in order of time.
    ///
    /// # Errors
    /// It has no such index, or as the contender or `see` says.
    fn window(&mut self, from: i64, to: i64, see: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let _ = (from, to, see);
        Err("this store has no index of times".into())
    }
}

/// The version of `package` in the text of a `Cargo.lock`.
///
/// # Errors
/// It isn't there.
pub fn locked_version(lock: &str, package: &str) -> Result<String> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name);
    let version = lines.nth(1).and_then(|line| line.strip_prefix("version = \"")).map(|v| v.trim_end_matches('"'));
    version.map(str::to_owned).ok_or_else(|| format!("{package} is not in Cargo.lock").into())
}

/// Encodes each item into `buffer` and hands it over.
///
/// # Errors
/// An item can't be encoded, or as `each` says.
pub fn encode_each(
    items: &[Item],
    buffer: &mut Vec<u8>,
    mut each: impl FnMut(&Item, &[u8]) -> Result<()>,
) -> Result<()> {
    for item in items {
        item.encode(buffer)?;
        each(item, buffer)?;
    }
    Ok(())
}
