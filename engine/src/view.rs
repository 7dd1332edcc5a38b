//! What readers see of a log: its segments, and how far they may read.
//!
//! The list of segments is an immutable snapshot behind a pointer: a reader that holds one goes on undisturbed while
//! segments are sealed or retired, since files are only ever unlinked and never changed.

use crate::catalog::Removed;
use crate::footprint::Footprint;
use crate::log::fields_of;
use crate::names::SegmentName;
use crate::query::FieldPath;
use crate::raw::RawSegment;
use crate::remembered::Remembered;
use crate::sealed::{SealedFile, SealedSlot};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{ArcSwap, Mutex, RwLock};
use crate::watch::Watch;
use crate::{Incarnation, LogId, Storage};
use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::{Arc, PoisonError};

/// How many of the newest sealed segments are asked which fields are indexed.
const FIELDS_SOUGHT: usize = 8;

/// A segment of a log.
#[derive(Debug, Clone)]
pub(crate) enum Segment {
    Raw(Arc<RawSegment>),
    Sealed(Arc<SealedSlot>),
}

impl Segment {
    pub(crate) fn name(&self) -> SegmentName {
        match self {
            Self::Raw(raw) => raw.name,
            Self::Sealed(sealed) => sealed.name,
        }
    }

    pub(crate) fn base_seq(&self) -> u64 {
        self.name().base_seq
    }
}

/// The segments of a log in order. Each holds the records from its base to the base of the next.
#[derive(Debug, Default, Clone)]
pub(crate) struct Chain {
    pub(crate) segments: Vec<Segment>,
    /// What retention removed, all before the first segment.
    pub(crate) removed: Arc<Removed>,
}

impl Chain {
    /// The segment that holds `seq`, if any does, and the end of what that segment holds: [`u64::MAX`] for the last.
    pub(crate) fn find(&self, seq: u64) -> Option<(usize, u64)> {
        let after = self.segments.partition_point(|segment| segment.base_seq() <= seq);
        let index = after.checked_sub(1)?;
        Some((index, self.end_of(index)))
    }

    /// The first seq that is there, or would be.
    pub(crate) fn first_seq(&self) -> u64 {
        self.segments.first().map_or(self.removed.end_seq(), Segment::base_seq)
    }

    /// The end of what the segment at `index` holds: [`u64::MAX`] for the last.
    pub(crate) fn end_of(&self, index: usize) -> u64 {
        self.segments.get(index + 1).map_or(u64::MAX, Segment::base_seq)
    }

    /// The slot of the sealed segment `name`: the one that is here, or a new one.
    pub(crate) fn slot(&self, name: SegmentName) -> Arc<SealedSlot> {
        let known = self.segments.iter().find_map(|segment| match segment {
            Segment::Sealed(slot) if slot.name == name => Some(Arc::clone(slot)),
            _ => None,
        });
        known.unwrap_or_else(|| Arc::new(SealedSlot::new(name)))
    }

    /// The raw segments, in order.
    pub(crate) fn raws(&self) -> impl Iterator<Item = &Arc<RawSegment>> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Raw(raw) => Some(raw),
            Segment::Sealed(_) => None,
        })
    }
}

/// What all readers of a log share.
#[derive(Debug, Default)]
pub(crate) struct View {
    chain: ArcSwap<Chain>,
    /// How many sealed segments are held open at once.
    open_files_max: usize,
    /// Held while the list of segments is changed, by nobody who reads.
    changing: Mutex<()>,
    /// The sealed segments whose files are open, the one opened first in front.
    opened: Mutex<VecDeque<Arc<SealedSlot>>>,
    /// The segment that is appended to.
    active: Mutex<Option<SegmentName>>,
    visible_seq: AtomicU64,
    durable_seq: AtomicU64,
    /// Sealing can't go on, because of damage or for want of space: nobody is to wait for it.
    sealing_stuck: AtomicBool,
    /// The fields that are indexed, if who opened the log has named them.
    index_fields: RwLock<Option<Vec<FieldPath>>>,
    closed: AtomicBool,
    /// What statistics keep of records that are not sealed.
    pub(crate) remembered: Remembered,
    /// Where to wait for records: to be visible, or durable.
    pub(crate) records: Watch,
    /// Where to wait for segments: to be begun, ended or sealed, or for sealing to be stuck.
    pub(crate) segments: Watch,
}

impl View {
    pub(crate) fn new(chain: Chain, visible_seq: u64, footprint: Footprint) -> Self {
        let chain = ArcSwap::new(Arc::new(chain));
        let view = Self { chain, open_files_max: footprint.open_files, ..Self::default() };
        view.advance(visible_seq, visible_seq);
        view
    }

    /// The segments as they are now.
    pub(crate) fn chain(&self) -> Arc<Chain> {
        self.chain.load_full()
    }

