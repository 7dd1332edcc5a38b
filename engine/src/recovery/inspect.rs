//! Reading what the files of a log hold, and deciding where the log ends. Changes nothing.

use crate::catalog::{self, Stored};
use crate::error::{Damage, Error, Result};
use crate::names::{self, QUARANTINE, SegmentKind, SegmentName};
use crate::raw::frame::SEQ_LIMIT;
use crate::raw::{self, RawSegment, Scan};
use crate::recovery::ending::judge_end;
use crate::recovery::hints::lost_end;
use crate::recovery::raws::{first_sound, open_raw, read_on};
use crate::recovery::report::RecoveryReport;
use crate::sealed::SealedFile;
use crate::view::{Chain, Segment};
use crate::{LogId, Storage};
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// What a log holds.
#[derive(Debug)]
pub(crate) struct Inspected {
    /// The names of the segments' files, in order.
    pub(crate) names: Vec<SegmentName>,
    pub(crate) chain: Chain,
    /// What the catalog says.
    pub(crate) stored: Stored,
    /// What has been found so far; [`super::settle`] completes it.
    pub(crate) report: RecoveryReport,
    pub(crate) next_seq: u64,
    pub(crate) next_ordinal: u64,
    /// Files that hold nothing of the log any more.
    pub(crate) leftovers: Vec<String>,
    /// Segments of which nothing can be read, and which other files stand in for, or will.
    pub(crate) unreadable: Vec<SegmentName>,
    /// The records that the last raw segment can have held, if it is among those.
    pub(crate) uncounted: Option<Range<u64>>,
    /// The raw segment that was active, with the end of what it holds, unless it was closed as it should be.
    pub(crate) unclean: Option<Unclean>,
}

impl Inspected {
    /// Whether it is known which seqs have been given out.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the catalog is lost and there are no segments: it may have told that all were removed, and
    /// seqs would be given twice.
    pub(crate) fn check_seqs(&self) -> Result<()> {
        match self.stored.damage.first().filter(|_| self.stored.is_lost && self.chain.segments.is_empty()) {
            None => Ok(()),
            Some(damage) => Err(Error::Damaged(Damage {
                detail: format!(
                    "{}; without any segment nothing tells which seqs have been given out: put a copy of the catalog or of \
                     the segments back",
                    damage.detail
                ),
                ..damage.clone()
            })),
        }
    }
}

/// The raw segment that a writer left without its final marker.
#[derive(Debug, Clone)]
pub(crate) struct Unclean {
    pub(crate) segment: Arc<RawSegment>,
    /// The records from here on may be in the system's memory only.
    pub(crate) watermark: u64,
    pub(crate) end_seq: u64,
    /// Where the bytes begin that are no longer part of the log.
    pub(crate) dropped_at: Option<u64>,
}

