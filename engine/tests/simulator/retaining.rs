//! Retention and holds in a walk: what goes is what a naive look at the segments says, and what the log tells of it is exact.

use crate::simulator::kept::{Kept, UNTOLD, same_release};
use crate::simulator::model::{Failure, Step};
use crate::simulator::random::Random;
use crate::simulator::tree::{leaf, root};
use crate::simulator::walk::Walk;
use annals::{
    Error, Reader, Release, Removal, RetentionPolicy, RetentionReport, ScanRange, SegmentInfo, Stop, Timestamp,
};
use std::collections::HashMap;
use std::time::Duration;

/// Times that are nearer to each other than this, in µs, may be told apart by one look at the clock and not by the next.
const CLOCK_SLACK: i64 = 10_000;

/// Limits, as the model understands them.
#[derive(Debug, Default)]
struct Limits {
    records: Option<u64>,
    bytes: Option<u64>,
    /// Segments are due of which all records are older than this moment, in µs, or that were sealed before it; and how long
    /// ago that is.
    cutoff: Option<(i64, Duration)>,
}

impl Limits {
    const WHY: &str = "the rules";

    fn policy(&self) -> RetentionPolicy {
        let mut policy = RetentionPolicy::new().reason(Self::WHY);
        if let Some((_, age)) = self.cutoff {
            policy = policy.older_than(age);
        }
        if let Some(bytes) = self.bytes {
            policy = policy.max_bytes(bytes);
        }
        if let Some(records) = self.records {
            policy = policy.max_records(records);
        }
        policy
    }

    /// As the log is to remember it.
    fn reason(&self) -> String {
        let age = self.cutoff.map(|(_, age)| format!("older than {} s", age.as_secs_f64()));
        let bytes = self.bytes.map(|bytes| format!("beyond the newest {bytes} bytes"));
        let records = self.records.map(|records| format!("beyond the newest {records} records"));
        let parts: Vec<String> = [age, bytes, records, Some(Self::WHY.into())].into_iter().flatten().collect();
        parts.join(", ")
    }
}

/// A segment.
struct Segment {
    info: SegmentInfo,
    /// Bytes of its files.
    bytes: u64,
    /// When it was sealed, in µs; `None` if it was not, or if the clock was behind the log's creation then.
    sealed: Option<i64>,
}

impl Walk {
    /// Removes what drawn limits say, or only plans it.
    pub(crate) fn retain(&mut self, random: &mut Random) -> Step {
        if self.is_uncertain() {
            return match self.log()?.retain(&RetentionPolicy::new().max_records(0)) {
                Err(Error::Poisoned(_)) => Ok(()),
                other => Err(Failure::Broken(format!("nobody knows what the catalog says: {other:?}"))),
            };
        }
        let reader = self.log()?.reader();
        let segments = self.segments(&reader)?;
        let limits = self.limits(&segments, reader.end_seq(), random);
        let policy = limits.policy();
        let before = self.model.kept[0].clone();
        let expected = self.removal(&reader, &segments, &limits)?;
        let planned = reader.plan_retention(&policy)?;
        check_report(&planned, &before, expected.as_ref(), &segments)?;
        if random.percent(10) {
            let planned = self.log()?.retain(&policy.dry_run(true))?;
            return check_report(&planned, &before, expected.as_ref(), &segments);
        }
        let began = self.disk.clock();
        match self.log()?.retain(&policy) {
            Ok(report) => {
                check_report(&report, &before, expected.as_ref(), &segments)?;
                let when = report.removal.as_ref().map(|removal| removal.removed);
                if when.is_some_and(|when| when < began || when > self.disk.clock()) {
                    return Err(Failure::Broken(format!("removed at {when:?}, and not between {began:?} and now")));
                }
                self.check_files(&report)?;
                self.model.kept = vec![before.with(report.removal)];
                Ok(())
            }
            Err(error) => self.failed_to_keep(error, before.with(expected)),
        }
    }

    /// Holds some records, or releases what is held.
    pub(crate) fn hold(&mut self, random: &mut Random) -> Step {
        if self.is_uncertain() {
            return match self.log()?.hold("another", .., "") {
                Err(Error::Poisoned(_)) => Ok(()),
                other => Err(Failure::Broken(format!("nobody knows what the catalog says: {other:?}"))),
            };
        }
        let mut after = self.model.kept[0].clone();
        if !after.holds.is_empty() && random.percent(60) {
            let hold = after.holds.remove(random.below(after.holds.len()));
            return self.release(after, Release { hold, released: UNTOLD, release_reason: "it is settled".into() });
        }
        let name = format!("hold {}", random.below(6));
        let first = random.below(self.model.entries.len() + 3) as u64;
        let end = random.percent(60).then(|| first + 1 + random.next() % 20);
        let is_known = after.holds.iter().any(|hold| hold.name == name);
        let refused = is_known || end.is_some_and(|end| end <= after.first_seq());
        let held = self.log()?.hold(&name, first..end.unwrap_or(u64::MAX), "a court asked");
        let expected =
            annals::Hold { name, first_seq: first, end_seq: end, since: UNTOLD, reason: "a court asked".into() };
        match held {
            Err(Error::InvalidOption { option: "hold", .. }) if refused => Ok(()),
            Ok(hold) if !refused && (annals::Hold { since: UNTOLD, ..hold.clone() }) == expected => {
                after.holds.push(hold);
                self.model.kept = vec![after];
                Ok(())
            }
            Err(error) => {
                after.holds.push(expected);
                self.failed_to_keep(error, after)
            }
            other => Err(Failure::Broken(format!("held as {other:?}, expected {expected:?}, refused {refused}"))),
        }
    }

