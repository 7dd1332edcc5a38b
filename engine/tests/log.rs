//! A log as its users see it, on a real directory.

use annals::{Background, Batch, Durability, Error, Log, Options, Reader, ScanRange, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Event {
    n: u64,
    text: String,
}

fn event(n: u64) -> Event {
    Event { n, text: format!("event number {n}") }
}

fn at(n: u64) -> Timestamp {
    Timestamp::from_micros(1_000_000 * n as i64)
}

fn fill(log: &Log, count: u64) {
    let first = log.next_seq();
    for n in first..first + count {
        assert_eq!(log.append_at(at(n), &event(n)).unwrap(), n);
    }
}

fn check(reader: &Reader, count: u64) {
    assert_eq!(reader.end_seq(), count);
    let forward: Vec<_> = reader.scan(ScanRange::all()).unwrap().map(|record| record.unwrap()).collect();
    assert_eq!(forward.len() as u64, count);
    for (n, record) in forward.iter().enumerate() {
        assert_eq!((record.seq(), record.timestamp()), (n as u64, at(n as u64)));
        assert_eq!(record.decode::<Event>().unwrap(), event(n as u64));
        assert_eq!(reader.get(n as u64).unwrap().as_ref(), Some(record));
    }
    let mut backward: Vec<_> = reader.scan(ScanRange::all().reverse()).unwrap().map(|record| record.unwrap()).collect();
    backward.reverse();
    assert_eq!(forward, backward);
    assert!(reader.get(count).unwrap().is_none());
}

#[test]
fn what_is_appended_is_read_before_and_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::new().durability(Durability::Written).segment_bytes(64 << 10);
    for round in 1..=3 {
        let log = options.open_or_create(dir.path()).unwrap();
        assert!(log.recovery().clean, "{:?}", log.recovery());
        fill(&log, 1_000);
        check(&log.reader(), round * 1_000);
        let beside = Reader::open(dir.path()).unwrap();
        check(&beside, round * 1_000);
        log.close().unwrap();
        check(&beside, round * 1_000);
    }
}

#[test]
fn an_empty_log_reads_as_empty() {
    let dir = tempfile::tempdir().unwrap();
    let log = Options::new().create(dir.path()).unwrap();
    check(&log.reader(), 0);
    check(&Reader::open(dir.path()).unwrap(), 0);
    assert!(matches!(Options::new().create(dir.path()), Err(Error::AlreadyExists { .. })));
}

#[test]
fn a_second_writer_is_told_who_holds_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = Options::new().create(dir.path()).unwrap();
    let error = Options::new().open(dir.path()).unwrap_err();
    assert!(matches!(&error, Error::Locked { holder, .. } if holder.contains(&std::process::id().to_string())));
    drop(log);
    Options::new().open(dir.path()).unwrap();
}

#[test]
fn a_directory_with_other_files_does_not_become_a_log() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    assert!(matches!(Options::new().open(dir.path()), Err(Error::NotALog { .. })));
    assert!(matches!(Reader::open(dir.path()), Err(Error::NotALog { .. })));
    assert!(matches!(Options::new().open_or_create(dir.path()), Err(Error::NotEmpty { .. })));
}

#[test]
fn a_scan_keeps_to_its_range() {
    let dir = tempfile::tempdir().unwrap();
    let log = Options::new().durability(Durability::Written).segment_bytes(64 << 10).create(dir.path()).unwrap();
    fill(&log, 2_000);
    let seqs = |range: ScanRange| -> Vec<u64> {
        log.reader().scan(range).unwrap().map(|record| record.unwrap().seq()).collect()
    };
    assert_eq!(seqs(ScanRange::all().seqs(10..13)), [10, 11, 12]);
    assert_eq!(seqs(ScanRange::all().seqs(10..=12).reverse()), [12, 11, 10]);
    assert_eq!(seqs(ScanRange::all().seqs(1_998..)), [1_998, 1_999]);
    assert_eq!(seqs(ScanRange::all().since(at(500)).until(at(503))), [500, 501, 502]);
    assert_eq!(seqs(ScanRange::all().since(at(500)).until(at(503)).reverse()), [502, 501, 500]);
    assert_eq!(seqs(ScanRange::all().until(Timestamp::MIN)), []);
    assert_eq!(seqs(ScanRange::all().seqs(5..5)), []);
    assert_eq!(seqs(ScanRange::all().seqs(3_000..)), []);
}

/// Clocks go back: a block whose records are too late says nothing of the blocks after it.
#[test]
fn a_window_of_time_finds_its_records_wherever_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let log = Options::new().background(Background::Manual).create(dir.path().join("log")).unwrap();
    // Runs that each go up and then back, over many blocks.
    let time_of = |n: u64| (n / 700 * 7_919 % 10) * 10_000 + n % 700;
    const COUNT: u64 = 7_000;
    for n in 0..COUNT {
        log.append_at(at(time_of(n)), &event(n)).unwrap();
        if n == COUNT / 2 {
            log.seal().unwrap();
        }
    }
    for sealed in [false, true] {
        for (from, to) in [(0, 700), (10_000, 10_003), (30_000, 60_000), (90_650, 90_700), (500, 99_999)] {
            let expected: Vec<u64> = (0..COUNT).filter(|&n| (from..to).contains(&time_of(n))).collect();
            let window = ScanRange::all().since(at(from)).until(at(to));
            let found =
                |range| -> Vec<u64> { log.reader().scan(range).unwrap().map(|record| record.unwrap().seq()).collect() };
            assert!(!expected.is_empty());
            assert_eq!(found(window), expected, "{from}..{to}, sealed: {sealed}");
            let backward: Vec<u64> = expected.into_iter().rev().collect();
            assert_eq!(found(window.reverse()), backward, "{from}..{to} backwards, sealed: {sealed}");
        }
        log.seal().unwrap();
    }
}

