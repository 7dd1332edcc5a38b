//! Disks that are really full: small file systems in memory, and ext4 on a loop device, filled up to a place that differs
//! from case to case by single bytes; read and verified while full; then given space, and the log goes on.
//!
//! Needs root, for mounting.
#![cfg(target_os = "linux")]

mod real;

use annals::{Background, Durability, Error, Log, Options, Reader};
use real::mount::{Disk, Kind, Tmpfs};
use real::told::Told;
use real::workload::{options, record};
use real::{Random, cases, conclude, replayed, seed, skipped};
use std::fs;
use std::path::Path;
use std::time::Duration;

const ROW: &str = "disk-full cycles";

/// A file system of which the space can be taken away and given back.
enum Space {
    Memory(Tmpfs),
    Disk(Disk),
}

impl Space {
    fn path(&self) -> &Path {
        match self {
            Self::Memory(memory) => memory.path(),
            Self::Disk(disk) => disk.path(),
        }
    }

    /// Leaves `bytes` and no more.
    fn leave(&self, bytes: u64) -> Result<(), String> {
        match self {
            Self::Memory(memory) => {
                let used: u64 = sizes(memory.path());
                memory.resize(used + bytes);
                Ok(())
            }
            Self::Disk(disk) => {
                let free = rustix::fs::statvfs(disk.path()).map(|stat| stat.f_bavail * stat.f_frsize);
                let free = free.map_err(|error| error.to_string())?;
                let filler = fs::File::create(disk.path().join("filler")).map_err(|error| error.to_string())?;
                let len = free.saturating_sub(bytes).max(1);
                let flags = rustix::fs::FallocateFlags::empty();
                rustix::fs::fallocate(&filler, flags, 0, len).map_err(|error| format!("filler of {len}: {error}"))
            }
        }
    }

    fn free(&self) -> Result<(), String> {
        match self {
            Self::Memory(memory) => memory.resize(64 << 20),
            Self::Disk(disk) => drop(fs::remove_file(disk.path().join("filler"))),
        }
        Ok(())
    }
}

/// What the files under `path` take.
fn sizes(path: &Path) -> u64 {
    let stat = rustix::fs::statvfs(path).unwrap();
    (stat.f_blocks - stat.f_bfree) * stat.f_frsize
}

/// Appends until it is refused for want of space, `refusals` times.
fn fill(log: &Log, name: &str, random: &mut Random, told: &mut Told, refusals: u32) -> Result<(), String> {
    let mut refused = 0;
    for number in 0..100_000 {
        let id = format!("{name}.{number}");
        match log.append(&record(&id)) {
            Ok(seq) => told.hear(&format!("{seq} {id}"))?,
            Err(Error::DiskFull { .. }) => {
                refused += 1;
                if refused == refusals {
                    return Ok(());
                }
            }
            Err(error) => return Err(format!("a full disk is told by something else: {error:?}")),
        }
        if random.below(100) == 0 {
            // There may be no space to seal. That changes nothing.
            let _ = log.seal();
        }
    }
    Err("the disk does not get full".to_owned())
}

/// A reader sees everything on the full disk, and verify finds nothing wrong.
fn read_it(dir: &Path, told: &Told) -> Result<(), String> {
    let reader = Reader::open(dir).map_err(|error| format!("reading the full disk: {error}"))?;
    let found = told.compare(&reader)?;
    let verified = reader.verify(&mut |_| ()).map_err(|error| format!("verifying on the full disk: {error}"))?;
    match verified.is_sound() && verified.records == found {
        true => Ok(()),
        false => Err(format!("verify on the full disk: {} of {found}: {:?}", verified.records, verified.damage)),
    }
}

/// Whether `error` is one of a full disk, whoever says it.
fn is_full(error: &Error) -> bool {
    match error {
        Error::DiskFull { .. } => true,
        Error::Io { source, .. } => source.kind() == std::io::ErrorKind::StorageFull,
        Error::Poisoned(cause) => is_full(cause),
        _ => false,
    }
}

fn no_temporary_files(dir: &Path) -> Result<(), String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<_> = names.filter(|name| name.ends_with(".tmp") && !name.starts_with("prepared")).collect();
    if left.is_empty() { Ok(()) } else { Err(format!("left behind on a full disk: {left:?}")) }
}

