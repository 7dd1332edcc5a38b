//! What the end of the last raw segment means: damage, the trace of an unfinished write, or nothing.

use super::inspect::cut_short;
use super::report::Dropped;
use crate::error::Damage;
use crate::raw::frame::SEQ_LIMIT;
use crate::raw::{BadRange, RawSegment, Scan};

/// What the last raw segment's end means.
pub(super) struct Ending {
    pub(super) end_seq: u64,
    pub(super) damaged: Vec<Damage>,
    pub(super) dropped: Option<Dropped>,
    pub(super) clean: bool,
}

/// Judges the end of the last raw segment of a log, of which everything below `watermark` was durable.
pub(super) fn judge_end(raw: &RawSegment, watermark: u64) -> Ending {
    let scan = raw.scan();
    let mut ending = Ending { end_seq: scan.end_seq(), damaged: Vec::new(), dropped: None, clean: scan.closed };
    for bad in &scan.bad {
        ending.clean = false;
        if bad.unfinished && bad.first_seq >= watermark {
            ending.end_seq = bad.first_seq;
            ending.dropped = Some(dropped(raw, &scan, bad));
            return ending;
        }
        ending.damaged.push(raw.damage(bad));
    }
    // Nothing tells how many records the last bad range held. So that what is missing stays so, and no seq is ever given
    // to two records, the log goes on behind as many as there can have been.
    if let (Some(bad), Some(damage)) = (scan.bad.last(), ending.damaged.last_mut())
        && bad.records_max > 0
    {
        ending.end_seq = bad.first_seq.saturating_add(bad.records_max).clamp(watermark, SEQ_LIMIT.max(watermark));
        damage.end_seq = Some(ending.end_seq);
        damage.detail += &format!("; nothing tells how many records they held: {} at most", bad.records_max);
    }
    if ending.end_seq < watermark {
        ending.damaged.push(cut_short(raw, &scan, watermark));
        ending.end_seq = watermark;
    }
    ending
}

fn dropped(raw: &RawSegment, scan: &Scan, bad: &BadRange) -> Dropped {
    let intact: u64 =
        scan.positions.runs(bad.first_seq - scan.base_seq, u64::MAX).iter().map(|(from, to)| to - from).sum();
    // Frames without records may follow as well.
    let end = scan.bad.last().map_or(bad.end, |last| last.end).max(scan.end_offset);
    Dropped {
        path: raw.path.clone(),
        offset: bad.start,
        bytes: end.saturating_sub(bad.start),
        detail: bad.why.clone(),
        first_seq: bad.first_seq,
        possibly_acknowledged: intact,
        kept_in: None,
    }
}
