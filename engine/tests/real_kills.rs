//! Real kills of a real process: at each call that changes a file, counted, and at random moments. Whatever it had
//! acknowledged is there, nothing else is but what it had begun to append, and the log goes on.
//!
//! Counted kills need a C compiler and Linux on x86-64 (`real/shim.c`).
#![cfg(unix)]

mod real;

use real::child::{Act, CHANGES, end, run_with, shim, start};
use real::told::Told;
use real::workload::Plan;
use real::{Random, cases, conclude, in_memory, in_parallel, replay, replayed, seed, skipped};
use std::sync::Mutex;
use std::time::Duration;

/// One run that is killed, and perhaps another one after it, which is killed while it recovers.
#[derive(Debug, Clone)]
struct Case {
    plan: Plan,
    act: Act,
    /// Not 0: the next opening is killed at that call, too.
    again_at: u64,
    /// Whether the log is on a disk, and not in memory.
    on_disk: bool,
}

impl Case {
    fn text(&self) -> String {
        format!("{} {} {} {}", self.plan, self.act, self.again_at, u8::from(self.on_disk))
    }

    fn parse(text: &str) -> Self {
        let parts: Vec<_> = text.split(' ').collect();
        let [plan, act, again_at, on_disk] = parts[..] else { panic!("{text} is no case") };
        Self {
            plan: plan.parse().unwrap(),
            act: act.parse().unwrap(),
            again_at: again_at.parse().unwrap(),
            on_disk: on_disk == "1",
        }
    }

    /// Returns how often it was killed, and how long the slowest opening after it took.
    fn run(&self) -> Result<(u64, Duration), String> {
        let shim = shim()?;
        let home = if self.on_disk { tempfile::tempdir().unwrap() } else { in_memory() };
        let (log, mut told, mut kills) = (home.path().join("log"), Told::default(), 0);
        let done = run_with(&log, home.path(), &self.plan, &self.act, shim);
        done.hear(&mut told)?;
        kills += u64::from(done.was_killed());
        if self.again_at > 0 {
            let plan = Plan { run: self.plan.run + 1, openings: 1, ..self.plan.clone() };
            let act = Act { at: self.again_at, ..self.act.clone() };
            let done = run_with(&log, home.path(), &plan, &act, shim);
            done.hear(&mut told)?;
            kills += u64::from(done.was_killed());
        }
        told.check(&log)?;
        // What the check has appended is there, too.
        told.check(&log)?;
        Ok((kills, told.reopen_max))
    }
}

/// All kills of one workload: before each call, and in the middle of each.
fn kills_of(variant: u64) -> Result<Vec<Case>, String> {
    let mut random = Random(seed().wrapping_add(variant));
    let plan = Plan {
        seed: random.below(1 << 32),
        run: 0,
        durability: variant % 3,
        threads: if variant.is_multiple_of(2) { 0 } else { 2 },
        appends: 30,
        openings: 2,
        machine: false,
    };
    let dir = in_memory();
    let counted = run_with(&dir.path().join("log"), dir.path(), &plan, &Act::new("count", 0, CHANGES), shim()?);
    counted.hear(&mut Told::default())?;
    let mut all = Vec::new();
    for at in 1..=counted.calls {
        for what in ["kill", "killmid"] {
            let again_at = if random.below(4) == 0 { 1 + random.below(25) } else { 0 };
            let on_disk = random.below(16) == 0;
            all.push(Case { plan: plan.clone(), act: Act::new(what, at, CHANGES), again_at, on_disk });
        }
    }
    Ok(all)
}

#[test]
fn worker() {
    real::child::work_if_asked();
}

/// Repeats the case that a failure has named, if one is named.
#[test]
fn repeat() {
    if let Some(case) = replayed().filter(|case| case.contains("kill")) {
        Case::parse(&case).run().unwrap();
    }
}

#[test]
fn a_kill_at_each_write_sync_and_rename_loses_nothing() {
    const ROW: &str = "kills at each write, sync, rename";
    if let Err(why) = shim() {
        return skipped(ROW, why);
    }
    let (wanted, mut kills, mut variant) = (cases(160), 0, 0);
    let slowest = Mutex::new(Duration::ZERO);
    while kills < wanted {
        let mut all = kills_of(variant).unwrap();
        let left = (wanted - kills) as usize;
        // Spread over the whole run, if not all of it is wanted.
        let stride = (all.len() / left.max(1)).max(1);
        all = all.into_iter().step_by(stride).collect();
        let counted = Mutex::new(0);
        let (_, failure) = in_parallel(&all, |case| {
            let (killed, reopened) = case.run()?;
            *counted.lock().unwrap() += killed;
            let mut slowest = slowest.lock().unwrap();
            *slowest = slowest.max(reopened);
            Ok(())
        });
        kills += counted.into_inner().unwrap();
        if let Some((index, error)) = failure {
            return conclude(ROW, "kills", kills, Some((error, replay("real_kills", &all[index].text()))));
        }
        variant += 1;
    }
    println!("{variant} workloads; the slowest reopening took {:?}", slowest.into_inner().unwrap());
    conclude(ROW, "kills", kills, None);
}

/// A log is given up after so many kills, so that what is checked after each stays small.
const KILLS_PER_LOG: u64 = 15;

/// Kills the writer of one log again and again. Returns how often.
fn kill_at_random(log_seed: u64) -> Result<(u64, Duration), String> {
    let mut random = Random(log_seed);
    let home = if log_seed.is_multiple_of(16) { tempfile::tempdir().unwrap() } else { in_memory() };
    let (log, mut told) = (home.path().join("log"), Told::default());
    for run in 0..KILLS_PER_LOG {
        let plan = Plan {
            seed: random.below(1 << 32),
            run,
            durability: random.below(3),
            threads: random.below(4),
            appends: u64::MAX,
            openings: 1,
            machine: false,
        };
        let mut child = start(&log, &plan, None, None);
        std::thread::sleep(Duration::from_micros(1_000 + random.below(30_000)));
        let _ = child.kill();
        let done = end(child, None);
        done.hear(&mut told)?;
        if !done.was_killed() {
            return Err(format!("the worker ended by itself: {}", done.errors));
        }
        told.check(&log)?;
    }
    Ok((KILLS_PER_LOG, told.reopen_max))
}

#[test]
fn a_kill_at_a_random_moment_loses_nothing() {
    const ROW: &str = "random kills";
    let logs: Vec<u64> = match replayed().and_then(|case| case.strip_prefix("random ")?.parse().ok()) {
        Some(one) => vec![one],
        None => (0..cases(60).div_ceil(KILLS_PER_LOG)).map(|log| seed().wrapping_mul(1_000_003) + log).collect(),
    };
    let (kills, slowest) = (Mutex::new(0), Mutex::new(Duration::ZERO));
    let (_, failure) = in_parallel(&logs, |&log| {
        let (killed, reopened) = kill_at_random(log)?;
        *kills.lock().unwrap() += killed;
        let mut slowest = slowest.lock().unwrap();
        *slowest = slowest.max(reopened);
        Ok(())
    });
    println!("the slowest reopening took {:?}", slowest.into_inner().unwrap());
    let failure = failure.map(|(index, error)| {
        let line = "cargo test --release -p annals --test real_kills a_kill_at_a_random_moment -- --nocapture";
        (error, format!("ANNALS_REPLAY='random {}' {line}", logs[index]))
    });
    conclude(ROW, "kills", kills.into_inner().unwrap(), failure);
}
