//! A walk: operations on one log over several lives of its writer, and what the log has to hold after each.

use crate::simulator::asking::{ask, with_indexes};
use crate::simulator::image::codec::codec;
use crate::simulator::image::{Facts, check_reader, recover};
use crate::simulator::kept::{Kept, check_kept, either};
use crate::simulator::model::{Broken, Entry, Failure, Model, Step, read_in_every_way};
use crate::simulator::once::Window;
use crate::simulator::random::{Random, derive};
use crate::simulator::tree::{hex, leaf, root};
use annals::storage::sim::{Loss, SimDisk};
use annals::{Background, Batch, Durability, Error, Log, Options, Reader, Scan, ScanRange, Tail, Timestamp};
use std::time::Duration;

/// What is done next. What an operation leaves open follows from its own seed, so that it does the same in a walk from
/// which others were taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Append,
    Batch,
    Sync,
    Maintain,
    Seal,
    /// Appends a record with a key, unless there is one.
    Once,
    /// Removes the oldest segments, or plans it.
    Retain,
    /// Holds records, or releases them.
    Hold,
    Read,
    /// Moves the clock, back too.
    Clock,
    /// Closes the log and opens it again.
    Close,
    /// Closes the log, repairs it, which changes nothing, and opens it again; repairs a damaged copy.
    Repair,
    /// Ends the process; another opens the log on the same machine.
    Kill,
    /// Stops the machine in the middle of an append, a sealing or an opening.
    Crash,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Op {
    pub(crate) kind: Kind,
    pub(crate) seed: u64,
}

/// How often what is done: of about a hundred operations.
pub(crate) const WEIGHTS: [(Kind, usize); 14] = [
    (Kind::Append, 24),
    (Kind::Batch, 18),
    (Kind::Sync, 5),
    (Kind::Maintain, 9),
    (Kind::Seal, 7),
    (Kind::Once, 8),
    (Kind::Retain, 5),
    (Kind::Hold, 3),
    (Kind::Read, 4),
    (Kind::Clock, 4),
    (Kind::Close, 3),
    (Kind::Repair, 1),
    (Kind::Kill, 4),
    (Kind::Crash, 7),
];

/// The operations that `seed` stands for.
pub(crate) fn draw(seed: u64, steps: usize) -> Vec<Op> {
    let mut random = Random::new(seed);
    let total = WEIGHTS.iter().map(|(_, weight)| weight).sum();
    let kind = |mut at: usize| {
        let found = WEIGHTS.iter().find(|(_, weight)| {
            let here = at < *weight;
            at = at.saturating_sub(*weight);
            here
        });
        found.map_or(Kind::Append, |(kind, _)| *kind)
    };
    (0..steps).map(|n| Op { kind: kind(random.below(total)), seed: derive(seed, n as u64) }).collect()
}

/// A log, its disk, and those who look at it.
pub(crate) struct Walk {
    pub(crate) disk: SimDisk,
    pub(crate) model: Model,
    pub(crate) log: Option<Log>,
    pub(crate) durability: Durability,
    /// So many records the next opening has to find, though they are not durable.
    must_find: usize,
    /// What the last opening might have found.
    pub(crate) before_opening: Vec<Entry>,
    /// What the catalog might have said to the last opening.
    pub(crate) kept_before_opening: Vec<Kept>,
    /// Which keys count in this life of the log.
    pub(crate) window: Window,
    /// Whether the moments of the disk are kept, on another disk too.
    pub(crate) keeps_moments: bool,
    /// Those who follow the log, and whether from outside the writer's process.
    tails: Vec<(Tail, bool)>,
    scan: Option<HeldScan>,
}

/// A scan that goes on while all the rest happens.
struct HeldScan {
    scan: Scan,
    next: usize,
    end: usize,
    beside: bool,
}

