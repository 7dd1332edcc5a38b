//! Disks that take no more while the system writes back what it had accepted: an ext4 image without the space that it
//! claims to have. Syncs fail then, the data is gone, and the next sync would succeed. Nothing is acknowledged after
//! that; and when the disk works again, everything is there that had been acknowledged before.
//!
//! Needs root, for mounting.
#![cfg(target_os = "linux")]

mod real;

use real::mount::{Disk, Kind, Tmpfs};
use real::told::Told;
use real::workload::{Plan, run};
use real::{Random, cases, conclude, replayed, seed, skipped};
use std::sync::Mutex;

const ROW: &str = "writeback EIO";
/// What the image claims to have.
const CLAIMED_MEGABYTES: u64 = 64;

/// Returns whether the disk failed while the log was in use.
fn cycle(case: u64) -> Result<bool, String> {
    let mut random = Random(case);
    let below = Tmpfs::new(CLAIMED_MEGABYTES << 21)?;
    let mut disk = Disk::new(Kind::Ext4, below.path(), CLAIMED_MEGABYTES)?;
    let dir = disk.path().join("log");
    let (told, wrong) = (Mutex::new(Told::of_a_machine()), Mutex::new(None));
    let tell = |line: &str| {
        if let Err(error) = told.lock().unwrap().hear(line) {
            wrong.lock().unwrap().get_or_insert(error);
        }
    };
    let plan = Plan {
        seed: random.below(1 << 32),
        run: 0,
        durability: random.below(3),
        threads: random.below(4),
        appends: 20,
        openings: 1,
        machine: true,
    };
    run(&dir, &plan, &tell).map_err(|error| format!("before the disk failed: {error}"))?;
    disk.unmount()?;
    disk.mount()?;
    // From here on the disk has room for a little more, and claims to have much.
    below.resize(used(&below) + random.below(1 << 20));
    let plan = Plan { run: 1, appends: 20_000, ..plan };
    let failed = run(&dir, &plan, &tell).is_err();
    if let Some(error) = wrong.lock().unwrap().take() {
        return Err(error);
    }
    disk.unmount()?;
    below.resize(CLAIMED_MEGABYTES << 21);
    disk.mount()?;
    let mut told = told.into_inner().unwrap();
    told.check(&dir)?;
    told.check(&dir)?;
    Ok(failed)
}

/// Bytes in use.
fn used(below: &Tmpfs) -> u64 {
    let stat = rustix::fs::statvfs(below.path()).unwrap();
    (stat.f_blocks - stat.f_bfree) * stat.f_frsize
}

#[test]
fn a_failed_writeback_is_the_end_of_acknowledgements() {
    if real::mount::is_done_apart("a_failed_writeback_is_the_end_of_acknowledgements") {
        return;
    }
    let possible = Tmpfs::new(CLAIMED_MEGABYTES << 21)
        .and_then(|below| Disk::new(Kind::Ext4, below.path(), CLAIMED_MEGABYTES).map(drop));
    if let Err(why) = possible {
        return skipped(ROW, &why);
    }
    let (first, count) = match replayed().and_then(|case| case.strip_prefix("writeback ")?.parse().ok()) {
        Some(case) => (case, 1),
        None => (seed().wrapping_mul(1_000_003), cases(5)),
    };
    let (mut case, mut done) = (first, 0);
    while done < count {
        match cycle(case) {
            // Only what met a failing disk counts.
            Ok(failed) => done += u64::from(failed),
            Err(error) => {
                let line = "cargo test --release -p annals --test real_writeback -- --nocapture";
                let failure = Some((error, format!("ANNALS_REPLAY='writeback {case}' {line}")));
                return conclude(ROW, "failing disks", done, failure);
            }
        }
        case += 1;
        assert!(case < first + 20 + 2 * count, "{done} of {count} disks failed: the harness does not do what it says");
    }
    conclude(ROW, "failing disks", done, None);
}
