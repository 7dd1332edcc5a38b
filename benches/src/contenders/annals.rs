//! Annals, at its default options but for what a measure is about, and with its presets.

use super::{Aggregated, Appender, Contender, Exported, Facts, Index, Pending, Reads, Setup, Store, Submitter};
use crate::Result;
use crate::items::Item;
use annals::{
    Batch, Durability, Log, Options, Query, ReadBuffer, Reader, ScanRange, StatisticsQuery, Ticket, Timestamp, field,
};
use annals_export::{ExportOptions, FileSink, Plan};
use std::path::Path;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

/// One way of using Annals.
#[derive(Debug)]
pub(super) struct Annals {
    facts: Facts,
    options: fn() -> Options,
    unsynced: Durability,
    /// Whether it is sealed before it is read.
    seals: bool,
}

const BASE: Facts = Facts { package: Some("annals"), ..Facts::new("annals") };

/// As users get it.
pub(super) const SEALED: Annals = Annals {
    facts: Facts {
        durable: Some("`Durable`: written and fdatasync'd; threads share one log and its group commit"),
        unsynced: Some(
            "`Written`: given to the system by `write`; survives a kill, synced every second in the background",
        ),
        tickets: Some("`Log::submit`; a thread of its own waits for the tickets that are timed"),
        reads: Some("sealed segments (zstd blocks, index, hash tree); `Reader::get_into`, `Scan::advance`"),
        window: Some("its own bounds of time of each block; they are always there"),
        finds: Some("`Options::index_fields`, `Reader::query` with a limit of one"),
        export: Some("`annals-export` from the sealed log, zstd level 3; the schema is what sealing kept"),
        aggregates: Some("`Reader::statistics` of the sealed log; nothing of the answer is kept"),
        ..BASE
    },
    options: Options::new,
    unsynced: Durability::Written,
    seals: true,
};

/// Nothing sealed: the records as they were appended.
pub(super) const UNSEALED: Annals = Annals {
    facts: Facts {
        name: "annals-unsealed",
        reads: Some("raw segments of 2 GiB, nothing sealed"),
        window: Some("none: a scan of the raw segment"),
        ..BASE
    },
    options: || Options::new().segment_bytes(2 << 30),
    unsynced: Durability::Written,
    seals: false,
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
    options: Options::new,
    unsynced: Durability::Buffered { interval: Duration::from_secs(1) },
    seals: true,
};

/// The preset for bursts.
pub(super) const THROUGHPUT: Annals = Annals {
    facts: Facts {
        name: "annals-throughput",
        durable: Some("`Options::throughput`, `Durable`"),
        unsynced: Some("`Options::throughput`, `Written`"),
        tickets: Some("`Options::throughput`; `Log::submit`"),
        ..BASE
    },
    options: Options::throughput,
    unsynced: Durability::Written,
    seals: true,
};

/// The preset for short waits.
pub(super) const LATENCY: Annals = Annals {
    facts: Facts { name: "annals-latency", durable: Some("`Options::latency`, `Durable`"), ..BASE },
    options: Options::latency,
    unsynced: Durability::Written,
    seals: true,
};

/// With an index of three fields: a unique one, one of twenty values, one of four.
pub(super) const INDEXED: Annals = Annals {
    facts: Facts {
        name: "annals-indexed",
        durable: Some("`Durable`, with `request_id`, `event_type` and `status` indexed"),
        unsynced: Some("`Written`, with `request_id`, `event_type` and `status` indexed"),
        ..BASE
    },
    options: || {
        let indexed = ["request_id", "event_type", "status"].map(|name| field(name).expect("a path of one name"));
        Options::new().index_fields(indexed)
    },
    unsynced: Durability::Written,
    seals: true,
};

/// The preset for small logs.
pub(super) const STORAGE: Annals = Annals {
    facts: Facts {
        name: "annals-storage",
        reads: Some("`Options::storage`: sealed segments by column"),
        window: Some("its own bounds of time of each block; they are always there"),
        finds: Some("`Options::index_fields`, `Reader::query` with a limit of one"),
        export: Some("`annals-export` from the sealed log, zstd level 3; the schema is what sealing kept"),
        aggregates: Some("`Reader::statistics` of the sealed log; nothing of the answer is kept"),
        ..BASE
    },
    options: Options::storage,
    unsynced: Durability::Written,
    seals: true,
};

