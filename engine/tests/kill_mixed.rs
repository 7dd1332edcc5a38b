//! As `kill.rs`, in breadth: every durability, singles and batches, segments so small that there is always one being
//! sealed. Whatever the killed process had acknowledged is there, nothing else is, and sealing goes on.
//!
//! The test starts itself as the child. `ANNALS_KILLS` (default 200) is how often; `ANNALS_KILL_DIR` is where, in place
//! of `/dev/shm` or the directory for temporary files: a process kill loses nothing that the system has, so no disk is
//! needed.
#![cfg(unix)]

use annals::{Batch, Durability, Log, Options, ScanRange, Timestamp};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const CHILD: &str = "ANNALS_KILL_CHILD";

fn options() -> Options {
    Options::new().segment_bytes(64 << 10).unsealed_segments_max(1)
}

/// SplitMix64 (Steele et al. 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

/// The record with the seq `n`, whoever appends it.
fn record(n: u64) -> (Timestamp, BTreeMap<String, String>) {
    let mut random = Random(n);
    let text = format!("{n}-{:x}-", random.below(u64::MAX)).repeat(1 + random.below(120) as usize);
    (Timestamp::from_micros(n as i64 * 31 - 5_000), BTreeMap::from([("text".to_owned(), text)]))
}

/// What the child does: appends until it is killed, and tells the parent how far it was acknowledged.
fn append_for_ever(dir: &Path, seed: u64) -> ! {
    let mut random = Random(seed);
    let durability = match seed % 3 {
        0 => Durability::Durable,
        1 => Durability::Written,
        _ => Durability::Buffered { interval: Duration::from_millis(2) },
    };
    let log = options().durability(durability).open_or_create(dir).unwrap();
    let mut out = std::io::stdout();
    // One write, so that the parent never sees half of it as another number.
    let mut tell = |end: u64| out.write_all(format!("{end:020}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
    tell(log.next_seq());
    let mut batch = Batch::new();
    loop {
        let first = log.next_seq();
        match random.below(8) {
            0 => {
                batch.clear();
                for n in first..first + 1 + random.below(16) {
                    let (at, body) = record(n);
                    batch.push_at(at, &body).unwrap();
                }
                let seqs = log.append_batch_with(&mut batch, Durability::Durable).unwrap();
                assert_eq!(seqs.start, first);
            }
            1 if random.below(20) == 0 => drop(log.seal().unwrap()),
            _ => {
                let (at, body) = record(first);
                assert_eq!(log.append_at(at, &body).unwrap(), first);
            }
        }
        match durability {
            // A process kill loses nothing that was given to the system.
            Durability::Durable | Durability::Written => tell(log.next_seq()),
            Durability::Buffered { .. } => tell(log.durable_seq()),
        }
    }
}

/// Not a test: what the child runs.
#[test]
fn child() {
    if let Ok(arguments) = std::env::var(CHILD) {
        let (seed, dir) = arguments.split_once(' ').expect("a seed and a directory");
        append_for_ever(Path::new(dir), seed.parse().unwrap());
    }
}

fn start(dir: &Path, seed: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--quiet"])
        .env(CHILD, format!("{seed} {}", dir.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The highest end of what the child said was acknowledged, as far as it could say it.
fn acknowledged(text: &str) -> Option<u64> {
    text.lines().filter(|line| line.len() == 20).filter_map(|line| line.parse().ok()).max()
}

fn check(log: &Log, end: u64, from: u64) {
    let mut next = from;
    let mut scan = log.reader().scan(ScanRange::all().seqs(from..)).unwrap();
    while let Some(found) = scan.advance().unwrap() {
        let (at, body) = record(next);
        assert_eq!((found.seq(), found.timestamp()), (next, at));
        assert_eq!(found.decode::<BTreeMap<String, String>>().unwrap(), body, "record {next}");
        next += 1;
    }
    assert!(next >= end, "{next} records, of {end} that were acknowledged");
    assert_eq!(next, log.next_seq());
}

fn directory() -> tempfile::TempDir {
    let shared = PathBuf::from("/dev/shm");
    match std::env::var_os("ANNALS_KILL_DIR").map(PathBuf::from).or_else(|| shared.is_dir().then_some(shared)) {
        Some(parent) => tempfile::tempdir_in(parent).unwrap(),
        None => tempfile::tempdir().unwrap(),
    }
}

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    let kills: u64 = std::env::var("ANNALS_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    /// A log that grew for ever would make each check slower than the one before.
    const KILLS_A_LOG: u64 = 50;
    let mut random = Random(20_261_121);
    let (mut reopen_max, mut reopen_sum) = (Duration::ZERO, Duration::ZERO);
    let (mut records, mut rewritten, mut dropped) = (0, 0, 0);
    let mut dir = directory();
    let mut end = 0;
    for kill in 0..kills {
        if kill % KILLS_A_LOG == 0 {
            (dir, end) = (directory(), 0);
        }
        let mut child = start(dir.path(), kill);
        let mut out = child.stdout.take().unwrap();
        // Read beside the waiting, since a full pipe would stop the child.
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            out.read_to_string(&mut text).unwrap();
            text
        });
        std::thread::sleep(Duration::from_micros(2_000 + random.below(60_000)));
        assert!(child.try_wait().unwrap().is_none(), "kill {kill}: the child ended by itself");
        // SIGKILL, on Unix.
        child.kill().unwrap();
        child.wait().unwrap();
        let said = reader.join().unwrap();
        let acknowledged = acknowledged(&said).unwrap_or(end).max(end);

        let started = Instant::now();
        let log = options().open_or_create(dir.path()).unwrap_or_else(|error| panic!("after kill {kill}: {error}"));
        let reopened = started.elapsed();
        (reopen_max, reopen_sum) = (reopen_max.max(reopened), reopen_sum + reopened);
        let report = log.recovery();
        assert!(report.is_complete(), "after kill {kill}: {report:#?}");
        rewritten += report.rewritten.map_or(0, |rewritten| rewritten.end_seq - rewritten.first_seq);
        dropped += report.dropped.len();
        check(&log, acknowledged, 0);
        let verified = log.reader().verify(&mut |_| ()).unwrap();
        assert!(verified.is_sound(), "after kill {kill}: {:#?}", verified.damage);
        records += log.next_seq() - end;
        end = log.next_seq();
        log.close().unwrap();
    }
    println!(
        "{kills} kills, {records} records, {rewritten} rewritten, {dropped} unfinished writes dropped; reopening took {:?} on average, {reopen_max:?} at most",
        reopen_sum / kills.max(1) as u32
    );
}
