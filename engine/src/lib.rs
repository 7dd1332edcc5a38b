//! An embedded, append-only log for audit and event records: append at the speed of the disk, lose nothing that was
//! acknowledged, find any record in O(1), prove that nothing was changed.
//!
//! ```
//! use annals::{Options, ScanRange};
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Login<'a> {
//!     user: &'a str,
//!     ok: bool,
//! }
//!
//! # fn main() -> annals::Result<()> {
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path().join("audit.annals");
//! let log = Options::new().open_or_create(&path)?;
//! let seq = log.append(&Login { user: "ada", ok: true })?; // on the disk when this returns
//! assert_eq!(log.get(seq)?.unwrap().decode::<Login>()?.user, "ada");
//!
//! let mut scan = log.reader().scan(ScanRange::all().reverse())?;
//! while let Some(record) = scan.advance()? {
//!     println!("{} {}", record.seq(), record.decode::<Login>()?.user);
//! }
//! log.close()
//! # }
//! ```
//!
//! A log is one directory with one writer and any number of readers, in this process or in others:
//!
//! - [`Options`] opens a log for appending, creating or recovering it; [`Log::recovery`] tells what was found.
//! - [`Log`] appends, from many threads at once. [`Durability`] says what an append waits for; [`Batch`] appends
//!   several records, all or none. [`Log::seal`] compresses and hashes what is there; a thread in the background does
//!   it for what is full.
//! - [`Log::append_once`] makes one record of each key, for sources that deliver at least once. [`Log::retain`] removes what
//!   is old or too much, but for what is held ([`Log::hold`]), and the log says so.
//! - [`RateLimit`] and [`Options::on_queue_full`] bound what a log takes. What is beyond that waits, is refused or is dropped, and what
//!   was dropped the log itself says.
//! - [`Reader`] needs no lock and no writer: [`Reader::get`] by seq, [`Reader::scan`] over a [`ScanRange`] of seqs and
//!   times in either direction, with several threads if that is asked for, [`Reader::tail`] to follow, [`Reader::verify`] to
//!   check every byte, hash and link. [`ReadBuffer::only`] and [`Scan::only`] read some fields of records alone.
//! - [`Reader::query`] finds the records for which a [`Condition`] on their fields holds; [`Reader::statistics`] counts them and
//!   adds up their fields by groups, and keeps what it adds up of sealed segments.
//! - [`Store`] holds many logs under one directory, one for each stream, with one handle and one budget of memory;
//!   [`StoreReader`] reads across them.
//! - [`Repair`] makes a damaged log whole again: everything that can be read is kept, and what can't is a [`Gap`].
//! - [`Record`] borrows its body, a MessagePack map; [`Record::decode`] makes it a value of a type,
//!   [`Record::value`] a dynamic one, and `to_json` JSON that is the same as what went in.
//!
//! Nothing here panics on what is on the disk. Damage is an [`Error::Damaged`] with file and offset, and everything
//! that is not damaged can still be read.
//!
//! Features: `json` (default) for JSON without loss; `metrics` and `tracing` for numbers and spans by the facades of these
//! names; `sim` for a simulated disk, to test crashes of what embeds a log.
//!
//! The format on disk, what an acknowledgement means, and how the code is laid out are in the repository's `docs/`:
//! `format.md`, `durability.md`, `architecture.md`.
#![forbid(unsafe_code)]

mod batch;
mod catalog;
mod checksum;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod codecs;
mod columns;
mod commit;
mod drops;
mod error;
mod fields;
mod footprint;
mod gap;
mod ids;
mod inspect;
#[cfg(feature = "json")]
pub mod json;
mod limits;
mod log;
mod merkle;
mod meter;
pub mod msgpack;
mod names;
mod once;
mod options;
mod query;
mod raw;
mod reader;
mod record;
mod recovery;
mod remembered;
mod repair;
mod retention;
mod sealed;
pub mod shape;
mod statistics;
pub mod storage;
mod store;
mod sync;
mod trace;
mod view;
mod watch;

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}

pub use batch::Batch;
pub use catalog::{Hold, Release, Removal};
pub use drops::{Drops, Limit};
pub use error::{Damage, Error, Result};
pub use gap::Gap;
pub use ids::{FileId, Incarnation, LogId, StoreId, Timestamp};
pub use inspect::{Piece, What, inspect};
pub use limits::{OnLimit, RateLimit};
pub use log::{Log, SealReport, Ticket};
pub use names::StreamName;
pub use options::{Background, Codec, Durability, Options};
pub use query::{Comparison, Condition, ConditionError, FieldPath, Matcher, Matches, Query, QueryStats, Value, field};
pub use reader::{LogInfo, ReadBuffer, Reader, Scan, ScanRange, SegmentInfo, Tail, VerifyReport};
pub use record::{Record, RecordBuf};
pub use recovery::{Dropped, RecoveryReport, Rewritten};
pub use repair::{Repair, RepairReport, Replaced, Restorable, StoreRepairReport};
pub use retention::{RetentionPolicy, RetentionReport, Stop};
pub use statistics::{
    FieldStatistics, Group, GroupKey, Quantiles, Statistics, StatisticsQuery, StatisticsWork, StoreStatistics,
};
pub use storage::Storage;
pub use store::{Store, StoreMatches, StoreOptions, StoreReader, Stream};