fn cycle(space: &Space, case: u64) -> Result<(), String> {
    let mut random = Random(case);
    let dir = space.path().join(format!("log-{case}"));
    let mut told = Told::default();
    space.free()?;
    let durability = match random.below(3) {
        0 => Durability::Written,
        1 => Durability::Buffered { interval: Duration::from_millis(2) },
        _ => Durability::Durable,
    };
    let background = if random.below(2) == 0 { Background::Manual } else { Background::Threads };
    let options = || -> Options { options().durability(durability).background(background) };

    // From nothing at all, over what a log needs to begin with, to a few megabytes.
    let small = random.below(2) == 0 || matches!(space, Space::Disk(_));
    let limit = if small { 800 << 10 } else { 4 << 20 };
    space.leave(random.below(limit))?;
    match options().open_or_create(&dir) {
        Ok(log) => {
            fill(&log, "full", &mut random, &mut told, 3)?;
            log.sync().map_err(|error| format!("sync on a full disk: {error}"))?;
            read_it(&dir, &told)?;
            if background == Background::Manual {
                let _ = log.seal();
                no_temporary_files(&dir)?;
            }
            if random.below(2) == 0 {
                space.free()?;
                for number in 0..20 {
                    let id = format!("goes-on.{number}");
                    let seq = log.append(&record(&id)).map_err(|error| format!("with space again: {error}"))?;
                    told.hear(&format!("{seq} {id}"))?;
                }
                log.seal().map_err(|error| format!("sealing with space again: {error}"))?;
            }
            log.close().map_err(|error| format!("closing: {error}"))?;
        }
        Err(error) if is_full(&error) => {}
        Err(error) => return Err(format!("creating on a full disk: {error:?}")),
    }

    // As a killed writer leaves it, opened where there is little space.
    space.free()?;
    let left = space.path().join(format!("left-{case}"));
    let log = options().open_or_create(&dir).map_err(|error| format!("opening with space: {error}"))?;
    for number in 0..random.below(30) {
        let id = format!("left.{number}");
        let seq = log.append(&record(&id)).map_err(|error| error.to_string())?;
        told.hear(&format!("{seq} {id}"))?;
    }
    log.sync().map_err(|error| error.to_string())?;
    copy(&dir, &left);
    drop(log);
    space.leave(random.below(600 << 10))?;
    read_it(&left, &told)?;
    match options().open(&left) {
        Ok(log) => fill(&log, "recovered", &mut random, &mut told, 2)?,
        Err(error) if is_full(&error) => read_it(&left, &told)?,
        Err(error) => return Err(format!("recovering on a full disk: {error:?}")),
    }
    space.free()?;
    let checked = told.check(&left).and_then(|()| told.check(&left));
    let _ = fs::remove_dir_all(&dir);
    let _ = fs::remove_dir_all(&left);
    checked
}

/// Copies the files of a log that is open; sealing may take some away meanwhile.
fn copy(from: &Path, to: &Path) {
    loop {
        let _ = fs::remove_dir_all(to);
        fs::create_dir(to).unwrap();
        let names: Vec<_> = fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()).collect();
        let copied = names.iter().all(|path| fs::copy(path, to.join(path.file_name().unwrap())).is_ok());
        let again: Vec<_> = fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()).collect();
        if copied && names == again {
            return;
        }
    }
}

#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    if real::mount::is_done_apart("a_full_disk_refuses_and_loses_nothing") {
        return;
    }
    let memory = match Tmpfs::new(64 << 20) {
        Ok(memory) => Space::Memory(memory),
        Err(why) => return skipped(ROW, &why),
    };
    let home = real::in_memory();
    let disk = Disk::new(Kind::Ext4, home.path(), 48).map(Space::Disk);
    if let Err(why) = &disk {
        skipped("disk-full cycles on ext4", why);
    }
    let (first, count) = match replayed().and_then(|case| case.strip_prefix("full ")?.parse().ok()) {
        Some(case) => (case, 1),
        None => (seed().wrapping_mul(1_000_003), cases(8)),
    };
    for case in first..first + count {
        let space = match &disk {
            // One in sixteen, since a real disk takes longer.
            Ok(disk) if case.is_multiple_of(16) => disk,
            _ => &memory,
        };
        if let Err(error) = cycle(space, case) {
            let line = "cargo test --release -p annals --test real_disk_full -- --nocapture";
            let failure = Some((error, format!("ANNALS_REPLAY='full {case}' {line}")));
            return conclude(ROW, "cycles", case - first, failure);
        }
    }
    conclude(ROW, "cycles", count, None);
}
