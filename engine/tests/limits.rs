//! Limits of a log: what is taken, refused, dropped and told, against counts kept in the simplest way there is.

#[path = "codec/mod.rs"]
mod codec;

use annals::storage::sim::{Fault, Loss, SimDisk};
use annals::{
    Background, Batch, Durability, Error, Gap, Limit, Log, OnLimit, Options, Query, RateLimit, Reader, Repair, Result,
    RetentionPolicy, ScanRange, StatisticsQuery, StoreOptions, Timestamp, field,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const SECOND: i64 = 1_000_000;

/// Where the incompatible features stand in a file's header.
const FEATURES_AT: usize = 24;

fn options() -> Options {
    Options::new().background(Background::Manual).segment_bytes(64 << 10).codec(codec::codec())
}

fn dropping(rate: u64, burst: u64) -> Options {
    options().rate_limit(RateLimit::records(rate).burst(burst).on_limit(OnLimit::Drop))
}

fn event(n: u64) -> BTreeMap<&'static str, u64> {
    BTreeMap::from([("n", n), ("half", n / 2)])
}

/// What of a record counts.
#[derive(serde::Serialize, serde::Deserialize)]
struct Event {
    n: u64,
    #[serde(default)]
    text: String,
}

/// What a reader finds: the numbers of the records, and what the log says was dropped.
fn read(reader: &Reader) -> (Vec<u64>, Vec<Gap>) {
    let mut scan = reader.scan(ScanRange::all()).unwrap();
    let mut found = Vec::new();
    while let Some(record) = scan.advance().unwrap() {
        found.push(record.decode::<Event>().unwrap().n);
    }
    (found, scan.gaps().to_vec())
}

fn told(gaps: &[Gap]) -> u64 {
    gaps.iter().map(|gap| gap.dropped.expect("nothing is missing but what was dropped").records).sum()
}

/// Appends so many records, numbered from `next` on; returns which were taken.
fn append(log: &Log, next: &mut u64, count: u64) -> Vec<u64> {
    let mut taken = Vec::new();
    for _ in 0..count {
        match log.append(&event(*next)) {
            Ok(_) => taken.push(*next),
            Err(Error::Dropped { limit: Limit::Rate, records: 1 }) => {}
            Err(error) => panic!("{error}"),
        }
        *next += 1;
    }
    taken
}

#[test]
fn what_was_dropped_is_told_in_its_place_and_all_else_is_there() {
    let disk = SimDisk::new(1);
    let log = dropping(1, 3).open_or_create_on(disk.storage()).unwrap();
    let mut next = 0;
    let start = disk.clock();
    assert_eq!(append(&log, &mut next, 10), [0, 1, 2]);
    let end = disk.clock();
    disk.advance_clock(SECOND);
    // The next record that is taken comes behind what tells of the seven before it.
    assert_eq!(append(&log, &mut next, 1), [10]);
    let (found, gaps) = read(&log.reader());
    assert_eq!(found, [0, 1, 2, 10]);
    let [gap] = &gaps[..] else { panic!("{gaps:?}") };
    assert_eq!((gap.first_seq, gap.end_seq, gap.count()), (3, 4, 7));
    let drops = gap.dropped.unwrap();
    let mut batch = Batch::new();
    (3..10).for_each(|n| batch.push(&event(n)).unwrap());
    assert_eq!((drops.limit, drops.records, drops.bytes), (Limit::Rate, 7, batch.bytes() as u64));
    assert!(start <= drops.since && drops.since < drops.until && drops.until <= end, "{drops:?}");

    // It is told the same way by whatever reads the log, raw and sealed.
    for sealed in [false, true] {
        if sealed {
            assert_eq!(log.seal().unwrap().records, 4);
        }
        let reader = log.reader();
        assert_eq!(read(&reader).1, gaps, "{sealed}");
        assert_eq!(reader.gaps().unwrap(), gaps);
        assert!(matches!(log.get(3), Err(Error::Gap(found)) if found == *gap));
        assert_eq!(log.get(4).unwrap().unwrap().decode::<BTreeMap<String, u64>>().unwrap()["n"], 10);
        let verified = reader.verify(&mut |_| ()).unwrap();
        assert!(verified.damage.is_empty(), "{:?}", verified.damage);
        assert_eq!((verified.records, &verified.gaps, verified.unproven), (4, &gaps, 0));
        assert!(verified.root.is_some());
        let info = reader.info().unwrap();
        let sums = info.segments.iter().fold((0, 0, 0), |sums, segment| {
            (sums.0 + segment.missing, sums.1 + segment.dropped, sums.2 + segment.drop_notes)
        });
        assert_eq!(sums, (0, 7, 1));
        let mut tail = reader.tail(0);
        let tailed: Vec<u64> = (0..4).map(|_| tail.next(Some(Duration::ZERO)).unwrap().unwrap().seq()).collect();
        assert_eq!((tailed, tail.take_gaps()), (vec![0, 1, 2, 4], gaps.clone()));
        let statistics = reader.statistics(&StatisticsQuery::over(ScanRange::all())).unwrap();
        assert_eq!((statistics.records, &statistics.gaps), (4, &gaps));
    }
    log.close().unwrap();
    assert!(Repair::dry_run().run_on(disk.storage()).unwrap().is_sound());
}

