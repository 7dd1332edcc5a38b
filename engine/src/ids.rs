//! The small types that name things: logs, files, incarnations, moments.

use std::fmt;

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

random_id! {
    /// The random id of a log, drawn when it is created. Displays as 32 hex digits.
    LogId
}
random_id! {
    /// The random id of a store of streams, drawn when it is created. Displays as 32 hex digits.
    StoreId
}
random_id! {
    /// The random id of a file, never used twice. Displays as 32 hex digits.
    FileId
}
random_id! {
    /// The random id drawn at each open of a log's writer, so that (incarnation, seq) never names two different
    /// records, even where a crash lost records that were never acknowledged. Displays as 32 hex digits.
    Incarnation
}

/// A moment in µs since the Unix epoch, UTC; before 1970 it is negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest moment that can be told.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest moment that can be told.
    pub const MAX: Self = Self(i64::MAX);

    /// The moment `micros` µs after the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// µs since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole UTC days since the Unix epoch, rounded down.
    pub const fn utc_day(self) -> i64 {
        self.0.div_euclid(86_400_000_000)
    }
}

impl From<std::time::SystemTime> for Timestamp {
    /// A moment beyond what µs in an `i64` can tell becomes the nearest that can be told.
    fn from(time: std::time::SystemTime) -> Self {
        let micros = |span: std::time::Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        match time.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => Self(micros(after)),
            Err(before) => Self(-micros(before.duration())),
        }
    }
}
