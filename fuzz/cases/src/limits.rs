//! What a case may take: 64 MiB of memory at its peak and one second of processor time. An allocator that counts for
//! each thread, so that cases may run side by side; what zstd's C code takes is not counted.

use rustix::time::{ClockId, clock_gettime};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

/// Most bytes that a case may hold at once.
const BYTES_MAX: usize = 64 << 20;
/// Beyond this an allocation fails, so that a bomb ends its own process and nothing else.
const BYTES_REFUSED: usize = 512 << 20;
/// Most processor time of a case.
const TIME_MAX: Duration = Duration::from_secs(1);

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

impl Counting {
    /// Counts `bytes` more; `false` if there are too many then.
    fn take(bytes: usize) -> bool {
        let live = LIVE.get().saturating_add(bytes);
        if live > BYTES_REFUSED {
            return false;
        }
        LIVE.set(live);
        PEAK.set(PEAK.get().max(live));
        true
    }

    fn give(bytes: usize) {
        // What another thread allocated may be freed here.
        LIVE.set(LIVE.get().saturating_sub(bytes));
    }
}

// SAFETY: every call is passed on to the system's allocator with the same arguments, or fails with a null pointer as
// the trait allows. The counters are plain cells without destructors, so that touching them allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !Self::take(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !Self::take(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::give(layout.size());
        // SAFETY: `pointer` came from the system's allocator, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !Self::take(size.saturating_sub(layout.size())) {
            return std::ptr::null_mut();
        }
        Self::give(layout.size().saturating_sub(size));
        // SAFETY: as in `dealloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Runs `case`, and panics if it took more than it may.
pub(crate) fn within(name: &str, case: impl FnOnce()) {
    let before = LIVE.get();
    PEAK.set(before);
    let begin = processor_time();
    case();
    let (taken, time) = (PEAK.get().saturating_sub(before), processor_time() - begin);
    assert!(taken <= BYTES_MAX, "{name}: a case held {taken} bytes at once, of {BYTES_MAX} that it may");
    assert!(time <= TIME_MAX, "{name}: a case took {time:?} of processor time, of {TIME_MAX:?} that it may");
}
