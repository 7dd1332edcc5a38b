//! Retention: what goes, what stays, who notices, and what is left after an end at any moment.

use annals::storage::sim::{Fault, Loss, SimDisk};
use annals::{
    Background, Error, Log, Options, ReadBuffer, Reader, Repair, RetentionPolicy, RetentionReport, ScanRange, Stop,
    Timestamp,
};
use std::collections::BTreeMap;
use std::time::Duration;

fn options() -> Options {
    Options::new().background(Background::Manual).segment_bytes(64 << 10)
}

fn open(disk: &SimDisk) -> Log {
    options().open_or_create_on(disk.storage()).unwrap()
}

/// The body of the record `seq`.
fn body(seq: u64) -> BTreeMap<&'static str, u64> {
    BTreeMap::from([("n", seq)])
}

/// The time of the record `seq`: a minute after the one before, long before the simulated disk's clock begins.
fn time(seq: u64) -> Timestamp {
    Timestamp::from_micros(1_000_000_000 + seq as i64 * 60_000_000)
}

fn append(log: &Log, count: usize) {
    for _ in 0..count {
        let seq = log.next_seq();
        assert_eq!(log.append_at(time(seq), &body(seq)).unwrap(), seq);
    }
}

/// An open log of sealed segments with so many records each, and so many records that are not sealed.
fn log_of(disk: &SimDisk, sealed: &[usize], raw: usize) -> Log {
    let log = open(disk);
    for &count in sealed {
        append(&log, count);
        log.seal().unwrap();
    }
    append(&log, raw);
    log
}

fn records(max: u64) -> RetentionPolicy {
    RetentionPolicy::new().max_records(max)
}

/// Everything from `first_seq` on is there and right, in every way of reading; what is before is removed.
fn check(reader: &Reader, first_seq: u64, end_seq: u64, context: &str) {
    let found: Vec<_> = reader.scan(ScanRange::all()).unwrap().map(Result::unwrap).collect();
    let seqs: Vec<u64> = found.iter().map(annals::RecordBuf::seq).collect();
    assert_eq!(seqs, (first_seq..end_seq).collect::<Vec<_>>(), "{context}");
    for record in found {
        assert_eq!(record.decode::<BTreeMap<String, u64>>().unwrap()["n"], record.seq(), "{context}");
        assert_eq!(record.timestamp(), time(record.seq()), "{context}");
    }
    let backward = reader.scan(ScanRange::all().reverse()).unwrap().map(|record| record.unwrap().seq());
    assert_eq!(backward.collect::<Vec<_>>(), (first_seq..end_seq).rev().collect::<Vec<_>>(), "{context}");
    for seq in 0..end_seq {
        match reader.get(seq) {
            Ok(Some(record)) => assert!(seq >= first_seq && record.seq() == seq, "{context}: {seq}"),
            Err(Error::Removed(removal)) => {
                assert!(seq < first_seq && (removal.first_seq..removal.end_seq).contains(&seq), "{context}: {seq}");
            }
            other => panic!("{context}: get({seq}): {other:?}"),
        }
    }
    assert_eq!((reader.first_seq(), reader.end_seq()), (first_seq, end_seq), "{context}");
}

fn root(reader: &Reader, context: &str) -> String {
    let verified = reader.verify(&mut |_| ()).unwrap();
    assert!(verified.is_sound(), "{context}: {:?}", verified.damage);
    verified.root.unwrap_or_else(|| panic!("{context}: no root"))
}

