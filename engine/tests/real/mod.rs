//! Tests in the real world: real processes, kernels, file systems. What they share.
//!
//! - [`workload`] appends, rolls, seals and reopens, and tells of a record only after it was acknowledged;
//! - [`told`] is what was told, and checks a log against it;
//! - [`child`] runs the workload in a process of its own, which the shim (`shim.c`) kills or fails at a counted call;
//! - [`mount`] makes file systems and takes them away again, whatever happens.
//!
//! `ANNALS_CASES` is how many cases at least, `ANNALS_SEED` where they begin. A failure ends with one line that repeats it
//! when it is pasted into a shell. What can't run here says `SKIPPED: <what>: <why>` and passes.
#![allow(dead_code, reason = "every test program uses a part of it")]

#[path = "../random/mod.rs"]
mod random;

pub(crate) mod child;
pub(crate) mod mount;
pub(crate) mod told;
pub(crate) mod workload;

pub(crate) use random::Random;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How many cases to run, at least.
pub(crate) fn cases(default: u64) -> u64 {
    number("ANNALS_CASES").unwrap_or(default)
}

/// What the cases are drawn from.
pub(crate) fn seed() -> u64 {
    number("ANNALS_SEED").unwrap_or(42)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
}

/// The line that a failed case left, to be repeated by the test `repeat` of `test`.
pub(crate) fn replay(test: &str, case: &str) -> String {
    format!("ANNALS_REPLAY='{case}' cargo test --release -p annals --test {test} repeat -- --exact --nocapture")
}

/// The case that is to be repeated, if one is.
pub(crate) fn replayed() -> Option<String> {
    std::env::var("ANNALS_REPLAY").ok()
}

pub(crate) fn skipped(what: &str, why: &str) {
    println!("SKIPPED: {what}: {why}");
}

/// Says what was done, and ends with the line that repeats the failure if there was one.
pub(crate) fn conclude(row: &str, unit: &str, done: u64, failure: Option<(String, String)>) {
    println!("trust: {row}: {done} {unit}, {} failures, seed {}", u32::from(failure.is_some()), seed());
    if let Some((error, replay)) = failure {
        println!("{error}");
        panic!("{replay}");
    }
}

/// Where a file system in memory holds the files of a test, if there is one: a killed process loses nothing that the
/// system has, so no disk is needed.
pub(crate) fn in_memory() -> tempfile::TempDir {
    let shared = Path::new("/dev/shm");
    match shared.is_dir() {
        true => tempfile::tempdir_in(shared).unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

/// Runs `run` over `items` on as many threads as there are processors, until one fails. Returns how many were done, and
/// the failure.
pub(crate) fn in_parallel<T: Sync>(
    items: &[T],
    run: impl Fn(&T) -> Result<(), String> + Sync,
) -> (u64, Option<(usize, String)>) {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let stopped = AtomicBool::new(false);
    let failure = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while !stopped.load(Ordering::SeqCst) {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    let Some(item) = items.get(index) else { break };
                    if let Err(error) = run(item) {
                        stopped.store(true, Ordering::SeqCst);
                        failure.lock().unwrap().get_or_insert((index, error));
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    (done.into_inner() as u64, failure.into_inner().unwrap())
}