/// Reads the log in `storage`, as far as the record `until_seq`. What `known` has of its segments is not opened again.
///
/// Sealed segments are not read, but for the trailer of one that raw segments follow. So the cost depends on the raw
/// segments, whose number and size the options bound.
pub(crate) fn inspect(storage: &Arc<dyn Storage>, log_id: LogId, until_seq: u64, known: &Chain) -> Result<Inspected> {
    let names = storage.list("").map_err(Error::io("list", storage.describe("")))?;
    let mut leftovers: Vec<_> = names.iter().filter(|name| names::is_temporary(name)).cloned().collect();
    let listed = segments_in(&names);
    let mut segments = listed.clone();
    // A name is never used twice, not even that of a file that was set aside.
    // After the listing: a file that retention has removed before it is told of in the catalog by now.
    let stored = catalog::file::read(&**storage, log_id)?;
    let removed_end = stored.catalog.removed().end_seq();
    let named = segments.iter().copied().chain(quarantined(storage)?).map(|name| name.ordinal).chain([stored.ordinal]);
    let next_ordinal = named.max().map_or(1, |ordinal| ordinal.saturating_add(1));
    leftovers.extend(segments.iter().filter(|name| name.base_seq < removed_end).map(ToString::to_string));
    segments.retain(|name| name.base_seq >= removed_end);
    let mut sealed: Vec<_> = segments.iter().copied().filter(|name| name.kind == SegmentKind::Sealed).collect();
    let mut raws: Vec<_> = segments.iter().copied().filter(|name| name.kind == SegmentKind::Raw).collect();
    let (mut report, mut unreadable) = (RecoveryReport::default(), Vec::new());
    report.damaged.extend(stored.damage.iter().cloned());
    // Where a crash kept from being removed what was sealed, that is read, once: it is about to be all there is.
    let is_whole_look = until_seq == u64::MAX && known.segments.is_empty();
    drop_sealed_twice(storage, log_id, is_whole_look, &mut sealed, &mut unreadable, &mut leftovers, &mut report)?;
    segments.retain(|name| !leftovers.contains(&name.to_string()));
    leftovers.extend(orphaned_indexes(&segments));

    let (sealed_end, is_read) =
        last_sealed_end(storage, log_id, is_whole_look, &mut sealed, &raws, &mut unreadable, &mut report)?;
    // No raw segment goes on the word of a file's name.
    let read_end = if is_read { sealed_end } else { readable_end(storage, log_id, &sealed)? };
    let sealed_end = sealed_end.max(removed_end);
    drop_sealed(read_end, &mut raws, &mut leftovers);
    drop_replaced(storage, log_id, &mut raws, &mut leftovers, &mut unreadable, &mut report)?;
    let mut opened = Vec::with_capacity(raws.len());
    let mut uncounted = None;
    for (index, name) in raws.iter().enumerate() {
        let is_last = index + 1 == raws.len();
        // What precedes a segment counts whole, even if the head is older than that segment.
        let until_seq = match raws.get(index + 1) {
            Some(next) if until_seq != u64::MAX => next.base_seq,
            _ => until_seq,
        };
        if let Some(raw) = known.raws().find(|raw| raw.name == *name) {
            read_on(raw, until_seq)?;
            opened.push(Arc::clone(raw));
            continue;
        }
        match open_raw(storage, log_id, *name, until_seq)? {
            Ok(raw) => opened.push(raw),
            Err(mut detail) => {
                let mut end_seq = raws.get(index + 1).map(|next| next.base_seq);
                if is_last {
                    unreadable.push(*name);
                    let most = records_max_of(storage, *name)?;
                    detail += &format!("; nothing tells how many records it held: {most} at most");
                    end_seq = name.base_seq.checked_add(most).filter(|&end| most > 0 && end <= SEQ_LIMIT);
                    uncounted = end_seq.map(|end| name.base_seq..end);
                }
                let path = storage.describe(&name.to_string());
                report.damaged.push(Damage { path, offset: 0, detail, first_seq: Some(name.base_seq), end_seq });
            }
        }
    }

    let first_base = sealed.first().or(raws.first()).map_or(removed_end, |first| first.base_seq);
    let raw_base = raws.first().map_or(sealed_end, |first| first.base_seq);
    for (from, to) in [(removed_end, first_base), (sealed_end, raw_base)] {
        let is_told = report.damaged.iter().any(|damage| damage.first_seq == Some(from));
        report.damaged.extend((from < to && !is_told).then(|| hole(storage, from, to)));
    }

    // A file gets its name only when everything below its base is durable.
    let base = raws.last().map_or(sealed_end, |last| last.base_seq.max(sealed_end));
    let watermark = opened.iter().map(|raw| raw.scan().watermark).fold(base, u64::max);
    let mut end_seq = base;
    let mut unclean = None;
    for (index, raw) in opened.iter().enumerate() {
        match opened.get(index + 1) {
            Some(next) => report.damaged.extend(damage_below(raw, next.name.base_seq)),
            None => {
                let ending = judge_end(raw, watermark);
                report.damaged.extend(ending.damaged);
                report.dropped.extend(ending.dropped);
                end_seq = end_seq.max(ending.end_seq);
                let clean = ending.clean && watermark == end_seq;
                unclean = (!clean).then(|| Unclean {
                    segment: Arc::clone(raw),
                    watermark,
                    end_seq,
                    dropped_at: report.dropped.first().map(|dropped| dropped.offset),
                });
            }
        }
    }
    let end_seq = uncounted.as_ref().map_or(end_seq, |missing: &Range<u64>| end_seq.max(missing.end));
    report.clean = unclean.is_none() && report.damaged.is_empty();
    (report.next_seq, report.watermark) = (end_seq, watermark);

    let mut chain = Chain { removed: Arc::clone(stored.catalog.removed()), ..Chain::default() };
    chain.segments.extend(sealed.into_iter().map(|name| Segment::Sealed(known.slot(name))));
    chain.segments.extend(opened.into_iter().map(Segment::Raw));
    chain.segments.sort_by_key(Segment::name);
    Ok(Inspected {
        names: listed,
        chain,
        stored,
        report,
        next_seq: end_seq,
        next_ordinal,
        leftovers,
        unreadable,
        uncounted,
        unclean,
    })
}

