//! An embedded append-only log engine for audit and event records.
#![forbid(unsafe_code)]

mod checksum;
mod error;
mod ids;
#[cfg(feature = "json")]
pub mod json;
pub mod msgpack;
mod names;
mod raw;
mod record;
pub mod storage;

pub use error::{Damage, Error, Result};
pub use ids::{FileId, Incarnation, LogId, Timestamp};
