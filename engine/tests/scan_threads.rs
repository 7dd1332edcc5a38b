//! A scan with threads returns what one without returns: the same records, the same errors, in the same order; whatever is
//! damaged, in both directions, of rows and of columns. What a buffer or the cache holds changes no answer, and named fields are those of the whole record.
//!
//! `ANNALS_CASES` is how many logs are damaged (the default is 60), `ANNALS_SEED` where they begin.

mod random;

use annals::storage::sim::{Loss, SimDisk};
use annals::{
    Background, Batch, Codec, Error, Gap, Log, Options, ReadBuffer, Reader, RecordBuf, Repair, Scan, ScanRange,
    Timestamp,
};
use random::Random;
use std::collections::BTreeMap;

fn options(codec: Codec) -> Options {
    Options::new().background(Background::Manual).segment_bytes(256 << 10).codec(codec)
}

fn append(log: &Log, count: u64) {
    let mut batch = Batch::new();
    for n in log.next_seq()..log.next_seq() + count {
        let mut random = Random(n);
        // Mostly in the order of time, so that whole blocks are outside of a window.
        let time = Timestamp::from_micros(n as i64 * 10 + random.below(60) as i64);
        let action = random.choose(&["login", "logout", "read", "write"]).to_owned();
        let mut body = BTreeMap::from([
            ("user", format!("user-{}@example.com", random.below(500))),
            ("action", action),
            ("request", format!("{:016x}{:016x}", random.next(), random.next())),
        ]);
        if n % 401 == 7 {
            body.insert("large", format!("{:x}", random.next()).repeat(3_000));
        }
        batch.push_at(time, &body).unwrap();
        if batch.len() == 40 {
            log.append_batch(&mut batch).unwrap();
            batch.clear();
        }
    }
    log.append_batch(&mut batch).unwrap();
}

/// Sealed segments of one codec, of the other, a closed raw segment and an active one.
fn disk(seed: u64, codec: Codec) -> SimDisk {
    let disk = SimDisk::new(seed);
    let log = options(codec).open_or_create_on(disk.storage()).unwrap();
    append(&log, 2_500);
    log.seal().unwrap();
    append(&log, 300);
    log.seal().unwrap();
    log.close().unwrap();
    let other = if codec == Codec::Rows { Codec::Columns } else { Codec::Rows };
    let log = options(other).open_or_create_on(disk.storage()).unwrap();
    append(&log, 1_200);
    log.seal().unwrap();
    append(&log, 100);
    log.close().unwrap();
    let log = options(codec).open_or_create_on(disk.storage()).unwrap();
    append(&log, 150);
    log.maintain().unwrap();
    // Not closed: the last segment has no end.
    let disk = disk.crash(Loss::Nothing, seed);
    drop(log);
    disk
}

/// Damages one file of the log, or several.
fn damage(disk: &SimDisk, random: &mut Random) {
    for _ in 0..random.below(4) {
        let files: Vec<_> = disk.files().into_iter().filter(|(name, _)| !name.contains("quarantine")).collect();
        let (name, _) = &files[random.below(files.len() as u64) as usize];
        if name == "identity" || name == "head" || name == "lock" {
            continue;
        }
        let mut bytes = disk.read(name).unwrap();
        let at = random.below(bytes.len() as u64) as usize;
        match random.below(4) {
            0 => bytes.truncate(at),
            1 => {
                let end = bytes.len().min(at + random.below(9_000) as usize);
                bytes[at..end].fill(0);
            }
            _ => bytes[at] ^= 1 + random.below(255) as u8,
        }
        disk.replace(name, &bytes);
    }
}

type Body = BTreeMap<String, String>;
type Outcome = Result<RecordBuf, String>;

/// What a scan returns: records and what errors say, to its end; and the gaps.
fn outcomes(reader: &Reader, range: ScanRange) -> (Vec<Outcome>, Vec<Gap>) {
    outcomes_of(reader.scan(range).unwrap())
}

fn outcomes_of(mut scan: Scan) -> (Vec<Outcome>, Vec<Gap>) {
    let mut outcomes = Vec::new();
    loop {
        match scan.advance() {
            Ok(Some(record)) => outcomes.push(Ok(record.to_owned())),
            Ok(None) => return (outcomes, scan.gaps().to_vec()),
            Err(Error::Damaged(damage)) => outcomes.push(Err(damage.to_string())),
            Err(error) => {
                outcomes.push(Err(error.to_string()));
                return (outcomes, scan.gaps().to_vec());
            }
        }
        assert!(outcomes.len() < 10_000);
    }
}

