//! Where threads wait for their chunks, without the lock that those need who append.

use crate::sync::{Condvar, Mutex, MutexGuard};
use std::sync::PoisonError;

/// How many there are: enough for each chunk in flight and in the queue to have its own.
pub(super) const LANDINGS: usize = 16;

/// Where threads wait for one chunk; or for two, if one of them has landed long since.
#[derive(Debug)]
pub(super) struct Landing {
    seats: Mutex<Seats>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Seats {
    waiting: u32,
    /// One of those who wait is to look whether there is something to do.
    turn: bool,
    /// Nothing will land any more.
    over: bool,
}

impl Landing {
    pub(super) fn new() -> Self {
        Self { seats: Mutex::default(), changed: Condvar::new() }
    }

    /// Waits until `is_done`, or until it is this thread's turn to do something. Before it waits, `enter` gives up the lock
    /// under which the caller found out that it has to; from then on nothing goes unnoticed. Returns whether it is done.
    pub(super) fn wait(&self, enter: impl FnOnce(), is_done: impl Fn() -> bool) -> bool {
        let mut seats = self.lock();
        enter();
        seats.waiting += 1;
        let done = loop {
            if is_done() {
                break true;
            }
            if seats.over || std::mem::take(&mut seats.turn) {
                break false;
            }
            seats = self.changed.wait(seats).unwrap_or_else(PoisonError::into_inner);
        };
        seats.waiting -= 1;
        // A turn is not lost on somebody who is done.
        seats.turn &= seats.waiting > 0;
        if seats.turn {
            self.changed.notify_one();
        }
        done
    }

    /// Has all who wait look whether they are done.
    pub(super) fn wake(&self) {
        if self.lock().waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// Gives one of those who wait a turn. Returns whether anybody waits.
    pub(super) fn call(&self) -> bool {
        let mut seats = self.lock();
        seats.turn = seats.waiting > 0;
        if seats.turn {
            self.changed.notify_one();
        }
        seats.turn
    }

    /// Sends all away who wait, now and from now on.
    pub(super) fn end(&self) {
        self.lock().over = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