    /// Releases a hold, after which the catalog says `after` and the release.
    fn release(&mut self, mut after: Kept, expected: Release) -> Step {
        match self.log()?.release(&expected.hold.name, &expected.release_reason) {
            Ok(released) if same_release(&expected, &released) => {
                after.releases.push(released);
                self.model.kept = vec![after];
                Ok(())
            }
            Ok(released) => Err(Failure::Broken(format!("released as {released:?}, expected {expected:?}"))),
            Err(error) => {
                after.releases.push(expected);
                self.failed_to_keep(error, after)
            }
        }
    }

    /// Whether a change of the catalog failed so that nobody knows what a crash would leave.
    fn is_uncertain(&self) -> bool {
        self.model.kept.len() > 1
    }

    /// After a change to `after` that failed: the log itself says whether it took place; if it can't, either may be found
    /// when it is opened again.
    fn failed_to_keep(&mut self, error: Error, after: Kept) -> Step {
        let log = self.log()?;
        let first_seq = log.reader().first_seq();
        match log.holds() {
            Ok(holds) => {
                let now = Kept { holds, releases: log.releases()?, removals: after.removals.clone() };
                if after.is(&now) && first_seq == after.first_seq() {
                    self.model.kept = vec![after];
                }
            }
            Err(Error::Poisoned(_)) => self.model.kept.push(after),
            Err(other) => return Err(other.into()),
        }
        Err(error.into())
    }

    fn segments(&self, reader: &Reader) -> Step<Vec<Segment>> {
        let files: HashMap<String, usize> = self.disk.files().into_iter().collect();
        let bytes = |info: &SegmentInfo| {
            let name = &info.name;
            let names = [name.clone(), name.replace(".seg", ".idx"), name.replace(".seg", ".fld")];
            let own = if info.sealed { &names[..] } else { &names[..1] };
            own.iter().filter_map(|name| files.get(name)).sum::<usize>() as u64
        };
        let created = self.created("identity")?;
        let segment = |info: SegmentInfo| {
            let sealed = if info.sealed { Some(self.created(&info.name)?) } else { None };
            Ok(Segment { bytes: bytes(&info), sealed: sealed.filter(|sealed| *sealed >= created), info })
        };
        reader.info()?.segments.into_iter().map(segment).collect()
    }

    /// When the file was created, as its header says.
    fn created(&self, name: &str) -> Step<i64> {
        let header = self.disk.read(name).ok_or_else(|| format!("there is no {name}"))?;
        let time = header.get(80..88).and_then(|bytes| bytes.try_into().ok());
        Ok(time.map(i64::from_le_bytes).ok_or_else(|| format!("{name} has no header"))?)
    }

    /// Limits, of which many are just what is left behind one of the segments.
    fn limits(&self, segments: &[Segment], end: u64, random: &mut Random) -> Limits {
        let mut limits = Limits::default();
        let first_seq = self.model.kept[0].first_seq();
        let (gone, left) = segments.split_at(random.below(segments.len() + 1));
        let is_just_behind = random.percent(50);
        match random.below(4) {
            0 => {
                let some = |segments: &[Segment]| segments.iter().map(|segment| segment.bytes).sum::<u64>();
                let bytes = random.next() % (1 + some(segments));
                limits.bytes = Some(if is_just_behind { some(left) } else { bytes });
            }
            1 => limits.cutoff = self.cutoff(segments, random),
            _ => {}
        }
        if random.percent(30) || (limits.bytes, limits.cutoff) == (None, None) {
            let records = random.next() % (1 + end - first_seq);
            let just = end.saturating_sub(gone.last().map_or(first_seq, |segment| segment.info.end_seq));
            limits.records = Some(if is_just_behind { just } else { records });
        }
        limits
    }

    /// A moment in the past that no record's time is near to, and no sealing: just behind one of them.
    fn cutoff(&self, segments: &[Segment], random: &mut Random) -> Option<(i64, Duration)> {
        // So that what was sealed just now can be old, too.
        self.disk.advance_clock(3 * CLOCK_SLACK);
        let entries = &self.model.entries;
        let sealed: Vec<i64> = segments.iter().filter_map(|segment| segment.sealed).collect();
        let moment = match random.percent(50) && !sealed.is_empty() {
            true => random.pick(&sealed),
            false => entries.get(random.below(entries.len() + 1))?.time.1,
        };
        let cutoff = moment.checked_add(2 * CLOCK_SLACK)?;
        let age = self.disk.clock().as_micros().checked_sub(cutoff)?;
        let near = |time: i64| time.abs_diff(cutoff) <= CLOCK_SLACK as u64;
        let is_clear = !entries.iter().any(|entry| near(entry.time.0) || near(entry.time.1))
            && !sealed.iter().any(|sealed| near(*sealed));
        (is_clear && age > 0).then_some((cutoff, Duration::from_micros(age as u64)))
    }