impl Contender for Annals {
    fn facts(&self) -> Facts {
        self.facts
    }

    fn open(&self, dir: &Path, setup: Setup) -> Result<Box<dyn Store>> {
        let durability = if setup.durable { Durability::Durable } else { self.unsynced };
        let mut options = (self.options)().durability(durability);
        if setup.index == Index::Ids {
            options = options.index_fields([field("request_id")?]);
        }
        let log = options.open_or_create(dir)?;
        Ok(Box::new(Open { log, seals: self.seals }))
    }

    fn export(&self, store: &Path, _ndjson: &Path, out: &Path) -> Result<Exported> {
        let reader = Reader::open(store)?;
        let options = ExportOptions::default();
        let begun = Instant::now();
        let plan = Plan::new(&reader.shape(reader.end_seq())?, &options)?;
        let mut sink = FileSink::create(out, &plan, &options, &[])?;
        let mut scan = reader.scan(everything())?;
        while let Some(record) = scan.advance()? {
            sink.push(record.seq(), record.timestamp().as_micros(), record.body())?;
        }
        sink.finish()?;
        Ok(Exported { seconds: begun.elapsed().as_secs_f64(), anonymous_bytes_max: None })
    }

    fn aggregate(&self, store: &Path, _ndjson: &Path, _scratch: &Path, repetitions: usize) -> Result<Aggregated> {
        let query = StatisticsQuery::over(everything()).by([field("event_type")?]).of([field("latency_ms")?]);
        // Nothing is kept, so each is the first.
        let query = query.distinct(false).keep(false);
        let reader = Reader::open(store)?;
        let (mut seconds, mut events) = (Vec::new(), 0);
        for _ in 0..=repetitions {
            let begun = Instant::now();
            let answer = reader.statistics(&query)?;
            seconds.push(begun.elapsed().as_secs_f64());
            events = answer.groups.iter().map(|group| group.records).sum();
        }
        seconds.remove(0);
        Ok(Aggregated { seconds, events, anonymous_bytes_max: None })
    }
}

/// All records, by all processors, as the program reads them.
fn everything() -> ScanRange {
    ScanRange::all().threads(available_parallelism().map_or(1, usize::from))
}

struct Open {
    log: Log,
    seals: bool,
}

impl Store for Open {
    fn appender(&self) -> Result<Box<dyn Appender + '_>> {
        Ok(Box::new(Appending { log: &self.log, batch: Batch::new() }))
    }

    fn submitter(&self) -> Result<Box<dyn Submitter + '_>> {
        Ok(Box::new(Submitting { log: &self.log, batch: Batch::new() }))
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

struct Submitting<'a> {
    log: &'a Log,
    batch: Batch,
}

impl Submitter for Submitting<'_> {
    fn submit(&mut self, item: &Item, timed: bool) -> Result<Option<Box<dyn Pending>>> {
        self.batch.clear();
        self.batch.push_at(Timestamp::from_micros(item.timestamp), &item.record)?;
        let ticket = self.log.submit_batch(&mut self.batch)?;
        Ok(timed.then(|| Box::new(ticket) as Box<dyn Pending>))
    }

    fn finish(&mut self) -> Result<()> {
        self.log.sync()?;
        Ok(())
    }
}

impl Pending for Ticket {
    fn wait(&self) -> Result<()> {
        Ok(Ticket::wait(self)?)
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

    fn find(&mut self, id: &str, see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let query = Query::over(ScanRange::all()).filter(field("request_id")?.is(id)).limit(1);
        let mut matches = self.reader.query(&query)?;
        Ok(matches.advance()?.map(|record| see(record.body())).is_some())
    }

    fn scan(&mut self, see: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.each(ScanRange::all(), see)
    }

    fn window(&mut self, from: i64, to: i64, see: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.each(ScanRange::all().since(Timestamp::from_micros(from)).until(Timestamp::from_micros(to)), see)
    }
}
