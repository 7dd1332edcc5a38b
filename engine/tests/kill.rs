//! Real kills of a real process: `kill -9` at random moments while it appends, rolls and seals.
//!
//! The test program runs itself as the writer. `ANNALS_KILLS=2000 cargo test -p annals --test kill` kills more often.

use annals::{Batch, Options, ScanRange};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const DIR: &str = "ANNALS_KILL_DIR";
const KILLS: &str = "ANNALS_KILLS";
const KILLS_DEFAULT: u32 = 40;
/// A log is given up after so many kills, so that what is checked after each stays small.
const KILLS_PER_LOG: u32 = 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Event {
    thread: u32,
    number: u64,
    text: String,
}

fn event(process: u32, thread: u32, number: u64) -> Event {
    Event { thread, number, text: format!("{process} {thread} {number} ").repeat(20) }
}

fn options() -> Options {
    Options::new().segment_bytes(256 << 10)
}

/// Appends for ever, and tells of every record after it was acknowledged: seq, process, thread, number.
fn write_for_ever(dir: &Path) {
    let log = options().open_or_create(dir).expect("the log opens after every kill");
    let process = std::process::id();
    let tell = |seq: u64, thread: u32, number: u64| {
        let line = format!("{seq} {process} {thread} {number}\n");
        std::io::stdout().lock().write_all(line.as_bytes()).expect("the parent listens");
    };
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (log, tell) = (&log, &tell);
            scope.spawn(move || {
                for number in 0.. {
                    tell(log.append(&event(process, thread, number)).expect("append"), thread, number);
                }
            });
        }
        let mut batch = Batch::new();
        for first in (0..).step_by(50) {
            batch.clear();
            (first..first + 50).for_each(|number| batch.push(&event(process, 2, number)).expect("push"));
            let seqs = log.append_batch(&mut batch).expect("append");
            seqs.zip(first..).for_each(|(seq, number)| tell(seq, 2, number));
        }
    });
}

/// The writer, when this program is run as one; otherwise a test that has nothing to do.
#[test]
fn as_a_child_process_append_until_killed() {
    if let Some(dir) = std::env::var_os(DIR) {
        write_for_ever(Path::new(&dir));
    }
}

#[test]
fn a_killed_writer_loses_nothing_that_it_acknowledged() {
    if std::env::var_os(DIR).is_some() {
        return;
    }
    let kills = std::env::var(KILLS).ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS_DEFAULT);
    let mut random = 0x5EED_u64;
    let (mut acknowledged_total, mut reopen_max) = (0, Duration::ZERO);
    let mut log: Option<(tempfile::TempDir, BTreeMap<u64, Event>)> = None;
    for kill in 0..kills {
        if kill % KILLS_PER_LOG == 0 {
            log = Some((tempfile::tempdir().unwrap(), BTreeMap::new()));
        }
        let (dir, acknowledged) = log.as_mut().unwrap();
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        run_and_kill(dir.path(), Duration::from_millis(5 + (random >> 33) % 150), acknowledged);

        let begun = Instant::now();
        let reopened = options().open_or_create(dir.path()).unwrap();
        reopen_max = reopen_max.max(begun.elapsed());
        assert!(reopened.recovery().is_complete(), "kill {kill}: {:?}", reopened.recovery());
        let mut missing = acknowledged.clone();
        for record in reopened.reader().scan(ScanRange::all()).unwrap() {
            let record = record.unwrap();
            if let Some(expected) = missing.remove(&record.seq()) {
                assert_eq!(record.decode::<Event>().unwrap(), expected, "kill {kill}, record {}", record.seq());
            }
        }
        assert!(missing.is_empty(), "kill {kill}: {} acknowledged records are gone", missing.len());
        let verified = reopened.reader().verify(&mut |_| ()).unwrap();
        assert!(verified.is_sound(), "kill {kill}: {:?}", verified.damage);
        if kill % KILLS_PER_LOG == KILLS_PER_LOG - 1 {
            acknowledged_total += acknowledged.len();
        }
    }
    eprintln!(
        "{kills} kills, {acknowledged_total} acknowledged records in full logs, slowest reopening {reopen_max:?}"
    );
}

fn run_and_kill(dir: &Path, after: Duration, acknowledged: &mut BTreeMap<u64, Event>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "as_a_child_process_append_until_killed", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = child.stdout.take().unwrap();
    let reading = std::thread::spawn(move || -> Vec<String> {
        // The last line may be cut off; what it was to tell is then not known to be acknowledged.
        BufReader::new(output).split(b'\n').map_while(Result::ok).filter_map(|l| String::from_utf8(l).ok()).collect()
    });
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    for line in reading.join().unwrap() {
        let numbers: Vec<u64> = line.split(' ').map_while(|number| number.parse().ok()).collect();
        if let [seq, process, thread, number] = numbers[..] {
            acknowledged.insert(seq, event(process as u32, thread as u32, number));
        }
    }
}
