//! Blocks that are kept in memory, decompressed, for all readers of a log.
//!
//! A block is known by its file's id and its place in the file. Sealed files never change and file ids are never used
//! twice, so what is kept is never stale. A block is kept when it is asked for again, not long after: who reads a log once,
//! in any order, pays for nothing that is not used.
//!
//! Who finds a block waits for nobody and changes nothing that other threads look at
//! ([why](../../../docs/decisions/0015-reading.md)). Blocks have one of a few places each, by their hash; which of them goes
//! is decided by a clock: one that was used since the hand came by is passed over once.

use super::kept::KeptBlock;
use crate::FileId;
use crate::meter::CacheMeter;
use arc_swap::{ArcSwapOption, Guard};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A set of places has so many.
const WAYS: usize = 4;

/// Bytes of a small block: there are twice the places that blocks of this size need.
const BLOCK_BYTES: usize = 16 << 10;
const SETS: std::ops::RangeInclusive<usize> = 4..=1 << 20;

/// A block may take no more than this share of the cache.
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
    /// Made for the first block: to drop one takes a look at every thread, and most openings keep few blocks.
    entry: OnceLock<ArcSwapOption<Entry>>,
    is_used: AtomicBool,
}

impl Place {
    fn load(&self) -> Option<Guard<Option<Arc<Entry>>>> {
        Some(self.entry.get()?.load())
    }

    /// Whether there is a block, and `is_it`.
    fn holds(&self, is_it: impl FnOnce(&Arc<Entry>) -> bool) -> bool {
        self.load().is_some_and(|entry| entry.as_ref().is_some_and(is_it))
    }

    /// Puts a block here. Returns the bytes of the one before.
    fn put(&self, entry: &Arc<Entry>) -> usize {
        bytes_of(&self.entry.get_or_init(ArcSwapOption::default).swap(Some(Arc::clone(entry))))
    }

    /// Gives up the block. Returns its bytes.
    fn empty(&self) -> usize {
        self.entry.get().map_or(0, |entry| bytes_of(&entry.swap(None)))
    }
}

#[derive(Debug)]
struct Entry {
    file: FileId,
    offset: u64,
    block: KeptBlock,
}

#[derive(Default)]
struct Clock {
    hand: usize,
    /// Bytes of all blocks.
    bytes: usize,
}

/// A block of the cache, which stays while this does, whatever the cache keeps.
#[derive(Debug)]
pub(crate) struct CachedBlock(Guard<Option<Arc<Entry>>>);

impl CachedBlock {
    /// The block.
    pub(crate) fn block(&self) -> Option<&KeptBlock> {
        self.0.as_ref().map(|entry| &entry.block)
    }
}

impl std::fmt::Debug for BlockCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockCache").field("bytes_max", &self.bytes_max).finish_non_exhaustive()
    }
}

impl BlockCache {
    /// A cache of at most `bytes` of blocks; `None` if that is 0.
    pub(crate) fn new(bytes: usize, meter: CacheMeter) -> Option<Arc<Self>> {
        let sets = (2 * (bytes / BLOCK_BYTES) / WAYS).clamp(*SETS.start(), *SETS.end());
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

    fn hash(&self, file: FileId, offset: u64) -> u64 {
        self.hasher.hash_one((file.0, offset))
    }

    /// The places that a block may have.
    fn set(&self, hash: u64) -> &[Place] {
        let sets = self.places.len() / WAYS;
        let first = (hash as usize % sets) * WAYS;
        &self.places[first..first + WAYS]
    }

    /// The block at `offset` of `file`, if it is kept.
    pub(super) fn get(&self, file: FileId, offset: u64) -> Option<CachedBlock> {
        let found = self.set(self.hash(file, offset)).iter().find_map(|place| {
            let found = place.load()?;
            found.as_ref().filter(|entry| entry.offset == offset && entry.file == file)?;
            // Written only if that changes it: others look at it, too.
            if !place.is_used.load(Ordering::Relaxed) {
                place.is_used.store(true, Ordering::Relaxed);
            }
            Some(CachedBlock(found))
        });
        self.meter.asked(found.is_some());
        found
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
        let bytes = block.bytes();
        let entry = Arc::new(Entry { file, offset, block });
        if bytes <= self.bytes_max / SHARE {
            let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
            let set = self.set(self.hash(file, offset));
            let place = place_in(set, file, offset);
            place.is_used.store(false, Ordering::Relaxed);
            clock.bytes += bytes;
            clock.bytes -= place.put(&entry);
            while clock.bytes > self.bytes_max {
                self.evict_next(&mut clock, &entry);
            }
        }
        CachedBlock(Guard::from_inner(Some(entry)))
    }

    /// Moves the hand on by one place, and gives up the block there, unless it was used since or is `new`.
    fn evict_next(&self, clock: &mut Clock, new: &Arc<Entry>) {
        let place = &self.places[clock.hand];
        clock.hand = (clock.hand + 1) % self.places.len();
        let is_new = place.holds(|entry| Arc::ptr_eq(entry, new));
        if !is_new && !place.is_used.swap(false, Ordering::Relaxed) {
            clock.bytes -= place.empty();
        }
    }

    /// Bytes of the blocks that are kept.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let bytes = self.places.iter().filter_map(Place::load).map(|entry| bytes_of(&entry)).sum();
        assert_eq!(bytes, self.clock.lock().unwrap().bytes);
        bytes
    }
}

/// Where in `set` a block goes: where it is already, where nothing is, where nothing was used, or in the first place.
fn place_in(set: &[Place], file: FileId, offset: u64) -> &Place {
    let same = set.iter().find(|place| place.holds(|entry| entry.offset == offset && entry.file == file));
    let empty = || set.iter().find(|place| !place.holds(|_| true));
    // Those before it are passed over for this time.
    let unused = || set.iter().find(|place| !place.is_used.swap(false, Ordering::Relaxed));
    same.or_else(empty).or_else(unused).unwrap_or(&set[0])
}

fn bytes_of(entry: &Option<Arc<Entry>>) -> usize {
    entry.as_ref().map_or(0, |entry| entry.block.bytes())
}
