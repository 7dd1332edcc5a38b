//! Blocks that are kept in memory, decompressed, for all readers of a log; and pages of field indexes, checked.
//!
//! A block is known by its file's id and its place in the file, a page by its file's id and its number. Sealed files and indexes
//! never change and file ids are never used twice, so what is kept is never stale. A block is kept when it is asked for again,
//! not long after: who reads a log once, in any order, pays for nothing that is not used. A page is kept at once: it has a
//! thousand values, and to read it costs more than to keep it.
//!
//! Who finds a block waits for nobody and changes nothing that other threads look at
//! ([why](../../../docs/decisions/0015-reading.md)). Blocks have one of a few places each, by their hash; which of them goes
//! is decided by a clock: one that was used since the hand came by is passed over once.

use super::kept::{KeptBlock, OVERHEAD_BYTES};
use crate::FileId;
use crate::meter::CacheMeter;
use annals_index::FieldPage;
use arc_swap::{ArcSwapOption, Guard};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A set of places has so many.
const WAYS: usize = 4;

/// Bytes of a page: there are twice the places that pages need.
const PAGE_BYTES: usize = 4 << 10;
const SETS: std::ops::RangeInclusive<usize> = 4..=1 << 20;

/// A block or a page may take no more than this share of the cache.
const SHARE: usize = 4;

/// For so many bytes of the cache, one block that was asked for is remembered: about as many as fit. With more, blocks
/// would be kept that are driven out before they are asked for.
const BYTES_A_NOTE: usize = 32 << 10;
const NOTES: std::ops::RangeInclusive<usize> = 16..=1 << 20;

/// No more than so many times are counted: the lowest bits of a note.
const ASKS_MAX: u64 = 7;

/// See the module. All methods may be called from many threads at once.
pub(crate) struct BlockCache {
    bytes_max: usize,
    places: Box<[Place]>,
    /// The hashes of blocks that were asked for and not kept, each where its hash says, with how often that was in the lowest
    /// bits. Only hints: what another thread overwrites is asked for once more.
    asked: Box<[AtomicU64]>,
    hasher: RandomState,
    meter: CacheMeter,
    /// Held while a block is put in its place, and never while anything is waited for.
    clock: Mutex<Clock>,
}

#[derive(Default)]
struct Place {
    /// The hash of what was put here last: what has another need not be looked at. Only a hint, too.
    hash: AtomicU64,
    /// Made for the first block: to drop one takes a look at every thread, and most openings keep few blocks.
    entry: OnceLock<ArcSwapOption<Entry>>,
    is_used: AtomicBool,
}

impl Place {
    fn load(&self) -> Option<Guard<Option<Arc<Entry>>>> {
        Some(self.entry.get()?.load())
    }

    /// Whether there is something, and `is_it`.
    fn holds(&self, is_it: impl FnOnce(&Arc<Entry>) -> bool) -> bool {
        self.load().is_some_and(|entry| entry.as_ref().is_some_and(is_it))
    }

    /// Puts something here. Returns the bytes of what was there.
    fn put(&self, hash: u64, entry: &Arc<Entry>) -> usize {
        self.hash.store(hash, Ordering::Relaxed);
        bytes_of(&self.entry.get_or_init(ArcSwapOption::default).swap(Some(Arc::clone(entry))))
    }

    /// Gives up what is here. Returns its bytes.
    fn empty(&self) -> usize {
        self.entry.get().map_or(0, |entry| bytes_of(&entry.swap(None)))
    }
}

#[derive(Debug)]
struct Entry {
    file: FileId,
    /// The offset of a block, or the number of a page.
    at: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Block(KeptBlock),
    Page(Arc<FieldPage>),
}

impl Entry {
    fn is(&self, file: FileId, at: u64) -> bool {
        self.at == at && self.file == file
    }

    /// Bytes of memory, about.
    fn bytes(&self) -> usize {
        match &self.content {
            Content::Block(block) => block.bytes(),
            Content::Page(page) => OVERHEAD_BYTES + page.bytes(),
        }
    }
}

#[derive(Default)]
struct Clock {
    hand: usize,
    /// Bytes of all that is kept.
    bytes: usize,
}

/// A block of the cache, which stays while this does, whatever the cache keeps.
#[derive(Debug)]
pub(crate) struct CachedBlock(Guard<Option<Arc<Entry>>>);

impl CachedBlock {
    /// The block.
    pub(crate) fn block(&self) -> Option<&KeptBlock> {
        match &self.0.as_ref()?.content {
            Content::Block(block) => Some(block),
            Content::Page(_) => None,
        }
    }
}

impl std::fmt::Debug for BlockCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockCache").field("bytes_max", &self.bytes_max).finish_non_exhaustive()
    }
}

impl BlockCache {
    /// A cache of at most `bytes`; `None` if that is 0.
    pub(crate) fn new(bytes: usize, meter: CacheMeter) -> Option<Arc<Self>> {
        let sets = (2 * (bytes / PAGE_BYTES) / WAYS).clamp(*SETS.start(), *SETS.end());
        let notes = (bytes / BYTES_A_NOTE).clamp(*NOTES.start(), *NOTES.end());
        (bytes > 0).then(|| {
            Arc::new(Self {
                bytes_max: bytes,
                places: (0..sets * WAYS).map(|_| Place::default()).collect(),
                asked: (0..notes).map(|_| AtomicU64::new(0)).collect(),
                hasher: RandomState::new(),
                meter,
                clock: Mutex::default(),
            })
        })
    }

