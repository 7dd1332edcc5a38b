//! An embedded append-only log engine for audit and event records.
#![forbid(unsafe_code)]

mod error;
mod ids;
#[cfg(feature = "json")]
pub mod json;
mod merkle;
pub mod msgpack;
pub mod shape;
