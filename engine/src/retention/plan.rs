//! Deciding what retention removes. Reads the ends of sealed segments, and changes nothing.

use super::{RetentionPolicy, RetentionReport, Stop};
use crate::Timestamp;
use crate::catalog::{Catalog, Removal};
use crate::error::{Damage, Error, Result};
use crate::log::identity;
use crate::merkle::Frontier;
use crate::names::SegmentName;
use crate::reader::Source;
use crate::sealed::SealedFile;
use crate::view::{Chain, Segment};
use std::io;

/// What retention is to do.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) report: RetentionReport,
    /// The hash tree over all that is removed then.
    pub(crate) frontier: Frontier,
}

/// What `policy` removes from a log with the segments `chain`.
///
/// # Errors
/// What the operating system says.
pub(crate) fn plan(source: &Source, chain: &Chain, catalog: &Catalog, policy: &RetentionPolicy) -> Result<Plan> {
    let planner = Planner::new(source, chain, policy)?;
    let removed = catalog.removed();
    let mut plan = Plan {
        report: RetentionReport {
            dry_run: policy.is_dry_run(),
            removal: None,
            segments: Vec::new(),
            stopped: None,
            first_seq: removed.end_seq(),
        },
        frontier: removed.frontier().clone(),
    };
    for (index, segment) in chain.segments.iter().enumerate() {
        let first_seq = plan.report.first_seq;
        let stop = match segment {
            // One without records has nothing that could go.
            Segment::Raw(raw) => {
                let due = |(_, latest)| planner.is_due(planner.left[index], Some(latest));
                raw.times().is_some_and(due).then_some(Stop::Unsealed)
            }
            Segment::Sealed(slot) => match planner.judge(slot.name, chain.end_of(index), first_seq)? {
                Err(damage) => Some(Stop::Damage(damage)),
                Ok(sound) if !planner.is_due(planner.left[index], planner.newest(&sound.file)) => None,
                Ok(sound) => match catalog.holds().iter().find(|hold| hold.holds(&sound.file.seqs())) {
                    Some(hold) => Some(Stop::Hold(hold.clone())),
                    None => {
                        planner.add(&mut plan, index, slot.name, sound);
                        continue;
                    }
                },
            },
        };
        plan.report.stopped = stop;
        break;
    }
    Ok(plan)
}

/// A sealed segment of which everything is known that has to be kept of it.
struct Sound {
    file: SealedFile,
    end: Frontier,
}

/// What a log has.
#[derive(Debug, Clone, Copy, Default)]
struct Amount {
    bytes: u64,
    /// Seqs in gaps are none, and neither are those of a sealed segment that can't tell.
    records: u64,
}

struct Planner<'a> {
    source: &'a Source,
    policy: &'a RetentionPolicy,
    now: Timestamp,
    /// What was before that is too old; `None` if nothing is.
    cutoff: Option<Timestamp>,
    /// When the log was created.
    created: Timestamp,
    /// Bytes of the segments, each with its indexes.
    bytes: Vec<u64>,
    /// What is left of the log behind each of the segments.
    left: Vec<Amount>,
}

impl<'a> Planner<'a> {
    fn new(source: &'a Source, chain: &Chain, policy: &'a RetentionPolicy) -> Result<Self> {
        let now = source.storage.now();
        let age = policy.older_than.map(|age| i64::try_from(age.as_micros()).unwrap_or(i64::MAX));
        let cutoff = age.map(|age| Timestamp::from_micros(now.as_micros().saturating_sub(age)));
        let (identity, _) = identity::read_or_told(&*source.storage)?;
        let created = Timestamp::from_micros(identity.created_us);
        let mut planner = Self { source, policy, now, cutoff, created, bytes: Vec::new(), left: Vec::new() };
        for segment in &chain.segments {
            planner.bytes.push(planner.bytes_of(segment.name())?);
        }
        let mut left = Amount::default();
        for (index, segment) in chain.segments.iter().enumerate().rev() {
            planner.left.push(left);
            left.bytes = left.bytes.saturating_add(planner.bytes[index]);
            left.records = left.records.saturating_add(planner.records_of(segment, chain.end_of(index))?);
        }
        planner.left.reverse();
        Ok(planner)
    }

    /// How many records a segment has, of which the next begins at `end`. They are counted only if there is a limit of theirs.
    fn records_of(&self, segment: &Segment, end: u64) -> Result<u64> {
        let seqs = end.min(self.source.view.visible_seq()).saturating_sub(segment.base_seq());
        match segment {
            _ if self.policy.max_records.is_none() => Ok(0),
            Segment::Raw(_) => Ok(seqs),
            Segment::Sealed(slot) => match self.source.sealed(slot) {
                Ok(file) => Ok(file.summary().records.min(seqs)),
                Err(Error::Damaged(_)) => Ok(0),
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(0),
                // One that could not be read for a moment has its records still.
                Err(error) => Err(error),
            },
        }
    }

