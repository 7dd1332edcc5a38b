//! Random walks over a log that drops: appends beyond its limits, sealing, repairs, killed processes, and crashes in the middle of
//! anything. What was acknowledged is there; what the log tells of is what was dropped, but for what its last life had not told yet
//! when it ended without being closed, and never more.
//!
//! `ANNALS_CASES` says how many walks there are, `ANNALS_SEED` where they begin.

#[path = "codec/mod.rs"]
mod codec;
mod random;

use annals::storage::sim::{Fault, Loss, SimDisk};
use annals::{
    Background, Batch, Codec, Durability, Error, Log, OnLimit, Options, RateLimit, Reader, Repair, Result, ScanRange,
    StatisticsQuery,
};
use random::Random;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::time::Duration;

const BUFFERED: Durability = Durability::Buffered { interval: Duration::from_secs(1) };

#[derive(Serialize, Deserialize)]
struct Event {
    n: u64,
    text: String,
}

/// What the log has to hold.
#[derive(Debug, Clone, Default)]
struct Model {
    /// The numbers of the records that were taken or may have been, in order.
    tried: Vec<u64>,
    /// So many of them were acknowledged as durable, and as given to the system.
    durable: usize,
    written: usize,
    dropped: u64,
    /// How many of those the log tells of durably, at least.
    told: u64,
    next: u64,
}

impl Model {
    fn all_durable(&mut self) {
        (self.durable, self.written) = (self.tried.len(), self.tried.len());
    }

    fn all_told(&mut self) {
        self.all_durable();
        self.told = self.dropped;
    }
}

struct Walk {
    disk: SimDisk,
    log: Option<Log>,
    durability: Durability,
    /// The next seq when the log was opened.
    begun: u64,
    is_full: bool,
    model: Model,
}

/// What a reader finds: the numbers of the records, and how many are told as dropped, in whatever way it is asked.
fn read(reader: &Reader, context: &str) -> (Vec<u64>, u64) {
    let mut scan = reader.scan(ScanRange::all()).unwrap_or_else(|error| panic!("{context}: {error}"));
    let (mut found, mut seqs) = (Vec::new(), Vec::new());
    while let Some(record) = scan.advance().unwrap_or_else(|error| panic!("{context}: {error}")) {
        found.push(record.decode::<Event>().unwrap().n);
        seqs.push(record.seq());
    }
    let gaps = scan.gaps().to_vec();
    let dropped = |gap: &annals::Gap| gap.dropped.unwrap_or_else(|| panic!("{context}: {gap}")).records;
    let told = gaps.iter().map(dropped).sum::<u64>();
    seqs.extend(gaps.iter().map(|gap| gap.first_seq));
    seqs.sort_unstable();
    assert_eq!(seqs, (0..reader.end_seq()).collect::<Vec<_>>(), "{context}: every seq is a record or tells of some");
    assert_eq!(reader.gaps().unwrap(), gaps, "{context}");
    let mut back = reader.scan(ScanRange::all().reverse()).unwrap();
    let mut others = 0;
    while back.advance().unwrap().is_some() {
        others += 1;
    }
    assert_eq!((others, back.gaps().iter().map(dropped).sum::<u64>()), (found.len(), told), "{context}");
    let statistics = reader.statistics(&StatisticsQuery::over(ScanRange::all())).unwrap();
    assert_eq!((statistics.records, &statistics.gaps), (found.len() as u64, &gaps), "{context}");
    let info = reader.info().unwrap();
    let sum = |of: fn(&annals::SegmentInfo) -> u64| info.segments.iter().map(of).sum::<u64>();
    let sums = (sum(|segment| segment.missing), sum(|segment| segment.dropped), sum(|segment| segment.drop_notes));
    assert_eq!(sums, (0, told, gaps.len() as u64), "{context}");
    (found, told)
}

