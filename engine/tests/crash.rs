//! Crashes at every call of a scenario, with every way of losing what was not synced.

mod model;

use annals::storage::sim::{Fault, Loss, SimDisk};
use annals::{Error, Repair};
use model::{Model, options, run_appends, run_scenario};

/// A disk that takes direct writes, or doesn't: what is promised is the same.
fn disk(direct: bool) -> SimDisk {
    let disk = SimDisk::new(1);
    disk.take_direct_writes(direct);
    disk
}

/// How many calls the scenario makes, and that it works without any fault.
fn calls(direct: bool) -> u64 {
    let disk = disk(direct);
    let mut model = Model::default();
    run_scenario(&disk, &mut model).expect("no fault was asked for");
    model.check(&disk, "no fault");
    disk.calls()
}

#[test]
fn a_crash_at_any_call_loses_nothing_that_was_acknowledged() {
    for direct in [true, false] {
        for call in 0..calls(direct) {
            let disk = disk(direct);
            disk.fail_at(call, Fault::Stop, true);
            let mut model = Model::default();
            let _ = run_scenario(&disk, &mut model);
            for loss in Loss::ALL {
                for seed in 0..3 {
                    let context = format!("stop at call {call}, {loss:?}, seed {seed}");
                    let after = disk.crash(loss, seed);
                    model.clone().check(&after, &context);
                }
            }
        }
    }
}

#[test]
fn a_crash_during_recovery_loses_nothing_either() {
    for direct in [true, false] {
        for call in (0..calls(direct)).step_by(3) {
            let disk = disk(direct);
            disk.fail_at(call, Fault::Stop, true);
            let mut model = Model::default();
            let _ = run_scenario(&disk, &mut model);
            let after = disk.crash(Loss::Torn, call);
            for second in 0..12 {
                let again = after.crash(Loss::Nothing, second);
                again.fail_at(second, Fault::Stop, true);
                let opened = options().open_or_create_on(again.storage());
                let context = format!("stop at call {call}, then at call {second} of recovery ({})", opened.is_ok());
                drop(opened);
                for loss in [Loss::Everything, Loss::Subset, Loss::Torn] {
                    model.clone().check(&again.crash(loss, second), &format!("{context}, {loss:?}"));
                }
            }
        }
    }
}

#[test]
fn a_process_that_ends_at_any_call_leaves_names_that_the_next_one_makes_durable() {
    for direct in [true, false] {
        for (fault, for_ever) in [(Fault::Stop, true), (Fault::Io, false)] {
            for call in 0..calls(direct) {
                let disk = disk(direct);
                disk.fail_at(call, fault, for_ever);
                let mut model = Model::default();
                let _ = run_scenario(&disk, &mut model);
                disk.heal();
                disk.restart();
                // Another process recovers the log on the same machine, which then loses its power.
                drop(options().open_or_create_on(disk.storage()).unwrap());
                for loss in Loss::ALL {
                    for seed in 0..2 {
                        let context = format!("{fault:?} at call {call}, opened again, {loss:?}, seed {seed}");
                        model.clone().check(&disk.crash(loss, seed), &context);
                    }
                }
            }
        }
    }
}

#[test]
fn a_process_that_ends_at_any_call_leaves_names_that_a_repair_makes_durable_too() {
    for call in 0..calls(true) {
        let disk = disk(true);
        disk.fail_at(call, Fault::Stop, true);
        let mut model = Model::default();
        let _ = run_scenario(&disk, &mut model);
        disk.heal();
        disk.restart();
        match Repair::apply().run_on(disk.storage()) {
            Err(Error::NotALog { .. }) => continue,
            repaired => assert!(repaired.unwrap().is_sound(), "stop at call {call}"),
        }
        for loss in Loss::ALL {
            for seed in 0..2 {
                let context = format!("stop at call {call}, repaired, {loss:?}, seed {seed}");
                model.clone().check(&disk.crash(loss, seed), &context);
            }
        }
    }
}

#[test]
fn any_call_may_fail_once_or_for_ever() {
    for direct in [true, false] {
        for call in 0..calls(direct) {
            for fault in [Fault::Io, Fault::Full, Fault::Short, Fault::Zero, Fault::Interrupted] {
                for for_ever in [false, true] {
                    let disk = disk(direct);
                    disk.fail_at(call, fault, for_ever);
                    let mut model = Model::default();
                    let outcome = run_scenario(&disk, &mut model);
                    if fault == Fault::Short {
                        outcome.unwrap_or_else(|error| panic!("{fault:?} at call {call} is to be overcome: {error}"));
                    }
                    let context = format!("{fault:?} at call {call}, for ever: {for_ever}");
                    model.clone().check(&disk.crash(Loss::Nothing, call), &context);
                    model.clone().check(&disk.crash(Loss::Everything, call), &context);
                    model.check(&disk.crash(Loss::Torn, call), &context);
                }
            }
        }
    }
}

/// The system forgets what a failed sync was to write, though it still shows it: asking again proves nothing.
#[test]
fn what_a_failed_sync_was_to_keep_is_never_acknowledged() {
    for direct in [true, false] {
        let whole = disk(direct);
        run_appends(&whole, &mut Model::default()).expect("no fault was asked for");
        for call in 0..whole.calls() {
            let disk = disk(direct);
            disk.fail_at(call, Fault::Io, false);
            let mut model = Model::default();
            let log = run_appends(&disk, &mut model);
            for seed in 0..8 {
                let context = format!("EIO at call {call}, seed {seed}, failed: {}", log.is_err());
                model.clone().check(&disk.crash(Loss::Everything, seed), &context);
            }
        }
    }
}
