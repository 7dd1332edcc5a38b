//! An embedded append-only log engine for audit and event records.
#![forbid(unsafe_code)]

mod error;
mod ids;
#[cfg(feature = "json")]
pub mod json;
mod merkle;
pub mod msgpack;
mod names;
mod options;
mod raw;
mod reader;
mod record;
mod sealed;
pub mod storage;
mod view;

pub use batch::Batch;
pub use error::{Damage, Error, Result};
pub use ids::{FileId, Incarnation, LogId, Timestamp};
pub use log::{Log, SealReport};
pub use options::{Background, Durability, Options};
pub use reader::{LogInfo, ReadBuffer, Reader, Scan, ScanRange, SegmentInfo, Tail, VerifyReport};
pub use record::{Record, RecordBuf};
pub use recovery::{Dropped, RecoveryReport, Rewritten};
pub use storage::Storage;