/// What of `outcomes` is to be left if only `names` are asked for.
fn projected(outcomes: &[Outcome], names: &[&str]) -> Vec<Result<(u64, Body), String>> {
    let only = |record: &RecordBuf| {
        let mut body: Body = record.decode().unwrap();
        body.retain(|name, _| names.contains(&name.as_str()));
        (record.seq(), body)
    };
    outcomes.iter().map(|outcome| outcome.as_ref().map(only).map_err(String::clone)).collect()
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn threads_change_nothing_about_what_a_scan_returns() {
    let seed = number("ANNALS_SEED", 42);
    let sound = [disk(1, Codec::Rows), disk(2, Codec::Columns)];
    for case in seed..seed + number("ANNALS_CASES", 60) {
        let mut random = Random(case);
        let disk = sound[(case % 2) as usize].copy();
        damage(&disk, &mut random);
        if random.below(3) == 0 {
            Repair::apply().run_on(disk.storage()).unwrap();
        }
        let Ok(reader) = Reader::open_on(disk.storage()) else { continue };
        let all = outcomes(&reader, ScanRange::all()).0;
        for _ in 0..4 {
            let mut range = ScanRange::all();
            let end = reader.end_seq() + 2;
            if random.below(2) == 0 {
                let first = random.below(end);
                range = range.seqs(first..first + random.below(end - first + 1));
            }
            if random.below(2) == 0 {
                let since = random.below(end * 10) as i64;
                range = range.since(Timestamp::from_micros(since));
                range = range.until(Timestamp::from_micros(since + random.below(end * 10) as i64));
            }
            if random.below(2) == 0 {
                range = range.reverse();
            }
            let alone = outcomes(&reader, range);
            for threads in [2, 3, 5] {
                let found = outcomes(&reader, range.threads(threads));
                assert!(found == alone, "case {case}, {range:?}, {threads} threads");
            }
            let names = &["user", "large", "nowhere"][..random.below(4) as usize];
            for threads in [1, 3] {
                let (found, gaps) = outcomes_of(reader.scan(range.threads(threads)).unwrap().only(names));
                assert_eq!(gaps, alone.1, "case {case}");
                assert!(
                    projected(&found, &["user", "action", "request", "large"]) == projected(&alone.0, names),
                    "case {case}, {range:?}, {threads} threads, {names:?}"
                );
            }
            for record in alone.0.into_iter().flatten() {
                assert!(all.contains(&Ok(record)), "case {case}, {range:?}");
            }
        }
    }
}

#[test]
fn a_scan_that_is_dropped_early_ends_its_threads() {
    let disk = disk(3, Codec::Rows);
    let reader = Reader::open_on(disk.storage()).unwrap();
    for taken in [0, 1, 50, 700, 2_600] {
        for range in [ScanRange::all(), ScanRange::all().reverse()] {
            let mut scan = reader.scan(range.threads(3)).unwrap();
            for _ in 0..taken {
                scan.advance().unwrap().unwrap();
            }
        }
    }
}

#[test]
fn caches_of_any_size_change_no_answer() {
    for codec in [Codec::Rows, Codec::Columns] {
        let disk = disk(4, codec);
        damage(&disk, &mut Random(8));
        let expected: Vec<_> = {
            let reader = Reader::open_on(disk.storage()).unwrap().with_cache(0);
            (0..reader.end_seq() + 1).map(|seq| reader.get(seq).map_err(|error| error.to_string())).collect()
        };
        for bytes in [1, 40 << 10, 300 << 10, 64 << 20] {
            let reader = Reader::open_on(disk.storage()).unwrap().with_cache(bytes);
            let (mut random, mut buffer) = (Random(bytes as u64), ReadBuffer::new());
            let (mut near, mut only_user) = (0, ReadBuffer::only(["user"]));
            for n in 0..6_000u64 {
                // Some are near each other, so that blocks are asked for again; some are read on from.
                near = match random.below(8) {
                    0 => random.below(expected.len() as u64),
                    1 => near + 1,
                    _ => (near + random.below(400)).saturating_sub(200),
                };
                near = near.min(expected.len() as u64 - 1);
                let found = match n % 3 {
                    0 => reader.get(near),
                    _ => reader.get_into(near, &mut buffer).map(|record| record.map(|record| record.to_owned())),
                };
                let found = found.map_err(|error| error.to_string());
                assert!(found == expected[near as usize], "{bytes}: record {near}");
                let only = reader.get_into(near, &mut only_user).map(|record| record.map(|record| record.to_owned()));
                let only: Vec<_> = only.map_err(|error| error.to_string()).transpose().into_iter().collect();
                let whole: Vec<_> = found.transpose().into_iter().collect();
                assert!(
                    projected(&only, &["user", "action"]) == projected(&whole, &["user"]),
                    "{bytes}: record {near}"
                );
            }
        }
    }
}

#[test]
fn what_is_asked_for_again_and_again_is_not_read_each_time() {
    for codec in [Codec::Rows, Codec::Columns] {
        let disk = disk(5, codec);
        let reader = Reader::open_on(disk.storage()).unwrap();
        let reads = |seq: u64| {
            let before = disk.reads();
            reader.get(seq).unwrap().unwrap();
            disk.reads() - before
        };
        reads(0);
        // A block of columns is read as a whole only if that is worth it.
        let asks = if codec == Codec::Rows { 2 } else { 4 };
        (0..asks).for_each(|_| assert!(reads(200) > 0));
        assert_eq!(reads(200), 0);
        assert_eq!(reads(201), 0);
        // Another handle of the same log has the same blocks, and one with a cache of its own has none.
        let (clone, own) = (reader.clone(), reader.clone().with_cache(1 << 20));
        let before = disk.reads();
        clone.get(200).unwrap().unwrap();
        assert_eq!(disk.reads(), before);
        own.get(200).unwrap().unwrap();
        assert!(disk.reads() > before);
    }
}