#[test]
fn the_hash_tree_over_drops_is_the_same_raw_and_sealed() {
    let disk = SimDisk::new(1);
    let log = dropping(1, 3).open_or_create_on(disk.storage()).unwrap();
    let mut next = 0;
    for _ in 0..400 {
        append(&log, &mut next, 5);
        log.sync().unwrap();
        disk.advance_clock(SECOND);
    }
    let raw = log.reader().verify(&mut |_| ()).unwrap();
    log.seal().unwrap();
    let sealed = log.reader().verify(&mut |_| ()).unwrap();
    assert!(sealed.damage.is_empty() && sealed.root.is_some(), "{:?}", sealed.damage);
    assert_eq!((sealed.root, sealed.records, sealed.unproven), (raw.root, raw.records, 0));
    assert_eq!((sealed.gaps.len(), sealed.gaps), (400, raw.gaps));
}

/// Whatever else is damaged, a repair keeps what was told.
#[test]
fn a_repair_keeps_what_was_told_beside_the_damage() {
    for seal in [false, true] {
        let disk = SimDisk::new(1);
        let log = dropping(1, 1).open_or_create_on(disk.storage()).unwrap();
        let mut next = 0;
        append(&log, &mut next, 4);
        disk.advance_clock(SECOND);
        append(&log, &mut next, 1);
        if seal {
            log.seal().unwrap();
        }
        log.close().unwrap();
        let ending = if seal { ".seg" } else { ".log" };
        let (name, _) = disk.files().into_iter().find(|(name, _)| name.ends_with(ending)).unwrap();
        // Of the first record alone: its entry behind a frame's header, or its block behind the file's.
        let at = if seal { 128 + 68 + 6 } else { 8192 + 72 + 22 };
        let mut bytes = disk.read(&name).unwrap();
        bytes[at] ^= 1;
        disk.replace(&name, &bytes);
        assert!(Repair::apply().run_on(disk.storage()).unwrap().is_sound());
        let reader = Reader::open_on(disk.storage()).unwrap();
        let (found, gaps) = read(&reader);
        let missing: Vec<(u64, u64)> =
            gaps.iter().map(|gap| (gap.count(), gap.dropped.map_or(0, |dropped| dropped.records))).collect();
        assert_eq!((found, missing), (vec![4], vec![(1, 0), (3, 3)]), "{seal}");
        let verified = reader.verify(&mut |_| ()).unwrap();
        assert!(verified.damage.is_empty(), "{:?}", verified.damage);
    }
}

#[test]
fn queries_tell_of_drops_though_an_index_would_lead_past_them() {
    let disk = SimDisk::new(1);
    let log = dropping(1, 3).index_fields([field("half").unwrap()]).open_or_create_on(disk.storage()).unwrap();
    let mut next = 0;
    let first = disk.clock();
    append(&log, &mut next, 5);
    disk.advance_clock(10 * SECOND);
    let second = disk.clock();
    append(&log, &mut next, 5);
    log.sync().unwrap();
    for sealed in [false, true] {
        if sealed {
            log.seal().unwrap();
        }
        let count = |range: ScanRange| {
            let mut found = Vec::new();
            // Asked twice: what a raw segment holds in indexed fields is noted when somebody asks again.
            for _ in 0..3 {
                let query = Query::over(range).filter("half = 3".parse().unwrap());
                let mut matches = log.query(&query).unwrap();
                let mut records = 0;
                while matches.advance().unwrap().is_some() {
                    records += 1;
                }
                found.push((records, told(matches.gaps())));
            }
            assert!(found.iter().all(|count| *count == found[0]), "{found:?}");
            found[0]
        };
        assert_eq!(count(ScanRange::all()), (2, 4), "{sealed}");
        assert_eq!(count(ScanRange::all().since(second)), (2, 2), "{sealed}");
        assert_eq!(count(ScanRange::all().since(first).until(second)), (0, 2), "{sealed}");
        assert_eq!(count(ScanRange::all().reverse().threads(2)), (2, 4), "{sealed}");
    }
}

