//! Errors of the system in a real process: each call on a file of the log fails once, or from then on, with each error
//! that it can have; reads and writes come short or are interrupted. Nothing that was acknowledged is missing
//! afterwards, and nothing is acknowledged after a sync that failed.
//!
//! Needs a C compiler and Linux on x86-64 (`real/shim.c`).
#![cfg(target_os = "linux")]

mod real;

use real::child::{Act, CREATE, Done, OPEN, READ, RENAME, SPACE, SYNC, UNLINK, WRITE, run_with, shim};
use real::told::Told;
use real::workload::Plan;
use real::{Random, cases, conclude, in_memory, in_parallel, replay, replayed, seed, skipped};

const EIO: u64 = 5;
const EINTR: u64 = 4;
const ENOSPC: u64 = 28;
const EMFILE: u64 = 24;
const EOPNOTSUPP: u64 = 95;

/// Which calls fail, and how: once, or from then on (`errnos`).
const FAULTS: [(u64, &str, u64); 24] = [
    (SYNC, "errno", EIO),
    (SYNC, "errnos", EIO),
    (SYNC, "errno", ENOSPC),
    (SYNC, "errno", EINTR),
    (WRITE, "errno", EIO),
    (WRITE, "errnos", EIO),
    (WRITE, "errno", ENOSPC),
    (WRITE, "errnos", ENOSPC),
    (WRITE, "errno", EINTR),
    (WRITE, "short", 0),
    (RENAME, "errno", EIO),
    (RENAME, "errnos", ENOSPC),
    (UNLINK, "errno", EIO),
    (UNLINK, "errnos", EIO),
    (SPACE, "errno", ENOSPC),
    (SPACE, "errnos", ENOSPC),
    (SPACE, "errno", EIO),
    (SPACE, "errnos", EOPNOTSUPP),
    (SPACE, "errno", EINTR),
    (CREATE | OPEN, "errno", EMFILE),
    (CREATE | OPEN, "errnos", EIO),
    (READ, "errno", EIO),
    (READ, "errno", EINTR),
    (READ, "short", 0),
];

#[derive(Debug, Clone)]
struct Case {
    plan: Plan,
    act: Act,
}

impl Case {
    fn text(&self) -> String {
        format!("{} {}", self.plan, self.act)
    }

    fn parse(text: &str) -> Self {
        let (plan, act) = text.split_once(' ').expect("a plan and what fails");
        Self { plan: plan.parse().unwrap(), act: act.parse().unwrap() }
    }

    fn run(&self) -> Result<(), String> {
        let home = in_memory();
        let (log, mut told) = (home.path().join("log"), Told::default());
        let done = run_with(&log, home.path(), &self.plan, &self.act, shim()?);
        done.hear(&mut told)?;
        if self.plan.threads == 0 {
            nothing_is_acknowledged_after_a_failed_sync(&done)?;
        }
        told.check(&log)?;
        told.check(&log)
    }
}

/// A sync that fails is the last that an opening of the log tries, unless it was for sealing, which appends don't need.
fn nothing_is_acknowledged_after_a_failed_sync(done: &Done) -> Result<(), String> {
    let mut failed: Option<&str> = None;
    for line in &done.lines {
        if line == "+" {
            failed = None;
        } else if let Some(path) = line.strip_prefix("!sync ") {
            let name = path.rsplit('/').next().unwrap_or(path);
            if name.ends_with(".log") || name.starts_with("prepared-") {
                failed = Some(path);
            }
        } else if let Some(path) = failed.filter(|_| line.starts_with(|first: char| first.is_ascii_digit())) {
            return Err(format!("{line} was acknowledged after a sync of {path} had failed"));
        }
    }
    Ok(())
}

/// Every call of one workload, failing in every way.
fn errors_of(variant: u64) -> Result<Vec<Case>, String> {
    let mut random = Random(seed().wrapping_add(variant));
    let plan = Plan {
        seed: random.below(1 << 32),
        run: 0,
        durability: variant % 3,
        threads: if variant % 4 == 3 { 2 } else { 0 },
        appends: 25,
        openings: 3,
        machine: false,
    };
    let mut all = Vec::new();
    for (classes, what, errno) in FAULTS {
        let dir = in_memory();
        let count = Act::new("count", 0, classes);
        let counted = run_with(&dir.path().join("log"), dir.path(), &plan, &count, shim()?);
        counted.hear(&mut Told::default())?;
        // The log's own calls are far fewer than its reads.
        let stride = (counted.calls / 200).max(1) as usize;
        let acts = (1..=counted.calls).step_by(stride).map(|at| Act { errno, ..Act::new(what, at, classes) });
        all.extend(acts.map(|act| Case { plan: plan.clone(), act }));
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
    if let Some(case) = replayed() {
        Case::parse(&case).run().unwrap();
    }
}

#[test]
fn an_error_of_any_call_loses_nothing() {
    const ROW: &str = "errors at each call of a real process";
    if let Err(why) = shim() {
        return skipped(ROW, why);
    }
    let (wanted, mut runs, mut variant) = (cases(200), 0, 0);
    while runs < wanted {
        let mut all = errors_of(variant).unwrap();
        // Spread over the whole run, if not all of it is wanted.
        let stride = (all.len() / (wanted - runs) as usize).max(1);
        all = all.into_iter().step_by(stride).collect();
        let (done, failure) = in_parallel(&all, Case::run);
        runs += done;
        if let Some((index, error)) = failure {
            return conclude(ROW, "runs", runs, Some((error, replay("real_errors", &all[index].text()))));
        }
        variant += 1;
    }
    println!("{variant} workloads");
    conclude(ROW, "runs", runs, None);
}