#[test]
fn a_tail_wakes_on_new_records_in_this_process_and_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = Options::new().create(dir.path()).unwrap();
    fill(&log, 3);
    let beside = Reader::open(dir.path()).unwrap();
    std::thread::scope(|scope| {
        for mut tail in [log.reader().tail(1), beside.tail(1)] {
            scope.spawn(move || {
                for n in 1..2_000 {
                    let record = tail.next(Some(Duration::from_secs(20))).unwrap().expect("a record in time");
                    assert_eq!(record.decode::<Event>().unwrap(), event(n));
                }
            });
        }
        fill(&log, 1_997);
    });
    let mut tail = log.reader().tail(2_000);
    assert!(tail.next(Some(Duration::from_millis(10))).unwrap().is_none());
    log.close().unwrap();
    assert!(tail.next(None).unwrap().is_none());
}

#[test]
fn many_threads_append_and_each_finds_its_records() {
    let dir = tempfile::tempdir().unwrap();
    let log = Options::new().segment_bytes(256 << 10).create(dir.path()).unwrap();
    let seqs = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let log = &log;
                scope.spawn(move || {
                    (0..500).map(|n| (log.append(&event(thread * 1_000 + n)).unwrap(), thread * 1_000 + n)).collect()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| -> Vec<(u64, u64)> { thread.join().unwrap() }).collect::<Vec<_>>()
    });
    let mut order: Vec<_> = seqs.iter().map(|&(seq, _)| seq).collect();
    order.sort_unstable();
    assert_eq!(order, (0..4_000).collect::<Vec<_>>());
    for (seq, n) in seqs {
        assert_eq!(log.get(seq).unwrap().unwrap().decode::<Event>().unwrap(), event(n));
    }
    assert_eq!(log.durable_seq(), 4_000);
}

#[test]
fn a_batch_gets_seqs_that_follow_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let log = Options::new().create(dir.path()).unwrap();
    let mut batch = Batch::new();
    assert_eq!(log.append_batch(&mut batch).unwrap(), 0..0);
    for n in 0..100 {
        batch.push_at(at(n), &event(n)).unwrap();
    }
    assert_eq!(log.append_batch(&mut batch).unwrap(), 0..100);
    check(&log.reader(), 100);
}

#[test]
fn a_batch_larger_than_a_segment_is_refused_and_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let log = Options::new().segment_bytes(64 << 10).create(dir.path()).unwrap();
    let mut batch = Batch::new();
    batch.push(&Event { n: 0, text: "x".repeat(100 << 10) }).unwrap();
    assert!(matches!(log.append_batch(&mut batch), Err(Error::TooLarge { .. })));
    assert_eq!(log.next_seq(), 0);
}

#[test]
fn a_buffered_record_is_synced_within_its_interval() {
    let dir = tempfile::tempdir().unwrap();
    let interval = Duration::from_millis(5);
    let log = Options::new().durability(Durability::Buffered { interval }).create(dir.path()).unwrap();
    fill(&log, 10);
    let mut tail = log.reader().tail(9);
    assert!(tail.next(Some(Duration::from_secs(20))).unwrap().is_some());
    while log.durable_seq() < 10 {
        std::thread::yield_now();
    }
}

#[test]
fn a_log_without_threads_does_its_work_when_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let interval = Duration::from_millis(1);
    let options = Options::new().durability(Durability::Buffered { interval }).background(Background::Manual);
    let log = options.create(dir.path()).unwrap();
    fill(&log, 10);
    assert_eq!(log.durable_seq(), 0);
    log.maintain().unwrap();
    assert_eq!(log.durable_seq(), 10);
    check(&log.reader(), 10);
}

#[test]
fn a_segment_rolls_by_age() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::new().segment_age(Duration::from_millis(2)).background(Background::Manual);
    let log = options.create(dir.path()).unwrap();
    fill(&log, 1);
    std::thread::sleep(Duration::from_millis(5));
    fill(&log, 1);
    let segments = std::fs::read_dir(dir.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|ending| ending == "log"));
    assert_eq!(segments.count(), 2);
}

