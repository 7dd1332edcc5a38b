//! What a log tells of itself in numbers, by the facade `metrics` (feature `metrics`). docs/metrics.md names them all.
//!
//! Nothing is counted for each record: an append adds up in the queue, and is counted with the flight that writes it. Handles
//! are registered once, when a log is opened; telling is adding to a number from then on. Without the feature everything here
//! is empty, and compiles to nothing.

#[cfg(not(feature = "metrics"))]
mod off;
#[cfg(feature = "metrics")]
mod on;

#[cfg(not(feature = "metrics"))]
pub(crate) use off::{CacheMeter, Meter, QueryMeter};
#[cfg(feature = "metrics")]
pub(crate) use on::{CacheMeter, Meter, QueryMeter};

/// What an append waited for, before it got its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The queue was full.
    Queue,
    /// Too many segments waited to be sealed.
    Sealing,
    /// Records came too fast.
    Rate,
}