    fn hash(&self, file: FileId, at: u64) -> u64 {
        self.hasher.hash_one((file.0, at))
    }

    /// The places that a block or a page may have.
    fn set(&self, hash: u64) -> &[Place] {
        let sets = self.places.len() / WAYS;
        let first = (hash as usize % sets) * WAYS;
        &self.places[first..first + WAYS]
    }

    /// The block at `offset` of `file`, if it is kept.
    pub(super) fn get(&self, file: FileId, offset: u64) -> Option<CachedBlock> {
        let found = self.find(file, offset);
        self.meter.asked(found.is_some());
        found.map(CachedBlock)
    }

    /// The page of this number of the field index `file`, if it is kept.
    pub(super) fn page(&self, file: FileId, number: u64) -> Option<Arc<FieldPage>> {
        match &self.find(file, number)?.as_ref()?.content {
            Content::Page(page) => Some(Arc::clone(page)),
            Content::Block(_) => None,
        }
    }

    fn find(&self, file: FileId, at: u64) -> Option<Guard<Option<Arc<Entry>>>> {
        let hash = self.hash(file, at);
        self.set(hash).iter().filter(|place| place.hash.load(Ordering::Relaxed) == hash).find_map(|place| {
            let found = place.load()?;
            found.as_ref().filter(|entry| entry.is(file, at))?;
            // Written only if that changes it: others look at it, too.
            if !place.is_used.load(Ordering::Relaxed) {
                place.is_used.store(true, Ordering::Relaxed);
            }
            Some(found)
        })
    }

    /// Notes that the block was asked for. Returns how often it was, this time included and at most [`ASKS_MAX`], since others
    /// were that took its note's place.
    pub(super) fn note_asked(&self, file: FileId, offset: u64) -> u64 {
        let hash = self.hash(file, offset) & !ASKS_MAX;
        let note = &self.asked[(hash >> 32) as usize % self.asked.len()];
        let before = note.load(Ordering::Relaxed);
        let asks = if before & !ASKS_MAX == hash { ((before & ASKS_MAX) + 1).min(ASKS_MAX) } else { 1 };
        note.store(hash | asks, Ordering::Relaxed);
        asks
    }

    /// Keeps a block, in place of others if need be, unless it is too large. Returns it.
    pub(super) fn keep(&self, file: FileId, offset: u64, block: KeptBlock) -> CachedBlock {
        CachedBlock(Guard::from_inner(Some(self.put(Entry { file, at: offset, content: Content::Block(block) }))))
    }

    /// Keeps a page of the field index `file`, as [`BlockCache::keep`].
    pub(super) fn keep_page(&self, file: FileId, number: u64, page: Arc<FieldPage>) {
        self.put(Entry { file, at: number, content: Content::Page(page) });
    }

    fn put(&self, entry: Entry) -> Arc<Entry> {
        let (file, at, bytes) = (entry.file, entry.at, entry.bytes());
        let entry = Arc::new(entry);
        if bytes <= self.bytes_max / SHARE {
            let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
            let hash = self.hash(file, at);
            let place = place_in(self.set(hash), file, at);
            place.is_used.store(false, Ordering::Relaxed);
            clock.bytes += bytes;
            clock.bytes -= place.put(hash, &entry);
            while clock.bytes > self.bytes_max {
                self.evict_next(&mut clock, &entry);
            }
        }
        entry
    }

    /// Moves the hand on by one place, and gives up what is there, unless it was used since or is `new`.
    fn evict_next(&self, clock: &mut Clock, new: &Arc<Entry>) {
        let place = &self.places[clock.hand];
        clock.hand = (clock.hand + 1) % self.places.len();
        let is_old = place.holds(|entry| !Arc::ptr_eq(entry, new));
        if is_old && !place.is_used.swap(false, Ordering::Relaxed) {
            clock.bytes -= place.empty();
        }
    }

    /// Bytes of all that is kept.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let bytes = self.places.iter().filter_map(Place::load).map(|entry| bytes_of(&entry)).sum();
        assert_eq!(bytes, self.clock.lock().unwrap().bytes);
        bytes
    }
}

/// Where in `set` something goes: where it is already, where nothing is, where nothing was used, or in the first place.
fn place_in(set: &[Place], file: FileId, at: u64) -> &Place {
    let same = set.iter().find(|place| place.holds(|entry| entry.is(file, at)));
    let empty = || set.iter().find(|place| !place.holds(|_| true));
    // Those before it are passed over for this time.
    let unused = || set.iter().find(|place| !place.is_used.swap(false, Ordering::Relaxed));
    same.or_else(empty).or_else(unused).unwrap_or(&set[0])
}

fn bytes_of(entry: &Option<Arc<Entry>>) -> usize {
    entry.as_ref().map_or(0, |entry| entry.bytes())
}
