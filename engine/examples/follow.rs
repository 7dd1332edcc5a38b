//! Follows a log while another thread appends to it: `cargo run -p annals --example follow`.
//!
//! The reader is opened by the log's path, as one in another process would be.

use annals::{Options, Reader};
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

fn main() -> annals::Result<()> {
    let path = std::env::temp_dir().join(format!("annals-follow-{}", std::process::id()));
    let log = Options::new().create(&path)?;

    let reader = Reader::open(&path)?;
    let follower = thread::spawn(move || -> annals::Result<u64> {
        let mut tail = reader.tail(0);
        // Ends when nothing has come for a second.
        while let Some(record) = tail.next(Some(Duration::from_secs(1)))? {
            println!("{}: {}", record.seq(), record.as_record().value()?);
        }
        Ok(tail.next_seq())
    });

    for step in ["start", "work", "done"] {
        log.append(&BTreeMap::from([("step", step)]))?;
        thread::sleep(Duration::from_millis(20));
    }
    // The reader goes on undisturbed while its files are sealed.
    log.seal()?;
    log.append(&BTreeMap::from([("step", "after sealing")]))?;

    let seen = follower.join().expect("the follower does not panic")?;
    assert_eq!(seen, 4);
    log.close()?;
    std::fs::remove_dir_all(&path).expect("the directory is ours");
    Ok(())
}