#[test]
fn sealing_changes_nothing_for_readers() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::new().durability(Durability::Written).segment_bytes(256 << 10);
    let log = options.create(dir.path()).unwrap();
    let beside = Reader::open(dir.path()).unwrap();
    let before = log.reader().scan(ScanRange::all()).unwrap();
    assert_eq!(before.count(), 0);
    for round in 1..=3 {
        fill(&log, 3_000);
        log.seal().unwrap();
        check(&log.reader(), round * 3_000);
        beside.refresh().unwrap();
        check(&beside, round * 3_000);
        let verified = beside.verify(&mut |_| ()).unwrap();
        assert_eq!((verified.damage, verified.records), (vec![], round * 3_000));
        assert!(verified.root.is_some() && verified.raw_segments == 0);
    }
    let root = log.reader().verify(&mut |_| ()).unwrap().root;
    log.close().unwrap();
    let log = options.open(dir.path()).unwrap();
    check(&log.reader(), 9_000);
    assert_eq!(log.reader().verify(&mut |_| ()).unwrap().root, root);
}

#[test]
fn a_scan_that_began_before_sealing_goes_on_undisturbed() {
    let dir = tempfile::tempdir().unwrap();
    let log = Options::new().durability(Durability::Written).create(dir.path()).unwrap();
    fill(&log, 5_000);
    let mut here = log.reader().scan(ScanRange::all()).unwrap();
    let mut beside = Reader::open(dir.path()).unwrap().scan(ScanRange::all()).unwrap();
    assert_eq!(here.advance().unwrap().unwrap().seq(), 0);
    assert_eq!(beside.advance().unwrap().unwrap().seq(), 0);
    log.seal().unwrap();
    fill(&log, 100);
    assert_eq!(here.count(), 4_999);
    assert_eq!(beside.count(), 4_999);
}

#[test]
fn a_log_that_is_opened_often_goes_on_and_its_segments_are_joined() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::new().durability(Durability::Written).segment_bytes(64 << 10);
    for round in 1..=40 {
        let log = options.open_or_create(dir.path()).unwrap();
        fill(&log, 3);
        check(&log.reader(), round * 3);
        log.close().unwrap();
    }
    let log = options.open_or_create(dir.path()).unwrap();
    fill(&log, 5_000);
    log.seal().unwrap();
    check(&log.reader(), 5_120);
    let segments = log.reader().info().unwrap().segments;
    let small = segments.iter().filter(|segment| segment.end_seq - segment.first_seq < 50).count();
    assert!(segments.iter().all(|segment| segment.sealed) && small <= 2, "{segments:#?}");
}

#[test]
fn verifying_looks_at_every_record_though_segments_are_sealed_meanwhile() {
    for attached in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::new().background(Background::Manual).segment_bytes(64 << 10);
        let log = options.create(dir.path()).unwrap();
        for n in 0..40u64 {
            log.append(&std::collections::BTreeMap::from([("text", n.to_string().repeat(4_000))])).unwrap();
        }
        let reader = if attached { Reader::open(dir.path()).unwrap() } else { log.reader() };
        let mut segments = 0;
        // Reported between one segment and the next.
        let verified = reader.verify(&mut |_| {
            segments += 1;
            if segments == 2 {
                log.seal().unwrap();
            }
        });
        let verified = verified.unwrap();
        assert!(segments > 2);
        assert_eq!((verified.records, verified.end_seq), (40, 40), "{verified:?}");
        assert!(verified.is_sound() && verified.root.is_some(), "{verified:?}");
    }
}

#[test]
fn a_head_from_before_the_newest_segment_hides_no_record() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = Options::new().background(Background::Manual).segment_bytes(64 << 10).create(dir.path()).unwrap();
    let segments = || {
        let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_str().unwrap().ends_with(".log")).count()
    };
    let mut heads = Vec::new();
    while segments() < 2 {
        log.append(&event(log.next_seq())).unwrap();
        heads.push(std::fs::read(dir.path().join("head")).unwrap());
    }
    // As if the writer had been killed before it told of the segment that it had begun.
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    for head in heads.iter().rev().take(5) {
        std::fs::write(copy.path().join("head"), head).unwrap();
        let reader = Reader::open(copy.path()).unwrap();
        assert!(reader.end_seq() >= log.next_seq() - 1);
        check_all(&reader);
    }
}

#[test]
fn a_head_that_the_file_system_has_lost_hides_no_record() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = Options::new().background(Background::Manual).create(dir.path()).unwrap();
    let mut heads = vec![std::fs::read(dir.path().join("head")).unwrap()];
    for n in 0..10 {
        log.append(&event(n)).unwrap();
        heads.push(std::fs::read(dir.path().join("head")).unwrap());
    }
    for closed in [false, true] {
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        if closed {
            Options::new().open(copy.path()).unwrap().close().unwrap();
        }
        // All but the last is proven by the frames that follow: one commit may be under way.
        for head in &heads[..9] {
            std::fs::write(copy.path().join("head"), head).unwrap();
            let reader = Reader::open(copy.path()).unwrap();
            assert_eq!(reader.end_seq(), 10);
            check_all(&reader);
            assert_eq!(reader.verify(&mut |_| ()).unwrap().records, 10);
        }
    }
}

fn check_all(reader: &Reader) {
    for seq in 0..reader.end_seq() {
        assert_eq!(reader.get(seq).unwrap().unwrap().decode::<Event>().unwrap(), event(seq), "record {seq}");
    }
}
