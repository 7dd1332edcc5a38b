//! `annals demo`: the main job on a real sample, step by step.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use annals::{Background, Options, ReadBuffer, Reader, SealReport};

use crate::commands::export::Job;
use crate::failure::{Failure, Result};
use crate::ingest;
use crate::input::Source;
use crate::output::{bytes, count, grid, plural, print};
use crate::time::{Rfc3339, TimeSource};

/// Lookups that are timed.
const LOOKUPS: u64 = 2000;

/// Characters of a record that are shown.
const RECORD_SHOWN: usize = 160;

/// The samples, whose sources and licences samples/README.md names.
const SAMPLES: [(&str, &[u8]); 3] = [
    ("samples/cloudtrail.ndjson.zst", include_bytes!("../../../samples/cloudtrail.ndjson.zst")),
    ("samples/k8s-audit.ndjson.zst", include_bytes!("../../../samples/k8s-audit.ndjson.zst")),
    ("samples/windows.ndjson.zst", include_bytes!("../../../samples/windows.ndjson.zst")),
];

/// Run the main job on a small real sample: append, seal, look up, verify, export to Parquet.
///
/// The sample is part of the program: 1,113 AWS CloudTrail, Kubernetes audit and Windows events.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the log and the Parquet file go; it must not exist yet [default: a new directory for temporary files]
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let dir = make_dir(args.dir.clone())?;
    let (log, parquet) = (dir.join("log"), dir.join("events.parquet"));
    let (plain_bytes, sealed) = append_and_seal(&log)?;
    let reader = Reader::open(&log)?;
    look_up(&reader)?;
    verify(&reader)?;
    let parquet_bytes = export(&reader, &parquet)?;
    sizes(plain_bytes, sealed, parquet_bytes)?;
    say(&where_things_are(&log, &parquet))
}

fn make_dir(dir: Option<PathBuf>) -> Result<PathBuf> {
    let dir = dir.unwrap_or_else(|| std::env::temp_dir().join(format!("annals-demo-{}", std::process::id())));
    if dir.exists() {
        return Err(Failure::Failed(format!("{} exists already: name a directory that doesn't", dir.display())));
    }
    std::fs::create_dir_all(&dir).map_err(|error| Failure::io("create", &dir, &error))?;
    Ok(dir)
}

fn append_and_seal(path: &Path) -> Result<(u64, SealReport)> {
    // Sealing in the background would get ahead of the step that shows it.
    let log = Options::new().background(Background::Manual).create(path)?;
    let sources = SAMPLES.map(|(name, bytes)| Source::Embedded(name, bytes)).into();
    let options = ingest::Options {
        times: TimeSource::CommonNames,
        strict_time: true,
        batch_records: 100,
        rejects: None,
        once_key: None,
    };
    let started = Instant::now();
    let (counts, outcome) = ingest::ingest(ingest::Target::Log(&log), sources, options);
    outcome?;
    let durable = log.sync()?;
    say(&format!(
        "1. Append   {} of NDJSON ({}) in {:.0} ms, each batch synced to the disk: all below seq {durable} is durable.\n   \
         Their times come from {}.",
        plural(counts.seqs.records, "record"),
        bytes(counts.bytes_plain),
        started.elapsed().as_secs_f64() * 1e3,
        counts.time_fields.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
    ))?;

    let started = Instant::now();
    let sealed = log.seal()?;
    log.close()?;
    say(&format!(
        "2. Seal     {} became {} in {:.0} ms: compressed in small blocks, hashed, immutable.",
        bytes(sealed.raw_bytes),
        bytes(sealed.sealed_bytes),
        started.elapsed().as_secs_f64() * 1e3,
    ))?;
    Ok((counts.bytes_plain, sealed))
}

fn look_up(reader: &Reader) -> Result<()> {
    let end = reader.end_seq();
    let seq = end / 2;
    let Some(record) = reader.get(seq)? else {
        return Err(Failure::Failed(format!("the demo's log has no record {seq}")));
    };
    let mut json = Vec::new();
    record.as_record().to_json(&mut json)?;
    let text = String::from_utf8_lossy(&json);
    let shown: String = text.chars().take(RECORD_SHOWN).collect();

    let mut buffer = ReadBuffer::new();
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let started = Instant::now();
    for _ in 0..LOOKUPS {
        // xorshift64 (Marsaglia, "Xorshift RNGs", 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        reader.get_into(state % end, &mut buffer)?;
    }
    let micros = started.elapsed().as_secs_f64() * 1e6 / LOOKUPS as f64;
    say(&format!(
        "3. Look up  record {seq} of {}: {shown}…\n   {} lookups at random took {micros:.1} µs each.",
        Rfc3339(record.timestamp()),
        count(LOOKUPS),
    ))
}

fn verify(reader: &Reader) -> Result<()> {
    let verified = reader.verify(&mut |_| ())?;
    if let Some(damage) = verified.damage.first() {
        return Err(Failure::Integrity(damage.to_string()));
    }
    say(&format!(
        "4. Verify   {} and {} checked, no damage. The Merkle root over all of it:\n   {}",
        plural(verified.records, "record"),
        bytes(verified.bytes),
        verified.root.as_deref().unwrap_or("none"),
    ))
}

fn export(reader: &Reader, out: &Path) -> Result<u64> {
    let started = Instant::now();
    let exported = Job::whole(reader, out)?.run()?;
    say(&format!(
        "5. Parquet  {} in typed columns, {} of {} with JSON text for what has no one type: {} in {:.0} ms.",
        plural(exported.rows(), "row"),
        exported.json_columns().count(),
        exported.columns().len(),
        bytes(exported.bytes()),
        started.elapsed().as_secs_f64() * 1e3,
    ))?;
    Ok(exported.bytes())
}

fn sizes(plain_bytes: u64, sealed: SealReport, parquet_bytes: u64) -> Result<()> {
    let row = |what: &str, size: u64| {
        vec![what.to_owned(), bytes(size), format!("{:.1} ×", plain_bytes as f64 / size.max(1) as f64)]
    };
    let table = grid(
        &["the same records as", "size", "smaller than NDJSON"],
        &[1, 2],
        [
            row("NDJSON", plain_bytes),
            row("raw segments", sealed.raw_bytes),
            row("sealed segments and indexes", sealed.sealed_bytes),
            row("Parquet", parquet_bytes),
        ],
    );
    say(&format!("\n{table}"))
}

fn where_things_are(log: &Path, parquet: &Path) -> String {
    let (log, parquet) = (log.display(), parquet.display());
    let mut text = format!("\nThe log is     {log}\nthe Parquet is {parquet}\n\nTry:");
    for command in [
        format!("annals info {log}"),
        format!("annals cat {log} --limit 3 --meta"),
        format!("annals cat {log} --since 2024-07-30 --until 2024-08-01"),
        format!("echo '{{\"ts\":\"2025-01-01T00:00:00Z\",\"user\":\"ada\"}}' | annals append {log}"),
        format!("duckdb -c \"SELECT eventName, count(*) FROM '{parquet}' GROUP BY ALL ORDER BY 2 DESC LIMIT 5\""),
    ] {
        // Writing to a String can't fail.
        let _ = write!(text, "\n  {command}");
    }
    text
}

fn say(text: &str) -> Result<()> {
    print(format!("{text}\n").as_bytes())
}
