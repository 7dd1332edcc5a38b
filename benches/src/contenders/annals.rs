//! Annals, at its default options but for what a measure is about.

use super::{Appender, Contender, Exported, Facts, Reads, Setup, Store};
use crate::Result;
use crate::items::Item;
use annals::{Batch, Durability, Log, Options, ReadBuffer, Reader, ScanRange, Timestamp};
use annals_export::{ExportOptions, FileSink, Plan};
use std::path::Path;
use std::time::{Duration, Instant};

/// One way of using Annals.
#[derive(Debug)]
pub(super) struct Annals {
    facts: Facts,
    unsynced: Durability,
    /// Bytes of a segment; so large that nothing is sealed where that is what is measured.
    segment_bytes: Option<u64>,
}

const BASE: Facts = Facts { package: Some("annals"), ..Facts::new("annals") };

/// As users get it.
pub(super) const SEALED: Annals = Annals {
    facts: Facts {
        durable: Some("`Durable`: written and fdatasync'd; threads share one log and its group commit"),
        unsynced: Some(
            "`Written`: given to the system by `write`; survives a kill, synced every second in the background",
        ),
        reads: Some("sealed segments (zstd blocks, index, hash tree); `Reader::get_into`, `Scan::advance`"),
        window: Some("its own bounds of time of each block; they are always there"),
        export: Some("`annals-export` from the sealed log, zstd level 3; the schema is what sealing kept"),
        ..BASE
    },
    unsynced: Durability::Written,
    segment_bytes: None,
};

/// Nothing sealed: the records as they were appended.
pub(super) const UNSEALED: Annals = Annals {
    facts: Facts {
        name: "annals-unsealed",
        reads: Some("raw segments of 2 GiB, nothing sealed"),
        window: Some("none: a scan of the raw segment"),
        ..BASE
    },
    unsynced: Durability::Written,
    segment_bytes: Some(2 << 30),
};

/// In the process's memory for up to a second.
pub(super) const BUFFERED: Annals = Annals {
    facts: Facts {
        name: "annals-buffered",
        unsynced: Some(
            "`Buffered`, 1 s: in the process's memory until 256 KiB wait; a kill loses what was not written",
        ),
        ..BASE
    },
    unsynced: Durability::Buffered { interval: Duration::from_secs(1) },
    segment_bytes: None,
};

impl Contender for Annals {
    fn facts(&self) -> Facts {
        self.facts
    }

    fn open(&self, dir: &Path, setup: Setup) -> Result<Box<dyn Store>> {
        let mut options = Options::new().durability(if setup.durable { Durability::Durable } else { self.unsynced });
        if let Some(bytes) = self.segment_bytes {
            options = options.segment_bytes(bytes);
        }
        Ok(Box::new(Open { log: options.open_or_create(dir)?, seals: self.segment_bytes.is_none() }))
    }

    fn export(&self, store: &Path, _ndjson: &Path, out: &Path) -> Result<Exported> {
        let reader = Reader::open(store)?;
        let options = ExportOptions::default();
        let begun = Instant::now();
        let plan = Plan::new(&reader.shape(reader.end_seq())?, &options)?;
        let mut sink = FileSink::create(out, &plan, &options, &[])?;
        let mut scan = reader.scan(ScanRange::all())?;
        while let Some(record) = scan.advance()? {
            sink.push(record.seq(), record.timestamp().as_micros(), record.body())?;
        }
        sink.finish()?;
        Ok(Exported { seconds: begun.elapsed().as_secs_f64(), anonymous_bytes_max: None })
    }
}

struct Open {
    log: Log,
    seals: bool,
}

impl Store for Open {
    fn appender(&self) -> Result<Box<dyn Appender + '_>> {
        Ok(Box::new(Appending { log: &self.log, batch: Batch::new() }))
    }

    fn reader(&self) -> Result<Box<dyn Reads + '_>> {
        Ok(Box::new(Reading { reader: self.log.reader(), buffer: ReadBuffer::new() }))
    }

    fn len(&self) -> Result<u64> {
        Ok(self.log.next_seq())
    }

    fn settle(&self) -> Result<()> {
        if self.seals {
            self.log.seal()?;
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.log.close()?)
    }
}

struct Appending<'a> {
    log: &'a Log,
    batch: Batch,
}

impl Appender for Appending<'_> {
    fn append(&mut self, items: &[Item]) -> Result<()> {
        if let [item] = items {
            self.log.append_at(Timestamp::from_micros(item.timestamp), &item.record)?;
            return Ok(());
        }
        self.batch.clear();
        for item in items {
            self.batch.push_at(Timestamp::from_micros(item.timestamp), &item.record)?;
        }
        self.log.append_batch(&mut self.batch)?;
        Ok(())
    }
}

struct Reading {
    reader: Reader,
    buffer: ReadBuffer,
}

impl Reading {
    fn each(&self, range: ScanRange, see: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut scan = self.reader.scan(range)?;
        while let Some(record) = scan.advance()? {
            see(record.body())?;
        }
        Ok(())
    }
}

impl Reads for Reading {
    fn get(&mut self, seq: u64, see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let record = self.reader.get_into(seq, &mut self.buffer)?;
        Ok(record.map(|record| see(record.body())).is_some())
    }

    fn scan(&mut self, see: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.each(ScanRange::all(), see)
    }

    fn window(&mut self, from: i64, to: i64, see: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.each(ScanRange::all().since(Timestamp::from_micros(from)).until(Timestamp::from_micros(to)), see)
    }
}