#[test]
fn whole_segments_go_from_the_beginning_and_the_log_says_so() {
    let disk = SimDisk::new(1);
    let log = log_of(&disk, &[5, 3, 4], 2);
    let before = root(&log.reader(), "before");
    let segments: Vec<_> = log.reader().info().unwrap().segments;
    let report = log.retain(&records(6).reason("the rules")).unwrap();
    let removal = report.removal.clone().unwrap();
    assert_eq!((removal.first_seq, removal.end_seq, removal.records, removal.segments), (0, 8, 8, 2));
    assert_eq!((removal.time_min, removal.time_max), (Some(time(0)), Some(time(7))));
    assert_eq!(removal.bytes, segments[0].bytes + segments[1].bytes);
    assert_eq!(removal.reason, "beyond the newest 6 records, the rules");
    assert_eq!((report.segments.len(), report.first_seq, report.stopped), (2, 8, None));
    assert_eq!(Some(annals_hex(&removal.root)), segments[1].root);
    for name in &report.segments {
        assert!(disk.read(name).is_none() && disk.read(&name.replace(".seg", ".idx")).is_none(), "{name}");
    }
    check(&log.reader(), 8, 14, "in the writer's process");
    assert_eq!(root(&log.reader(), "after"), before);
    let reader = Reader::open_on(disk.storage()).unwrap();
    check(&reader, 8, 14, "beside the writer");
    assert_eq!(reader.removals().unwrap(), std::slice::from_ref(&removal));
    assert_eq!((reader.info().unwrap().removals, reader.info().unwrap().first_seq), (vec![removal.clone()], 8));
    append(&log, 1);
    log.seal().unwrap();
    log.close().unwrap();

    let log = open(&disk);
    assert!(log.recovery().clean && log.recovery().removed.is_empty(), "{:?}", log.recovery());
    check(&log.reader(), 8, 15, "opened again");
    let second = log.retain(&records(3)).unwrap().removal.unwrap();
    assert_eq!((second.first_seq, second.end_seq), (8, 12));
    check(&log.reader(), 12, 15, "a second time");
    assert_eq!(log.reader().removals().unwrap(), [removal, second]);
    root(&log.reader(), "a second time");
    log.close().unwrap();
    assert!(Repair::apply().run_on(disk.storage()).unwrap().is_needless());
}

