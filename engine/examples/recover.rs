//! What is left after a crash, and how to ask: `cargo run -p annals --example recover`.
//!
//! The log is copied while it is open, as a killed process would leave it, and the last write of the copy is cut short.

use annals::{Background, Options, Reader};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::temp_dir().join(format!("annals-recover-{}", std::process::id()));
    let (path, copy) = (dir.join("log"), dir.join("copy"));
    // Without threads, so that nothing is written but the records.
    let log = Options::new().background(Background::Manual).create(&path)?;
    for n in 0..10 {
        log.append(&BTreeMap::from([("n", n)]))?;
    }

    fs::create_dir(&copy)?;
    for entry in fs::read_dir(&path)? {
        let entry = entry?;
        fs::copy(entry.path(), copy.join(entry.file_name()))?;
        if entry.path().extension().is_some_and(|ending| ending == "log") {
            // Frames end where the zeros of unused space begin.
            let used = fs::read(entry.path())?.iter().rposition(|&byte| byte != 0).unwrap_or(0);
            OpenOptions::new().write(true).open(copy.join(entry.file_name()))?.set_len(used as u64 - 10)?;
        }
    }
    log.close()?;

    let log = Options::new().open(&copy)?;
    let report = log.recovery();
    println!("clean: {}, the log goes on at record {}", report.clean, report.next_seq);
    for dropped in &report.dropped {
        println!("{} bytes were not part of the log: {}", dropped.bytes, dropped.detail);
        println!("kept in {}", dropped.kept_in.as_deref().unwrap_or("nothing"));
    }
    assert!(report.is_complete() && report.next_seq == 9);
    log.append(&BTreeMap::from([("n", 100)]))?;
    log.close()?;

    let verified = Reader::open(&copy)?.verify(&mut |_| ())?;
    println!("{} records verified, root {}", verified.records, verified.root.as_deref().unwrap_or("unknown"));
    assert!(verified.is_sound());
    fs::remove_dir_all(&dir)?;
    Ok(())
}
