//! What a process does to its log while the world goes wrong: appends singly and in batches, from one thread or several,
//! rolls, seals, syncs, closes and opens again. It tells of a record only after it was acknowledged.

use super::Random;
use annals::{Background, Batch, Durability, Error, Log, Options};
use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

/// What to do; the same plan does the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Which opening of the log this is, so that no two records are alike.
    pub(crate) run: u64,
    /// 0 durable, 1 written, 2 buffered.
    pub(crate) durability: u64,
    /// How many threads append, beside those of the log. 0: one, and the log has none of its own, so that the calls
    /// come in the same order each time.
    pub(crate) threads: u64,
    /// How often each appends in one opening.
    pub(crate) appends: u64,
    /// How often the log is opened.
    pub(crate) openings: u64,
    /// Whether only that is told which outlives the machine, and not this process alone.
    pub(crate) machine: bool,
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seed, run, durability, threads, appends, openings, machine } = self;
        write!(f, "{seed},{run},{durability},{threads},{appends},{openings},{}", u8::from(*machine))
    }
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Result<Vec<u64>, _> = text.split(',').map(str::parse).collect();
        match numbers.map_err(|error| error.to_string())?[..] {
            [seed, run, durability, threads, appends, openings, machine] => {
                Ok(Self { seed, run, durability, threads, appends, openings, machine: machine == 1 })
            }
            _ => Err(format!("{text} is no plan")),
        }
    }
}

/// The options of every log in these tests: segments so small that there is always one being sealed.
pub(crate) fn options() -> Options {
    Options::new().segment_bytes(64 << 10).unsealed_segments_max(1)
}

/// The record of that id: a few bytes up to some kilobytes, of text that compresses or doesn't.
pub(crate) fn record(id: &str) -> BTreeMap<String, String> {
    let mut random = Random(id.bytes().fold(7, |hash: u64, byte| hash.wrapping_mul(31).wrapping_add(byte.into())));
    let len = match random.below(8) {
        0 => random.below(9_000),
        1 => 0,
        _ => random.below(900),
    };
    let text = match random.below(2) {
        0 => id.chars().cycle().take(len as usize).collect(),
        _ => (0..len).map(|_| char::from(b' ' + random.below(90) as u8)).collect(),
    };
    BTreeMap::from([("id".to_owned(), id.to_owned()), ("text".to_owned(), text)])
}

/// Who hears what happens, each time in one line:
/// `+` the log was opened; `<seq> <id>` the record was acknowledged; `?<text>` something that must not be.
pub(crate) type Tell<'a> = &'a (dyn Fn(&str) + Sync);

/// Does what `plan` says to the log in `dir`.
///
/// # Errors
/// What ends it: opening fails, or the log accepts nothing any more at the last opening.
pub(crate) fn run(dir: &Path, plan: &Plan, tell: Tell<'_>) -> Result<(), Error> {
    let mut last = Ok(());
    for opening in 0..plan.openings {
        let durability = match plan.durability {
            0 => Durability::Durable,
            1 => Durability::Written,
            _ => Durability::Buffered { interval: Duration::from_millis(2) },
        };
        let mut options = options().durability(durability).direct_io(!(plan.seed / 2 + opening).is_multiple_of(3));
        if plan.threads == 0 {
            options = options.background(Background::Manual);
        }
        if plan.seed % 5 == 4 {
            options = options.segment_age(Duration::from_secs(1)).roll_daily(true);
        }
        let log = open(&options, dir)?;
        tell("+");
        let results: Vec<Result<(), Error>> = match plan.threads {
            0 => vec![Appender::new(&log, plan, opening, 0, tell).run()],
            threads => std::thread::scope(|scope| {
                let (log, plan) = (&log, &*plan);
                let spawn = |thread| scope.spawn(move || Appender::new(log, plan, opening, thread, tell).run());
                let running: Vec<_> = (0..threads).map(spawn).collect();
                running.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
            }),
        };
        last = results.into_iter().collect();
        match (plan.seed + opening) % 2 {
            0 => drop(log.close()),
            _ => drop(log),
        }
    }
    last
}

