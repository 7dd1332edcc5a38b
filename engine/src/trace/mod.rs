//! Spans of what takes a while: opening, recovering, sealing, retention, by the facade `tracing` (feature `tracing`).
//! docs/metrics.md tells their fields. Without the feature everything here is empty, and compiles to nothing.

#[cfg(not(feature = "tracing"))]
mod off;
#[cfg(feature = "tracing")]
mod on;

#[cfg(not(feature = "tracing"))]
pub(crate) use off::Step;
#[cfg(feature = "tracing")]
pub(crate) use on::Step;
