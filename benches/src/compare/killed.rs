//! Opening a store whose writer was killed, and counting whether everything is there that it had acknowledged.

use super::child::{FILL_BATCH, reading};
use super::job::{Job, Sample};
use crate::Result;
use crate::contenders::{Contender, Index};
use crate::system::{PeakMemory, disk_bytes};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long single events are appended before the kill.
const SINGLES: Duration = Duration::from_millis(300);
/// A writer that nobody kills ends after so long.
const WRITER_MAX: Duration = Duration::from_secs(600);

/// The writer: appends all events in batches, then single ones until it is killed, and prints how many are acknowledged.
///
/// # Errors
/// As the contender says.
pub(super) fn write(job: &Job, contender: &dyn Contender) -> Result<()> {
    let begun = Instant::now();
    let store = contender.open(&job.scratch, reading(job.events * 2, contender, Index::None))?;
    let mut appender = store.appender()?;
    let mut out = std::io::stdout().lock();
    let (mut items, mut batch, mut acknowledged) = (job.source.items()?.take(job.events as usize), Vec::new(), 0);
    loop {
        batch.clear();
        for item in items.by_ref().take(FILL_BATCH) {
            batch.push(item?);
        }
        if batch.is_empty() {
            break;
        }
        appender.append(&batch)?;
        acknowledged += batch.len() as u64;
    }
    let singles = job.source.load(FILL_BATCH as u64)?;
    for item in singles.iter().cycle() {
        writeln!(out, "{acknowledged}")?;
        if begun.elapsed() > WRITER_MAX {
            break;
        }
        appender.append(std::slice::from_ref(item))?;
        acknowledged += 1;
    }
    Ok(())
}

/// Starts the writer, kills it, and opens what it left.
///
/// # Errors
/// As the contender says, or the writer failed before it could be killed.
pub(super) fn open(job: &Job, contender: &dyn Contender, sample: &mut Sample) -> Result<()> {
    let acknowledged = write_and_kill(job)?;
    let memory = PeakMemory::of_this_process();
    let begun = Instant::now();
    let store = contender.open(&job.scratch, reading(job.events * 2, contender, Index::None))?;
    let found = store.len()?;
    sample.seconds = begun.elapsed().as_secs_f64();
    if found < acknowledged {
        sample.notes.push(format!("LOST {} of {acknowledged} acknowledged events", acknowledged - found));
    }
    store.close()?;
    sample.anonymous_bytes_max = memory.end();
    (sample.events, sample.disk_events) = (found, found);
    sample.value = sample.seconds * 1e3;
    sample.disk_bytes = disk_bytes(&job.scratch);
    Ok(())
}

/// Returns how many events were acknowledged when the writer was killed.
fn write_and_kill(job: &Job) -> Result<u64> {
    let mut writer = Command::new(std::env::current_exe()?)
        .args(["write", &serde_json::to_string(job)?])
        .stdout(Stdio::piped())
        .spawn()?;
    let Some(output) = writer.stdout.take() else { return Err("the writer has no output".into()) };
    let mut lines = BufReader::new(output).lines();
    let mut acknowledged = None;
    let mut first = None;
    let mut killed = false;
    // Also what it printed before it was killed and nobody had read yet.
    while let Some(line) = lines.next().transpose()? {
        // The last line may be cut off, and is a smaller number then.
        acknowledged = acknowledged.max(line.parse::<u64>().ok());
        if !killed && first.get_or_insert_with(Instant::now).elapsed() > SINGLES {
            writer.kill()?;
            killed = true;
        }
    }
    let status = writer.wait()?;
    if !killed {
        return Err(format!("the writer ended by itself: {status}").into());
    }
    acknowledged.ok_or_else(|| "the writer acknowledged nothing".into())
}
