//! What must hold of a disk after a crash: checked by a reader, by the writer that recovers it, by what the writer says
//! about it, and by going on with the log.

#[path = "../codec/mod.rs"]
pub(crate) mod codec;

use crate::simulator::asking::ask;
use crate::simulator::frames::{check_quarantine, raw_segments};
use crate::simulator::kept::{Kept, check_kept};
use crate::simulator::model::{Broken, Entry, Failure, compare};
use crate::simulator::once::asked_again;
use crate::simulator::random::Random;
use crate::simulator::retaining::files_below;
use annals::storage::sim::SimDisk;
use annals::{Background, Error, Incarnation, Log, Options, Reader, RetentionPolicy};
use std::collections::HashSet;
use std::sync::Arc;

/// What is known of a log whose machine has stopped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// All that may be found, in order.
    pub(crate) entries: &'a [Entry],
    /// So many of them must be.
    pub(crate) floor: usize,
    /// So many were durable when the machine stopped: what a watermark may say at most.
    pub(crate) durable: Option<usize>,
    /// So many are found, neither more nor fewer: all were durable, or were kept by an earlier recovery.
    pub(crate) exactly: Option<usize>,
    /// Whether the log has existed for longer than a crash can undo.
    pub(crate) created: bool,
    /// Every opening there was.
    pub(crate) incarnations: &'a HashSet<Incarnation>,
    /// What the catalog may say.
    pub(crate) kept: &'a [Kept],
}

/// How much is tried with a disk after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Effort {
    /// It is read, and recovered.
    Recover,
    /// It is then appended to, closed, opened again, and verified.
    GoOn,
}

/// A log on a disk after a crash, recovered.
pub(crate) struct Recovered {
    pub(crate) log: Log,
    /// How many records were found, removed ones included.
    pub(crate) found: usize,
    /// What the catalog was found to say.
    pub(crate) kept: Kept,
}

pub(crate) fn options() -> Options {
    Options::new().background(Background::Manual).segment_bytes(64 << 10).codec(codec::codec())
}

/// Reads `disk`, which must not change by that. `None` if there is no log yet.
pub(crate) fn check_reader(disk: &SimDisk, facts: &Facts<'_>) -> Result<Option<usize>, Broken> {
    let calls = disk.calls();
    let found = match Reader::open_on(disk.storage()) {
        Ok(reader) => {
            let found = check_kept(&reader, facts.kept).and_then(|_| compare(&reader, facts.entries));
            Some(found.map_err(|broken| format!("a reader: {broken}"))?)
        }
        Err(Error::NotALog { .. }) if !facts.created => None,
        Err(error) => return Err(format!("a reader: {error}")),
    };
    match disk.calls() == calls {
        true => Ok(found),
        false => Err("a reader changed something".into()),
    }
}

/// Opens the log on `disk` as after a crash, and checks all that the opening says.
pub(crate) fn recover(disk: &SimDisk, facts: &Facts<'_>) -> Result<Recovered, Broken> {
    let read = check_reader(disk, facts)?;
    let frames = raw_segments(disk);
    let log = options().open_or_create_on(disk.storage()).map_err(|error| format!("opening: {error}"))?;
    let report = log.recovery();
    let after = |broken: Failure| format!("after recovery: {broken}");
    let kept = check_kept(&log.reader(), facts.kept).map_err(after)?;
    let found = compare(&log.reader(), facts.entries).map_err(after)?;
    let broken = |what: String| Err(format!("{what}; {report:?}"));
    if found < facts.floor {
        return broken(format!("{found} records are left of {} that must be", facts.floor));
    }
    if facts.exactly.is_some_and(|exactly| exactly != found) {
        return broken(format!("{found} records are found where {:?} are", facts.exactly));
    }
    if read.is_some_and(|read| read != found) {
        return broken(format!("a reader finds {read:?} records, the writer {found}"));
    }
    if found > 0 && !facts.entries[found - 1].ends_batch {
        return broken(format!("a batch was torn at record {found}"));
    }
    if !report.is_complete() {
        return broken("damage is reported where there is none".into());
    }
    if log.next_seq() != found as u64 || report.next_seq != found as u64 {
        return broken(format!("{found} records, and the next is {}", log.next_seq()));
    }
    if report.watermark > facts.durable.unwrap_or(found) as u64 {
        return broken(format!("the watermark is higher than the {:?} records that were durable", facts.durable));
    }
    if report.rewritten.is_some_and(|rewritten| {
        rewritten.end_seq != found as u64 || rewritten.first_seq >= rewritten.end_seq || report.clean
    }) {
        return broken("what was rewritten is not the end of the log".into());
    }
    if facts.incarnations.contains(&log.incarnation()) {
        return broken("an incarnation came back".into());
    }
    if kept.first_seq() > 0
        && let Some(name) = files_below(&disk.files(), kept.first_seq())
    {
        return broken(format!("{name} is left of what was removed"));
    }
    check_quarantine(disk, &frames, found, report).or_else(|what| broken(what).map(drop))?;
    Ok(Recovered { log, found, kept })
}

