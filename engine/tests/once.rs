//! Appending once: one record for each key, whoever asks how often, in whatever life of the log.

use annals::storage::sim::{Fault, Loss, SimDisk};
use annals::{Background, Durability, Error, Log, Options, Reader, Repair, RetentionPolicy, ScanRange, Timestamp};
use std::collections::BTreeMap;
use std::sync::Barrier;
use std::time::Duration;

fn options() -> Options {
    Options::new().background(Background::Manual).segment_bytes(64 << 10)
}

fn open(disk: &SimDisk) -> Log {
    options().open_or_create_on(disk.storage()).unwrap()
}

fn once(log: &Log, key: &str) -> annals::Result<u64> {
    log.append_once(key.as_bytes(), &BTreeMap::from([("key", key)]))
}

fn append(log: &Log, count: usize) {
    for n in 0..count {
        log.append(&BTreeMap::from([("n", n)])).unwrap();
    }
}

/// The seqs of the records that have keys, by key; none may have the key of another.
fn keys(reader: &Reader) -> BTreeMap<String, u64> {
    let mut keys = BTreeMap::new();
    for record in reader.scan(ScanRange::all()).unwrap() {
        let record = record.unwrap();
        let key = std::str::from_utf8(record.as_record().key()).unwrap().to_owned();
        if !key.is_empty() {
            assert_eq!(record.decode::<BTreeMap<String, String>>().unwrap()["key"], key);
            assert_eq!(keys.insert(key.clone(), record.seq()), None, "two records of {key}");
        }
    }
    keys
}

#[test]
fn a_key_gives_one_record_in_every_life_of_the_log() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    append(&log, 2);
    assert_eq!((once(&log, "a").unwrap(), once(&log, "b").unwrap(), once(&log, "a").unwrap()), (2, 3, 2));
    append(&log, 1);
    log.seal().unwrap();
    assert_eq!((once(&log, "b").unwrap(), once(&log, "c").unwrap()), (3, 5));
    log.close().unwrap();
    let log = open(&disk);
    assert_eq!((once(&log, "c").unwrap(), once(&log, "a").unwrap(), once(&log, "d").unwrap()), (5, 2, 6));
    log.seal().unwrap();
    let after = disk.crash(Loss::Everything, 1);
    let log = open(&after);
    let raw = log.append_once_raw(b"d", Some(Timestamp::from_micros(7)), b"\x80").unwrap();
    assert_eq!((raw, log.next_seq()), (6, 7));
    let all = [("a", 2), ("b", 3), ("c", 5), ("d", 6)].map(|(key, seq)| (key.to_owned(), seq));
    assert_eq!(keys(&log.reader()), all.into());
    assert!(log.reader().verify(&mut |_| ()).unwrap().is_sound());
}

#[test]
fn a_key_counts_within_the_window() {
    let disk = SimDisk::new(1);
    let by_count = options().once_records(4);
    let log = by_count.open_or_create_on(disk.storage()).unwrap();
    assert_eq!(once(&log, "a").unwrap(), 0);
    append(&log, 3);
    assert_eq!(once(&log, "a").unwrap(), 0, "the fourth from the end");
    append(&log, 1);
    assert_eq!(once(&log, "a").unwrap(), 5, "the fifth");
    assert_eq!(once(&log, "a").unwrap(), 5);
    log.close().unwrap();
    let log = by_count.open_or_create_on(disk.storage()).unwrap();
    append(&log, 3);
    assert_eq!(once(&log, "a").unwrap(), 5);
    append(&log, 1);
    assert_eq!(once(&log, "a").unwrap(), 10);
    drop(log);

    let by_age = options().once_age(Duration::from_secs(60));
    for opened in 0..2 {
        let log = by_age.open_or_create_on(disk.storage()).unwrap();
        disk.advance_clock(61_000_000);
        let key = format!("age {opened}");
        let first = once(&log, &key).unwrap();
        disk.advance_clock(50_000_000);
        assert_eq!(once(&log, &key).unwrap(), first);
        drop(log);
        let log = by_age.open_or_create_on(disk.storage()).unwrap();
        assert_eq!(once(&log, &key).unwrap(), first);
        disk.advance_clock(11_000_000);
        assert_eq!(once(&log, &key).unwrap(), first + 1);
    }
}

#[test]
fn keys_have_limits_and_what_is_gone_does_not_count() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    assert!(matches!(once(&log, ""), Err(Error::InvalidOption { option: "key", .. })));
    assert!(matches!(once(&log, &"k".repeat(1_025)), Err(Error::TooLarge { what: "the key", .. })));
    assert_eq!((once(&log, &"k".repeat(1_024)).unwrap(), log.next_seq()), (0, 1));
    let refused = options().once_records(0).open_or_create_on(SimDisk::new(2).storage());
    assert!(matches!(refused, Err(Error::InvalidOption { option: "once_records", .. })), "{refused:?}");
    assert_eq!(once(&log, "a").unwrap(), 1);
    log.seal().unwrap();
    log.retain(&RetentionPolicy::new().max_records(0)).unwrap();
    assert_eq!((once(&log, "a").unwrap(), once(&log, "a").unwrap()), (2, 2));
}

