//! The world around a log: other processes that want it, children that are started beside it, clocks that jump,
//! directories that become read-only, files that are cut or changed under a reader.
#![cfg(target_os = "linux")]

mod real;

use annals::{Background, Error, Log, Options, Reader, ScanRange};
use real::child::{Act, CHANGES, end, shim, start};
use real::mount::{Disk, Immutable, Kind, Tmpfs};
use real::told::Told;
use real::workload::{Plan, options, record};
use real::{Random, in_memory, seed, skipped};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[test]
fn worker() {
    real::child::work_if_asked();
}

#[test]
fn a_closed_log_can_be_opened_at_once_though_processes_are_being_started() {
    let dir = tempfile::tempdir().unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    assert!(Command::new("true").status().unwrap().success());
                }
            });
        }
        let opened: Vec<_> = (0..300).map(|_| options().open_or_create(dir.path()).and_then(Log::close)).collect();
        done.store(true, Ordering::Relaxed);
        let refused = opened.iter().filter(|opened| opened.is_err()).count();
        assert_eq!(refused, 0, "{:?}", opened.iter().find(|opened| opened.is_err()));
    });
}

#[test]
fn whoever_removes_the_lock_file_of_a_living_writer_admits_no_second_one() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().create(dir.path()).unwrap();
    log.append(&record("a.1")).unwrap();
    for replaced in [false, true] {
        let lock = dir.path().join("lock");
        fs::remove_file(&lock).unwrap();
        if replaced {
            fs::write(&lock, "").unwrap();
        }
        let refused = options().open(dir.path()).unwrap_err();
        assert!(matches!(&refused, Error::Locked { .. }), "{refused}");
        log.append(&record("a.2")).unwrap();
    }
    drop(log);
    assert_eq!(options().open(dir.path()).unwrap().next_seq(), 3);
}

/// Files that are made by name would be made in another directory, and what is acknowledged be missing from the log.
#[test]
fn a_directory_that_is_moved_or_replaced_under_its_writer_takes_no_more_records() {
    for by_link in [false, true] {
        let home = tempfile::tempdir().unwrap();
        let (path, old) = (home.path().join("log"), home.path().join("old"));
        if by_link {
            fs::create_dir(&old).unwrap();
            std::os::unix::fs::symlink(&old, &path).unwrap();
        }
        let log = options().background(Background::Manual).segment_bytes(64 << 10).open_or_create(&path).unwrap();
        log.append(&record("a.1")).unwrap();
        if by_link {
            fs::create_dir(home.path().join("new")).unwrap();
            fs::remove_file(&path).unwrap();
            std::os::unix::fs::symlink(home.path().join("new"), &path).unwrap();
        } else {
            fs::rename(&path, &old).unwrap();
            fs::create_dir(&path).unwrap();
        }
        let other = options().open_or_create(&path).unwrap();
        let mut acknowledged = 1;
        let error = (2..10_000).find_map(|n| log.append(&record(&format!("a.{n}"))).map(|_| acknowledged += 1).err());
        assert!(matches!(&error, Some(Error::Poisoned(_))), "{error:?}");
        drop(log);
        assert_eq!(
            Reader::open(&old).unwrap().scan(ScanRange::all()).unwrap().filter(Result::is_ok).count(),
            acknowledged
        );
        assert_eq!(other.append(&record("b.1")).unwrap(), 0);
        drop(other);
        assert!(
            Reader::open(&path).unwrap().verify(&mut |_| ()).unwrap().is_sound(),
            "nothing of the other log is here"
        );
    }
}

/// Many processes want the same log; whoever holds it is killed sooner or later, and the lock file is removed again and
/// again. Two writers at once would give a seq twice.
#[test]
fn of_many_processes_one_at_a_time_writes() {
    let mut random = Random(seed());
    let home = in_memory();
    let (log, mut told) = (home.path().join("log"), Told::default());
    let mut wrote = 0;
    for round in 0..4 {
        let plan = |number: u64| Plan {
            seed: number * 5,
            run: round * 100 + number,
            durability: number % 3,
            threads: 2,
            appends: 40,
            openings: 5,
            machine: false,
        };
        let mut children: Vec<_> = (0..5).map(|number| start(&log, &plan(number), None, None)).collect();
        for child in &mut children[..3] {
            std::thread::sleep(Duration::from_micros(random.below(20_000)));
            let _ = fs::remove_file(log.join("lock"));
            let _ = child.kill();
        }
        for child in children {
            let done = end(child, None);
            wrote += u64::from(done.lines.iter().any(|line| line == "+"));
            done.hear(&mut told).unwrap_or_else(|error| panic!("round {round}: {error}"));
        }
        told.check(&log).unwrap_or_else(|error| panic!("round {round}: {error}"));
    }
    assert!(wrote >= 4 && told.len() > 100, "{wrote} wrote {} records", told.len());
}

