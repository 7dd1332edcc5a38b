//! A log that tells of dropped records, as an early version wrote it, committed byte for byte, which every later version has to read.
//!
//! `tests/golden/v1-drops` holds a sealed segment that tells of drops by both limits, and a raw one that tells of some. It is never
//! written anew: a change of the format gets a log of its own beside it. `ANNALS_WRITE_GOLDEN=DIR cargo test -p annals --test
//! golden_drops` writes such a log into `DIR`.

use annals::storage::sim::SimDisk;
use annals::{Background, Drops, Gap, Limit, Log, OnLimit, Options, RateLimit, Reader, ScanRange, Timestamp};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const ROOT: &str = "a58ad0fa6b27dcd831de2b29562b16ce5492f25228b41f9fd0aac74a14f95679";

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1-drops")
}

/// Offers the records `numbers`, of which some are taken.
fn offer(log: &Log, numbers: std::ops::Range<u64>) {
    for n in numbers {
        let _ = log.append_at(Timestamp::from_micros(n as i64), &BTreeMap::from([("n", n)]));
    }
}

/// Writes the log into `dir`. Ids and times come from a seed, so it is the same every time.
fn write(dir: &Path) {
    let disk = SimDisk::new(3);
    let rate = RateLimit::records(10).burst(4).on_limit(OnLimit::Drop);
    let options = Options::new().background(Background::Manual).segment_bytes(64 << 10).rate_limit(rate);
    let log = options.queue_bytes(64 << 10).on_queue_full(OnLimit::Drop).open_or_create_on(disk.storage()).unwrap();
    offer(&log, 0..9);
    disk.advance_clock(1_000_000);
    let large = BTreeMap::from([("text", "large ".repeat(6_000))]);
    for at in [9, 10] {
        let mut batch = annals::Batch::new();
        batch.push_at(Timestamp::from_micros(at), &large).unwrap();
        // The second finds the queue full.
        let _ = log.submit_batch(&mut batch);
    }
    log.seal().unwrap();
    offer(&log, 11..19);
    disk.advance_clock(2_000_000);
    offer(&log, 19..20);
    log.close().unwrap();
    std::fs::create_dir_all(dir).unwrap();
    for (name, _) in disk.files() {
        std::fs::write(dir.join(&name), disk.read(&name).unwrap()).unwrap();
    }
}

fn drops(limit: Limit, records: u64, bytes: u64, since: i64, until: i64) -> Drops {
    let [since, until] = [since, until].map(Timestamp::from_micros);
    Drops { limit, records, bytes, since, until }
}

#[test]
fn drops_of_version_1_are_read_whole() {
    if let Some(dir) = std::env::var_os("ANNALS_WRITE_GOLDEN") {
        return write(Path::new(&dir));
    }
    let reader = Reader::open(golden()).unwrap();
    let mut scan = reader.scan(ScanRange::all()).unwrap();
    let mut found = Vec::new();
    while let Some(record) = scan.advance().unwrap() {
        found.push((record.seq(), record.timestamp().as_micros()));
    }
    let told: Vec<(u64, Option<Drops>)> = scan.gaps().iter().map(|gap| (gap.first_seq, gap.dropped)).collect();
    assert_eq!(found, [(0, 0), (1, 1), (2, 2), (3, 3), (5, 9), (7, 11), (8, 12), (9, 13), (11, 19)]);
    let start = 1_700_000_000_000_000;
    let expected = [
        (4, Some(drops(Limit::Rate, 5, 120, start + 4, start + 8))),
        (6, Some(drops(Limit::Queue, 1, 36_029, start + 1_000_010, start + 1_000_010))),
        (10, Some(drops(Limit::Rate, 5, 120, start + 1_000_015, start + 1_000_019))),
    ];
    assert_eq!(told, expected);
    assert_eq!(reader.gaps().unwrap(), scan.gaps());
    assert_eq!(scan.gaps().iter().map(Gap::count).sum::<u64>() + found.len() as u64, 20);
    let report = reader.verify(&mut |_| ()).unwrap();
    assert_eq!((report.damage.len(), report.sealed_segments, report.raw_segments), (0, 1, 1));
    assert_eq!((report.records, &report.gaps[..]), (found.len() as u64, scan.gaps()));
    assert_eq!(report.root.as_deref(), Some(ROOT));
}

/// Earlier programs have to know that they can't read the raw segment; of a sealed one they know it by the codec of its blocks.
#[test]
fn what_earlier_programs_go_by_is_there() {
    if std::env::var_os("ANNALS_WRITE_GOLDEN").is_some() {
        return;
    }
    let read = |ending: &str| {
        let names = std::fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path());
        std::fs::read(names.into_iter().find(|path| path.extension().is_some_and(|own| own == ending)).unwrap())
            .unwrap()
    };
    let features = |file: &[u8]| u64::from_le_bytes(std::array::from_fn(|n| file[24 + n]));
    let (raw, sealed) = (read("log"), read("seg"));
    assert_eq!((features(&raw), features(&sealed)), (1, 0));
    let codecs: Vec<u8> =
        sealed.windows(5).filter(|window| window[..4] == *b"\xA7blk").map(|window| window[4]).collect();
    assert_eq!(codecs.iter().filter(|codec| **codec == 5).count(), 2, "{codecs:?}");
}
