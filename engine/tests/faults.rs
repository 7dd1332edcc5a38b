//! Faults around a log that is in use: failing disks under its threads, files that are cut, locks that are taken away,
//! clocks that go back. What needs real file systems and processes is in `real_*.rs`.

use annals::storage::sim::{Fault, Loss, SimDisk};
use annals::{Background, Durability, Error, Options, Reader, ScanRange, Timestamp};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

fn body(text: &str) -> BTreeMap<&'static str, String> {
    BTreeMap::from([("text", text.to_owned())])
}

/// Runs `work` on a thread of its own, and fails if it is not done in time.
fn within<T: Send + 'static>(seconds: u64, what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, wait) = mpsc::channel();
    std::thread::spawn(move || done.send(work()));
    wait.recv_timeout(Duration::from_secs(seconds)).unwrap_or_else(|error| panic!("{what}: {error}"))
}

fn count(reader: &Reader) -> usize {
    reader.scan(ScanRange::all()).unwrap().inspect(|record| assert!(record.is_ok(), "{record:?}")).count()
}

#[test]
fn a_log_whose_final_marker_cannot_be_written_is_still_closed() {
    for fault in [Fault::Io, Fault::Full] {
        for after in 0..4 {
            let disk = SimDisk::new(1);
            let log = Options::new().open_or_create_on(disk.storage()).unwrap();
            log.append(&body("a")).unwrap();
            // Until the log is idle, and its last watermark written.
            std::thread::sleep(Duration::from_millis(200));
            disk.fail_at(disk.calls() + after, fault, true);
            let closed = within(20, "closing hangs", move || log.close());
            assert!(closed.is_err() || after > 1, "{closed:?}");
            let log = Options::new().open_or_create_on(disk.crash(Loss::Everything, 1).storage());
            assert_eq!(count(&log.unwrap().reader()), 1);
        }
    }
}

#[test]
fn a_disk_that_fails_at_any_moment_leaves_no_thread_waiting() {
    for call in 0..120 {
        let disk = SimDisk::new(1);
        let log = Options::new().segment_bytes(64 << 10).unsealed_segments_max(1).open_or_create_on(disk.storage());
        let log = log.unwrap();
        disk.fail_at(disk.calls() + call, [Fault::Io, Fault::Full][call as usize % 2], call % 3 != 0);
        let acknowledged = within(60, &format!("call {call}"), move || {
            let acknowledged = std::sync::atomic::AtomicU64::new(0);
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        for _ in 0..12 {
                            if let Ok(seq) = log.append(&body(&"x".repeat(9_000))) {
                                acknowledged.fetch_max(seq + 1, std::sync::atomic::Ordering::SeqCst);
                            }
                        }
                    });
                }
            });
            let _ = log.seal();
            let _ = log.close();
            acknowledged.into_inner()
        });
        for loss in Loss::ALL {
            let after = disk.crash(loss, call);
            let log = Options::new().background(Background::Manual).open_or_create_on(after.storage()).unwrap();
            assert!(log.recovery().is_complete(), "call {call}, {loss:?}: {:?}", log.recovery());
            let found = count(&log.reader()) as u64;
            assert!(found >= acknowledged, "call {call}, {loss:?}: {found} of {acknowledged}");
        }
    }
}

