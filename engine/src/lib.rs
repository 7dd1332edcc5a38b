//! An embedded append-only log engine for audit and event records.
#![forbid(unsafe_code)]

#[cfg(feature = "json")]
pub mod json;
pub mod msgpack;
pub mod shape;
