//! Hostile directories, each opened by a process of its own under an address-space limit: reading, verifying, opening for
//! writing, appending and sealing end with records or errors, in at most 64 MiB and one second of processor time.
//!
//! `ANNALS_CASES` (default 48) says how many directories, `ANNALS_SEED` (default 42) which; `ANNALS_CASE` runs one.
#![cfg(target_os = "linux")]

mod hostile;

use annals::{Background, Error, Options, Reader, ScanRange};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PEAK_MAX: u64 = 64 << 20;
const TIME_MAX: Duration = Duration::from_secs(1);
/// A process that has not ended by then waits for something.
const PATIENCE: Duration = Duration::from_secs(20);
/// Address space in KiB: far more than may be used, far less than files claim.
const ADDRESS_KIB: u64 = 1 << 20;
/// Tells the child which directory to open.
const DIRECTORY: &str = "ANNALS_HOSTILE_DIRECTORY";

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn hostile_directories_cost_little_and_never_end_a_process() {
    let (cases, seed) = (number("ANNALS_CASES").unwrap_or(48), number("ANNALS_SEED").unwrap_or(42));
    let numbers = number("ANNALS_CASE").map_or(0..cases, |case| case..case + 1);
    let (mut peak_max, mut time_max, mut failed) = (0, Duration::ZERO, Vec::new());
    for case in numbers.clone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let what = hostile::make(&path, seed, case);
        let again = format!(
            "ANNALS_CASE={case} ANNALS_SEED={seed} cargo test -p annals --test hostile_files -- hostile_directories"
        );
        match open_in_a_child(&path) {
            Ok((peak, time)) if peak <= PEAK_MAX && time <= TIME_MAX => {
                (peak_max, time_max) = (peak_max.max(peak), time_max.max(time));
            }
            Ok((peak, time)) => failed.push(format!("{again} # {what}: {} KiB, {time:?}", peak >> 10)),
            Err(error) => failed.push(format!("{again} # {what}: {error}")),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    println!("at most {} KiB and {time_max:?}", peak_max >> 10);
    println!("trust: hostile files: {} directories, 0 failures, seed {seed}", numbers.end - numbers.start);
}

/// The peak of memory in bytes, and the processor time.
fn open_in_a_child(path: &Path) -> Result<(u64, Duration), String> {
    let mut child = Command::new("sh")
        .args(["-c", &format!("ulimit -v {ADDRESS_KIB} && exec \"$0\" --exact child --nocapture")])
        .arg(std::env::current_exe().unwrap())
        .env(DIRECTORY, path)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            return Err("it never ends".to_owned());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let measured = text.lines().find_map(|line| line.split_once("peak ")).map(|(_, rest)| rest.to_owned());
    match measured {
        Some(measured) if output.status.success() => {
            let (peak, micros) = measured.split_once(' ').unwrap();
            Ok((peak.parse().unwrap(), Duration::from_micros(micros.trim().parse().unwrap())))
        }
        _ => Err(format!("{} {}", output.status, String::from_utf8_lossy(&output.stderr).replace('\n', " "))),
    }
}

/// What the child does; nothing unless a parent says where.
#[test]
fn child() {
    let Some(path) = std::env::var_os(DIRECTORY) else { return };
    let path = Path::new(&path);
    let begin = processor_time();
    if let Ok(reader) = Reader::open(path) {
        read(&reader);
    }
    for entry in std::fs::read_dir(path).unwrap() {
        let _ = annals::inspect(entry.unwrap().path(), &mut |_| ());
    }
    if let Ok(log) = Options::new().background(Background::Manual).segment_bytes(64 << 10).open(path) {
        let _ = log.append(&BTreeMap::from([("n", 1)]));
        let _ = log.seal();
        read(&log.reader());
        let _ = log.close();
    }
    println!("peak {} {}", peak(), (processor_time() - begin).as_micros());
}

fn read(reader: &Reader) {
    for range in [ScanRange::all(), ScanRange::all().reverse()] {
        let Ok(mut scan) = reader.scan(range) else { continue };
        let mut text = Vec::new();
        loop {
            match scan.advance() {
                // The text of the largest record is larger than what may be held here, and is the caller's.
                Ok(Some(record)) if record.body().len() <= 1 << 20 => {
                    text.clear();
                    let _ = record.to_json(&mut text);
                }
                Ok(Some(record)) => {
                    let _ = annals::msgpack::validate_body(record.body());
                }
                Ok(None) => break,
                Err(Error::Damaged(_)) => {}
                Err(_) => break,
            }
        }
    }
    let _ = (reader.get(0), reader.get(3), reader.get(reader.end_seq().wrapping_sub(1)), reader.get(u64::MAX));
    let _ = (reader.verify(&mut |_| ()), reader.info(), reader.shape(u64::MAX));
}

fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() << 10
}

fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    // The first number is what this thread has run, in ns; of the process it is the main thread's, which only waits.
    let own = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or(stat);
    Duration::from_nanos(own.split(' ').next().unwrap().parse().unwrap())
}