fn annals_hex(root: &[u8; 32]) -> String {
    root.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn seqs_go_on_though_everything_was_removed() {
    let disk = SimDisk::new(1);
    let log = log_of(&disk, &[5, 3], 0);
    let before = root(&log.reader(), "before");
    assert_eq!(log.retain(&records(0)).unwrap().first_seq, 8);
    check(&log.reader(), 8, 8, "nothing left");
    assert_eq!(root(&log.reader(), "nothing left"), before);
    log.close().unwrap();
    assert_eq!(disk.files().iter().filter(|(name, _)| name.contains('-')).count(), 0, "{:?}", disk.files());
    check(&Reader::open_on(disk.storage()).unwrap(), 8, 8, "nothing left, a reader");
    assert!(Repair::apply().run_on(disk.storage()).unwrap().is_needless());

    let log = open(&disk);
    assert_eq!((log.next_seq(), log.recovery().clean), (8, true));
    append(&log, 4);
    log.seal().unwrap();
    check(&log.reader(), 8, 12, "appended");
    let sealed = root(&log.reader(), "appended");
    log.retain(&records(0)).unwrap();
    assert_eq!(root(&log.reader(), "nothing left again"), sealed);
    append(&log, 1);
    drop(log);
    let after = disk.crash(Loss::Everything, 1);
    check(&open(&after).reader(), 12, 13, "after a crash");
}

#[test]
fn each_limit_counts_what_it_says() {
    let disk = SimDisk::new(1);
    let log = log_of(&disk, &[5, 3, 4], 2);
    let now = disk.clock();
    let age = |from: u64| Duration::from_micros((now.as_micros() - time(from).as_micros()) as u64);
    let plan = |policy: &RetentionPolicy| log.reader().plan_retention(policy).unwrap();
    // The clock runs on a little with each look.
    let slack = Duration::from_secs(30);
    assert_eq!(plan(&RetentionPolicy::new().older_than(age(4) + slack)).first_seq, 0);
    assert_eq!(plan(&RetentionPolicy::new().older_than(age(4) - slack)).first_seq, 5);
    assert_eq!(plan(&RetentionPolicy::new().older_than(age(10) - slack)).first_seq, 8);
    let all = plan(&RetentionPolicy::new().older_than(age(13) - slack));
    assert_eq!((all.first_seq, all.stopped), (12, Some(Stop::Unsealed)));
    // Of 14 records, what the limit grants is left, and what shares a segment with the oldest of it.
    for (max, expected) in [(u64::MAX, 0), (14, 0), (10, 0), (9, 5), (7, 5), (6, 8), (3, 8), (2, 12), (0, 12)] {
        assert_eq!(plan(&records(max)).first_seq, expected, "{max} records");
    }
    let bytes: Vec<u64> = log.reader().info().unwrap().segments.iter().map(|segment| segment.bytes).collect();
    let total: u64 = bytes.iter().sum();
    let most = |max| plan(&RetentionPolicy::new().max_bytes(max)).first_seq;
    let left = [total - bytes[0], total - bytes[0] - bytes[1]];
    assert_eq!([total, left[0] + 1, left[0], left[1] + 1, left[1], 0].map(most), [0, 0, 5, 5, 8, 12]);
    // Any limit that says so is enough.
    assert_eq!(plan(&records(13).max_bytes(total).older_than(age(7) - slack)).first_seq, 8);
    let none = log.retain(&RetentionPolicy::new());
    assert!(matches!(none, Err(Error::InvalidOption { option: "retention", .. })), "{none:?}");
    check(&log.reader(), 0, 14, "only planned");
}

const DAY: Duration = Duration::from_secs(86_400);

/// A log of two sealed segments, of two records and one, with so many days between sealing one and the other; the second
/// record's time is a hundred years ahead.
fn log_with_a_time_ahead(disk: &SimDisk, days: i64) -> Log {
    let log = open(disk);
    let ahead = Timestamp::from_micros(disk.clock().as_micros() + 36_500 * DAY.as_micros() as i64);
    log.append(&body(0)).unwrap();
    log.append_at(ahead, &body(1)).unwrap();
    log.seal().unwrap();
    disk.advance_clock(days * DAY.as_micros() as i64);
    log.append(&body(2)).unwrap();
    log.seal().unwrap();
    log
}

#[test]
fn a_time_ahead_of_the_clock_counts_as_that_of_sealing() {
    let disk = SimDisk::new(1);
    let log = log_with_a_time_ahead(&disk, 10);
    let plan = |days: u32| log.retain(&RetentionPolicy::new().older_than(DAY * days).dry_run(true)).unwrap().first_seq;
    assert_eq!((plan(11), plan(9)), (0, 2));
    disk.advance_clock(20 * DAY.as_micros() as i64);
    assert_eq!((plan(31), plan(29), plan(21), plan(19)), (0, 2, 2, 3));
}

#[test]
fn a_sealing_before_the_log_was_created_makes_nothing_older() {
    let disk = SimDisk::new(1);
    open(&disk).close().unwrap();
    // A machine that has lost its clock.
    let lost = 20_000 * DAY.as_micros() as i64;
    disk.advance_clock(-lost);
    let log = log_of(&disk, &[2], 0);
    log.append_at(Timestamp::from_micros(disk.clock().as_micros() + lost), &body(2)).unwrap();
    log.seal().unwrap();
    disk.advance_clock(lost + DAY.as_micros() as i64);
    let plan = |days: u32| log.retain(&RetentionPolicy::new().older_than(DAY * days).dry_run(true)).unwrap().first_seq;
    assert_eq!((plan(2), log.next_seq()), (2, 3), "the records' own times count");
}

#[test]
fn what_is_missing_is_no_record_that_stays() {
    let disk = SimDisk::new(1);
    let log = log_of(&disk, &[5, 3, 4], 0);
    let names: Vec<_> = log.reader().info().unwrap().segments.into_iter().map(|segment| segment.name).collect();
    log.close().unwrap();
    disk.replace(&names[1], &[]);
    let plan = |max| Reader::open_on(disk.storage()).unwrap().plan_retention(&records(max)).unwrap().first_seq;
    assert_eq!((plan(5), plan(4)), (0, 5), "of a damaged segment nobody knows");
    assert_eq!(Repair::apply().run_on(disk.storage()).unwrap().gaps.len(), 1);
    assert_eq!((plan(5), plan(4)), (0, 8), "a gap has none");
}

#[test]
fn a_dry_run_changes_nothing() {
    let disk = SimDisk::new(1);
    let log = log_of(&disk, &[5, 3], 2);
    let (files, calls) = (disk.files(), disk.calls());
    let planned = log.retain(&records(0).dry_run(true)).unwrap();
    assert_eq!(
        Reader::open_on(disk.storage()).unwrap().plan_retention(&records(0)).unwrap().segments,
        planned.segments
    );
    assert_eq!((planned.dry_run, planned.first_seq, planned.segments.len()), (true, 8, 2));
    assert_eq!((disk.files(), disk.calls()), (files, calls));
    check(&log.reader(), 0, 10, "a dry run");
}

#[test]
fn what_is_held_stays_and_all_that_follows() {
    let disk = SimDisk::new(1);
    let log = log_of(&disk, &[5, 3, 4], 0);
    let hold = log.hold("case 7", 7..8, "a court asked").unwrap();
    let report = log.retain(&records(0)).unwrap();
    assert_eq!((report.first_seq, report.stopped), (5, Some(Stop::Hold(hold))));
    assert_eq!(log.retain(&records(0)).unwrap().removal, None);
    check(&log.reader(), 5, 12, "held");
    log.release("case 7", "").unwrap();
    log.hold("all", .., "").unwrap();
    assert_eq!(log.retain(&records(0)).unwrap().removal, None);
    log.release("all", "").unwrap();
    let over = log.hold("over", 2..5, "");
    assert!(matches!(over, Err(Error::InvalidOption { option: "hold", .. })), "{over:?}");
    log.hold("the last", 9.., "").unwrap();
    assert_eq!(log.retain(&records(0)).unwrap().first_seq, 8);
    check(&log.reader(), 8, 12, "the last is held");
}

#[test]
fn readers_under_way_finish_and_others_are_told() {
    let disk = SimDisk::new(1);
    let log = log_of(&disk, &[5, 3, 4], 2);
    let (beside, stale) = (Reader::open_on(disk.storage()).unwrap(), Reader::open_on(disk.storage()).unwrap());
    let mut own = log.reader().scan(ScanRange::all()).unwrap();
    let mut other = beside.scan(ScanRange::all()).unwrap();
    let mut tail = beside.tail(2);
    let mut buffer = ReadBuffer::new();
    for seq in 0..2 {
        assert_eq!(own.advance().unwrap().unwrap().seq(), seq);
        assert_eq!(other.advance().unwrap().unwrap().seq(), seq);
        assert_eq!(stale.get_into(seq, &mut buffer).unwrap().unwrap().seq(), seq);
    }
    log.retain(&records(2)).unwrap();
    let rest: Vec<u64> = own.map(|record| record.unwrap().seq()).collect();
    assert_eq!(rest, (2..14).collect::<Vec<_>>(), "a scan of the writer's process has all that it began with");

    // In another process, as far as the files are open.
    let mut found = Vec::new();
    let removed = loop {
        match other.next() {
            Some(Ok(record)) => found.push(record.seq()),
            Some(Err(Error::Removed(removal))) => break removal,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((found, removed.end_seq), ((2..5).collect::<Vec<_>>(), 12));
    assert_eq!(other.map(|record| record.unwrap().seq()).collect::<Vec<_>>(), [12, 13]);
    assert!(stale.get(6).is_err_and(|error| matches!(error, Error::Removed(_))));
    check(&stale, 12, 14, "a reader that looks again");
    check(&beside, 12, 14, "another");
    let told = tail.next(Some(Duration::ZERO));
    assert!(matches!(&told, Err(Error::Removed(removal)) if removal.end_seq == 12), "{told:?}");
    assert_eq!(tail.next(Some(Duration::ZERO)).unwrap().unwrap().seq(), 12);
    // A scan that begins now begins at the first record there is, whatever its reader has seen before.
    let text = beside.get(0).unwrap_err().to_string();
    assert!(text.contains("removed by retention") && text.contains("beyond the newest 2 records"), "{text}");
}

#[test]
fn a_reader_that_has_not_looked_since_begins_a_scan_at_the_first_record_there_is() {
    let disk = SimDisk::new(1);
    let log = log_of(&disk, &[5, 3], 2);
    let reader = Reader::open_on(disk.storage()).unwrap();
    assert_eq!(reader.get(0).unwrap().unwrap().seq(), 0);
    log.retain(&records(2)).unwrap();
    let (for_shape, for_info) = (reader.clone(), Reader::open_on(disk.storage()).unwrap());
    let seqs: Vec<u64> = reader.scan(ScanRange::all()).unwrap().map(|record| record.unwrap().seq()).collect();
    assert_eq!(seqs, [8, 9]);
    append(&log, 3);
    log.seal().unwrap();
    for_info.refresh().unwrap();
    log.retain(&records(0)).unwrap();
    assert_eq!(for_info.info().unwrap().segments, []);
    assert_eq!(for_shape.shape(13).unwrap().records(), 0);
}

#[test]
fn what_is_damaged_is_not_removed() {
    let disk = SimDisk::new(1);
    let log = log_of(&disk, &[5, 3, 4], 0);
    let names: Vec<_> = log.reader().info().unwrap().segments.into_iter().map(|segment| segment.name).collect();
    log.close().unwrap();
    let mut bytes = disk.read(&names[1]).unwrap();
    let end = bytes.len() - 20;
    bytes[end] ^= 1;
    disk.replace(&names[1], &bytes);
    let log = open(&disk);
    let report = log.retain(&records(0)).unwrap();
    assert_eq!(report.first_seq, 5);
    assert!(matches!(&report.stopped, Some(Stop::Damage(damage)) if damage.path.ends_with(&names[1])), "{report:?}");
    log.close().unwrap();
    assert!(Repair::apply().run_on(disk.storage()).unwrap().is_sound());
    assert_eq!(open(&disk).retain(&records(0)).unwrap().first_seq, 12);
}

#[test]
fn a_log_with_removals_is_repaired_as_any_other() {
    let disk = SimDisk::new(1);
    let log = log_of(&disk, &[5, 300, 4], 3);
    log.retain(&records(307)).unwrap();
    let before = root(&log.reader(), "before");
    let name = log.reader().info().unwrap().segments[0].name.clone();
    log.close().unwrap();
    let sound = disk.copy();

    // A block of the first segment that is left, its header, all of it.
    let bytes = disk.read(&name).unwrap();
    for damaged in [&bytes[..bytes.len() / 2], &bytes[..90], &[]] {
        let disk = sound.copy();
        disk.replace(&name, damaged);
        assert!(!Reader::open_on(disk.storage()).unwrap().verify(&mut |_| ()).unwrap().is_sound());
        let repaired = Repair::apply().run_on(disk.storage()).unwrap();
        assert!(repaired.is_sound() && repaired.next_seq == 312, "{repaired:?}");
        assert!(repaired.gaps.iter().all(|gap| gap.first_seq >= 5), "{repaired:?}");
        let reader = Reader::open_on(disk.storage()).unwrap();
        assert_eq!(root(&reader, "repaired"), before);
        assert_eq!((reader.first_seq(), reader.removals().unwrap().len()), (5, 1));
        assert!(Repair::apply().run_on(disk.storage()).unwrap().is_needless());
    }
    // The raw segment.
    let raw = sound.files().into_iter().map(|(name, _)| name).find(|name| name.ends_with(".log")).unwrap();
    let disk = sound.copy();
    disk.replace(&raw, &sound.read(&raw).unwrap()[..100]);
    let repaired = Repair::apply().run_on(disk.storage()).unwrap();
    assert!(repaired.is_sound(), "{repaired:?}");
    check_prefix(&disk, 5, 309);
}

fn check_prefix(disk: &SimDisk, first_seq: u64, end_seq: u64) {
    let reader = Reader::open_on(disk.storage()).unwrap();
    let seqs = reader.scan(ScanRange::all().seqs(..end_seq)).unwrap().map(|record| record.unwrap().seq());
    assert_eq!(seqs.collect::<Vec<_>>(), (first_seq..end_seq).collect::<Vec<_>>());
}

#[test]
fn a_lost_catalog_makes_a_gap_of_what_was_removed() {
    let disk = SimDisk::new(1);
    let log = log_of(&disk, &[5, 3, 4], 3);
    log.retain(&records(10)).unwrap();
    let before = root(&log.reader(), "before");
    log.close().unwrap();
    disk.replace("catalog", &[7; 9_000]);
    let verified = Reader::open_on(disk.storage()).unwrap().verify(&mut |_| ()).unwrap();
    assert!(verified.damage.iter().any(|damage| (damage.first_seq, damage.end_seq) == (Some(0), Some(5))));
    let log = open(&disk);
    assert!(matches!(log.retain(&records(0)), Err(Error::Damaged(_))), "nobody knows what is held");
    assert_eq!(log.next_seq(), 15);
    log.close().unwrap();

    let repaired = Repair::apply().run_on(disk.storage()).unwrap();
    assert!(repaired.is_sound(), "{repaired:?}");
    assert_eq!(repaired.gaps.iter().map(|gap| (gap.first_seq, gap.end_seq)).collect::<Vec<_>>(), [(0, 5)]);
    let log = open(&disk);
    assert_eq!(root(&log.reader(), "repaired"), before);
    assert!(matches!(log.get(0), Err(Error::Gap(_))));
    check_prefix(&disk, 5, 15);
    let report = log.retain(&records(10)).unwrap();
    assert_eq!((report.first_seq, report.removal.map(|removal| removal.records)), (5, Some(0)));
    assert_eq!(root(&log.reader(), "removed again"), before);
}

#[test]
fn every_changed_byte_of_a_catalog_with_removals_heals() {
    let disk = SimDisk::new(1);
    let log = log_of(&disk, &[5, 3, 4], 3);
    log.retain(&records(10)).unwrap();
    log.hold("case 7", 9.., "a court asked").unwrap();
    log.close().unwrap();
    let bytes = disk.read("catalog").unwrap();
    let len = bytes.len();
    let used = bytes[..len / 2].iter().rposition(|&byte| byte != 0).unwrap() + 16;
    for at in (0..used).chain(len / 2..len / 2 + used) {
        let disk = disk.copy();
        let mut bad = bytes.clone();
        bad[at] ^= 1 << (at % 8);
        disk.replace("catalog", &bad);
        let reader = Reader::open_on(disk.storage()).unwrap();
        let verified = reader.verify(&mut |_| ()).unwrap();
        assert_eq!(verified.damage.len(), 1, "byte {at}: {:?}", verified.damage);
        assert!(verified.damage[0].path.ends_with("catalog") && verified.root.is_some(), "byte {at}");
        let log = open(&disk);
        assert_eq!((log.holds().unwrap().len(), log.reader().first_seq()), (1, 5), "byte {at}");
        log.release("case 7", "").unwrap();
        check(&Reader::open_on(disk.storage()).unwrap(), 5, 15, &format!("byte {at}"));
        root(&log.reader(), &format!("byte {at}"));
    }
}

/// What a scenario of retention has come to when it ended.
#[derive(Debug, Default, Clone)]
struct Came {
    /// Records that were acknowledged as durable, and those that may be there.
    durable: u64,
    appended: u64,
    /// What was removed for certain, and what may have been.
    removed: u64,
    removing: u64,
}

/// Appends, seals, removes, opens again, removes all, goes on.
fn run(disk: &SimDisk, came: &mut Came) -> annals::Result<()> {
    let append = |log: &Log, came: &mut Came, count: usize| -> annals::Result<()> {
        for _ in 0..count {
            let seq = log.next_seq();
            came.appended = seq + 1;
            assert_eq!(log.append_at(time(seq), &body(seq))?, seq);
            came.durable = seq + 1;
        }
        Ok(())
    };
    let retain = |log: &Log, came: &mut Came, max: u64, expected: u64| -> annals::Result<RetentionReport> {
        came.removing = expected;
        let report = log.retain(&records(max))?;
        assert_eq!(report.first_seq, expected);
        came.removed = expected;
        Ok(report)
    };
    let log = options().open_or_create_on(disk.storage())?;
    for count in [5, 3, 4] {
        append(&log, came, count)?;
        log.seal()?;
    }
    append(&log, came, 2)?;
    retain(&log, came, 6, 8)?;
    append(&log, came, 1)?;
    retain(&log, came, 1, 12)?;
    drop(log);
    let log = options().open_or_create_on(disk.storage())?;
    log.seal()?;
    retain(&log, came, 0, 15)?;
    append(&log, came, 2)?;
    log.close()
}

/// Opens what is left: a reader and a writer find the same, all of it right, and the log goes on.
fn check_left(disk: &SimDisk, came: &Came, context: &str) {
    if came.durable > 0 {
        let files = disk.files();
        let reader = Reader::open_on(disk.storage()).unwrap_or_else(|error| panic!("{context}: {error}"));
        let first_seq = reader.first_seq();
        assert!([came.removed, came.removing].contains(&first_seq), "{context}: begins at {first_seq}");
        assert!((came.durable..=came.appended).contains(&reader.end_seq()), "{context}: ends at {}", reader.end_seq());
        check(&reader, first_seq, reader.end_seq(), context);
        root(&reader, context);
        assert_eq!(disk.files(), files, "{context}: a reader changed something");
    }
    let log = options().open_or_create_on(disk.storage()).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert!(log.recovery().is_complete(), "{context}: {:?}", log.recovery());
    let first_seq = log.reader().first_seq();
    assert!([came.removed, came.removing].contains(&first_seq), "{context}: begins at {first_seq}");
    let end_seq = log.next_seq();
    assert!((came.durable..=came.appended).contains(&end_seq), "{context}: ends at {end_seq}");
    check(&log.reader(), first_seq, end_seq, context);
    let below = |name: &str| name.split_once('-').is_some_and(|(base, _)| base.parse::<u64>().unwrap() < first_seq);
    assert!(!disk.files().iter().any(|(name, _)| below(name)), "{context}: {:?}", disk.files());
    append(&log, 2);
    log.seal().unwrap_or_else(|error| panic!("{context}: {error}"));
    root(&log.reader(), context);
    log.retain(&records(0)).unwrap_or_else(|error| panic!("{context}: {error}"));
    check(&log.reader(), end_seq + 2, end_seq + 2, context);
    root(&log.reader(), context);
}

#[test]
fn an_end_or_a_failure_at_any_call_leaves_what_was_promised() {
    let whole = SimDisk::new(1);
    let mut came = Came::default();
    run(&whole, &mut came).expect("no fault was asked for");
    check_left(&whole.copy(), &came, "no fault");
    let calls = whole.calls();
    for call in 0..calls {
        for (fault, for_ever) in [(Fault::Stop, true), (Fault::Io, false), (Fault::Io, true), (Fault::Full, false)] {
            let disk = SimDisk::new(1);
            disk.fail_at(call, fault, for_ever);
            let mut came = Came::default();
            let outcome = run(&disk, &mut came);
            for loss in Loss::ALL {
                for seed in 0..2 {
                    let ended = outcome.as_ref().err().map(ToString::to_string);
                    let context = format!("{fault:?} at call {call} of {calls}, {loss:?}, {seed}: {ended:?}, {came:?}");
                    check_left(&disk.crash(loss, seed), &came, &context);
                }
            }
        }
    }
}

#[test]
fn an_end_while_an_opening_finishes_a_retention_changes_nothing() {
    let whole = SimDisk::new(1);
    run(&whole, &mut Came::default()).expect("no fault was asked for");
    for call in 0..whole.calls() {
        let disk = SimDisk::new(1);
        disk.fail_at(call, Fault::Stop, true);
        let mut came = Came::default();
        let _ = run(&disk, &mut came);
        if came.removing == 0 {
            continue;
        }
        let after = disk.crash(Loss::Torn, call);
        for second in 0..8 {
            let again = after.crash(Loss::Nothing, second);
            again.fail_at(second, Fault::Stop, true);
            drop(options().open_or_create_on(again.storage()));
            for loss in [Loss::Everything, Loss::Subset] {
                let context = format!("stop at call {call}, then at {second} of the opening, {loss:?}");
                check_left(&again.crash(loss, second), &came, &context);
            }
        }
    }
}

#[test]
fn a_look_that_fails_while_retention_counts_is_told_and_changes_no_number() {
    let whole = SimDisk::new(1);
    log_of(&whole, &[5, 3, 4], 2).close().unwrap();
    let log = open(&whole);
    let before = whole.reads();
    let expected = log.retain(&records(6)).unwrap().removal.unwrap();
    let (reads, mut failed) = (whole.reads() - before, 0);
    for read in 0..reads {
        let disk = SimDisk::new(1);
        log_of(&disk, &[5, 3, 4], 2).close().unwrap();
        // One that was just opened has not read its sealed segments.
        let log = open(&disk);
        disk.fail_read_at(disk.reads() + read, Fault::Io, false);
        let removal = match log.retain(&records(6)) {
            Ok(report) => report.removal.unwrap(),
            Err(Error::Io { .. }) => {
                failed += 1;
                log.retain(&records(6)).unwrap();
                log.reader().removals().unwrap().pop().unwrap()
            }
            Err(error) => panic!("look {read} of {reads}: {error}"),
        };
        assert_eq!((removal.end_seq, removal.bytes), (expected.end_seq, expected.bytes), "look {read} of {reads}");
        check(&log.reader(), 8, 14, "after it");
    }
    assert!(failed > 0, "none of {reads} looks was needed");
}