/// Goes on with a recovered log: appends, crashes or closes, and looks at everything again.
pub(crate) fn go_on(disk: &SimDisk, recovered: Recovered, facts: &Facts<'_>, seed: u64) -> Result<(), Broken> {
    let Recovered { log, found, mut kept } = recovered;
    let mut random = Random::new(seed);
    let mut entries = facts.entries[..found].to_vec();
    let told = |what: &'static str| move |error: Error| format!("{what} after recovery: {error}");
    for n in 0..1 + random.below(3) as u8 {
        let body = [0x81, 0xA1, b'n', n];
        let before = disk.clock().as_micros();
        let seq = log.append_raw(None, &body).map_err(told("appending"))?;
        if seq != entries.len() as u64 {
            return Err(format!("record {} was appended as {seq}", entries.len()));
        }
        let time = (before, disk.clock().as_micros());
        let (body, key) = (body.as_slice().into(), Arc::default());
        entries.push(Entry { body, key, time, incarnation: log.incarnation(), ends_batch: true });
    }
    if random.percent(30) {
        ask_again(&log, &entries, &kept)?;
    }
    if random.percent(30) {
        log.seal().map_err(told("sealing"))?;
        if random.percent(60) {
            kept = remove_some(&log, kept, &mut random)?;
        }
    }
    if random.percent(20) {
        log.maintain().map_err(told("maintaining"))?;
    }
    let first = log.incarnation();
    match random.percent(50) {
        true => log.close().map_err(told("closing"))?,
        false => {
            disk.stop();
            drop(log);
            disk.restart();
        }
    }
    let log = options().open_or_create_on(disk.storage()).map_err(told("opening again"))?;
    if log.incarnation() == first {
        return Err("an incarnation came back".into());
    }
    let opened = |broken: Failure| format!("opened again: {broken}");
    check_kept(&log.reader(), std::slice::from_ref(&kept)).map_err(opened)?;
    let again = compare(&log.reader(), &entries).map_err(opened)?;
    ask(&log.reader(), &entries, &mut random).map_err(opened)?;
    if again != entries.len() || !log.recovery().is_complete() {
        return Err(format!("opened again: {again} of {} records; {:?}", entries.len(), log.recovery()));
    }
    let verified = log.reader().verify(&mut |_| ()).map_err(told("verifying"))?;
    if !verified.is_sound() || verified.records != again as u64 - kept.first_seq() || verified.root.is_none() {
        return Err(format!("verifying {again} records: {verified:?}"));
    }
    Ok(())
}

/// Asks again for what was appended once: nothing new comes of it.
fn ask_again(log: &Log, entries: &[Entry], kept: &Kept) -> Result<(), Broken> {
    let Some((key, expected)) = asked_again(entries, kept.first_seq()) else { return Ok(()) };
    match log.append_once_raw(&key, None, &[0x80]) {
        Ok(seq) if seq == expected && log.next_seq() == entries.len() as u64 => Ok(()),
        other => Err(format!("{key:02x?} is record {expected}, and asked again {other:?}")),
    }
}

/// Removes some of the oldest records, but for those that are held.
fn remove_some(log: &Log, kept: Kept, random: &mut Random) -> Result<Kept, Broken> {
    let policy = RetentionPolicy::new().max_records(random.below(60) as u64);
    let report = log.retain(&policy).map_err(|error| format!("removing after recovery: {error}"))?;
    match &report.removal {
        Some(gone) if kept.first_seq() != gone.first_seq || kept.holds_some(gone.first_seq, gone.end_seq) => {
            Err(format!("removing after recovery: {report:?} after {kept:?}"))
        }
        _ => Ok(kept.with(report.removal)),
    }
}
