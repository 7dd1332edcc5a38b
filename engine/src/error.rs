//! What can go wrong, with the facts a person needs to act on it.

use crate::catalog::Removal;
use crate::drops::Limit;
use crate::gap::Gap;
use crate::msgpack::MsgPackError;
use crate::query::ConditionError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The result of this crate's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Bytes on disk that are not what the format says they have to be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    /// The file.
    pub path: String,
    /// Where in the file, in bytes from its start.
    pub offset: u64,
    /// What was found there, and what was expected.
    pub detail: String,
    /// The first record that can't be read because of it, where that is known.
    pub first_seq: Option<u64>,
    /// The first record after those that can't be read, where that is known.
    pub end_seq: Option<u64>,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is damaged at byte {}: {}", self.path, self.offset, self.detail)?;
        match (self.first_seq, self.end_seq) {
            (Some(first), Some(end)) if end > first => write!(f, " (records {first} to {})", end - 1),
            (Some(first), None) => write!(f, " (from record {first})"),
            _ => Ok(()),
        }
    }
}

/// Everything the engine reports.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused something.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: String,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// Another process, or another handle in this one, has the log open for writing.
    #[error("{path} is open for writing by {holder}: one writer at a time; readers need no lock")]
    Locked {
        /// The log's directory.
        path: String,
        /// Who holds it, as the holder wrote it down.
        holder: String,
    },
    /// There is no log in the directory.
    #[error("{path} is not an Annals log: it has no identity file")]
    NotALog {
        /// The directory.
        path: String,
    },
    /// The directory is a store of streams, and one log was asked for.
    #[error("{path} is a store of many streams, not one log: each of its streams is a log in a directory of its own")]
    IsAStore {
        /// The directory.
        path: String,
    },
    /// There is no store of streams in the directory.
    #[error("{path} is not a store of streams: {detail}")]
    NotAStore {
        /// The directory.
        path: String,
        /// What is there.
        detail: &'static str,
    },
    /// A store has no such stream.
    #[error("{path} has no stream {name}")]
    NoStream {
        /// The store's directory.
        path: String,
        /// The stream that was asked for.
        name: crate::StreamName,
    },
    /// A store has as many streams as it may have, and none more was created.
    #[error(
        "{path} has as many streams as it may have, {most}, and stream {name} would be another; the option streams_max sets how many \
         there may be"
    )]
    TooManyStreams {
        /// The store's directory.
        path: String,
        /// The stream that would have been new.
        name: crate::StreamName,
        /// How many there may be.
        most: usize,
    },
    /// A text that can't be the name of a stream.
    #[error("`{name}` can't be the name of a stream: {detail}; 1 to 80 bytes without control characters can")]
    StreamName {
        /// The text, cut and with escapes.
        name: String,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// A log was to be created where one is.
    #[error("{path} already holds a log")]
    AlreadyExists {
        /// The directory.
        path: String,
    },
    /// A directory that holds other files was to become a log.
    #[error("{path} is not empty and holds no log: choose another directory (found {found})")]
    NotEmpty {
        /// The directory.
        path: String,
        /// One of the files in it.
        found: String,
    },
    /// The file is sound but made by a newer version.
    #[error("{path}: {detail}")]
    Unsupported {
        /// The file.
        path: String,
        /// What this version doesn't know.
        detail: String,
    },
    /// The bytes on disk are damaged.
    #[error("{0}; run `annals verify` for all of it")]
    Damaged(Damage),
    /// The log says of the record that it is missing: a repair could not bring it back.
    #[error("{0}")]
    Gap(Gap),
    /// The record was removed by retention, with all that its segment held.
    #[error("{0}")]
    Removed(Arc<Removal>),
    /// An earlier write or sync failed; nothing is accepted until the log is opened again.
    #[error("the log accepts nothing until it is opened again, since an earlier step failed: {0}")]
    Poisoned(Arc<Error>),
    /// There is no space for more records. Nothing was written, and the log goes on as soon as there is space.
    #[error("no space to prepare {path} for more records: free some and append again ({source})")]
    DiskFull {
        /// The file that was to grow.
        path: String,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// The process can open no more files, and the log needs another for more records. Nothing was written, and the log goes on
    /// as soon as one can be opened.
    #[error(
        "no more files can be opened, and {path} is needed for more records: close some or raise the limit, and append again ({source})"
    )]
    OutOfFiles {
        /// The file that was to be created.
        path: String,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// Records come faster than the log's [`crate::RateLimit`]. Nothing was appended.
    #[error("records come faster than the log's rate limit: append again in {retry_after:?}")]
    RateLimited {
        /// After this time the same append is within the limit, if no others come before it.
        retry_after: Duration,
    },
    /// As many bytes wait to be written as may. Nothing was appended.
    #[error("{waiting} bytes wait to be written, and {limit} may: append again when some are written")]
    QueueFull {
        /// How many bytes wait.
        waiting: u64,
        /// How many may wait: [`crate::Options::queue_bytes`].
        limit: u64,
    },
    /// The records are beyond a limit, and the log drops such ([`crate::OnLimit::Drop`]): they have no seqs, and one of the log's
    /// own records will count them.
    #[error("the append was beyond {} and is dropped: the log will count its records ({records})", limit.name())]
    Dropped {
        /// The limit.
        limit: Limit,
        /// How many records were dropped: those of the call.
        records: u64,
    },
    /// A record, key or batch beyond the limits.
    #[error("{what} has {found} bytes; the limit is {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size in bytes.
        found: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// An option outside its bounds.
    #[error("option {option}: {detail}")]
    InvalidOption {
        /// The option's name.
        option: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// A body that was passed in encoded is not a MessagePack map.
    #[error("the record body is not acceptable: {0}")]
    InvalidBody(#[from] MsgPackError),
    /// The value could not be encoded as a MessagePack map.
    #[error("the record cannot be encoded: {0}")]
    Encode(String),
    /// The stored body is not of the type that was asked for.
    #[error("record {seq} is not of the type asked for: {detail}")]
    Decode {
        /// The record.
        seq: u64,
        /// What differs.
        detail: String,
    },
    /// A condition that can't be used.
    #[error("the condition can't be used: {0}")]
    Condition(#[from] ConditionError),
    /// Statistics of more groups, or with more memory, than they may have.
    #[error(
        "the statistics have {what}: ask by fields with fewer values or for fewer of them, or raise the limit of {option}"
    )]
    StatisticsTooLarge {
        /// What is too large.
        what: String,
        /// The option that limits it.
        option: &'static str,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

impl Error {
    /// Wraps what the operating system said of `action` ("read", "create", …) on the file at `path`.
    pub(crate) fn io(action: &'static str, path: String) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path, source: Arc::new(source) }
    }

    /// Whether a file could not be prepared, for a reason that may pass, before anything was placed in it.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::OutOfFiles { .. })
    }

    /// Whether bytes on disk are damaged, as opposed to anything else that may go wrong.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged(_) => true,
            Self::Poisoned(cause) => cause.is_damage(),
            _ => false,
        }
    }
}