#[test]
fn a_clock_that_jumps_changes_neither_order_nor_what_is_found() {
    let shim = match shim() {
        Ok(shim) => shim,
        Err(why) => return skipped("a clock that jumps", why),
    };
    let home = in_memory();
    let (log, mut told) = (home.path().join("log"), Told::default());
    for run in 0..6 {
        // Such a seed rolls by age and by day, too.
        let plan =
            Plan { seed: 5 * run + 4, run, durability: 0, threads: run % 3, appends: 60, openings: 2, machine: false };
        let shared = home.path().join("shim");
        let counting = Act::new("count", 0, CHANGES);
        let child = start(&log, &plan, Some((&counting, shim, &shared)), Some(run));
        end(child, Some(&shared)).hear(&mut told).unwrap();
        told.check(&log).unwrap();
    }
    let reader = Reader::open(&log).unwrap();
    let times: Vec<_> = reader.scan(ScanRange::all()).unwrap().map(|record| record.unwrap().timestamp()).collect();
    let back = times.windows(2).filter(|two| two[1].as_micros() < two[0].as_micros() - 86_400_000_000).count();
    assert!(back > 10, "the clock went back a day or more {back} times");
    for &since in times.iter().step_by(37) {
        let expected: Vec<_> = (0..times.len() as u64).filter(|&seq| times[seq as usize] >= since).collect();
        let found = reader.scan(ScanRange::all().since(since)).unwrap();
        assert_eq!(found.map(|record| record.unwrap().seq()).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_read_only_file_system_is_read_and_not_written() {
    if real::mount::is_done_apart("a_read_only_file_system_is_read_and_not_written") {
        return;
    }
    let mounted = match Tmpfs::new(8 << 20) {
        Ok(mounted) => mounted,
        Err(why) => return skipped("a read-only file system", &why),
    };
    let dir = mounted.path().join("log");
    let mut told = Told::default();
    let log = options().create(&dir).unwrap();
    for number in 1..100 {
        let id = format!("a.{number}");
        told.hear(&format!("{} {id}", log.append(&record(&id)).unwrap())).unwrap();
    }
    log.close().unwrap();
    mounted.remount("ro");
    let reader = Reader::open(&dir).unwrap();
    assert_eq!(told.compare(&reader).unwrap(), 99);
    assert!(reader.verify(&mut |_| ()).unwrap().is_sound());
    assert_eq!(reader.info().unwrap().end_seq, 99);
    let error = options().open(&dir).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    mounted.remount("rw");
    told.check(&dir).unwrap();
}

#[test]
fn a_directory_that_becomes_read_only_under_a_writer_loses_nothing() {
    if real::mount::is_done_apart("a_directory_that_becomes_read_only_under_a_writer_loses_nothing") {
        return;
    }
    let home = in_memory();
    let disk = match Disk::new(Kind::Ext4, home.path(), 48) {
        Ok(disk) => disk,
        Err(why) => return skipped("a directory that becomes read-only", &why),
    };
    let dir = disk.path().join("log");
    let mut told = Told::default();
    let log = options().create(&dir).unwrap();
    let mut append = |log: &Log, number: u64| {
        let id = format!("a.{number}");
        let seq = log.append(&record(&id))?;
        told.hear(&format!("{seq} {id}")).unwrap();
        Ok::<(), Error>(())
    };
    for number in 0..30 {
        append(&log, number).unwrap();
    }
    let immutable = match Immutable::new(&dir) {
        Ok(immutable) => immutable,
        Err(why) => return skipped("a directory that becomes read-only", &why),
    };
    // What fits the segment is written; the next one can't be made.
    let error = (30..10_000).find_map(|number| append(&log, number).err()).expect("no file can be made");
    assert!(matches!(&error, Error::Poisoned(_)), "{error}");
    assert!(matches!(append(&log, 10_000), Err(Error::Poisoned(_))));
    let reader = Reader::open(&dir).unwrap();
    assert!(reader.verify(&mut |_| ()).unwrap().is_sound());
    drop((log, reader));
    assert!(options().open(&dir).is_err());
    drop(immutable);
    told.check(&dir).unwrap();
    told.check(&dir).unwrap();
}

fn named(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|found| found == ending)).collect()
}

/// A map of such a file would end this process by SIGBUS (docs/decisions/0009-index-files-are-read.md).
#[test]
fn index_files_that_are_cut_under_a_reader_change_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let log = Options::new().background(Background::Manual).create(dir.path()).unwrap();
    let mut told = Told::default();
    for round in 0..3 {
        let mut batch = annals::Batch::new();
        let ids: Vec<_> = (1..2_000).map(|number| format!("{round}.{number}")).collect();
        ids.iter().for_each(|id| batch.push(&record(id)).unwrap());
        let seqs = log.append_batch(&mut batch).unwrap();
        seqs.zip(ids).for_each(|(seq, id)| told.hear(&format!("{seq} {id}")).unwrap());
        log.seal().unwrap();
    }
    let reader = Reader::open(dir.path()).unwrap();
    let read = |reader: &Reader| {
        for seq in (0..reader.end_seq()).step_by(101) {
            let found = reader.get(seq).unwrap().unwrap();
            let body: std::collections::BTreeMap<String, String> = found.decode().unwrap();
            assert_eq!(record(&body["id"]), body);
        }
        assert_eq!(told.compare(reader).unwrap(), told.len() as u64);
    };
    read(&reader);
    assert_eq!(named(dir.path(), "idx").len(), 3);
    // To nothing first: an index that was found to be wrong isn't looked at again.
    for len in [0, 1, 200, 4_096] {
        for path in named(dir.path(), "idx") {
            fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
        }
        read(&reader);
        read(&log.reader());
        read(&Reader::open(dir.path()).unwrap());
    }
    // One that is larger than any index is not read into memory.
    for path in named(dir.path(), "idx") {
        fs::OpenOptions::new().write(true).open(path).unwrap().set_len(1 << 40).unwrap();
    }
    read(&Reader::open(dir.path()).unwrap());
}