#[test]
fn threads_with_the_same_keys_get_the_same_records_all_durable() {
    const THREADS: usize = 6;
    const KEYS: usize = 40;
    let dir = tempfile::tempdir().unwrap();
    let log = Options::new().durability(Durability::Written).create(dir.path().join("log")).unwrap();
    let barrier = Barrier::new(THREADS);
    let append = |key| {
        barrier.wait();
        let seq = once(&log, &format!("{key}")).unwrap();
        assert!(log.durable_seq() > seq);
        seq
    };
    let append = &append;
    let found: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| (0..KEYS).map(append).collect())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(found.iter().all(|seqs| *seqs == found[0]), "{found:?}");
    assert_eq!((log.next_seq(), keys(&log.reader()).len()), (KEYS as u64, KEYS));
}

/// Appends once, again, seals, opens again; notes what was acknowledged.
fn run(disk: &SimDisk, acknowledged: &mut BTreeMap<String, u64>) -> annals::Result<()> {
    for life in 0..3 {
        let log = options().open_or_create_on(disk.storage())?;
        for key in life..life + 4 {
            let key = format!("key {key}");
            let seq = once(&log, &key)?;
            let first = *acknowledged.entry(key.clone()).or_insert(seq);
            assert_eq!((first, once(&log, &key)?), (seq, seq), "{key}");
        }
        if life == 1 {
            log.seal()?;
        }
        if life == 0 {
            log.close()?;
        }
    }
    Ok(())
}

#[test]
fn whoever_asks_again_after_an_end_at_any_call_gets_one_record_for_each_key() {
    let whole = SimDisk::new(1);
    run(&whole, &mut BTreeMap::new()).expect("no fault was asked for");
    for call in 0..whole.calls() {
        for (fault, for_ever) in [(Fault::Stop, true), (Fault::Io, false), (Fault::Full, false)] {
            let disk = SimDisk::new(1);
            disk.fail_at(call, fault, for_ever);
            let mut acknowledged = BTreeMap::new();
            let _ = run(&disk, &mut acknowledged);
            for loss in Loss::ALL {
                for seed in 0..2 {
                    let context = format!("{fault:?} at call {call}, {loss:?}, {seed}: {acknowledged:?}");
                    let after = disk.crash(loss, seed);
                    let mut expected = acknowledged.clone();
                    for _ in 0..2 {
                        let log = open(&after);
                        for key in 0..6 {
                            let key = format!("key {key}");
                            let seq = once(&log, &key).unwrap_or_else(|error| panic!("{context}: {error}"));
                            assert_eq!(*expected.entry(key.clone()).or_insert(seq), seq, "{context}: {key}");
                        }
                        assert_eq!((keys(&log.reader()), log.next_seq()), (expected.clone(), 6), "{context}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_repair_keeps_keys() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    for key in 0..3 {
        assert_eq!(once(&log, &format!("{key}")).unwrap(), key);
    }
    log.close().unwrap();
    let raw = disk.files().into_iter().map(|(name, _)| name).find(|name| name.ends_with(".log")).unwrap();
    let mut bytes = disk.read(&raw).unwrap();
    let at = bytes.iter().rposition(|&byte| byte == b'1').unwrap();
    bytes[at] ^= 1;
    disk.replace(&raw, &bytes);
    assert!(Repair::apply().run_on(disk.storage()).unwrap().is_sound());
    let log = open(&disk);
    assert_eq!((once(&log, "0").unwrap(), once(&log, "2").unwrap()), (0, 2));
    assert_eq!((once(&log, "1").unwrap(), once(&log, "1").unwrap()), (3, 3), "it is in a gap now");
}

#[test]
fn many_keys_share_a_sync() {
    let appended = |keys: &[&str]| {
        let disk = SimDisk::new(1);
        let log = open(&disk);
        once(&log, "before").unwrap();
        let calls = disk.calls();
        let submit = |key: &&str| log.submit_once(key.as_bytes(), &BTreeMap::from([("key", *key)])).unwrap();
        let tickets: Vec<_> = keys.iter().map(submit).collect();
        assert_eq!(disk.calls(), calls, "nothing was waited for");
        tickets.last().unwrap().wait().unwrap();
        assert!(tickets.iter().all(annals::Ticket::is_durable));
        let seqs: Vec<u64> = tickets.iter().map(|ticket| ticket.seqs().start).collect();
        let after = disk.crash(Loss::Everything, 1);
        (disk.calls() - calls, seqs, keys_on(&after))
    };
    let (calls, seqs, found) = appended(&["a", "b", "a", "before", "c"]);
    assert_eq!(seqs, [1, 2, 1, 0, 3]);
    assert_eq!(found, [("a", 1), ("b", 2), ("before", 0), ("c", 3)].map(|(key, seq)| (key.to_owned(), seq)).into());
    assert_eq!(calls, appended(&["a"]).0, "as many calls as one record takes");
}

/// The keys of the log on `disk`, once it is open.
fn keys_on(disk: &SimDisk) -> BTreeMap<String, u64> {
    keys(&open(disk).reader())
}

#[test]
fn a_ticket_of_a_key_that_is_known_waits_for_the_first() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    let first = log.submit_once_raw(b"a", None, b"\x80").unwrap();
    let again = log.submit_once_raw(b"a", None, b"\x80").unwrap();
    assert!(!first.is_durable() && !again.is_durable());
    again.wait().unwrap();
    assert!(first.is_durable());
    assert!(matches!(log.submit_once_raw(b"", None, b"\x80"), Err(Error::InvalidOption { option: "key", .. })));
}