/// The names of segments' files among `names`, in order.
fn segments_in(names: &[String]) -> Vec<SegmentName> {
    let mut segments: Vec<_> = names.iter().filter_map(|name| SegmentName::parse(name)).collect();
    segments.sort_unstable();
    segments
}

/// Whether the directory still holds the segments' files `names` and no others. A listing is no moment's picture: one
/// that is made while a segment is sealed may have neither the raw file nor the sealed one. Names are never used twice,
/// so what two listings in a row agree on was there all the time between them.
pub(crate) fn is_settled(storage: &Arc<dyn Storage>, names: &[SegmentName]) -> Result<bool> {
    let again = storage.list("").map_err(Error::io("list", storage.describe("")))?;
    Ok(segments_in(&again) == names)
}

/// Takes sealed segments out of `sealed` that were sealed again: a writer that could not make the name of the first
/// durable has begun anew from the raw segments. One that is damaged takes nobody's place that can be read.
fn drop_sealed_twice(
    storage: &Arc<dyn Storage>,
    log_id: LogId,
    is_whole_look: bool,
    sealed: &mut Vec<SegmentName>,
    unreadable: &mut Vec<SegmentName>,
    leftovers: &mut Vec<String>,
    report: &mut RecoveryReport,
) -> Result<()> {
    let mut kept: Vec<SegmentName> = Vec::with_capacity(sealed.len());
    for name in sealed.drain(..) {
        let Some(before) = kept.last().copied().filter(|before| before.base_seq == name.base_seq) else {
            kept.push(name);
            continue;
        };
        let damage = match SealedFile::open(storage, name, log_id) {
            Ok(file) => match damage_of(&file, is_whole_look)? {
                Some(damage) if can_be_opened(storage, before, log_id)? => Some(damage),
                _ => None,
            },
            Err(Error::Damaged(damage)) => Some(damage),
            Err(error) => return Err(error),
        };
        if let Some(damage) = damage {
            report.damaged.push(Damage { first_seq: None, end_seq: None, ..damage });
            unreadable.push(name);
        } else {
            leftovers.push(before.to_string());
            kept.pop();
            kept.push(name);
        }
    }
    *sealed = kept;
    Ok(())
}

