//! Appends records, one alone and several as a batch, and reads them: `cargo run -p annals --example append`.

use annals::{Batch, Options, ScanRange, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Login<'a> {
    user: &'a str,
    ok: bool,
}

fn main() -> annals::Result<()> {
    let path = std::env::temp_dir().join(format!("annals-append-{}", std::process::id()));
    let log = Options::new().create(&path)?;

    // On the disk when this returns, with the time of the clock.
    let seq = log.append(&Login { user: "ada", ok: true })?;

    // All of a batch or nothing, with one sync. A record may have a time of its own.
    let mut batch = Batch::new();
    batch.push_at(Timestamp::from_micros(1_700_000_000_000_000), &Login { user: "bob", ok: false })?;
    batch.push(&Login { user: "bob", ok: true })?;
    let seqs = log.append_batch(&mut batch)?;
    println!("appended {seq} and {seqs:?}");

    // Borrowed from the record's own bytes: nothing is copied.
    let record = log.get(seq)?.expect("it was appended");
    let login: Login = record.decode()?;
    println!("{seq}: {login:?}");

    let mut scan = log.reader().scan(ScanRange::all().reverse())?;
    while let Some(record) = scan.advance()? {
        println!("{} {} µs {}", record.seq(), record.timestamp().as_micros(), record.value()?);
    }

    let sealed = log.seal()?;
    println!("sealed {} records: {} bytes became {}", sealed.records, sealed.raw_bytes, sealed.sealed_bytes);
    log.close()?;
    std::fs::remove_dir_all(&path).expect("the directory is ours");
    Ok(())
}
