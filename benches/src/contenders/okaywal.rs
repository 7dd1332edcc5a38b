//! OkayWAL: a write-ahead log with group commit, which forgets what was checkpointed.

use super::{Appender, Contender, Facts, Setup, Store, encode_each};
use crate::Result;
use crate::items::Item;
use okaywal::{Configuration, LogVoid, WriteAheadLog};
use std::path::Path;

/// OkayWAL.
#[derive(Debug)]
pub(super) struct OkayWal;

/// Bytes of a file: as many as a segment of Annals has, since its default of 1 MiB is a checkpoint every few hundred ms.
const FILE_BYTES: u32 = 32 << 20;

impl Contender for OkayWal {
    fn facts(&self) -> Facts {
        Facts {
            package: Some("okaywal"),
            durable: Some(
                "an entry for each append, a chunk for each event; group commit. Files of 32 MiB, checkpointed into \
                 nothing: what it wrote before is gone, so it is not read back",
            ),
            ..Facts::new("okaywal")
        }
    }

    fn open(&self, dir: &Path, _setup: Setup) -> Result<Box<dyn Store>> {
        let configuration = Configuration::default_for(dir)
            .preallocate_bytes(FILE_BYTES)
            .checkpoint_after_bytes(u64::from(FILE_BYTES) * 3 / 4);
        Ok(Box::new(Open(configuration.open(LogVoid)?)))
    }
}

struct Open(WriteAheadLog);

impl Store for Open {
    fn appender(&self) -> Result<Box<dyn Appender + '_>> {
        Ok(Box::new(Appending { log: &self.0, bodies: Vec::new(), body: Vec::new() }))
    }

    fn len(&self) -> Result<u64> {
        Err("OkayWAL forgets".into())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.0.shutdown()?)
    }
}

struct Appending<'a> {
    log: &'a WriteAheadLog,
    bodies: Vec<Vec<u8>>,
    body: Vec<u8>,
}

impl Appender for Appending<'_> {
    fn append(&mut self, items: &[Item]) -> Result<()> {
        let Self { log, bodies, body } = self;
        // Encoded before the entry is begun, which holds the log's lock.
        bodies.clear();
        encode_each(items, body, |_, body| {
            bodies.push(body.to_vec());
            Ok(())
        })?;
        let mut entry = log.begin_entry()?;
        for body in bodies {
            entry.write_chunk(body)?;
        }
        entry.commit()?;
        Ok(())
    }
}
