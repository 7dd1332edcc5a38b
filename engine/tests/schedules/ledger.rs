//! What was appended and acknowledged, and whether a log says the same.

use annals::storage::sim::{Loss, SimDisk};
use annals::{Background, Batch, Durability, Error, Log, Options, Reader, RecordBuf, ScanRange, Timestamp};
use serde::{Deserialize, Serialize};
use shuttle::rand::{Rng, thread_rng};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A record, which says itself what it has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Event {
    id: u64,
    text: String,
}

fn text_of(id: u64, bytes: usize) -> String {
    format!("{id}:{}", "abcdefghij".repeat(bytes.div_ceil(10)))
}

#[derive(Debug, Default)]
struct Known {
    /// The ids of what was acknowledged, by seq.
    acknowledged: BTreeMap<u64, u64>,
    /// Everything below this was acknowledged as durable, or stands before what was.
    durable_end: u64,
    ids: u64,
}

/// Shared by the threads of one scenario. No thread is switched away from while it holds the lock.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Known>>);

pub(crate) fn below(bound: u64) -> u64 {
    thread_rng().gen_range(0..bound)
}

pub(crate) fn any_durability() -> Durability {
    match below(3) {
        0 => Durability::Durable,
        1 => Durability::Written,
        _ => Durability::Buffered { interval: Duration::from_millis(5) },
    }
}

impl Ledger {
    /// Appends `count` records of about `bytes` bytes, and notes what was acknowledged.
    pub(crate) fn append(&self, log: &Log, count: usize, bytes: usize, durability: Durability) -> Result<u64, Error> {
        let ids: Vec<u64> = {
            let mut known = self.0.lock().unwrap();
            known.ids += count as u64;
            (known.ids - count as u64..known.ids).collect()
        };
        let mut batch = Batch::new();
        for &id in &ids {
            let event = Event { id, text: text_of(id, bytes) };
            batch.push_at(Timestamp::from_micros(id as i64), &event).unwrap();
        }
        let seqs = log.append_batch_with(&mut batch, durability)?;
        assert_eq!(seqs.end - seqs.start, count as u64);
        if durability == Durability::Durable {
            assert!(log.durable_seq() >= seqs.end, "acknowledged before it was durable");
        }
        let mut known = self.0.lock().unwrap();
        for (seq, id) in seqs.clone().zip(ids) {
            assert_eq!(known.acknowledged.insert(seq, id), None, "seq {seq} was given twice");
        }
        if durability == Durability::Durable {
            known.durable_end = known.durable_end.max(seqs.end);
        }
        Ok(seqs.start)
    }

    /// Checks that `record` is the one that was appended as `seq`.
    pub(crate) fn check(&self, seq: u64, record: &RecordBuf) {
        let event: Event = record.decode().unwrap();
        assert_eq!((record.seq(), record.timestamp()), (seq, Timestamp::from_micros(event.id as i64)));
        let bytes = event.text.len() - event.text.find(':').unwrap() - 1;
        assert_eq!(event.text, text_of(event.id, bytes));
        let known = self.0.lock().unwrap();
        assert!(event.id < known.ids);
        if let Some(&id) = known.acknowledged.get(&seq) {
            assert_eq!(event.id, id, "record {seq} is another one");
        }
    }

    /// Checks all that `reader` sees now, forward or backward: no hole, nothing twice. Returns how much it is.
    pub(crate) fn check_scan(&self, reader: &Reader, backward: bool) -> u64 {
        let least = reader.end_seq();
        let range = if backward { ScanRange::all().reverse() } else { ScanRange::all() };
        let mut records: Vec<_> = reader.scan(range).unwrap().map(|record| record.unwrap()).collect();
        if backward {
            records.reverse();
        }
        assert!(records.len() as u64 >= least, "{} of {least} records", records.len());
        let mut ids = BTreeSet::new();
        for (seq, record) in records.iter().enumerate() {
            self.check(seq as u64, record);
            assert!(ids.insert(record.timestamp()), "record {seq} is there twice");
        }
        records.len() as u64
    }

    /// Checks that the log on `disk` opens and holds all that was acknowledged.
    pub(crate) fn check_closed(&self, disk: &SimDisk) {
        assert_eq!(disk.files().iter().find(|(name, _)| name.ends_with(".tmp")), None, "a file was left behind");
        let log = Options::new().background(Background::Manual).open_or_create_on(disk.storage()).unwrap();
        assert!(log.recovery().clean, "{:?}", log.recovery());
        let end = self.check_scan(&log.reader(), false);
        let known = self.0.lock().unwrap();
        assert_eq!(known.acknowledged.len() as u64, end, "records that nobody was told of");
        assert_eq!(known.acknowledged.last_key_value().map_or(0, |(last, _)| last + 1), end);
        drop(known);
        assert!(log.reader().verify(&mut |_| ()).unwrap().is_sound());
    }

    /// Checks that a power cut now would lose nothing that was acknowledged as durable, nor anything below `seen`.
    pub(crate) fn check_crash(&self, disk: &SimDisk, seen: u64) {
        let durable_end = self.0.lock().unwrap().durable_end.max(seen);
        // Threads that don't wait for syncs write the same sector several times in between. A disk keeps what a sector was
        // at some moment; the other losses would keep a later write to it without an earlier one.
        let losses = [Loss::Everything, Loss::Nothing, Loss::Suffix];
        let loss = losses[below(losses.len() as u64) as usize];
        let after = disk.crash(loss, thread_rng().r#gen());
        let log = Options::new().background(Background::Manual).open_or_create_on(after.storage()).unwrap();
        assert!(log.recovery().is_complete(), "{loss:?}: {:?}", log.recovery());
        let found = self.check_scan(&log.reader(), false);
        assert!(found >= durable_end, "{loss:?}: {found} of {durable_end} records");
    }
}