#[test]
fn a_batch_is_taken_or_dropped_as_a_whole_and_a_ticket_is_none_then() {
    let disk = SimDisk::new(1);
    let log = dropping(10, 10).open_or_create_on(disk.storage()).unwrap();
    let batch = |count: u64| {
        let mut batch = Batch::new();
        (0..count).for_each(|n| batch.push(&event(n)).unwrap());
        batch
    };
    assert_eq!(log.append_batch(&mut batch(8)).unwrap(), 0..8);
    assert!(matches!(log.append_batch(&mut batch(3)), Err(Error::Dropped { records: 3, .. })));
    assert!(matches!(log.submit_batch(&mut batch(4)), Err(Error::Dropped { records: 4, .. })));
    // Nothing was taken for those: two still fit, behind what tells of them.
    assert_eq!(log.append_batch(&mut batch(2)).unwrap(), 9..11);
    assert_eq!(log.append_batch(&mut Batch::new()).unwrap(), 11..11);
    assert_eq!(told(&read(&log.reader()).1), 7);
}

#[test]
fn a_record_with_a_key_is_refused_and_not_dropped_and_a_known_one_is_found() {
    let disk = SimDisk::new(1);
    let log = dropping(1, 1).open_or_create_on(disk.storage()).unwrap();
    assert_eq!(log.append_once(b"a", &event(0)).unwrap(), 0);
    assert!(matches!(log.append_once(b"b", &event(1)), Err(Error::RateLimited { .. })));
    assert!(matches!(log.submit_once(b"b", &event(1)), Err(Error::RateLimited { .. })));
    assert_eq!(log.append_once(b"a", &event(0)).unwrap(), 0);
    disk.advance_clock(SECOND);
    assert_eq!(log.append_once(b"b", &event(1)).unwrap(), 1);
    log.close().unwrap();
    let log = dropping(1, 1).open_or_create_on(disk.storage()).unwrap();
    append(&log, &mut 2, 2);
    log.sync().unwrap();
    // A record that tells of drops is among those that are read for keys, and has none.
    assert_eq!(log.append_once(b"b", &event(1)).unwrap(), 1);
    assert_eq!(told(&read(&log.reader()).1), 1);
}

#[test]
fn a_refusal_says_when_to_come_again_and_leaves_no_trace() {
    let disk = SimDisk::new(1);
    let limit = RateLimit::records(2).burst(1).bytes(1_000);
    let log = options().rate_limit(limit).open_or_create_on(disk.storage()).unwrap();
    log.append(&event(0)).unwrap();
    let Err(Error::RateLimited { retry_after }) = log.append(&event(1)) else { panic!("it is to be refused") };
    assert_eq!(retry_after, Duration::from_millis(500));
    disk.advance_clock(499_999);
    assert!(matches!(log.append(&event(1)), Err(Error::RateLimited { .. })));
    disk.advance_clock(1);
    assert_eq!(log.append(&event(1)).unwrap(), 1);
    log.close().unwrap();
    assert_eq!(read(&Reader::open_on(disk.storage()).unwrap()), (vec![0, 1], vec![]));
    assert!(matches!(
        options().rate_limit(RateLimit::records(0)).open_or_create_on(disk.storage()),
        Err(Error::InvalidOption { option: "rate_limit", .. })
    ));
}

#[test]
fn whoever_may_wait_is_taken_at_the_rate() {
    let dir = tempfile::tempdir().unwrap();
    let limit = RateLimit::records(200).burst(1).on_limit(OnLimit::Wait);
    let log = Options::new().rate_limit(limit).open_or_create(dir.path().join("log")).unwrap();
    let began = std::time::Instant::now();
    for n in 0..21 {
        assert_eq!(log.append(&event(n)).unwrap(), n);
    }
    // Never faster than that, however slow the machine.
    assert!(began.elapsed() >= Duration::from_millis(100), "{:?}", began.elapsed());
    log.close().unwrap();
}

