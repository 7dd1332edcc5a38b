//! Simulation: random walks over a log on a simulated disk, crashed at every call in many ways, crashed again while they
//! are recovered, and with every call failing; all against a model that is a list of records.
//!
//! `ANNALS_CASES` says how many cases are run at least, `ANNALS_SEED` where they begin. A failure prints one line that runs
//! exactly that case again, as small as it could be made.

mod simulator;

use simulator::explore::{Plan, Tally};
use simulator::faults::{FAULTS, FAULTS_OF_LOOKS, Planned, calls};
use simulator::random::derive;
use simulator::replay::Case;

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => default,
    }
}

fn seed() -> u64 {
    number("ANNALS_SEED", 42)
}

fn cases(default: u64) -> u64 {
    number("ANNALS_CASES", default)
}

fn report(row: &str, count: u64, unit: &str) {
    println!("trust: {row}: {count} {unit}, 0 failures, seed {}", seed());
}

/// Walks of `steps` operations, until `count` of the tally has reached the number of cases.
fn explore(wanted: u64, steps: usize, plan: Plan, count: impl Fn(&Tally) -> u64) -> u64 {
    let mut tally = Tally::default();
    let mut walk = 0;
    while count(&tally) < wanted {
        Case::new(derive(seed(), walk), steps, plan).must_hold(&mut tally);
        walk += 1;
    }
    count(&tally)
}

#[test]
fn crash_images() {
    let plan = Plan { moments: 6, images: 6, again: 0, again_images: 0 };
    let images = explore(cases(1_500), 40, plan, |tally| tally.images);
    report("crash images", images, "distinct images");
}

#[test]
fn double_crashes() {
    let plan = Plan { moments: 2, images: 2, again: 50, again_images: 2 };
    let again = explore(cases(400), 30, plan, |tally| tally.again);
    report("double crashes", again, "distinct images");
}

#[test]
fn engine_fuzz() {
    let plan = Plan { moments: 0, images: 0, again: 0, again_images: 0 };
    let wanted = cases(300);
    for walk in 0..wanted {
        Case::new(derive(seed() ^ 1, walk), 14, plan).must_hold(&mut Tally::default());
    }
    report("engine fuzz against a model, with crashes", wanted, "sequences of 14 operations");
}

/// Every call of a walk fails in every way, once and for ever.
#[test]
fn io_faults() {
    let wanted = cases(600);
    let mut tally = Tally::default();
    let mut walk = 0;
    while tally.faults < wanted {
        let case = Case::new(derive(seed() ^ 2, walk), 16, Plan { moments: 0, images: 0, again: 0, again_images: 0 });
        let (changing, looking) = calls(case.seed, &case.ops());
        let kinds = [(changing, false, &FAULTS[..]), (looking, true, &FAULTS_OF_LOOKS[..])];
        let planned = kinds.into_iter().flat_map(|(calls, looks, faults)| {
            let each = faults.iter().flat_map(|&fault| [(fault, false), (fault, true)]);
            each.flat_map(move |(fault, for_ever)| (0..calls).map(move |call| Planned { call, looks, fault, for_ever }))
        });
        let planned: Vec<_> = planned.collect();
        // All of them, unless fewer are wanted than one walk has.
        let every = (planned.len() as u64 / wanted.max(1)).max(1) as usize;
        for planned in planned.into_iter().step_by(every) {
            Case { planned: Some(planned), ..case.clone() }.must_hold(&mut tally);
        }
        walk += 1;
    }
    report("I/O faults", tally.faults, "failing calls");
}

/// Runs the case in `ANNALS_REPLAY` again; without it, one that shows that such lines say what they are to.
#[test]
fn replay() {
    let plan = Plan { moments: 1, images: 1, again: 100, again_images: 1 };
    let shown = Case { keep: vec![1, 3, 5], ..Case::new(7, 9, plan) };
    let line = std::env::var("ANNALS_REPLAY").unwrap_or_else(|_| shown.to_string());
    let case = Case::parse(&line).unwrap_or_else(|| panic!("this is no case: {line}"));
    assert_eq!(case.to_string(), line);
    for (number, op) in case.ops() {
        println!("operation {}: {:?}", number + 1, op.kind);
    }
    match case.run(&mut Tally::default()) {
        Ok(()) => println!("{line} holds"),
        Err(fault) => panic!("{line}: after operation {}: {}", fault.step, fault.broken),
    }
}