impl Walk {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            disk: {
                let disk = SimDisk::new(seed);
                disk.take_direct_writes(seed.is_multiple_of(2));
                disk
            },
            model: Model::default(),
            log: None,
            durability: Durability::Durable,
            must_find: 0,
            before_opening: Vec::new(),
            kept_before_opening: vec![Kept::default()],
            window: Window::DEFAULT,
            keeps_moments: false,
            tails: Vec::new(),
            scan: None,
        }
    }

    /// Whether all that readers see is durable.
    pub(crate) fn shows_durable_only(&self) -> bool {
        self.durability == Durability::Durable
    }

    /// Does `op`, on a log that is open.
    pub(crate) fn step(&mut self, op: Op) -> Step {
        let mut random = Random::new(op.seed);
        self.act(op.kind, &mut random)?;
        if let Some(log) = &self.log {
            // What the log says is durable was acknowledged by that.
            self.model.durable = self.model.durable.max(log.durable_seq() as usize);
            if log.durable_seq() > self.model.entries.len() as u64 {
                return Err(Failure::Broken(format!("{} records are said to be durable", log.durable_seq())));
            }
        }
        self.look_around()
    }

    fn act(&mut self, kind: Kind, random: &mut Random) -> Step {
        match kind {
            Kind::Append => self.append(1, random)?,
            Kind::Batch => self.append(random.below(12), random)?,
            Kind::Sync => {
                let end = self.log()?.sync()? as usize;
                if end < self.model.entries.len() {
                    return Err(Failure::Broken(format!("synced to {end} of {}", self.model.entries.len())));
                }
                self.model.all_durable();
            }
            Kind::Maintain => {
                self.log()?.maintain()?;
                self.model.all_durable();
            }
            Kind::Seal => {
                self.log()?.seal()?;
                self.model.all_durable();
            }
            Kind::Once => self.once(random)?,
            Kind::Retain => self.retain(random)?,
            Kind::Hold => self.hold(random)?,
            Kind::Repair => self.repair(random)?,
            Kind::Read => self.read(random)?,
            Kind::Clock => {
                let reach = random.pick(&[1, 1_000, 60_000_000, 7_200_000_000, 90_000_000_000]);
                self.disk.advance_clock(random.next() as i64 % reach);
            }
            Kind::Close => {
                let log = self.log.take().ok_or(Error::Closed)?;
                // Without records of its own, a writer leaves no mark.
                let last = self.model.entries.last().map(|entry| entry.incarnation);
                let marked = last == Some(log.incarnation());
                log.close()?;
                self.model.all_durable();
                self.open(random)?;
                if self.log()?.recovery().clean || !marked {
                    return Ok(());
                }
                return Err(Failure::Broken(format!("closed, but not clean: {:?}", self.log()?.recovery())));
            }
            Kind::Kill => {
                match random.percent(50) {
                    true => self.kill(),
                    false => self.kill_in_the_middle(random)?,
                }
                self.open(random)?;
            }
            Kind::Crash => self.crash(random)?,
        }
        Ok(())
    }

    pub(crate) fn log(&self) -> Step<&Log> {
        self.log.as_ref().ok_or(Failure::Engine(Error::Closed))
    }

    fn append(&mut self, count: usize, random: &mut Random) -> Step {
        let mut batch = Batch::new();
        let mut bodies = Vec::new();
        let given = random.percent(60).then(|| random.next() as i64 >> random.below(40));
        for _ in 0..count {
            let size = match random.below(100) {
                0..60 => random.below(100),
                60..92 => random.below(2_500),
                _ => random.below(12_000),
            };
            let body = self.model.body(size, random);
            batch.push_raw(given.map(Timestamp::from_micros), &body)?;
            bodies.push(body);
        }
        let wanted = random.pick(&[
            self.durability,
            self.durability,
            Durability::Buffered { interval: Duration::from_secs(1) },
            Durability::Written,
            Durability::Durable,
        ]);
        let log = self.log.as_ref().ok_or(Error::Closed)?;
        let now = self.disk.clock().as_micros();
        let first = self.model.entries.len();
        // Noted before the call: a record whose append fails may be found all the same. The clock moves by 1 µs a look.
        let time = given.map_or((now, now + 1_000), |given| (given, given));
        self.model.append(bodies, time, log.incarnation());
        match log.append_batch_with(&mut batch, wanted) {
            Ok(seqs) => {
                let end = self.model.entries.len();
                if seqs != (first as u64..end as u64) {
                    return Err(Failure::Broken(format!("records {first} to {end} were appended as {seqs:?}")));
                }
                match wanted.max(self.durability) {
                    _ if count == 0 => {}
                    Durability::Durable => self.model.all_durable(),
                    Durability::Written => self.model.written = end,
                    Durability::Buffered { .. } => {}
                }
                Ok(())
            }
            Err(error) => {
                // Refused before anything was placed; or poisoned now, and then the records may be found or not.
                if !matches!(error, Error::Poisoned(_)) {
                    self.model.entries.truncate(first);
                }
                Err(error.into())
            }
        }
    }

    fn read(&mut self, random: &mut Random) -> Step {
        read_in_every_way(&self.log()?.reader(), &self.model.entries, random)?;
        let beside = Reader::open_on(self.disk.storage())?;
        read_in_every_way(&beside, &self.model.entries, random)?;
        ask(&self.log()?.reader(), &self.model.entries, random)?;
        ask(&beside, &self.model.entries, random)?;
        if random.percent(40) {
            self.verify(&beside)?;
        }
        // Those who look on while all the rest happens.
        let is_beside = random.percent(60);
        let reader = if is_beside { beside } else { self.log()?.reader() };
        let first = random.below(reader.end_seq() as usize + 1) as u64;
        if self.tails.len() > 3 {
            self.tails.remove(0);
        }
        self.tails.push((reader.tail(first), is_beside));
        let scan = reader.scan(ScanRange::all().seqs(first..))?;
        let end = reader.end_seq() as usize;
        // What has been removed before a scan begins is no part of it.
        let next = first.max(reader.first_seq()) as usize;
        self.scan = Some(HeldScan { scan, next, end, beside: is_beside });
        Ok(())
    }

    /// Verifies the log: its root is that over all records that there ever were.
    fn verify(&self, reader: &Reader) -> Step {
        let verified = reader.verify(&mut |_| ())?;
        let mut leaves = self.model.leaves[..reader.first_seq() as usize].to_vec();
        let mut scan = reader.scan(ScanRange::all())?;
        while let Some(record) = scan.advance()? {
            leaves.push(leaf(reader.id(), &record));
        }
        let is_right = verified.is_sound()
            && verified.records == verified.end_seq - reader.first_seq()
            && verified.root == Some(hex(root(&leaves)));
        if is_right { Ok(()) } else { Err(Failure::Broken(format!("verifying: {verified:?}"))) }
    }

    /// Lets those who follow the log see what is new, and one who reads it get a little further.
    fn look_around(&mut self) -> Step {
        for (tail, _) in &mut self.tails {
            loop {
                let seq = tail.next_seq() as usize;
                let record = match tail.next(Some(Duration::ZERO)) {
                    Ok(Some(record)) => record,
                    Ok(None) => break,
                    Err(Error::Removed(removal)) => {
                        self.model.was_removed(seq, &removal)?;
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                let entry = self.model.entries.get(seq).ok_or_else(|| format!("a tail sees record {seq}"))?;
                entry.check(seq, &record.as_record()).map_err(|broken| format!("a tail: {broken}"))?;
            }
        }
        let Some(held) = &mut self.scan else { return Ok(()) };
        let seq = held.next;
        match held.scan.advance() {
            Ok(Some(record)) => {
                let entry = self.model.entries.get(seq).ok_or_else(|| format!("a scan sees record {seq}"))?;
                entry.check(seq, &record).map_err(|broken| format!("a scan: {broken}"))?;
                held.next += 1;
            }
            Ok(None) if seq >= held.end => self.scan = None,
            Ok(None) => return Err(Failure::Broken(format!("a scan ends at {seq} of {}", held.end))),
            // In the writer's process, it goes on with what it began with.
            Err(Error::Removed(removal)) if held.beside => {
                self.model.was_removed(seq, &removal)?;
                held.next = removal.end_seq as usize;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Opens the log, with other options than before.
    pub(crate) fn open(&mut self, random: &mut Random) -> Step {
        let second = Duration::from_secs(1);
        let durability = match random.below(10) {
            0..6 => Durability::Durable,
            6..8 => Durability::Written,
            _ => Durability::Buffered { interval: second },
        };
        let mut options = Options::new().background(Background::Manual).durability(durability).codec(codec());
        options = options.segment_bytes(random.pick(&[64, 64, 64, 100]) << 10).roll_daily(random.percent(30));
        if random.percent(50) {
            options = options.segment_age(second * 3600);
        }
        let window = Window::draw(random);
        let options = with_indexes(window.options(options), random)?;
        let log = options.open_or_create_on(self.disk.storage())?;
        self.durability = durability;
        self.window = window;
        let found = log.next_seq() as usize;
        let model = &mut self.model;
        let must = model.durable.max(self.must_find);
        if found < must || found > model.entries.len() || !model.ends_batch(found) {
            let all = model.entries.len();
            return Err(Failure::Broken(format!("{found} records after opening, of {all}, {must} acknowledged")));
        }
        self.must_find = 0;
        if !log.recovery().is_complete() {
            return Err(Failure::Broken(format!("damage where there is none: {:?}", log.recovery())));
        }
        if !model.incarnations.insert(log.incarnation()) {
            return Err(Failure::Broken("an incarnation came back".into()));
        }
        if let Some((tail, _)) = self.tails.iter().find(|(tail, _)| tail.next_seq() > found as u64) {
            return Err(Failure::Broken(format!("a tail saw {} records, recovery {found}", tail.next_seq())));
        }
        let kept = check_kept(&log.reader(), &model.kept)?;
        if log.holds()? != kept.holds {
            return Err(Failure::Broken(format!("the log says that {:?} is held, {kept:?}", log.holds())));
        }
        self.kept_before_opening = std::mem::replace(&mut model.kept, vec![kept]);
        model.created = true;
        self.before_opening.clone_from(&model.entries);
        model.restarted(found);
        self.log = Some(log);
        Ok(())
    }

    /// Every append and every sync fails from now on, as the first did.
    pub(crate) fn stays_poisoned(&self) -> Result<(), Broken> {
        let Some(log) = &self.log else { return Ok(()) };
        let refused = |outcome: annals::Result<u64>| matches!(outcome, Err(Error::Poisoned(_)));
        match refused(log.append_raw(None, &[0x80])) && refused(log.sync()) {
            true => Ok(()),
            false => Err("a poisoned log accepts records".into()),
        }
    }

    /// Ends the process, and not the machine: what was given to the system is still there.
    pub(crate) fn kill(&mut self) {
        self.disk.stop();
        self.log = None;
        self.disk.restart();
        self.must_find = self.model.durable.max(self.model.written);
        // Those who looked on in that process have ended with it.
        self.tails.retain(|(_, beside)| *beside);
        self.scan = self.scan.take().filter(|held| held.beside);
    }

    /// Stops the machine as it is, and goes on with what that leaves.
    pub(crate) fn restart_machine(&mut self, random: &mut Random) -> Result<(), Broken> {
        let image = self.disk.crash(random.pick(&Loss::ALL), random.next());
        let facts = self.facts(self.model.durable);
        check_reader(&image, &facts)?;
        recover(&image.copy(), &facts)?;
        self.go_on_with(image);
        Ok(())
    }

    pub(crate) fn facts(&self, floor: usize) -> Facts<'_> {
        Facts {
            entries: &self.model.entries,
            floor,
            durable: None,
            exactly: None,
            created: self.model.created,
            incarnations: &self.model.incarnations,
            kept: &self.model.kept,
        }
    }

    fn go_on_with(&mut self, image: SimDisk) {
        self.log = None;
        self.tails.clear();
        self.scan = None;
        self.must_find = 0;
        self.disk = image;
        if self.keeps_moments {
            self.disk.keep_moments();
        }
    }

    /// Does something, and returns the disk in the middle of one of its calls, or after it, with what had been acknowledged
    /// by then.
    fn interrupted(&mut self, random: &mut Random) -> Step<(SimDisk, Promised)> {
        const NEXT: [Kind; 11] = [
            Kind::Append,
            Kind::Append,
            Kind::Batch,
            Kind::Sync,
            Kind::Maintain,
            Kind::Seal,
            Kind::Once,
            Kind::Retain,
            Kind::Retain,
            Kind::Hold,
            Kind::Close,
        ];
        let before = Promised { durable: self.model.durable, written: self.model.written };
        let kept = self.model.kept.clone();
        let incarnations = self.model.incarnations.clone();
        self.disk.keep_moments();
        let next = random.pick(&NEXT);
        self.act(next, random)?;
        let moments = self.disk.take_moments();
        Ok(match moments.get(random.below(moments.len() + 1)) {
            Some(moment) => {
                // What comes after the moment never happens.
                self.model.incarnations = incarnations;
                self.model.kept = either(&kept, &self.model.kept);
                (moment.copy(), before)
            }
            None => (self.disk.copy(), Promised { durable: self.model.durable, written: self.model.written }),
        })
    }

    /// Ends the process in the middle of what comes next.
    fn kill_in_the_middle(&mut self, random: &mut Random) -> Step {
        let (disk, promised) = self.interrupted(random)?;
        disk.restart();
        self.go_on_with(disk);
        self.model.durable = promised.durable;
        self.must_find = promised.durable.max(promised.written);
        Ok(())
    }

    /// Stops the machine somewhere in what comes next, and goes on with what that leaves.
    fn crash(&mut self, random: &mut Random) -> Step {
        let (disk, promised) = self.interrupted(random)?;
        let image = disk.crash(random.pick(&Loss::ALL), random.next());
        let facts = self.facts(promised.durable);
        check_reader(&image, &facts)?;
        let found = recover(&image.copy(), &facts)?.found;
        self.go_on_with(image);
        self.model.durable = promised.durable;
        self.open(random)?;
        match self.model.entries.len() == found {
            true => Ok(()),
            false => Err(Failure::Broken(format!("opened twice: {found} records, then {}", self.model.entries.len()))),
        }
    }
}

/// How much has been acknowledged.
#[derive(Debug, Clone, Copy)]
struct Promised {
    durable: usize,
    written: usize,
}