#[test]
fn a_full_queue_refuses_or_drops_what_it_does_not_take() {
    for on_limit in [OnLimit::Refuse, OnLimit::Drop] {
        let disk = SimDisk::new(1);
        let options = options().queue_bytes(64 << 10).on_queue_full(on_limit).segment_bytes(1 << 20);
        let log = options.open_or_create_on(disk.storage()).unwrap();
        let body = BTreeMap::from([("text", "x".repeat(10_000))]);
        let (mut taken, mut beyond) = (0, 0);
        for _ in 0..20 {
            match log.submit(&body) {
                Ok(_) => taken += 1,
                Err(Error::QueueFull { limit: 65_536, waiting }) if on_limit == OnLimit::Refuse => {
                    assert!((50_000..=65_536).contains(&waiting), "{waiting}");
                    beyond += 1;
                }
                Err(Error::Dropped { limit: Limit::Queue, records: 1 }) if on_limit == OnLimit::Drop => beyond += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!((taken, beyond), (6, 14));
        log.maintain().unwrap();
        log.submit(&body).unwrap().wait().unwrap();
        let gaps = log.reader().gaps().unwrap();
        assert_eq!(told(&gaps), if on_limit == OnLimit::Drop { 14 } else { 0 });
        assert_eq!(log.reader().verify(&mut |_| ()).unwrap().records, 7);
    }
}

#[test]
fn an_idle_log_tells_within_a_second_and_a_busy_one_once_a_second() {
    let disk = SimDisk::new(1);
    let log = dropping(10, 1).open_or_create_on(disk.storage()).unwrap();
    let mut next = 0;
    append(&log, &mut next, 3);
    log.maintain().unwrap();
    assert_eq!(told(&log.reader().gaps().unwrap()), 2);
    append(&log, &mut next, 1);
    log.maintain().unwrap();
    assert_eq!(told(&log.reader().gaps().unwrap()), 2, "too soon");
    disk.advance_clock(SECOND);
    log.maintain().unwrap();
    assert_eq!(told(&log.reader().gaps().unwrap()), 3);
    // 5 s with ten records a second that are taken, and twenty that aren't.
    for _ in 0..50 {
        append(&log, &mut next, 3);
        disk.advance_clock(SECOND / 10);
    }
    let notes = log.reader().gaps().unwrap().len();
    assert!((6..=8).contains(&notes), "{notes}");
    log.close().unwrap();
    let (found, gaps) = read(&Reader::open_on(disk.storage()).unwrap());
    assert_eq!(found.len() as u64 + told(&gaps), next);
}

#[test]
fn threads_of_the_log_tell_without_another_append() {
    let dir = tempfile::tempdir().unwrap();
    let limit = RateLimit::records(1).burst(2).on_limit(OnLimit::Drop);
    let log = Options::new().rate_limit(limit).open_or_create(dir.path().join("log")).unwrap();
    let mut next = 0;
    append(&log, &mut next, 50);
    // Waits for a record that comes of itself, and is none.
    let reader = log.reader();
    while reader.gaps().unwrap().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let taken = read(&reader).0.len() as u64;
    log.close().unwrap();
    let (found, gaps) = read(&Reader::open(dir.path().join("log")).unwrap());
    assert_eq!(found.len() as u64, taken);
    assert_eq!(found.len() as u64 + told(&gaps), next);
}

/// appended + refused + dropped = offered, and what is told = what was dropped.
#[test]
fn nothing_goes_uncounted_whatever_threads_append() {
    // Records that are large fill the queue, whatever the rate; so do buffered ones, since nobody writes them for a while.
    let limits = [
        (OnLimit::Drop, OnLimit::Drop, 2_000, 10),
        (OnLimit::Refuse, OnLimit::Drop, 1_000_000, 3_000),
        (OnLimit::Drop, OnLimit::Refuse, 2_000, 1_000),
        (OnLimit::Drop, OnLimit::Wait, 2_000, 1_000),
    ];
    for (n, (on_rate, on_queue, rate, size)) in limits.into_iter().enumerate() {
        let disk = SimDisk::new(n as u64);
        disk.take_direct_writes(n % 2 == 0);
        let options = Options::new()
            .durability(Durability::Buffered { interval: Duration::from_millis(3) })
            .segment_bytes(256 << 10)
            .queue_bytes(64 << 10)
            .codec(codec::codec())
            .on_queue_full(on_queue)
            .rate_limit(RateLimit::records(rate).burst(rate / 5).on_limit(on_rate));
        let log = options.open_or_create_on(disk.storage()).unwrap();
        let [offered, appended, refused, dropped] = [(); 4].map(|()| AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let (log, disk, counts) = (&log, &disk, [&offered, &appended, &refused, &dropped]);
                scope.spawn(move || {
                    for round in 0..300u64 {
                        offer(log, thread, round, size, counts);
                        if round % 10 == 0 {
                            disk.advance_clock(2_000);
                        }
                        if thread == 0 && round % 100 == 50 {
                            log.seal().unwrap();
                        }
                    }
                });
            }
        });
        log.close().unwrap();
        let [offered, appended, refused, dropped] = [offered, appended, refused, dropped].map(AtomicU64::into_inner);
        assert_eq!(appended + refused + dropped, offered);
        assert!(dropped > 0 && appended > 0, "{on_rate:?}, {on_queue:?}: {appended} appended, {dropped} dropped");
        let reader = Reader::open_on(disk.storage()).unwrap();
        let (found, gaps) = read(&reader);
        assert_eq!((found.len() as u64, told(&gaps)), (appended, dropped));
        let verified = reader.verify(&mut |_| ()).unwrap();
        assert!(verified.damage.is_empty(), "{:?}", verified.damage);
        assert_eq!((verified.records, verified.gaps), (appended, gaps));
    }
}

