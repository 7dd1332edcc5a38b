//! Appending a record once, however often it is asked for: a source that delivers at least once gives each record a key.

use crate::Timestamp;
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::log::{Core, Log, Ticket};
use crate::once::{OnceTable, Window};
use crate::reader::{ReadBuffer, Reader, ScanRange};
use crate::record::KEY_BYTES_MAX;
use serde::Serialize;
use std::ops::Range;
use std::sync::{Arc, PoisonError};

impl Log {
    /// Appends one record with the time of the clock, unless one with the same key is among the newest records
    /// ([`crate::Options::once_records`], [`crate::Options::once_age`]). Returns the seq of the first one with this key, which is
    /// durable when this returns, whatever the log's durability. So does every other call with the key: at the same time in other
    /// threads, after the log was opened again, and after a crash.
    ///
    /// The first call after opening reads the records of the window for their keys. Records that retention has removed, or that are
    /// damaged, don't count any more.
    ///
    /// ```
    /// # fn main() -> annals::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # #[derive(serde::Serialize)] struct Order { id: u64 }
    /// let log = annals::Options::new().create(dir.path().join("log"))?;
    /// let seq = log.append_once(b"orders/7", &Order { id: 7 })?;
    /// assert_eq!(log.append_once(b"orders/7", &Order { id: 7 })?, seq);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidOption`] if the key is empty, [`Error::TooLarge`] if it has more than 1,024 bytes, and as [`Log::append`].
    /// Beyond a limit that drops, a new key is refused as by one that refuses; a known one is found within no limit.
    /// After any error, asking again is safe.
    pub fn append_once(&self, key: &[u8], record: &(impl Serialize + ?Sized)) -> Result<u64> {
        self.wait_for_keyed(self.submit_keyed(key, |batch| batch.push_keyed(key, record))?)
    }

    /// As [`Log::append_once`], for a body that is already encoded as a MessagePack map, and with a `timestamp` of its own, if
    /// one is given.
    ///
    /// # Errors
    /// As [`Log::append_once`] and [`Log::append_raw`].
    pub fn append_once_raw(&self, key: &[u8], timestamp: Option<Timestamp>, body: &[u8]) -> Result<u64> {
        self.wait_for_keyed(self.submit_keyed(key, |batch| batch.push_keyed_raw(key, timestamp, body))?)
    }

    /// As [`Log::append_once`], and doesn't wait: the ticket has the seq of the first record with this key, and tells when that
    /// is durable. So many records share one sync, whoever waits for the last of them.
    ///
    /// ```
    /// # fn main() -> annals::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let log = annals::Options::new().create(dir.path().join("log"))?;
    /// # #[derive(serde::Serialize)] struct Order { id: u64 }
    /// let tickets = [7_u64, 8, 7].map(|id| log.submit_once(&id.to_le_bytes(), &Order { id }));
    /// let [first, second, again] = tickets;
    /// assert_eq!(first?.seqs(), again?.seqs());
    /// second?.wait()?; // the first one is durable, too
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Log::append_once`].
    pub fn submit_once(&self, key: &[u8], record: &(impl Serialize + ?Sized)) -> Result<Ticket> {
        Ok(Ticket::new(&self.core, self.submit_keyed(key, |batch| batch.push_keyed(key, record))?))
    }

    /// As [`Log::submit_once`], for a body that is already encoded, as with [`Log::append_once_raw`].
    ///
    /// # Errors
    /// As [`Log::append_once_raw`].
    pub fn submit_once_raw(&self, key: &[u8], timestamp: Option<Timestamp>, body: &[u8]) -> Result<Ticket> {
        let push = |batch: &mut Batch| batch.push_keyed_raw(key, timestamp, body);
        Ok(Ticket::new(&self.core, self.submit_keyed(key, push)?))
    }

    fn submit_keyed(&self, key: &[u8], push: impl FnOnce(&mut Batch) -> Result<()>) -> Result<Range<u64>> {
        if key.is_empty() {
            return Err(Error::InvalidOption { option: "key", detail: "a key has 1 byte at least".into() });
        }
        if key.len() > KEY_BYTES_MAX {
            return Err(Error::TooLarge { what: "the key", found: key.len() as u64, limit: KEY_BYTES_MAX as u64 });
        }
        Self::with_single(|batch| {
            push(batch)?;
            let seq = self.core.submit_once(key, batch)?;
            Ok(seq..seq + 1)
        })
    }

    fn wait_for_keyed(&self, seqs: Range<u64>) -> Result<u64> {
        self.core.committer.wait_until_durable(seqs.end)?;
        Ok(seqs.start)
    }
}

impl Core {
    /// Appends the one record in `batch`, whose key is `key`, or finds the one that was appended before. Waits for neither.
    fn submit_once(&self, key: &[u8], batch: &mut Batch) -> Result<u64> {
        // Held until the record has its seq: of two calls with one key, the second finds the first.
        let mut table = self.once.lock().unwrap_or_else(PoisonError::into_inner);
        self.committer.check_open()?;
        let reader = Reader::live(Arc::clone(&self.storage), self.log_id, Arc::clone(&self.view), self.cache.clone());
        let window = self.once_window();
        if !table.is_built {
            build(&mut table, &reader, window)?;
        }
        table.forget(window, self.view.visible_seq());
        if let Some(seq) = find(&table, &reader, key, window)? {
            return Ok(seq);
        }
        // Whoever has a key asks again, so that nothing is to be counted as lost.
        let seq = self.committer.submit(batch, false)?.start;
        table.add_pending(seq, batch.times().0.as_micros(), key);
        Ok(seq)
    }

    fn once_window(&self) -> Window {
        let age = self.options.once_age.map(|age| i64::try_from(age.as_micros()).unwrap_or(i64::MAX));
        Window {
            first_seq: self.committer.next_seq().saturating_sub(self.options.once_records),
            since: age.map_or(i64::MIN, |age| self.storage.now().as_micros().saturating_sub(age)),
        }
    }
}

/// Reads the records of the window for their keys.
fn build(table: &mut OnceTable, reader: &Reader, window: Window) -> Result<()> {
    let mut built = OnceTable::default();
    let mut scan = reader.scan(ScanRange::all().seqs(window.first_seq..))?;
    loop {
        match scan.advance() {
            Ok(Some(record)) if !record.key().is_empty() => {
                built.add(record.seq(), record.timestamp().as_micros(), record.key());
            }
            Ok(Some(_)) | Err(Error::Damaged(_) | Error::Removed(_)) => {}
            Ok(None) => break,
            Err(error) => return Err(error),
        }
    }
    built.is_built = true;
    *table = built;
    Ok(())
}

/// The first record in the window with this key.
fn find(table: &OnceTable, reader: &Reader, key: &[u8], window: Window) -> Result<Option<u64>> {
    let mut buffer = ReadBuffer::new();
    for (seq, own) in table.candidates(key, window) {
        let is_same = match own {
            Some(own) => *own == *key,
            None => match reader.get_into(seq, &mut buffer) {
                Ok(record) => record.is_some_and(|record| record.key() == key),
                // What isn't there any more doesn't count.
                Err(Error::Damaged(_) | Error::Removed(_) | Error::Gap(_)) => false,
                Err(error) => return Err(error),
            },
        };
        if is_same {
            return Ok(Some(seq));
        }
    }
    Ok(None)
}