    /// The segments as they are now, for a look that ends soon: without a count that all threads would change.
    pub(crate) fn chain_now(&self) -> impl Deref<Target = Arc<Chain>> {
        self.chain.load()
    }

    /// Readers may read the records below this.
    pub(crate) fn visible_seq(&self) -> u64 {
        self.visible_seq.load(Ordering::Acquire)
    }

    pub(crate) fn durable_seq(&self) -> u64 {
        self.durable_seq.load(Ordering::Acquire)
    }

    /// Lets readers have more. What is durable is visible before anybody hears that it is durable.
    pub(crate) fn advance(&self, visible_seq: u64, durable_seq: u64) {
        self.visible_seq.fetch_max(visible_seq, Ordering::AcqRel);
        self.durable_seq.fetch_max(durable_seq, Ordering::AcqRel);
    }

    /// Changes the list of segments.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Chain)) {
        {
            let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
            let mut next = Chain::clone(&self.chain.load());
            change(&mut next);
            self.chain.store(Arc::new(next));
        }
        self.segments.notify();
    }

    /// The file of a sealed segment, opened at the first need. Keeps the number of open files within bounds.
    pub(crate) fn open(
        &self,
        slot: &Arc<SealedSlot>,
        storage: &Arc<dyn Storage>,
        log_id: LogId,
    ) -> crate::Result<Arc<SealedFile>> {
        if let Some(file) = slot.opened() {
            return Ok(file);
        }
        let file = slot.file(storage, log_id)?;
        self.note_opened(slot);
        Ok(file)
    }

    fn note_opened(&self, slot: &Arc<SealedSlot>) {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.push_back(Arc::clone(slot));
        if opened.len() > self.open_files_max
            && let Some(first) = opened.pop_front()
        {
            first.close();
        }
    }

    /// Takes segments out of those that are open in turn: no file of theirs can be opened again. For whoever still goes
    /// through a list with them, `open` opens the files of as many as are held open at all.
    pub(crate) fn retire(&self, retired: &[Arc<SealedSlot>], open: impl Fn(&SealedSlot) -> crate::Result<()>) {
        let is_retired = |slot: &Arc<SealedSlot>| retired.iter().any(|retired| Arc::ptr_eq(retired, slot));
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).retain(|slot| !is_retired(slot));
        for slot in retired.iter().filter(|slot| Arc::strong_count(slot) > 1).take(self.open_files_max) {
            // One that can't be opened is reported to its reader as removed.
            let _ = open(slot);
        }
    }

    /// Names the fields that are indexed.
    pub(crate) fn name_index_fields(&self, fields: Vec<FieldPath>) {
        *self.index_fields.write().unwrap_or_else(PoisonError::into_inner) = Some(fields);
    }

    /// The fields that are indexed: as whoever opened the log has named them, or as the newest sealed segment has them.
    pub(crate) fn index_fields(&self, storage: &Arc<dyn Storage>, log_id: LogId) -> Vec<FieldPath> {
        if let Some(named) = &*self.index_fields.read().unwrap_or_else(PoisonError::into_inner) {
            return named.clone();
        }
        let chain = self.chain();
        let sealed = chain.segments.iter().rev().filter_map(|segment| match segment {
            Segment::Sealed(slot) => Some(slot),
            Segment::Raw(_) => None,
        });
        // The newest ones may have gaps, and so no index.
        let mut indexes = sealed.take(FIELDS_SOUGHT).filter_map(|slot| self.open(slot, storage, log_id).ok()?.fields());
        indexes.next().map_or_else(Vec::new, |index| fields_of(&index))
    }

    /// The segment that is appended to.
    pub(crate) fn active(&self) -> Option<SegmentName> {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the segment that is appended to from now on.
    pub(crate) fn begin_segment(&self, segment: &Arc<RawSegment>) {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner) = Some(segment.name);
        self.change(|chain| chain.segments.push(Segment::Raw(Arc::clone(segment))));
    }

    /// Notes that the active segment is complete.
    pub(crate) fn end_segment(&self) {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.segments.notify();
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.records.notify();
        self.segments.notify();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn set_sealing_stuck(&self, stuck: bool) {
        self.sealing_stuck.store(stuck, Ordering::Release);
        self.segments.notify();
    }

    /// Whether no more than `max` complete segments of the writer `incarnation` wait to be sealed, or sealing doesn't go
    /// on. Those that earlier writers left may wait for company, and nobody waits for them.
    pub(crate) fn is_sealed_enough(&self, max: usize, incarnation: Incarnation) -> bool {
        // The last one is, or was until a moment ago, the active one.
        self.sealing_stuck.load(Ordering::Acquire)
            || self.is_closed()
            || self.chain().raws().filter(|raw| raw.writer() == incarnation).count() <= max + 1
    }
}
