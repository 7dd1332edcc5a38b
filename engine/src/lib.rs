//! An embedded append-only log engine for audit and event records.
#![forbid(unsafe_code)]

pub mod msgpack;
pub mod shape;