/// Offers a few records, singly, as a batch, by a ticket or with a key.
fn offer(log: &Log, thread: u64, round: u64, size: usize, [offered, appended, refused, dropped]: [&AtomicU64; 4]) {
    let count = if round.is_multiple_of(3) { 1 + round % 7 } else { 1 };
    let mut batch = Batch::new();
    let event = |n: u64| Event { n: thread * 10_000 + round + n, text: "x".repeat(size) };
    (0..count).for_each(|n| batch.push(&event(n)).unwrap());
    offered.fetch_add(count, Ordering::Relaxed);
    let key = (thread * 10_000 + round).to_le_bytes();
    let outcome = match round % 4 {
        0 | 1 => log.append_batch(&mut batch).map(|_| ()),
        2 => log.submit_batch(&mut batch).map(|_| ()),
        _ if count == 1 => log.submit_once(&key, &event(0)).map(|_| ()),
        _ => log.append_batch_with(&mut batch, Durability::Written).map(|_| ()),
    };
    let counted = match outcome {
        Ok(()) => appended,
        Err(Error::RateLimited { .. } | Error::QueueFull { .. }) => refused,
        Err(Error::Dropped { records, .. }) => {
            assert_eq!(records, count);
            dropped
        }
        Err(error) => panic!("{error}"),
    };
    counted.fetch_add(count, Ordering::Relaxed);
}

/// What a log with drops has to hold.
#[derive(Debug, Clone, Default)]
struct Model {
    /// The numbers of the records that were taken, the last of them perhaps not acknowledged.
    tried: Vec<u64>,
    acknowledged: usize,
    dropped: u64,
    /// How many of those the log has told of durably, at least.
    told: u64,
}

