//! Waiting for a change that others make, without a cost for them while nobody waits.

use crate::sync::{Condvar, Instant, Mutex, wait_timeout};
use std::sync::PoisonError;

/// A place to wait for one kind of change.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// How many threads wait.
    waiting: Mutex<u32>,
    changed: Condvar,
}

impl Watch {
    /// Has everybody who waits look again. To be called after the change.
    pub(crate) fn notify(&self) {
        let waiting = *self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// Waits until `done` says so, or until `deadline`. Returns what `done` says at the end.
    pub(crate) fn wait(&self, deadline: Option<Instant>, done: impl Fn() -> bool) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while !done() {
            *waiting += 1;
            waiting = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                None => self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => {
                    *waiting -= 1;
                    return done();
                }
                Some(left) => wait_timeout(&self.waiting, &self.changed, waiting, left),
            };
            *waiting -= 1;
        }
        true
    }
}
