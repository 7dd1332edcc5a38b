//! The engine under a checker of concurrency: which thread runs next is decided at every lock, atomic, wait and call of
//! the disk, at random or by priorities (PCT), from a seed. `.ci/schedules` builds and runs this; docs/testing.md says more.
//!
//! `ANNALS_CASES` schedules are run in all, from `ANNALS_SEED`. A failure prints the line that runs its schedule again.
#![cfg(annals_shuttle)]

mod ledger;
mod limiting;
mod reading;
mod streams;
mod writing;

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

type Scenario = fn();

const SCENARIOS: [(&str, Scenario); 16] = [
    ("group_commit", writing::group_commit),
    ("append_and_close", writing::append_and_close),
    ("failing_disk", writing::failing_disk),
    ("failing_sync_aside", writing::failing_sync_aside),
    ("roll_and_seal", writing::roll_and_seal),
    ("queue_full", writing::queue_full),
    ("buffered_interval", writing::buffered_interval),
    ("maintain_and_seal", writing::maintain_and_seal),
    ("drop_and_close", limiting::drop_and_close),
    ("streams_come_and_go", streams::come_and_go),
    ("sync_beside_closing", streams::sync_beside_closing),
    ("publication", reading::publication),
    ("seal_under_readers", reading::seal_under_readers),
    ("attached", reading::attached),
    ("attached_shared", reading::attached_shared),
    ("drop_under_tails", reading::drop_under_tails),
];

/// How many schedules share a scheduler, which learns from the first how long they are.
const SCHEDULES_PER_RUN: u64 = 100;
/// An everyday number of schedules takes minutes; this one is for a look.
const CASES_DEFAULT: u64 = 2_400;
/// No scenario has nearly as many steps unless threads wait for each other by turns for ever.
const STEPS_MAX: usize = 200_000;

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
        Err(_) => default,
    }
}

fn run(scheduler: impl Scheduler + 'static, failures: &Path, scenario: Scenario) -> std::thread::Result<usize> {
    let mut config = Config::new();
    config.stack_size = 1 << 20;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    config.silence_warnings = true;
    config.failure_persistence = FailurePersistence::File(Some(failures.to_owned()));
    config.ungraceful_shutdown_config.immediately_return_on_panic = true;
    catch_unwind(AssertUnwindSafe(|| Runner::new(scheduler, config).run(scenario)))
}

/// The schedule of the failure that was just caught.
fn failing_schedule(failures: &Path) -> String {
    let mut found: Vec<_> = std::fs::read_dir(failures).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    let text = found.first().map_or("none was written".into(), |path| std::fs::read_to_string(path).unwrap());
    text.split_whitespace().collect()
}

/// One after the other, since a failure's schedule is written to the one place that the first run names.
#[test]
fn every_scenario_holds_under_every_schedule_and_a_deadlock_is_found() {
    let failures = tempfile::tempdir().unwrap();
    let failures = failures.path();
    if let Ok(replay) = std::env::var("ANNALS_SCHEDULE") {
        let (name, schedule) = replay.split_once(':').expect("ANNALS_SCHEDULE=<scenario>:<schedule>");
        let (_, scenario) = SCENARIOS.iter().find(|(known, _)| *known == name).expect("no such scenario");
        let replayed = run(ReplayScheduler::new_from_encoded(schedule), failures, *scenario);
        assert!(replayed.is_ok(), "the schedule of {name} fails again");
        return;
    }
    let seed = number("ANNALS_SEED", 42);
    let only = std::env::var("ANNALS_SCENARIO").ok();
    let scenarios: Vec<_> = SCENARIOS.iter().filter(|(name, _)| only.as_ref().is_none_or(|o| o == name)).collect();
    let each = number("ANNALS_CASES", CASES_DEFAULT).div_ceil(scenarios.len() as u64);
    let mut total = 0;
    for (index, (name, scenario)) in scenarios.into_iter().enumerate() {
        let began = std::time::Instant::now();
        let mut done = 0;
        for round in 0.. {
            if done >= each {
                break;
            }
            let count = SCHEDULES_PER_RUN.min(each - done) as usize;
            let seed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ ((index as u64) << 48) ^ round;
            let outcome = match round % 4 {
                0 | 1 => run(RandomScheduler::new_from_seed(seed, count), failures, *scenario),
                2 => run(PctScheduler::new_from_seed(seed, 3, count), failures, *scenario),
                _ => run(PctScheduler::new_from_seed(seed, 10, count), failures, *scenario),
            };
            match outcome {
                Ok(ran) => done += ran as u64,
                Err(_) => panic!("ANNALS_SCHEDULE={name}:{} .ci/schedules", failing_schedule(failures)),
            }
        }
        println!("{name}: {done} schedules in {:.1} s", began.elapsed().as_secs_f64());
        total += done;
    }
    a_deadlock_is_found(failures);
    println!("trust: concurrency schedules: {total} schedules, 0 failures, seed {seed}");
}

/// The checker can fail: two threads that take two locks in different orders are found out, and so is a thread that
/// waits for what nobody tells it.
fn a_deadlock_is_found(failures: &Path) {
    let crossed = || {
        let locks = std::sync::Arc::new((shuttle::sync::Mutex::new(()), shuttle::sync::Mutex::new(())));
        let other = std::sync::Arc::clone(&locks);
        let thread = shuttle::thread::spawn(move || {
            let _second = other.1.lock().unwrap();
            let _first = other.0.lock().unwrap();
        });
        {
            let _first = locks.0.lock().unwrap();
            let _second = locks.1.lock().unwrap();
        }
        thread.join().unwrap();
    };
    let unheard = || {
        let shared = std::sync::Arc::new((shuttle::sync::Mutex::new(false), shuttle::sync::Condvar::new()));
        let other = std::sync::Arc::clone(&shared);
        // Notifies before it changes what is waited for.
        let thread = shuttle::thread::spawn(move || {
            other.1.notify_all();
            *other.0.lock().unwrap() = true;
        });
        let mut done = shared.0.lock().unwrap();
        while !*done {
            done = shared.1.wait(done).unwrap();
        }
        drop(done);
        thread.join().unwrap();
    };
    for planted in [crossed as Scenario, unheard] {
        let outcome = run(RandomScheduler::new_from_seed(1, 1_000), failures, planted);
        let cause = outcome.expect_err("a planted deadlock was not found");
        let text = cause.downcast_ref::<String>().map_or("", String::as_str);
        assert!(text.contains("deadlock"), "{text}");
    }
}