impl Walk {
    fn open(&mut self, random: &mut Random, context: &str) {
        let by_rate = random.below(3) > 0;
        self.durability = random.choose(&[Durability::Durable, Durability::Written, BUFFERED]);
        let codec = if random.below(4) == 0 { Codec::Columns } else { codec::codec() };
        let mut options = Options::new().background(Background::Manual).durability(self.durability).codec(codec);
        options = options.segment_bytes(random.choose(&[64, 256]) << 10).queue_bytes(64 << 10);
        if by_rate {
            let limit = RateLimit::records(1 + random.below(4)).burst(1 + random.below(6));
            options = options.rate_limit(limit.on_limit(OnLimit::Drop));
        }
        if !by_rate || random.below(2) == 0 {
            options = options.on_queue_full(random.choose(&[OnLimit::Drop, OnLimit::Drop, OnLimit::Refuse]));
        }
        let log = options.open_or_create_on(self.disk.storage()).unwrap_or_else(|error| panic!("{context}: {error}"));
        assert!(log.recovery().is_complete(), "{context}: {:?}", log.recovery());
        self.begun = log.next_seq();
        self.log = Some(log);
    }

    fn log(&self) -> &Log {
        self.log.as_ref().unwrap()
    }

    fn append(&mut self, random: &mut Random) -> Result<()> {
        let count = if random.below(3) == 0 { random.below(5) } else { 1 };
        let size = random.choose(&[10, 10, 400, 12_000]);
        let before = self.model.tried.len();
        let mut batch = Batch::new();
        for _ in 0..count {
            batch.push(&Event { n: self.model.next, text: "x".repeat(size) })?;
            self.model.tried.push(self.model.next);
            self.model.next += 1;
        }
        let wanted = random.choose(&[self.durability, self.durability, Durability::Written, Durability::Durable]);
        let waits = random.below(3) > 0;
        let outcome = match waits {
            true => self.log().append_batch_with(&mut batch, wanted).map(|_| ()),
            false => self.log().submit_batch(&mut batch).map(|_| ()),
        };
        match outcome {
            Ok(()) if waits && count > 0 => match wanted.max(self.durability) {
                Durability::Durable => self.model.all_durable(),
                Durability::Written => self.model.written = self.model.tried.len(),
                Durability::Buffered { .. } => {}
            },
            Ok(()) => {}
            Err(Error::Dropped { records, .. }) => {
                assert_eq!(records, count);
                self.model.tried.truncate(before);
                self.model.dropped += count;
            }
            Err(Error::QueueFull { .. } | Error::DiskFull { .. }) => self.model.tried.truncate(before),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Does something; the log stays open.
    fn act(&mut self, random: &mut Random) -> Result<()> {
        match random.below(20) {
            0..12 => self.append(random)?,
            12 => {
                self.log().sync()?;
                self.model.all_told();
            }
            13 | 14 => {
                self.log().maintain()?;
                self.model.all_durable();
            }
            15 => {
                self.log().seal()?;
                self.model.all_durable();
                // Where there is no space for it, the next segment tells of them.
                if !self.is_full {
                    self.model.all_told();
                }
            }
            _ => self.disk.advance_clock(random.choose(&[1_000, 300_000, 1_000_000, 5_000_000])),
        }
        Ok(())
    }

    /// Compares the log with the model, of which what was not acknowledged may be missing, and goes on with what is there.
    fn reopen(&mut self, must: usize, random: &mut Random, context: &str) {
        let (seen, told) = match Reader::open_on(self.disk.storage()) {
            Ok(reader) => read(&reader, context),
            Err(Error::NotALog { .. }) if must == 0 => Default::default(),
            Err(error) => panic!("{context}: {error}"),
        };
        self.open(random, context);
        let (found, told_after) = read(&self.log().reader(), context);
        // A reader sees what is known to be durable, or written.
        assert!(found.starts_with(&seen) && told <= told_after, "{context}: {seen:?}, {told} and {told_after} told");
        let told = told_after;
        assert!(found.len() >= must, "{context}: {} of {must} records", found.len());
        assert!(self.model.tried.starts_with(&found), "{context}: {found:?} of {:?}", self.model.tried);
        let range = self.model.told..=self.model.dropped;
        assert!(range.contains(&told), "{context}: {told} are told, not {range:?}");
        // What was not told goes with the process that knew of it.
        self.model.dropped = told;
        self.model.tried.truncate(found.len());
        self.model.all_told();
    }

    /// Ends the life of the log, and begins another.
    fn end(&mut self, random: &mut Random, context: &str) {
        match random.below(4) {
            0 | 1 => {
                let log = self.log.take().unwrap();
                // A writer that placed nothing leaves no mark.
                let begun = self.begun;
                log.close().unwrap_or_else(|error| panic!("{context}: {error}"));
                self.model.all_told();
                if random.below(3) == 0 {
                    let repaired = Repair::apply().run_on(self.disk.storage()).unwrap();
                    assert!(repaired.is_sound() && repaired.damage.is_empty(), "{context}: {repaired:?}");
                }
                self.reopen(self.model.tried.len(), random, context);
                let recovery = self.log().recovery();
                assert!(recovery.clean || self.begun == begun, "{context}: {recovery:?}");
            }
            2 => self.kill(self.model.durable.max(self.model.written), random, context),
            _ => self.crash(random, context),
        }
    }

    /// Ends the process, and not the machine.
    fn kill(&mut self, must: usize, random: &mut Random, context: &str) {
        self.disk.stop();
        self.log = None;
        self.disk.restart();
        self.reopen(must, random, context);
    }

    /// Stops the machine in the middle of what comes next.
    fn crash(&mut self, random: &mut Random, context: &str) {
        let promised = self.model.clone();
        self.disk.keep_moments();
        self.act(random).unwrap_or_else(|error| panic!("{context}: {error}"));
        let moments = self.disk.take_moments();
        let at = random.below(moments.len() as u64 + 1) as usize;
        let image = |disk: &SimDisk, random: &mut Random| disk.crash(random.choose(&Loss::ALL), random.next());
        self.disk = match moments.get(at) {
            Some(moment) => {
                // What was tried and dropped meanwhile may be there, and what was promised after that moment was not yet.
                (self.model.durable, self.model.told) = (promised.durable, promised.told);
                image(moment, random)
            }
            None => image(&self.disk, random),
        };
        self.log = None;
        self.reopen(self.model.durable, random, context);
    }

    /// A disk that is full for a while: nothing is lost, and nothing goes uncounted unless the log is poisoned.
    fn fill(&mut self, random: &mut Random, context: &str) {
        self.disk.fail_at(self.disk.calls(), Fault::Full, true);
        self.is_full = true;
        let mut is_poisoned = false;
        for _ in 0..random.below(6) {
            match self.act(random) {
                Ok(()) | Err(Error::DiskFull { .. }) => {}
                // Sealing says it as it is.
                Err(Error::Io { source, .. }) if source.kind() == ErrorKind::StorageFull => {}
                Err(Error::Poisoned(_)) => is_poisoned = true,
                Err(error) => panic!("{context}: on a full disk: {error}"),
            }
        }
        self.disk.heal();
        self.is_full = false;
        if is_poisoned {
            self.kill(self.model.durable, random, context);
        }
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn what_is_told_is_what_was_dropped_wherever_a_log_goes() {
    let (seed, walks) = (number("ANNALS_SEED", 42), number("ANNALS_CASES", 60));
    let (mut dropped, mut taken) = (0, 0);
    for walk in 0..walks {
        let mut random = Random(seed.wrapping_mul(1_000_003).wrapping_add(walk));
        let disk = SimDisk::new(walk);
        disk.take_direct_writes(random.below(2) == 0);
        let (durability, model) = (Durability::Durable, Model::default());
        let mut own = Walk { disk, log: None, durability, begun: 0, is_full: false, model };
        own.open(&mut random, "at first");
        for step in 0..60 {
            let context = format!("ANNALS_SEED={seed}, walk {walk}, step {step}");
            match random.below(12) {
                0 => own.end(&mut random, &context),
                1 if random.below(3) == 0 => own.fill(&mut random, &context),
                _ => own.act(&mut random).unwrap_or_else(|error| panic!("{context}: {error}")),
            }
        }
        let context = format!("ANNALS_SEED={seed}, walk {walk}, at last");
        own.log.take().unwrap().close().unwrap_or_else(|error| panic!("{context}: {error}"));
        let reader = Reader::open_on(own.disk.storage()).unwrap();
        let found = read(&reader, &context);
        assert_eq!(found, (own.model.tried.clone(), own.model.dropped), "{context}");
        let verified = reader.verify(&mut |_| ()).unwrap();
        assert!(verified.is_sound() && verified.root.is_some(), "{context}: {verified:?}");
        dropped += own.model.dropped;
        taken += own.model.tried.len();
    }
    assert!(dropped > 10 * walks && taken as u64 > 10 * walks, "{dropped} were dropped, {taken} taken");
    println!("trust: walks over logs that drop: {walks} walks, {dropped} records dropped, 0 failures, seed {seed}");
}
