//! Deciding what retention removes. Reads the ends of sealed segments, and changes nothing.

use super::{RetentionPolicy, RetentionReport, Stop};
use crate::Timestamp;
use crate::catalog::{Catalog, Removal};
use crate::error::{Damage, Error, Result};
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
    let mut planner = Planner::new(source, chain, policy)?;
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
                raw.times().is_some_and(|(_, latest)| planner.is_due(first_seq, Some(latest))).then_some(Stop::Unsealed)
            }
            Segment::Sealed(slot) => match planner.judge(slot.name, chain.end_of(index), first_seq)? {
                Err(damage) => Some(Stop::Damage(damage)),
                Ok(sound) if !planner.is_due(first_seq, sound.file.time_range().map(|times| *times.end())) => None,
                Ok(sound) => match catalog.holds().iter().find(|hold| hold.holds(&sound.file.seqs())) {
                    Some(hold) => Some(Stop::Hold(hold.clone())),
                    None => {
                        planner.add(&mut plan, slot.name, sound);
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

struct Planner<'a> {
    source: &'a Source,
    policy: &'a RetentionPolicy,
    now: Timestamp,
    /// What was before that is too old; `None` if nothing is.
    cutoff: Option<Timestamp>,
    /// The seq after the last record.
    end_seq: u64,
    /// Bytes of the files that are left.
    bytes: u64,
}

impl<'a> Planner<'a> {
    fn new(source: &'a Source, chain: &Chain, policy: &'a RetentionPolicy) -> Result<Self> {
        let now = source.storage.now();
        let age = policy.older_than.map(|age| i64::try_from(age.as_micros()).unwrap_or(i64::MAX));
        let cutoff = age.map(|age| Timestamp::from_micros(now.as_micros().saturating_sub(age)));
        let mut planner = Self { source, policy, now, cutoff, end_seq: source.view.visible_seq(), bytes: 0 };
        for segment in &chain.segments {
            planner.bytes = planner.bytes.saturating_add(planner.bytes_of(segment.name())?);
        }
        Ok(planner)
    }

    /// Bytes of a segment, and of its indexes.
    fn bytes_of(&self, name: SegmentName) -> Result<u64> {
        let storage = &*self.source.storage;
        let mut bytes = 0u64;
        for name in [name, name.index(), name.fields()].map(|name| name.to_string()) {
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

    /// Whether a segment that begins at `first_seq`, and whose latest record is of `latest`, is to go.
    fn is_due(&self, first_seq: u64, latest: Option<Timestamp>) -> bool {
        // Without records, none is too young.
        let is_old = self.cutoff.is_some_and(|cutoff| latest.is_none_or(|latest| latest < cutoff));
        is_old
            || self.policy.max_bytes.is_some_and(|max| self.bytes > max)
            || self.policy.max_records.is_some_and(|max| self.end_seq.saturating_sub(first_seq) > max)
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

    fn add(&mut self, plan: &mut Plan, name: SegmentName, sound: Sound) {
        let (summary, end_seq) = (*sound.file.summary(), sound.file.seqs().end);
        let times = sound.file.time_range().map(|times| times.into_inner());
        let bytes = self.bytes_of(name).unwrap_or(sound.file.file_bytes());
        self.bytes = self.bytes.saturating_sub(bytes);
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