/// What is cut or changed while a reader is in the middle of it is an error, and the reader goes on.
#[test]
fn data_files_that_change_under_a_scan_are_damage_and_not_the_end_of_the_process() {
    for ending in ["seg", "log"] {
        for change in 0..3 {
            let dir = tempfile::tempdir().unwrap();
            let log = Options::new().background(Background::Manual).create(dir.path()).unwrap();
            let mut batch = annals::Batch::new();
            (1..1_000).for_each(|number| batch.push(&record(&format!("a.{number}"))).unwrap());
            log.append_batch(&mut batch).unwrap();
            if ending == "seg" {
                log.seal().unwrap();
            }
            let reader = Reader::open(dir.path()).unwrap();
            let mut scan = reader.scan(ScanRange::all()).unwrap();
            assert!(scan.next().unwrap().is_ok());
            let path = named(dir.path(), ending).remove(0);
            let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
            let len = file.metadata().unwrap().len();
            match change {
                0 => file.set_len(10_000).unwrap(),
                1 => file.set_len(0).unwrap(),
                _ => {
                    use std::os::unix::fs::FileExt;
                    file.write_all_at(&vec![0x5a; (len / 3) as usize], len / 3).unwrap();
                }
            }
            let mut damaged = 0;
            for found in scan.take(2_000) {
                match found {
                    Ok(found) => {
                        let body: std::collections::BTreeMap<String, String> = found.decode().unwrap();
                        assert_eq!(record(&body["id"]), body);
                    }
                    Err(error) => {
                        assert!(error.is_damage(), "{ending}, change {change}: {error}");
                        damaged += 1;
                    }
                }
            }
            assert!(damaged > 0, "{ending}, change {change}");
            let verified = reader.verify(&mut |_| ()).unwrap();
            assert!(!verified.is_sound(), "{ending}, change {change}");
        }
    }
}