    /// What goes, by a look at one segment after the other, with all that the log has to tell of it.
    fn removal(&mut self, reader: &Reader, segments: &[Segment], limits: &Limits) -> Step<Option<Removal>> {
        let (kept, end) = (&self.model.kept[0], reader.end_seq());
        let first_seq = kept.first_seq();
        let mut left: u64 = segments.iter().map(|segment| segment.bytes).sum();
        let (mut end_seq, mut count, mut bytes) = (first_seq, 0, 0);
        for Segment { info, bytes: own, sealed } in segments {
            let times = self.model.entries[info.first_seq as usize..info.end_seq as usize].iter().map(|e| e.time.1);
            // No record is younger than its segment's sealing.
            let newest = times.max().map(|newest| sealed.map_or(newest, |sealed| newest.min(sealed)));
            let is_due = limits.records.is_some_and(|max| end - info.end_seq >= max)
                || limits.bytes.is_some_and(|max| left - own >= max)
                || limits.cutoff.is_some_and(|(cutoff, _)| newest.is_none_or(|newest| newest < cutoff));
            if !info.sealed || !is_due || kept.holds_some(info.first_seq, info.end_seq) {
                break;
            }
            (end_seq, count, bytes, left) = (info.end_seq, count + 1, bytes + own, left - own);
        }
        if end_seq == first_seq {
            return Ok(None);
        }
        let (mut time_min, mut time_max) = (Timestamp::MAX, Timestamp::MIN);
        let mut leaves = self.model.leaves[..first_seq as usize].to_vec();
        let mut scan = reader.scan(ScanRange::all().seqs(first_seq..end_seq))?;
        while let Some(record) = scan.advance()? {
            self.model.entries[leaves.len()].check(leaves.len(), &record)?;
            leaves.push(leaf(reader.id(), &record));
            (time_min, time_max) = (time_min.min(record.timestamp()), time_max.max(record.timestamp()));
        }
        if leaves.len() as u64 != end_seq {
            return Err(Failure::Broken(format!("{} records are read of {end_seq}", leaves.len())));
        }
        let root = root(&leaves);
        self.model.leaves = leaves;
        Ok(Some(Removal {
            first_seq,
            end_seq,
            records: end_seq - first_seq,
            segments: count,
            bytes,
            time_min: Some(time_min),
            time_max: Some(time_max),
            removed: UNTOLD,
            runs: 1,
            reason: limits.reason(),
            root,
        }))
    }

    /// No file is left of what was removed.
    fn check_files(&self, report: &RetentionReport) -> Step {
        match files_below(&self.disk.files(), report.first_seq) {
            Some(name) => Err(Failure::Broken(format!("{name} is left, and the log begins at {}", report.first_seq))),
            None => Ok(()),
        }
    }
}

/// Whether `report` says that `expected` goes, and nothing else.
fn check_report(report: &RetentionReport, before: &Kept, expected: Option<&Removal>, segments: &[Segment]) -> Step {
    let broken =
        |what: &str| Err(Failure::Broken(format!("{what}: {report:?}, expected {expected:?} after {before:?}")));
    let told = report.removal.clone().map(|removal| Removal { removed: UNTOLD, ..removal });
    if told.as_ref() != expected {
        return broken("another removal");
    }
    let (gone, left) = segments.split_at(expected.map_or(0, |removal| removal.segments as usize));
    if !report.segments.iter().eq(gone.iter().map(|segment| &segment.info.name)) {
        return broken("other segments");
    }
    if report.first_seq != expected.map_or(before.first_seq(), |removal| removal.end_seq) {
        return broken("another first seq");
    }
    let next = left.first().map(|segment| &segment.info);
    let is_so = match &report.stopped {
        None => true,
        Some(Stop::Hold(hold)) => {
            before.holds.contains(hold) && next.is_some_and(|next| before.holds_some(next.first_seq, next.end_seq))
        }
        Some(Stop::Unsealed) => next.is_some_and(|next| !next.sealed),
        Some(_) => false,
    };
    if is_so { Ok(()) } else { broken("stopped by what is not so") }
}

/// A file of a segment that begins below `seq`.
pub(crate) fn files_below(files: &[(String, usize)], seq: u64) -> Option<&str> {
    let base = |name: &str| name.split_once('-').and_then(|(base, _)| base.parse::<u64>().ok());
    files.iter().map(|(name, _)| name.as_str()).find(|name| base(name).is_some_and(|base| base < seq))
}
