//! Real power cuts: ext4 and XFS on loop devices, told to forget what they have not written, while threads append, roll and
//! seal; unmounted, mounted, and opened again, many times over the same log.
//!
//! What the file system had given to its disk arrives; that a disk forgets what it has in its cache is for the simulated
//! one. Needs root, for mounting, and a C compiler (`real/cut.c`).
#![cfg(target_os = "linux")]

mod real;

use real::mount::{Disk, Kind};
use real::told::Told;
use real::workload::{Plan, run};
use real::{Random, cases, conclude, replayed, seed, skipped};
use std::sync::Mutex;
use std::time::Duration;

/// A log is given up after so many cuts, so that what is checked after each stays small.
const CUTS_PER_LOG: u64 = 10;

/// Works on a log until the power is cut.
fn cut_once(disk: &mut Disk, log: &str, case: u64, told: &Mutex<Told>) -> Result<(), String> {
    let mut random = Random(case);
    let plan = Plan {
        seed: random.below(1 << 32),
        run: case,
        durability: random.below(3),
        threads: random.below(4),
        appends: 1 << 40,
        openings: 1,
        machine: true,
    };
    let after = Duration::from_micros(random.below(60_000));
    let log_kept = random.below(4) == 0;
    let dir = disk.path().join(log);
    let wrong = Mutex::new(None);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let tell = |line: &str| {
                if let Err(error) = told.lock().unwrap().hear(line) {
                    wrong.lock().unwrap().get_or_insert(error);
                }
            };
            // It ends by the cut.
            let _ = run(&dir, &plan, &tell);
        });
        std::thread::sleep(after);
        disk.cut(log_kept)
    })?;
    match wrong.into_inner().unwrap() {
        None => Ok(()),
        Some(error) => Err(error),
    }
}

/// The cuts that one log goes through.
fn cuts(disk: &mut Disk, first: u64, count: u64) -> Result<Duration, String> {
    let told = Mutex::new(Told::of_a_machine());
    let log = format!("log-{first}");
    for case in first..first + count {
        cut_once(disk, &log, case, &told).map_err(|error| format!("cut {case}: {error}"))?;
        disk.unmount()?;
        disk.mount()?;
        let dir = disk.path().join(&log);
        told.lock().unwrap().check(&dir).map_err(|error| format!("after cut {case}: {error}"))?;
    }
    std::fs::remove_dir_all(disk.path().join(&log)).map_err(|error| error.to_string())?;
    Ok(told.into_inner().unwrap().reopen_max)
}

fn power_cuts(row: &str, test: &str, kind: Kind, megabytes: u64, default: u64) {
    if real::mount::is_done_apart(test) {
        return;
    }
    let home = real::in_memory();
    let mut disk = match Disk::new(kind, home.path(), megabytes) {
        Ok(disk) => disk,
        Err(why) => return skipped(row, &why),
    };
    if let Err(why) = disk.cut(true).and_then(|()| disk.unmount()).and_then(|()| disk.mount()) {
        return skipped(row, &why);
    }
    let (first, count) = match replayed().and_then(|case| case.strip_prefix("cut ")?.parse().ok()) {
        Some(case) => (case, CUTS_PER_LOG),
        None => (seed().wrapping_mul(1_000_003), cases(default)),
    };
    let (mut done, mut slowest) = (0, Duration::ZERO);
    while done < count {
        match cuts(&mut disk, first + done, CUTS_PER_LOG.min(count - done)) {
            Ok(reopened) => slowest = slowest.max(reopened),
            Err(error) => {
                let line = format!("cargo test --release -p annals --test real_power_cuts {test} -- --nocapture");
                let failure = Some((error, format!("ANNALS_REPLAY='cut {}' {line}", first + done)));
                return conclude(row, "cuts", done, failure);
            }
        }
        done += CUTS_PER_LOG.min(count - done);
    }
    println!("the slowest reopening took {slowest:?}");
    conclude(row, "cuts", done, None);
}

#[test]
fn power_cuts_on_ext4() {
    power_cuts("power cuts on ext4", "power_cuts_on_ext4", Kind::Ext4, 64, 10);
}

#[test]
fn power_cuts_on_xfs() {
    power_cuts("power cuts on XFS", "power_cuts_on_xfs", Kind::Xfs, 320, 10);
}
