//! What threads meet at: the standard library's locks, threads and clock, or those of a checker of concurrency.
//!
//! Everything in the engine that blocks, or that another thread may see change, comes from here. Built with
//! `--cfg annals_shuttle`, as only `.ci/schedules` does, it is shuttle's: one thread runs at a time, and shuttle decides
//! at every operation which one, so that a run can be repeated exactly (docs/testing.md, "Schedules"). It is no feature,
//! since features are unified over all that a program is made of.
//!
//! Not from here are the lock of the shared dictionaries and those of the block cache, inside of which nobody waits, the
//! cache's hints, and `Arc`, since nothing depends on the order in which counts change.

#[cfg(annals_shuttle)]
pub(crate) use checked::*;
#[cfg(not(annals_shuttle))]
pub(crate) use real::*;

#[cfg(not(annals_shuttle))]
mod real {
    pub(crate) use arc_swap::{ArcSwap, ArcSwapOption};
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard, atomic};
    pub(crate) use std::time::Instant;
    pub(crate) use std::{thread, thread_local};

    use std::sync::PoisonError;
    use std::time::Duration;

    /// Waits for `condvar` for at most `left`. `guard` is of `mutex`.
    pub(crate) fn wait_timeout<'a, T>(
        _mutex: &'a Mutex<T>,
        condvar: &Condvar,
        guard: MutexGuard<'a, T>,
        left: Duration,
    ) -> MutexGuard<'a, T> {
        condvar.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Time is simulated: it stands still but where a thread waits for it. A wait with a timeout may end at any moment, with
/// its time over or not, whether it was notified or not. So threads may be as slow and timers as early as they like;
/// what a timed wait can't show is a notification that is lost, as its timer would hide that in truth, too.
#[cfg(annals_shuttle)]
mod checked {
    pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, atomic};
    pub(crate) use shuttle::thread_local;

    use shuttle::rand::RngCore;
    use std::cell::Cell;
    use std::ops::{Add, Deref};
    use std::sync::{Arc, PoisonError};
    use std::time::Duration;

    /// As `std::sync::OnceLock`, of which shuttle has none.
    pub(crate) struct OnceLock<T> {
        making: Mutex<()>,
        value: std::sync::OnceLock<T>,
    }

    impl<T> OnceLock<T> {
        pub(crate) fn new() -> Self {
            Self { making: Mutex::new(()), value: std::sync::OnceLock::new() }
        }

        pub(crate) fn get(&self) -> Option<&T> {
            self.value.get()
        }

        pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
            let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
            self.value.get_or_init(make)
        }
    }

    /// As `arc_swap::Guard`.
    pub(crate) struct Loaded<T>(T);

    impl<T> Deref for Loaded<T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.0
        }
    }

    /// As `arc_swap::ArcSwapAny`, which has no scheduling points of its own.
    #[derive(Debug, Default)]
    pub(crate) struct Swap<T>(RwLock<T>);

    pub(crate) type ArcSwap<T> = Swap<Arc<T>>;
    pub(crate) type ArcSwapOption<T> = Swap<Option<Arc<T>>>;

    impl<T: Clone> Swap<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(RwLock::new(value))
        }

        pub(crate) fn load_full(&self) -> T {
            self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
        }

        pub(crate) fn load(&self) -> Loaded<T> {
            Loaded(self.load_full())
        }

        pub(crate) fn store(&self, value: T) {
            *self.0.write().unwrap_or_else(PoisonError::into_inner) = value;
        }
    }

    std::thread_local! {
        // All threads of an execution are one thread of the system. Only differences count, so it need not begin anew.
        static CLOCK: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    fn pass(time: Duration) {
        CLOCK.set(CLOCK.get() + time);
    }

    /// As `std::time::Instant`, of the simulated time.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Instant(Duration);

    impl Instant {
        pub(crate) fn now() -> Self {
            Self(CLOCK.get())
        }

        pub(crate) fn checked_add(self, time: Duration) -> Option<Self> {
            self.0.checked_add(time).map(Self)
        }

        pub(crate) fn saturating_duration_since(self, earlier: Self) -> Duration {
            self.0.saturating_sub(earlier.0)
        }
    }

    impl Add<Duration> for Instant {
        type Output = Self;

        fn add(self, time: Duration) -> Self {
            Self(self.0 + time)
        }
    }

    pub(crate) fn wait_timeout<'a, T>(
        mutex: &'a Mutex<T>,
        _condvar: &Condvar,
        guard: MutexGuard<'a, T>,
        left: Duration,
    ) -> MutexGuard<'a, T> {
        drop(guard);
        shuttle::thread::yield_now();
        if shuttle::rand::thread_rng().next_u32().is_multiple_of(2) {
            pass(left);
        }
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) mod thread {
        pub(crate) use shuttle::thread::{Builder, JoinHandle, panicking};

        pub(crate) fn sleep(time: std::time::Duration) {
            shuttle::thread::yield_now();
            super::pass(time);
        }
    }
}