/// Opens the log, and waits a little for another writer to end.
fn open(options: &Options, dir: &Path) -> Result<Log, Error> {
    for _ in 0..300 {
        match options.open_or_create(dir) {
            Err(Error::Locked { .. }) => std::thread::sleep(Duration::from_millis(1)),
            opened => return opened,
        }
    }
    options.open_or_create(dir)
}

struct Appender<'a> {
    log: &'a Log,
    plan: &'a Plan,
    name: String,
    random: Random,
    number: u64,
    /// What was appended, and is to be told once it outlives what is to come.
    waiting: Vec<(u64, String)>,
    tell: Tell<'a>,
}

impl<'a> Appender<'a> {
    fn new(log: &'a Log, plan: &'a Plan, opening: u64, thread: u64, tell: Tell<'a>) -> Self {
        let random = Random(plan.seed * 1_000 + opening * 10 + thread);
        let name = format!("{}.{opening}.{thread}", plan.run);
        Self { log, plan, name, random, number: 0, waiting: Vec::new(), tell }
    }

    fn run(mut self) -> Result<(), Error> {
        let mut refused = 0;
        for step in 0..self.plan.appends {
            match self.append() {
                Ok(()) => refused = 0,
                // Nothing was written: it may be tried again.
                Err(Error::DiskFull { .. } | Error::OutOfFiles { .. }) if refused < 20 => refused += 1,
                Err(error @ (Error::DiskFull { .. } | Error::OutOfFiles { .. })) => return Err(error),
                Err(error) => {
                    self.stays_poisoned(&error);
                    return Err(error);
                }
            }
            if self.plan.threads == 0 && step % 5 == 4 {
                let _ = self.log.maintain();
            }
            match self.random.below(40) {
                0 => drop(self.log.seal()),
                1 | 2 => drop(self.log.sync()),
                _ => {}
            }
            self.tell_what_is_kept();
        }
        Ok(())
    }

    fn append(&mut self) -> Result<(), Error> {
        if self.random.below(6) > 0 {
            let id = self.next_id();
            let seq = self.log.append(&record(&id))?;
            return self.appended(seq, vec![id]);
        }
        let mut batch = Batch::new();
        let ids: Vec<_> = (0..1 + self.random.below(6)).map(|_| self.next_id()).collect();
        for id in &ids {
            batch.push(&record(id))?;
        }
        let durability = match self.random.below(2) {
            0 => Durability::Durable,
            _ => Durability::Buffered { interval: Duration::from_secs(1) },
        };
        let seqs = self.log.append_batch_with(&mut batch, durability)?;
        if durability == Durability::Durable && self.log.durable_seq() < seqs.end {
            (self.tell)("?a batch was acknowledged as durable before it was");
        }
        self.appended(seqs.start, ids)
    }

    fn next_id(&mut self) -> String {
        self.number += 1;
        format!("{}.{}", self.name, self.number)
    }

    fn appended(&mut self, first: u64, ids: Vec<String>) -> Result<(), Error> {
        self.waiting.extend((first..).zip(ids));
        self.tell_what_is_kept();
        Ok(())
    }

    /// Tells at once of what was acknowledged, if it outlives what is to come.
    fn tell_what_is_kept(&mut self) {
        let kept = match (self.plan.durability, self.plan.machine) {
            (0, _) | (1, false) => u64::MAX,
            _ => self.log.durable_seq(),
        };
        let (told, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(|(seq, _)| *seq < kept);
        self.waiting = waiting;
        let told: Vec<(u64, String)> = told;
        told.iter().for_each(|(seq, id)| (self.tell)(&format!("{seq} {id}")));
    }

    /// After the first failure the log accepts nothing.
    fn stays_poisoned(&mut self, error: &Error) {
        if !matches!(error, Error::Poisoned(_)) {
            (self.tell)(&format!("?an append failed with something else: {error:?}"));
        }
        for _ in 0..3 {
            let id = self.next_id();
            match self.log.append(&record(&id)) {
                Err(Error::Poisoned(_)) => {}
                other => (self.tell)(&format!("?{id} after a failure: {other:?}")),
            }
        }
        if self.log.sync().is_ok() {
            (self.tell)("?a sync after a failure succeeded");
        }
    }
}