#[test]
fn what_could_not_be_read_is_never_verified_as_sound() {
    let disk = SimDisk::new(5);
    let options = Options::new().background(Background::Manual);
    for part in 0..3 {
        let log = options.open_or_create_on(disk.storage()).unwrap();
        for n in 0..20 {
            log.append(&body(&format!("{n}").repeat(300))).unwrap();
        }
        if part == 0 {
            log.seal().unwrap();
        }
        log.close().unwrap();
    }
    for fault in [Fault::Io, Fault::Short, Fault::Zero, Fault::Interrupted] {
        for for_ever in [false, true] {
            for look in 0.. {
                let reader = Reader::open_on(disk.storage()).unwrap();
                let begun = disk.reads();
                disk.fail_read_at(begun + look, fault, for_ever);
                let verified = reader.verify(&mut |_| ());
                disk.heal();
                if let Ok(report) = &verified
                    && report.is_sound()
                {
                    let is_all = report.records == 60 && report.root.is_some();
                    assert!(is_all, "{fault:?}, for ever: {for_ever}, at look {look}: {report:?}");
                }
                if disk.reads() - begun <= look {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_reader_that_cannot_read_the_head_shows_nothing_that_is_not_durable() {
    let disk = SimDisk::new(1);
    let log = Options::new().background(Background::Manual).open_or_create_on(disk.storage()).unwrap();
    log.append(&body("durable")).unwrap();
    disk.keep_moments();
    log.append(&body("written")).unwrap();
    for (number, moment) in disk.take_moments().into_iter().enumerate() {
        let durable = count(&Reader::open_on(moment.crash(Loss::Everything, 1).storage()).unwrap()) as u64;
        for (look, for_ever) in (0..30).flat_map(|look| [(look, false), (look, true)]) {
            moment.fail_read_at(moment.reads() + look, Fault::Io, for_ever);
            let seen = Reader::open_on(moment.storage()).map(|reader| reader.end_seq());
            moment.heal();
            assert!(!seen.is_ok_and(|seen| seen > durable), "moment {number}, EIO at look {look}");
        }
    }
}

/// A log with a closed raw segment of which a record is damaged, so that nothing can be sealed any more.
fn unsealable() -> SimDisk {
    let disk = SimDisk::new(1);
    let log = Options::new().background(Background::Manual).open_or_create_on(disk.storage()).unwrap();
    for n in 0..3 {
        log.append(&body(&format!("{n} {}", "y".repeat(100)))).unwrap();
    }
    log.close().unwrap();
    let (name, _) = disk.files().into_iter().find(|(name, _)| name.ends_with(".log")).unwrap();
    let mut bytes = disk.read(&name).unwrap();
    bytes[8192 + 72 + 40] ^= 1;
    disk.replace(&name, &bytes);
    disk
}

#[test]
fn appends_go_on_where_nothing_can_be_sealed() {
    let disk = unsealable();
    within(30, "an append waits for sealing that can't be", move || {
        let log = Options::new().unsealed_segments_max(1).open_or_create_on(disk.storage()).unwrap();
        for n in 0..12 {
            assert_eq!(log.append(&body("after the damage")).unwrap(), 3 + n);
            assert!(matches!(log.seal(), Err(Error::Damaged(_))));
        }
        assert_eq!(log.reader().scan(ScanRange::all()).unwrap().filter(|record| record.is_ok()).count(), 14);
    });
}

#[test]
fn sealing_ends_though_others_append_without_a_pause() {
    let dir = tempfile::tempdir().unwrap();
    let log = Options::new().durability(Durability::Buffered { interval: Duration::from_secs(1) });
    let log = log.create(dir.path()).unwrap();
    within(60, "sealing does not end", move || {
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        log.append(&body("z")).unwrap();
                    }
                });
            }
            for _ in 0..10 {
                log.seal().unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    });
}

fn segments(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries.filter(|path| path.extension().is_some_and(|found| found == ending)).collect();
    found.sort();
    found
}

#[test]
fn files_that_are_cut_or_emptied_under_a_reader_are_damage_and_not_the_end_of_it() {
    for ending in ["log", "seg", "idx"] {
        for len in [0u64, 100, 4_096, 8_300, 9_000] {
            let dir = tempfile::tempdir().unwrap();
            let log = Options::new().background(Background::Manual).create(dir.path()).unwrap();
            for round in 0..2 {
                for n in 0..200 {
                    log.append_at(Timestamp::from_micros(n), &body(&format!("{round} {n}").repeat(30))).unwrap();
                }
                if round == 0 {
                    log.seal().unwrap();
                }
            }
            let reader = Reader::open(dir.path()).unwrap();
            assert!(reader.get(0).unwrap().is_some() && reader.get(399).unwrap().is_some());
            let mut cut = false;
            for path in segments(dir.path(), ending) {
                let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
                if file.metadata().unwrap().len() > len && ending != "idx" {
                    file.set_len(len).unwrap();
                    cut = true;
                }
                if ending == "idx" {
                    // A mapped file is never cut by the engine; it is replaced, as a damaged one is.
                    drop(file);
                    let path = segments(dir.path(), ending).remove(0);
                    std::fs::remove_file(&path).unwrap();
                    std::fs::write(&path, vec![0xa5; len as usize]).unwrap();
                }
            }
            for reader in [reader, Reader::open(dir.path()).unwrap(), log.reader()] {
                for seq in 0..400u64 {
                    match reader.get(seq) {
                        Ok(Some(record)) => {
                            let text = record.decode::<BTreeMap<String, String>>().unwrap();
                            assert_eq!(text["text"], format!("{} {}", seq / 200, seq % 200).repeat(30));
                        }
                        Ok(None) | Err(Error::Damaged(_)) if ending != "idx" => {}
                        other => panic!("{ending} cut to {len}: record {seq}: {other:?}"),
                    }
                }
                let verified = reader.verify(&mut |_| ()).unwrap_or_else(|e| panic!("{ending} cut to {len}: {e}"));
                assert!(verified.is_sound() != cut, "{ending} cut to {len}: {:?}", verified.damage);
            }
        }
    }
}

#[test]
fn a_second_writer_is_refused_while_the_first_lives_and_the_reader_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let log = Options::new().create(dir.path()).unwrap();
    for n in 0..50u64 {
        assert_eq!(log.append(&body("a")).unwrap(), n);
        assert!(matches!(Options::new().open(dir.path()), Err(Error::Locked { .. })));
        assert_eq!(count(&Reader::open(dir.path()).unwrap()) as u64, n + 1);
    }
    drop(log);
    assert_eq!(Options::new().open(dir.path()).unwrap().next_seq(), 50);
}

#[test]
fn a_clock_that_goes_back_changes_neither_order_nor_what_is_found() {
    let disk = SimDisk::new(1);
    let options = Options::new().background(Background::Manual).segment_bytes(64 << 10);
    let options = options.segment_age(Duration::from_secs(60)).roll_daily(true);
    let mut times = Vec::new();
    for step in [0, -3_600_000_000, 90_000_000_000, -400_000_000_000, i64::MIN / 4, i64::MAX / 2, 1] {
        disk.advance_clock(step);
        let log = options.open_or_create_on(disk.storage()).unwrap();
        for _ in 0..20 {
            disk.advance_clock(-7_000);
            let seq = log.append(&body("t")).unwrap();
            assert_eq!(seq as usize, times.len());
            times.push(log.get(seq).unwrap().unwrap().timestamp());
        }
        log.seal().unwrap();
        log.append(&body("t")).unwrap();
        times.push(log.get(log.next_seq() - 1).unwrap().unwrap().timestamp());
    }
    let log = options.open_or_create_on(disk.storage()).unwrap();
    let found: Vec<_> =
        log.reader().scan(ScanRange::all()).unwrap().map(|record| record.unwrap().timestamp()).collect();
    assert_eq!(found, times);
    for &since in times.iter().step_by(9) {
        let expected: Vec<_> = (0..times.len() as u64).filter(|&seq| times[seq as usize] >= since).collect();
        let range = ScanRange::all().since(since);
        let found: Vec<_> = log.reader().scan(range).unwrap().map(|record| record.unwrap().seq()).collect();
        assert_eq!(found, expected);
        let mut backward: Vec<_> = log.reader().scan(range.reverse()).unwrap().map(|r| r.unwrap().seq()).collect();
        backward.reverse();
        assert_eq!(backward, expected);
    }
    assert!(log.reader().verify(&mut |_| ()).unwrap().is_sound());
}

#[test]
fn sealing_that_fails_at_any_call_and_is_tried_again_leaves_one_segment() {
    for fault in [Fault::Io, Fault::Full] {
        for call in 0.. {
            let disk = SimDisk::new(1);
            let log = Options::new().background(Background::Manual).segment_bytes(64 << 10);
            let log = log.open_or_create_on(disk.storage()).unwrap();
            for n in 0..30 {
                log.append(&body(&format!("{n}").repeat(2_000))).unwrap();
            }
            log.maintain().unwrap();
            log.append(&body("last")).unwrap();
            let begun = disk.calls();
            disk.fail_at(begun + call, fault, false);
            let failed = log.seal().is_err();
            let all = disk.calls() - begun <= call;
            // Unless it was the segment's end that failed, and not its sealing.
            let sealed = log.append(&body("more")).is_ok() && log.seal().is_ok();
            if sealed {
                let names = disk.files().into_iter().map(|(name, _)| name);
                let left: Vec<_> = names.filter(|name| name.ends_with(".tmp")).collect();
                assert_eq!(left, [""; 0], "{fault:?} at {call}");
            }
            drop(log);
            for context in ["reopened", "again"] {
                let log = Options::new().background(Background::Manual).open_or_create_on(disk.storage()).unwrap();
                let verified = log.reader().verify(&mut |_| ()).unwrap();
                assert!(verified.is_sound(), "{fault:?} at {call}, {context}: {:?}", verified.damage);
                assert!(verified.records >= 31, "{fault:?} at {call}, {context}: {}", verified.records);
            }
            let names: Vec<_> = disk.files().into_iter().map(|(name, _)| name).collect();
            let bases: Vec<_> = names.iter().filter(|name| name.ends_with(".seg")).map(|name| &name[..20]).collect();
            assert!(bases.windows(2).all(|two| two[0] != two[1]), "{fault:?} at {call}: {names:?}");
            if all {
                assert!(!failed && call > 8, "{call} calls");
                break;
            }
        }
    }
}