fn can_be_opened(storage: &Arc<dyn Storage>, name: SegmentName, log_id: LogId) -> Result<bool> {
    match SealedFile::open(storage, name, log_id) {
        Ok(_) => Ok(true),
        Err(Error::Damaged(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Indexes without their segment.
fn orphaned_indexes(segments: &[SegmentName]) -> Vec<String> {
    let is_orphan = |name: &&SegmentName| {
        matches!(name.kind, SegmentKind::Index | SegmentKind::Fields | SegmentKind::Statistics)
            && segments.binary_search(&SegmentName { kind: SegmentKind::Sealed, ..**name }).is_err()
    };
    segments.iter().filter(is_orphan).map(ToString::to_string).collect()
}

/// The segments of which quarantine keeps bytes.
fn quarantined(storage: &Arc<dyn Storage>) -> Result<Vec<SegmentName>> {
    match storage.list(QUARANTINE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => {
            let names = listed.map_err(Error::io("list", storage.describe(QUARANTINE)))?;
            Ok(names.iter().filter_map(|name| names::quarantined_segment(name)).collect())
        }
    }
}

/// The end of the last sealed segment, and whether the segment itself says so. One that can't be read, while raw
/// segments stand in for it, is moved from `sealed` to `unreadable`.
fn last_sealed_end(
    storage: &Arc<dyn Storage>,
    log_id: LogId,
    is_whole_look: bool,
    sealed: &mut Vec<SegmentName>,
    raws: &[SegmentName],
    unreadable: &mut Vec<SegmentName>,
    report: &mut RecoveryReport,
) -> Result<(u64, bool)> {
    while let Some(&last) = sealed.last() {
        // What follows tells where a damaged segment ended, if anything does.
        let next_base = |from: u64| raws.iter().map(|raw| raw.base_seq).find(|&base| base >= from);
        let left_in = |seqs: Range<u64>| {
            first_sound(storage, log_id, raws.iter().copied().filter(|raw| seqs.contains(&raw.base_seq)))
        };
        let has_first = left_in(last.base_seq..last.base_seq + 1)?.is_some();
        match SealedFile::open(storage, last, log_id) {
            Ok(file) => {
                let found_end = file.seqs().end;
                // The raw segments that were sealed, as far as they are still there, are as good as on the day before.
                let left = left_in(last.base_seq..found_end.max(last.base_seq + 1))?;
                if let Some(left) = left.map(|left| left.base_seq)
                    && let Some(damage) = damage_of(&file, is_whole_look && left == last.base_seq)?
                {
                    report.damaged.push(Damage { first_seq: None, end_seq: None, ..damage });
                    if left > last.base_seq {
                        return Ok((left, true));
                    }
                    unreadable.push(last);
                    sealed.pop();
                    continue;
                }
                if let Some(damage) = file.footer_damage() {
                    // The blocks were counted instead, and some may be missing at the end.
                    let (after, mut damage) = (next_base(found_end), damage.clone());
                    let end_seq = match after {
                        Some(after) => after,
                        None => lost_end(&**storage, log_id, last, Some(&file), &mut damage)?,
                    };
                    damage.first_seq = (end_seq != found_end).then_some(found_end);
                    damage.end_seq = damage.first_seq.and(Some(end_seq));
                    report.damaged.push(damage);
                    if after.is_none() && end_seq > found_end {
                        return Ok((end_seq, false));
                    }
                }
                return Ok((found_end, true));
            }
            // The raw segments that were sealed are removed only after the sealed one was synced and compared. So while
            // they are there, they are as good.
            Err(Error::Damaged(damage)) if has_first => {
                report.damaged.push(Damage { first_seq: None, end_seq: None, ..damage });
                unreadable.push(last);
                sealed.pop();
            }
            Err(Error::Damaged(mut damage)) => {
                let end_seq = match next_base(last.base_seq + 1) {
                    Some(after) => after,
                    None => lost_end(&**storage, log_id, last, None, &mut damage)?,
                };
                report.damaged.push(Damage { first_seq: Some(last.base_seq), end_seq: Some(end_seq), ..damage });
                return Ok((end_seq, false));
            }
            Err(error) => return Err(error),
        }
    }
    Ok((0, true))
}

/// What is wrong with a sealed segment, if anything is: with its end, or, with `all` of it looked at, anywhere.
fn damage_of(file: &SealedFile, all: bool) -> Result<Option<Damage>> {
    let mut found = file.footer_damage().cloned();
    if all && found.is_none() {
        file.verify(None, &mut |damage| {
            found.get_or_insert(damage);
        })?;
    }
    Ok(found)
}

/// The end of the last of `sealed` that can be opened.
fn readable_end(storage: &Arc<dyn Storage>, log_id: LogId, sealed: &[SegmentName]) -> Result<u64> {
    for name in sealed.iter().rev() {
        match SealedFile::open(storage, *name, log_id) {
            Ok(file) => return Ok(file.seqs().end),
            Err(Error::Damaged(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(0)
}

/// Takes raw segments out of `raws` whose records are in a sealed segment.
fn drop_sealed(sealed_end: u64, raws: &mut Vec<SegmentName>, leftovers: &mut Vec<String>) {
    leftovers.extend(raws.iter().filter(|raw| raw.base_seq < sealed_end).map(ToString::to_string));
    raws.retain(|raw| raw.base_seq >= sealed_end);
}

/// Takes raw segments out of `raws` that a newer one with the same base replaced; or the newer one, if nothing can be
/// read of it: it never replaced anything then.
fn drop_replaced(
    storage: &Arc<dyn Storage>,
    log_id: LogId,
    raws: &mut Vec<SegmentName>,
    leftovers: &mut Vec<String>,
    unreadable: &mut Vec<SegmentName>,
    report: &mut RecoveryReport,
) -> Result<()> {
    let mut kept: Vec<SegmentName> = Vec::with_capacity(raws.len());
    for raw in raws.drain(..) {
        if let Some(before) = kept.last().filter(|before| before.base_seq == raw.base_seq) {
            if let Err(detail) = open_raw(storage, log_id, raw, 0)? {
                let path = storage.describe(&raw.to_string());
                report.damaged.push(Damage { path, offset: 0, detail, first_seq: None, end_seq: None });
                unreadable.push(raw);
                continue;
            }
            match open_raw(storage, log_id, *before, 0)? {
                Ok(_) => leftovers.push(before.to_string()),
                // The newer one says that it can't be read. Its bytes are kept.
                Err(_) => unreadable.push(*before),
            }
            kept.pop();
        }
        kept.push(raw);
    }
    *raws = kept;
    Ok(())
}

/// How many records a raw segment of which nothing can be read can have held.
fn records_max_of(storage: &Arc<dyn Storage>, name: SegmentName) -> Result<u64> {
    let text = name.to_string();
    let file = storage.open(&text).map_err(Error::io("open", storage.describe(&text)))?;
    raw::records_max(&*file, name.base_seq).map_err(Error::io("read", storage.describe(&text)))
}

/// The damage in a raw segment that was complete, and that holds the records up to `end`.
pub(crate) fn damage_below(raw: &RawSegment, end: u64) -> Vec<Damage> {
    let scan = raw.scan();
    let mut damaged: Vec<_> = scan.bad.iter().filter(|bad| bad.first_seq < end).map(|bad| raw.damage(bad)).collect();
    for damage in &mut damaged {
        damage.end_seq = Some(damage.end_seq.map_or(end, |seq| seq.min(end)));
    }
    if scan.end_seq() < end && damaged.last().is_none_or(|last| last.end_seq != Some(end)) {
        damaged.push(cut_short(raw, &scan, end));
    }
    damaged
}

fn hole(storage: &Arc<dyn Storage>, from: u64, to: u64) -> Damage {
    Damage {
        path: storage.describe(""),
        offset: 0,
        detail: "no file holds the records".into(),
        first_seq: Some(from),
        end_seq: Some(to),
    }
}

pub(super) fn cut_short(raw: &RawSegment, scan: &Scan, end: u64) -> Damage {
    Damage {
        path: raw.path.clone(),
        offset: scan.end_offset,
        detail: "the records end before what the log has acknowledged".into(),
        first_seq: Some(scan.end_seq()),
        end_seq: Some(end),
    }
}