impl Model {
    fn append(&mut self, log: &Log, n: u64) -> Result<()> {
        self.tried.push(n);
        match log.append(&event(n)) {
            Ok(_) => self.acknowledged = self.tried.len(),
            Err(Error::Dropped { .. }) => {
                self.tried.pop();
                self.dropped += 1;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Everything up to here is durable, and told.
    fn settle(&mut self) {
        self.told = self.dropped;
    }

    fn scenario(&mut self, disk: &SimDisk) -> Result<()> {
        let mut next = 0;
        for opening in 0..2 {
            let log = dropping(2, 3).open_or_create_on(disk.storage())?;
            for round in 0..4 {
                for _ in 0..4 {
                    self.append(&log, next)?;
                    next += 1;
                }
                match (opening, round) {
                    (0, 0) => log.maintain()?,
                    (0, 1) => {
                        log.sync()?;
                        self.settle();
                    }
                    (_, 2) => {
                        log.seal()?;
                        self.settle();
                    }
                    _ => {}
                }
                disk.advance_clock(SECOND);
            }
            log.close()?;
            self.settle();
        }
        Ok(())
    }

    fn check(&self, disk: &SimDisk, context: &str) {
        if self.acknowledged > 0 {
            let reader = Reader::open_on(disk.storage()).unwrap_or_else(|error| panic!("{context}: {error}"));
            self.compare(&reader, context);
        }
        let log = dropping(2, 3).open_or_create_on(disk.storage()).unwrap_or_else(|error| panic!("{context}: {error}"));
        assert!(log.recovery().is_complete(), "{context}: {:?}", log.recovery());
        let (found, told_before) = self.compare(&log.reader(), context);
        let taken = append(&log, &mut 1_000, 9);
        assert_eq!(taken.len(), 3, "{context}");
        log.seal().unwrap_or_else(|error| panic!("{context}: {error}"));
        log.close().unwrap_or_else(|error| panic!("{context}: {error}"));
        let reader = Reader::open_on(disk.storage()).unwrap();
        let (all, gaps) = read(&reader);
        assert_eq!((all.len(), told(&gaps)), (found + 3, told_before + 6), "{context}");
        let verified = reader.verify(&mut |_| ()).unwrap();
        assert!(verified.damage.is_empty(), "{context}: {:?}", verified.damage);
    }

    /// Compares what can be read; returns how many records there are, and how many drops are told.
    fn compare(&self, reader: &Reader, context: &str) -> (usize, u64) {
        let (found, gaps) = read(reader);
        assert!(found.len() >= self.acknowledged, "{context}: {found:?}");
        assert_eq!(found[..], self.tried[..found.len()], "{context}");
        let told = told(&gaps);
        assert!((self.told..=self.dropped).contains(&told), "{context}: {told} of {self:?}");
        (found.len(), told)
    }
}

#[test]
fn a_crash_at_any_call_leaves_what_was_told_and_never_tells_more() {
    for direct in [true, false] {
        let new = || {
            let disk = SimDisk::new(1);
            disk.take_direct_writes(direct);
            disk
        };
        let whole = new();
        let mut model = Model::default();
        model.scenario(&whole).expect("no fault was asked for");
        assert!(model.dropped >= 10 && model.told == model.dropped, "{model:?}");
        model.check(&whole.crash(Loss::Everything, 0), "no fault");
        for call in 0..whole.calls() {
            let disk = new();
            disk.fail_at(call, Fault::Stop, true);
            let mut model = Model::default();
            let _ = model.scenario(&disk);
            for loss in Loss::ALL {
                for seed in 0..2 {
                    let context = format!("stop at call {call}, {loss:?}, seed {seed}, direct: {direct}");
                    model.check(&disk.crash(loss, seed), &context);
                }
            }
        }
    }
}

#[test]
fn a_disk_that_is_full_loses_no_count_while_the_log_is_open() {
    let disk = SimDisk::new(1);
    let log = dropping(1, 2).open_or_create_on(disk.storage()).unwrap();
    let mut next = 0;
    append(&log, &mut next, 4);
    log.sync().unwrap();
    append(&log, &mut next, 3);
    // A segment is wanted for what is to be told, and there is no space for one.
    assert_eq!(log.seal().unwrap().segments, 1);
    append(&log, &mut next, 2);
    disk.fail_at(disk.calls(), Fault::Full, true);
    assert!(matches!(log.sync(), Err(Error::DiskFull { .. })));
    disk.heal();
    log.sync().unwrap();
    assert_eq!(told(&log.reader().gaps().unwrap()), 7);
    log.close().unwrap();
}

#[test]
fn a_limit_that_is_never_reached_changes_no_byte() {
    let files = |options: Options| {
        let disk = SimDisk::new(7);
        let log = options.open_or_create_on(disk.storage()).unwrap();
        for n in 0..50 {
            log.append_at(Timestamp::from_micros(n as i64), &event(n)).unwrap();
        }
        log.seal().unwrap();
        log.append_at(Timestamp::from_micros(0), &event(50)).unwrap();
        log.close().unwrap();
        disk.files().into_iter().map(|(name, _)| (disk.read(&name), name)).collect::<Vec<_>>()
    };
    let plain = files(options());
    let refusing = RateLimit::records(1_000).on_limit(OnLimit::Refuse);
    assert_eq!(files(options().rate_limit(refusing).on_queue_full(OnLimit::Refuse)), plain);
    // What may be dropped is announced in the header of a raw segment, and so in its checksum, and nowhere else.
    let dropping = files(options().rate_limit(refusing.on_limit(OnLimit::Drop)));
    let differing = plain.iter().zip(&dropping).filter(|(one, other)| one != other);
    assert_eq!(differing.map(|(one, _)| one.1.ends_with(".log")).collect::<Vec<_>>(), [true]);
}

#[test]
fn each_stream_has_a_bucket_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let limit = RateLimit::records(1).burst(4).on_limit(OnLimit::Drop);
    let store = StoreOptions::new().streams(Options::new().rate_limit(limit)).open_or_create(dir.path()).unwrap();
    let mut dropped = BTreeMap::new();
    for n in 0..30 {
        let name = if n % 3 == 0 { "quiet" } else { "loud" };
        match store.stream(name).unwrap().append(&event(n)) {
            Ok(_) => {}
            Err(Error::Dropped { records, .. }) => *dropped.entry(name).or_insert(0) += records,
            Err(error) => panic!("{error}"),
        }
    }
    store.sync().unwrap();
    let reader = store.reader().unwrap();
    for (name, dropped) in dropped {
        let stream = store.streams().unwrap().into_iter().find(|stream| stream.as_str() == name).unwrap();
        let gaps = reader.stream(&stream).unwrap().gaps().unwrap();
        assert_eq!(told(&gaps), dropped, "{name}");
    }
    let mut matches = reader.query(&reader.streams().unwrap(), &Query::default()).unwrap();
    let mut records = 0;
    while matches.advance().unwrap().is_some() {
        records += 1;
    }
    let told: u64 = matches.gaps().map(|(_, gap)| gap.count()).sum();
    assert_eq!(records + told, 30);
    store.close().unwrap();
}

/// Where the frames with records begin in the bytes of a raw segment, by docs/format.md.
fn frames(bytes: &[u8]) -> Vec<usize> {
    let is_frame = |at: &usize| bytes[*at..].starts_with(b"aFrm\x01");
    (8_192..bytes.len() - 72).step_by(8).filter(is_frame).collect()
}

fn word(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// The kinds of the records in the frame at `start`.
fn kinds(bytes: &[u8], start: usize) -> Vec<u8> {
    let mut entry = start + 72;
    let kind = |_| {
        let kind = bytes[entry + 8];
        entry += word(bytes, entry + 4);
        kind
    };
    (0..word(bytes, start + 12)).map(kind).collect()
}

fn raw_files(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let names = disk.files().into_iter().map(|(name, _)| name);
    let names = names.filter(|name| name.ends_with(".log") && !name.contains('/'));
    names.map(|name| (disk.read(&name).unwrap(), name)).map(|(bytes, name)| (name, bytes)).collect()
}

/// Whoever can write checksums can write that nothing was dropped: that is damage, as any other.
#[test]
fn a_repair_goes_on_past_what_is_to_tell_of_drops_and_does_not() {
    let disk = SimDisk::new(1);
    let log = dropping(1, 1).open_or_create_on(disk.storage()).unwrap();
    let mut next = 0;
    append(&log, &mut next, 4);
    disk.advance_clock(SECOND);
    append(&log, &mut next, 1);
    log.close().unwrap();
    let (name, mut bytes) = raw_files(&disk).remove(0);
    let start = frames(&bytes).into_iter().find(|start| kinds(&bytes, *start) == [4]).unwrap();
    let (entry, len) = (start + 72, word(&bytes, start + 72 + 4));
    let records = entry + bytes[entry..].windows(7).position(|window| window == b"records").unwrap() + 7;
    assert_eq!(bytes[records], 3);
    bytes[records] = 0;
    let (salt, seq) = (crc32fast::hash(&bytes[48..64]), 1u64);
    let mix = (seq.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32;
    let crc = (crc32fast::hash(&bytes[entry + 4..entry + len]) ^ salt ^ mix).to_le_bytes();
    bytes[entry..entry + 4].copy_from_slice(&crc);
    bytes[start + 64..start + 68].copy_from_slice(&(crc32fast::hash(&crc) ^ salt).to_le_bytes());
    let crc = (crc32fast::hash(&bytes[start..start + 68]) ^ salt).to_le_bytes();
    bytes[start + 68..start + 72].copy_from_slice(&crc);
    disk.replace(&name, &bytes);

    let report = Repair::apply().run_on(disk.storage()).unwrap();
    assert!(report.is_sound() && report.damage.len() == 1, "{report:?}");
    let (found, gaps) = read(&Reader::open_on(disk.storage()).unwrap());
    let missing: Vec<_> = gaps.iter().map(|gap| (gap.first_seq, gap.count(), gap.dropped)).collect();
    assert_eq!((found, missing), (vec![0, 4], vec![(1, 1, None)]));
}

/// Frames behind an unfinished write, of which one tells of drops: appended again, it does so in a segment that says that it may.
#[test]
fn what_told_of_drops_is_restored_as_that() {
    let disk = SimDisk::new(6);
    let log = options().open_or_create_on(disk.storage()).unwrap();
    let large = |n: u64| Event { n, text: "x".repeat(1_500) };
    log.append(&large(0)).unwrap();
    log.close().unwrap();
    let buffered = Durability::Buffered { interval: Duration::from_secs(1) };
    let log = dropping(1, 2).durability(buffered).open_or_create_on(disk.storage()).unwrap();
    for n in 1..4 {
        assert_eq!(log.append(&large(n)).is_ok(), n < 3);
    }
    disk.advance_clock(SECOND);
    log.append(&large(4)).unwrap();
    log.sync().unwrap();
    log.close().unwrap();
    let (name, mut bytes) = raw_files(&disk).pop().unwrap();
    let found: Vec<u8> = frames(&bytes).into_iter().flat_map(|start| kinds(&bytes, start)).collect();
    assert_eq!(found, [1, 1, 4, 1]);
    // Without the final marker nothing says that all that was durable; and a sector of the first frame was never written.
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    bytes[end - 72..].fill(0);
    let sector = (frames(&bytes)[0] + 80).next_multiple_of(512);
    bytes[sector..sector + 512].fill(0);
    disk.replace(&name, &bytes);
    let log = options().open_or_create_on(disk.storage()).unwrap();
    assert_eq!(log.append(&large(9)).unwrap(), 1, "{:?}", log.recovery());
    log.close().unwrap();

    let report = Repair::apply().restore(true).run_on(disk.storage()).unwrap();
    assert!(report.is_sound() && report.restorable[0].records == 3, "{report:?}");
    let (found, gaps) = read(&Reader::open_on(disk.storage()).unwrap());
    assert_eq!((found, told(&gaps)), (vec![0, 9, 2, 4], 1));
    let tells = |bytes: &[u8]| frames(bytes).into_iter().any(|start| kinds(bytes, start).contains(&4));
    let telling: Vec<_> = raw_files(&disk).into_iter().filter(|(_, bytes)| tells(bytes)).collect();
    let features: Vec<(&str, u8)> = telling.iter().map(|(name, bytes)| (&name[..20], bytes[FEATURES_AT])).collect();
    assert_eq!(features, [("00000000000000000002", 1)], "earlier programs have to notice");
}

#[test]
fn retention_by_age_keeps_what_tells_of_drops_as_long_as_records() {
    let disk = SimDisk::new(1);
    let log = dropping(1, 1).open_or_create_on(disk.storage()).unwrap();
    disk.advance_clock(7_200 * SECOND);
    log.append_at(Timestamp::from_micros(0), &event(0)).unwrap();
    log.seal().unwrap();
    append(&log, &mut 1, 3);
    log.seal().unwrap();
    let old = RetentionPolicy::new().older_than(Duration::from_secs(3_600));
    assert_eq!(log.retain(&old).unwrap().segments.len(), 1);
    assert_eq!(told(&log.reader().gaps().unwrap()), 3);
    disk.advance_clock(7_200 * SECOND);
    assert_eq!(log.retain(&old).unwrap().segments.len(), 1);
    assert_eq!((log.reader().first_seq(), log.reader().gaps().unwrap()), (2, vec![]));
}

#[test]
fn a_tail_waits_no_longer_than_it_may_though_the_log_goes_on_telling() {
    let disk = SimDisk::new(1);
    let log = dropping(1, 1).segment_bytes(8 << 20).open_or_create_on(disk.storage()).unwrap();
    append(&log, &mut 0, 1);
    let mut tail = log.reader().tail(1);
    let [is_over, is_done] = [const { AtomicBool::new(false) }; 2];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..20_000 {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                append(&log, &mut 1, 1);
                log.sync().unwrap();
            }
            is_done.store(true, Ordering::Relaxed);
        });
        let next = tail.next(Some(Duration::from_millis(20))).unwrap();
        assert!(next.is_none() && !is_done.load(Ordering::Relaxed), "it waited for all that was told");
        is_over.store(true, Ordering::Relaxed);
    });
}

/// A full disk keeps a stream from telling, and is no reason never to append to it again.
#[test]
fn a_stream_that_could_not_tell_of_drops_opens_again() {
    let disk = SimDisk::new(1);
    let limit = RateLimit::records(1).burst(1).on_limit(OnLimit::Drop);
    let options = StoreOptions::new().streams(Options::new().segment_bytes(64 << 10).rate_limit(limit));
    let options = options.background(Background::Manual).idle_close(Duration::from_nanos(1));
    let store = options.open_or_create_on(disk.storage()).unwrap();
    let stream = store.stream("web").unwrap();
    stream.append(&event(0)).unwrap();
    // What tells of it needs another segment.
    stream.with(|log| log.seal().map(drop)).unwrap();
    assert!(matches!(stream.append(&event(1)), Err(Error::Dropped { .. })));
    disk.fail_at(disk.calls(), Fault::Full, true);
    let _ = store.maintain();
    assert_eq!(store.open_streams(), 0);
    disk.heal();
    stream.append(&event(2)).unwrap();
    store.close().unwrap();
}