    /// Bytes of a segment, and of its indexes.
    fn bytes_of(&self, name: SegmentName) -> Result<u64> {
        let storage = &*self.source.storage;
        let mut bytes = 0u64;
        for name in [name].into_iter().chain(name.derived()).map(|name| name.to_string()) {
            match storage.open(&name) {
                Ok(file) => {
                    bytes = bytes.saturating_add(file.len().map_err(Error::io("read", storage.describe(&name)))?)
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("open", storage.describe(&name))(error)),
            }
        }
        Ok(bytes)
    }

    /// Whether a segment is to go of which the newest record is of `newest`, and behind which `left` is left.
    fn is_due(&self, left: Amount, newest: Option<Timestamp>) -> bool {
        // Without records, none is too young.
        let is_old = self.cutoff.is_some_and(|cutoff| newest.is_none_or(|newest| newest < cutoff));
        is_old
            || self.policy.max_bytes.is_some_and(|max| left.bytes >= max)
            || self.policy.max_records.is_some_and(|max| left.records >= max)
    }

    /// The time of a segment's newest record, for its age: a record can't be younger than the segment's sealing, whatever it
    /// says itself. A sealing before the log was created is the word of a clock that was wrong, and doesn't count.
    fn newest(&self, file: &SealedFile) -> Option<Timestamp> {
        let newest = file.time_range().map_or_else(|| newest_told(file), |times| Some(*times.end()))?;
        let sealed = file.written_at();
        Some(if sealed < self.created { newest } else { newest.min(sealed) })
    }

    /// The segment `name`, if it is as it has to be at its ends, and nothing is missing before or behind it.
    fn judge(&self, name: SegmentName, end: u64, first_seq: u64) -> Result<Result<Sound, Damage>> {
        let path = self.source.describe(name);
        let damage = |detail: &str, seqs: (u64, u64)| {
            let (first_seq, end_seq) = (Some(seqs.0), Some(seqs.1));
            Damage { path: path.clone(), offset: 0, detail: detail.to_owned(), first_seq, end_seq }
        };
        if name.base_seq != first_seq {
            return Ok(Err(damage("no file holds the records before it", (first_seq, name.base_seq))));
        }
        let file = match SealedFile::open(&self.source.storage, name, self.source.log_id) {
            Ok(file) => file,
            Err(Error::Damaged(damage)) => return Ok(Err(damage)),
            Err(error) => return Err(error),
        };
        if let Some(damage) = file.footer_damage() {
            return Ok(Err(damage.clone()));
        }
        if end != u64::MAX && file.seqs().end != end {
            return Ok(Err(damage("it ends before the next one begins", (file.seqs().end, end))));
        }
        match file.merkle() {
            Ok(ends) => Ok(Ok(Sound { file, end: ends.end })),
            Err(Error::Damaged(damage)) => Ok(Err(damage)),
            Err(error) => Err(error),
        }
    }

    fn add(&self, plan: &mut Plan, index: usize, name: SegmentName, sound: Sound) {
        let (summary, end_seq) = (*sound.file.summary(), sound.file.seqs().end);
        let times = sound.file.time_range().map(|times| times.into_inner());
        let bytes = self.bytes[index];
        let report = &mut plan.report;
        let removal = report.removal.get_or_insert_with(|| Removal {
            first_seq: report.first_seq,
            end_seq,
            records: 0,
            segments: 0,
            bytes: 0,
            time_min: None,
            time_max: None,
            removed: self.now,
            runs: 1,
            reason: self.policy.text(),
            root: sound.end.root(),
        });
        removal.end_seq = end_seq;
        removal.records = removal.records.saturating_add(summary.records);
        removal.segments += 1;
        removal.bytes = removal.bytes.saturating_add(bytes);
        removal.time_min = [removal.time_min, times.map(|(min, _)| min)].into_iter().flatten().min();
        removal.time_max = removal.time_max.max(times.map(|(_, max)| max));
        removal.root = sound.end.root();
        report.segments.push(name.to_string());
        report.first_seq = end_seq;
        plan.frontier = sound.end;
    }
}

/// When the last of the records was dropped that a segment without records tells of.
fn newest_told(file: &SealedFile) -> Option<Timestamp> {
    let gaps = file.gaps().unwrap_or_default();
    gaps.iter().filter_map(|gap| gap.dropped.map(|dropped| dropped.until)).max()
}
