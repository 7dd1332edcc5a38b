//! What can go wrong in an export.

use annals::msgpack::MsgPackError;
use std::path::PathBuf;

/// Why an export failed. Nothing half-written is left under its final name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The target is there already.
    #[error("{} is there already; choose another name or allow it to be overwritten", path.display())]
    Exists {
        /// What is in the way.
        path: PathBuf,
    },
    /// The system refused an operation on a file.
    #[error("could not {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The Parquet writer failed.
    #[error("could not write Parquet to {}", path.display())]
    Parquet {
        /// To which file.
        path: PathBuf,
        /// What the writer said.
        source: parquet::errors::ParquetError,
    },
    /// The columns could not be put together.
    #[error("could not build the columns of {}", path.display())]
    Arrow {
        /// For which file.
        path: PathBuf,
        /// What Arrow said.
        source: arrow::error::ArrowError,
    },
    /// A record body is not a MessagePack map.
    #[error("the body of record {seq} is damaged")]
    Body {
        /// Which record.
        seq: u64,
        /// What is wrong with it.
        source: MsgPackError,
    },
    /// A value has no place in the plan: the plan was made from the shape of other records.
    #[error("record {seq} has a value at {path} that the plan has no place for; plan from the shape of all records")]
    DoesNotFit {
        /// Which record.
        seq: u64,
        /// Where in it, as a JSON Pointer.
        path: String,
    },
    /// Records have to come in ascending order of seq, below 2⁶³.
    #[error("record {seq} can't follow record {previous:?}: seqs have to ascend and stay below 2^63")]
    Order {
        /// The record that was refused.
        seq: u64,
        /// The one before it.
        previous: Option<u64>,
    },
    /// Streams have to come in the order of their names, in bytes, each once.
    #[error(
        "stream {stream} can't follow stream {previous:?}: streams have to come in the order of their names, each once"
    )]
    StreamOrder {
        /// The stream that was refused.
        stream: String,
        /// The one before it.
        previous: Option<String>,
    },
    /// A record came before any stream was begun.
    #[error("record {seq} is of no stream: a stream has to be begun before its records come")]
    NoStream {
        /// The record that was refused.
        seq: u64,
    },
    /// A stream was begun where none is expected.
    #[error("there is no column for the name of stream {stream}; plan and export with the option with_stream")]
    StreamNotPlanned {
        /// The stream that was refused.
        stream: String,
    },
    /// A forced type names a column that is not there.
    #[error("there is no column {path} to give a type to")]
    NoSuchColumn {
        /// The path given.
        path: String,
    },
    /// An option is out of its bounds.
    #[error("{option} is out of bounds")]
    Option {
        /// Which one.
        option: &'static str,
    },
    /// An earlier call failed, so the file can't be finished.
    #[error("an earlier error ended this export")]
    Poisoned,
}
