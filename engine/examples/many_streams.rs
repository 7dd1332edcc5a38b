//! Measures what streams cost beside one log, on the disk at hand: `cargo run --release -p annals --example many_streams DIR MS`, so
//! many ms for each figure.
//!
//! Threads append records of about 300 bytes, each durable before the next: all to one log, as if streams shared their files;
//! each to a stream of its own; and all to many streams, more than are open at a time.

use annals::{Options, StoreOptions};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const THREADS: usize = 8;
/// Enough to see that it works. For figures to go by, seconds.
const MILLIS_DEFAULT: u64 = 200;

/// Appends a body, given the number of the thread and of its append.
type Append<'a> = &'a (dyn Fn(usize, usize, &[u8]) -> annals::Result<u64> + Sync);

/// Lets threads append for a while, with the number of the thread and of its append. Returns appends a second.
fn rate(time: Duration, append: Append<'_>) -> annals::Result<f64> {
    let mut body = vec![0x81, 0xA4, b't', b'e', b'x', b't', 0xDA, 0x01, 0x20];
    body.resize(body.len() + 0x120, b'x');
    let began = Instant::now();
    let run = |thread: usize| -> annals::Result<usize> {
        let mut count = 0;
        while began.elapsed() < time {
            append(thread, count, &body)?;
            count += 1;
        }
        Ok(count)
    };
    let counts: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || run(thread))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    });
    let total = counts.into_iter().sum::<annals::Result<usize>>()?;
    Ok(total as f64 / began.elapsed().as_secs_f64())
}

/// Bytes that the files below `path` have, and how many they are.
fn disk(path: &Path) -> (u64, usize) {
    let (mut bytes, mut files) = (0, 0);
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => {
                let (more, some) = disk(&entry.path());
                (bytes, files) = (bytes + more, files + some);
            }
            Ok(metadata) => (bytes, files) = (bytes + metadata.len(), files + 1),
            Err(_) => {}
        }
    }
    (bytes, files)
}

fn tell(what: &str, rate: f64, path: &Path) {
    let (bytes, files) = disk(path);
    println!("{what:42} {rate:8.0} appends/s, {files:5} files of {:7.1} MiB", bytes as f64 / f64::from(1 << 20));
}

fn main() -> annals::Result<()> {
    let root = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let root = root.join(format!("annals-streams-{}", std::process::id()));
    let millis = std::env::args().nth(2).and_then(|text| text.parse().ok()).unwrap_or(MILLIS_DEFAULT);
    let rate = |append: Append<'_>| rate(Duration::from_millis(millis), append);

    let log = Options::new().create(root.join("log"))?;
    tell("one log", rate(&|_, _, body| log.append_raw(None, body))?, &root.join("log"));
    log.close()?;

    for (streams, open) in [(8, 64), (64, 64), (1_000, 100), (1_000, 64)] {
        let path = root.join(format!("streams-{streams}-{open}"));
        let store = StoreOptions::new().open_streams(open).open_or_create(&path)?;
        let handles: Vec<_> = (0..streams).map(|n| store.stream(&format!("s{n}"))).collect::<annals::Result<_>>()?;
        let append =
            |thread: usize, n: usize, body: &[u8]| handles[(thread + n * THREADS) % streams].append_raw(None, body);
        tell(&format!("{streams} streams by turns, {open} open"), rate(&append)?, &path);
        // Where a few streams get nearly all records, as they mostly do.
        let append = |thread: usize, n: usize, body: &[u8]| {
            let rare = n % 100 == 99;
            handles[if rare { (thread + n * THREADS) % streams } else { thread % streams }].append_raw(None, body)
        };
        tell("  one of 100 to another stream", rate(&append)?, &path);
        store.close()?;
    }
    std::fs::remove_dir_all(&root).expect("the directory is ours");
    Ok(())
}
