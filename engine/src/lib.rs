//! An embedded append-only log engine for audit and event records.
#![forbid(unsafe_code)]

mod batch;
mod checksum;
mod commit;
mod error;
mod ids;
mod inspect;
#[cfg(feature = "json")]
pub mod json;
mod log;
mod merkle;
pub mod msgpack;
mod names;
mod options;
mod raw;
mod reader;
mod record;
mod recovery;
mod sealed;
pub mod shape;
pub mod storage;
mod view;

pub use batch::Batch;
pub use error::{Damage, Error, Result};
pub use ids::{FileId, Incarnation, LogId, Timestamp};
pub use inspect::{Piece, What, inspect};
pub use log::{Log, SealReport};
pub use options::{Background, Durability, Options};
pub use reader::{LogInfo, ReadBuffer, Reader, Scan, ScanRange, SegmentInfo, Tail, VerifyReport};
pub use record::{Record, RecordBuf};
pub use recovery::{Dropped, RecoveryReport, Rewritten};
pub use storage::Storage;
