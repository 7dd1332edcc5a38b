//! How a log is opened: every choice with its default, unit and bounds.

use crate::catalog::check_fields;
use crate::error::{Error, Result};
use crate::footprint::Footprint;
use crate::limits::{OnLimit, RateLimit};
use crate::query::FieldPath;
use crate::raw::frame::FRAME_BYTES_MAX;
use std::time::Duration;

/// When an append returns, and so what the record has survived by then. docs/durability.md tells the whole of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// The record is in memory, and is written and synced within `interval`. A killed process loses it.
    Buffered {
        /// Longest time until the record is synced; at least 1 ms.
        interval: Duration,
    },
    /// The record has been given to the operating system. A killed process loses nothing; a crash of the system or a
    /// power cut may.
    Written,
    /// The record has been synced to the disk. Nothing that the disk survives loses it.
    Durable,
}

/// Who does the work that no caller waits for: interval syncs, watermarks of an idle log, sealing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Background {
    /// Two threads of the log's own.
    #[default]
    Threads,
    /// Nobody, until [`crate::Log::maintain`] is called.
    Manual,
}

/// How the records of a sealed segment are kept. Either way they come back byte for byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Codec {
    /// One after the other, compressed with a dictionary: a record is read soonest, and sealing takes least memory.
    #[default]
    Rows,
    /// By column: far smaller where records are alike. Sealing learns the columns from the segment and takes about three
    /// times its size in memory.
    Columns,
}

/// Default of [`Options::compression_level`].
pub(crate) const COMPRESSION_LEVEL_DEFAULT: i32 = crate::sealed::LEVEL_DEFAULT;
/// Bounds of [`Options::compression_level`].
pub(crate) const COMPRESSION_LEVEL_RANGE: std::ops::RangeInclusive<i32> = 1..=19;
/// Default of [`Options::segment_bytes`].
pub(crate) const SEGMENT_BYTES_DEFAULT: u64 = 32 << 20;
/// Bounds of [`Options::segment_bytes`].
pub(crate) const SEGMENT_BYTES_RANGE: std::ops::RangeInclusive<u64> = (64 << 10)..=(2 << 30);
/// Default of [`Options::queue_bytes`].
pub(crate) const QUEUE_BYTES_DEFAULT: usize = 8 << 20;
/// Default of [`Options::unsealed_segments_max`].
pub(crate) const UNSEALED_SEGMENTS_MAX_DEFAULT: usize = 2;

/// Default of [`Options::once_records`].
pub(crate) const ONCE_RECORDS_DEFAULT: u64 = 100_000;
/// Default of [`Options::cache_bytes`].
pub(crate) const CACHE_BYTES_DEFAULT: usize = 8 << 20;

/// Options of a log. They apply to one opening; none but [`Options::index_fields`] is stored in the log.
///
/// ```no_run
/// # fn main() -> Result<(), annals::Error> {
/// use annals::{Durability, Options};
/// let log = Options::new().durability(Durability::Written).roll_daily(true).open_or_create("audit.annals")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) durability: Durability,
    pub(crate) segment_bytes: u64,
    pub(crate) segment_age: Option<Duration>,
    pub(crate) roll_daily: bool,
    pub(crate) queue_bytes: usize,
    pub(crate) on_queue_full: OnLimit,
    pub(crate) rate_limit: Option<RateLimit>,
    pub(crate) unsealed_segments_max: usize,
    pub(crate) background: Background,
    pub(crate) map_files: bool,
    pub(crate) direct_io: bool,
    pub(crate) codec: Codec,
    pub(crate) compression_level: i32,
    pub(crate) once_records: u64,
    pub(crate) once_age: Option<Duration>,
    pub(crate) cache_bytes: usize,
    /// `None`: those that were named last.
    pub(crate) index_fields: Option<Vec<FieldPath>>,
    /// No choice of a user's: a store makes it for its streams.
    pub(crate) footprint: Footprint,
    /// No choice of a user's: a repair appends again what told of dropped records.
    pub(crate) tells_drops: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Durable,
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            segment_age: None,
            roll_daily: false,
            queue_bytes: QUEUE_BYTES_DEFAULT,
            on_queue_full: OnLimit::Wait,
            rate_limit: None,
            unsealed_segments_max: UNSEALED_SEGMENTS_MAX_DEFAULT,
            background: Background::Threads,
            map_files: false,
            direct_io: true,
            codec: Codec::Rows,
            compression_level: COMPRESSION_LEVEL_DEFAULT,
            once_records: ONCE_RECORDS_DEFAULT,
            once_age: None,
            cache_bytes: CACHE_BYTES_DEFAULT,
            index_fields: None,
            footprint: Footprint::LOG,
            tells_drops: false,
        }
    }
}

impl Options {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The defaults, but for logs that take in as many records as they can, in bursts: larger segments, of which more may wait to
    /// be sealed, at level 1, and a longer queue. Costs up to 1 GiB of disk for segments that wait, memory of the order of the
    /// queue's 32 MiB, and a few per cent of size. docs/benchmarks.md, "Presets", has what it brings.
    ///
    /// ```
    /// let options = annals::Options::throughput().cache_bytes(64 << 20);
    /// ```
    pub fn throughput() -> Self {
        Self::new().segment_bytes(128 << 20).unsealed_segments_max(8).queue_bytes(32 << 20).compression_level(1)
    }

    /// The defaults, but for logs whose appends are to wait as shortly as they can, and whose readers want single records:
    /// sealing may fall behind by half a gigabyte before an append waits for it, and readers have 64 MiB for blocks.
    pub fn latency() -> Self {
        Self::new().unsealed_segments_max(16).cache_bytes(64 << 20)
    }

    /// The defaults, but for logs that are kept long and read seldom: sealed by column. Sealing is slower and takes about three times a
    /// segment's size in memory.
    pub fn storage() -> Self {
        Self::new().codec(Codec::Columns)
    }

    /// What an append waits for unless the call asks for more. Default: [`Durability::Durable`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How large a segment grows before the next is begun, in bytes. Default 32 MiB; 64 KiB to 2 GiB. A batch can't
    /// be larger than a segment.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// How old a segment grows before an append begins the next. Default: any age; more than zero.
    #[must_use]
    pub fn segment_age(mut self, age: Duration) -> Self {
        self.segment_age = Some(age);
        self
    }

    /// Whether the first append of a UTC day, by the clock, begins a segment. Default: no.
    #[must_use]
    pub fn roll_daily(mut self, daily: bool) -> Self {
        self.roll_daily = daily;
        self
    }

    /// How many bytes of records may wait to be written before appends wait too, or what [`Options::on_queue_full`] says happens.
    /// Default 8 MiB; at least 64 KiB. A larger batch is accepted when nothing else waits.
    #[must_use]
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.queue_bytes = bytes;
        self
    }

    /// What happens to an append when [`Options::queue_bytes`] wait already. Default: it waits.
    #[must_use]
    pub fn on_queue_full(mut self, on_limit: OnLimit) -> Self {
        self.on_queue_full = on_limit;
        self
    }

    /// How fast records may come, and what happens to those that come faster. Default: as fast as they like. With it, each append
    /// reads a monotonic clock once more. An opening begins with a full bucket.
    #[must_use]
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.rate_limit = Some(limit);
        self
    }

    /// How many full segments may wait to be sealed before appends wait for sealing. Default 2; at least 1.
    #[must_use]
    pub fn unsealed_segments_max(mut self, segments: usize) -> Self {
        self.unsealed_segments_max = segments;
        self
    }

    /// Who seals and syncs in the background. Default: threads of the log's own.
    #[must_use]
    pub fn background(mut self, background: Background) -> Self {
        self.background = background;
        self
    }

    /// Whether index files are mapped into memory; otherwise they are read. Default: read. A process that has mapped one is
    /// killed by the system (SIGBUS) if anybody truncates it.
    #[must_use]
    pub fn map_files(mut self, map: bool) -> Self {
        self.map_files = map;
        self
    }

    /// Whether the log is written past the system's cache where the file system allows that, several writes at once, each
    /// durable when it ends; otherwise through the cache, one write and sync at a time. Default: yes. At
    /// [`Durability::Written`] it is always the cache.
    #[must_use]
    pub fn direct_io(mut self, direct: bool) -> Self {
        self.direct_io = direct;
        self
    }

    /// How the records of sealed segments are kept. Default: [`Codec::Rows`]. Segments that are sealed already stay as they
    /// are, and are read whatever is said here.
    #[must_use]
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// The zstd level of sealed segments. Default 3; 1 to 19. Higher levels seal more slowly and read as fast.
    #[must_use]
    pub fn compression_level(mut self, level: i32) -> Self {
        self.compression_level = level;
        self
    }

    /// Among how many of the newest records, with a key or without, [`crate::Log::append_once`] looks for one with the same key.
    /// Default 100,000; at least 1. Each that has a key takes about 60 bytes of memory.
    #[must_use]
    pub fn once_records(mut self, records: u64) -> Self {
        self.once_records = records;
        self
    }

    /// How old, by its time and the clock, a record may be to count for [`crate::Log::append_once`]. Default: any age.
    #[must_use]
    pub fn once_age(mut self, age: Duration) -> Self {
        self.once_age = Some(age);
        self
    }

    /// Memory for blocks of sealed segments and for pages of field indexes, in bytes, that all readers of the log share. A block
    /// that is read again and again is kept, decompressed, and a page that was read is kept, checked, until others need the
    /// place. A page has about a thousand values and takes 4 KiB. Default 8 MiB; 0 for none.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// The fields whose values are indexed, so that queries find records by them without a scan. At most 64, none twice, each
    /// of at most 1 KiB as it is spelled. Default: those that were named last; none in a new log.
    ///
    /// This option, unlike the others, is stored: the log's catalog keeps the fields for later openings that name none, unless
    /// it is damaged. Segments are indexed when they are sealed, off the way of appends; those that are sealed already get what
    /// they lack in the background. An empty list ends indexing, and leaves the indexes that are there.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use annals::{Options, field};
    /// let options = Options::new().index_fields([field("request_id")?, field("user.name")?]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn index_fields(mut self, fields: impl IntoIterator<Item = FieldPath>) -> Self {
        self.index_fields = Some(fields.into_iter().collect());
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        let invalid = |option, detail: &str| Err(Error::InvalidOption { option, detail: detail.into() });
        if !SEGMENT_BYTES_RANGE.contains(&self.segment_bytes) {
            return invalid("segment_bytes", "a segment has 64 KiB to 2 GiB");
        }
        if self.segment_age.is_some_and(|age| age.is_zero()) {
            return invalid("segment_age", "a segment that is too old when it begins would hold nothing");
        }
        if !COMPRESSION_LEVEL_RANGE.contains(&self.compression_level) {
            return invalid("compression_level", "a zstd level is 1 to 19");
        }
        if self.queue_bytes < 64 << 10 {
            return invalid("queue_bytes", "at least 64 KiB have to be able to wait");
        }
        if self.once_records == 0 {
            return invalid("once_records", "at least one record has to be looked at");
        }
        if self.unsealed_segments_max == 0 {
            return invalid("unsealed_segments_max", "at least one segment has to be able to wait");
        }
        self.rate_limit.map_or(Ok(()), |limit| limit.check())?;
        check_fields(self.index_fields.as_deref().unwrap_or_default())?;
        if let Durability::Buffered { interval } = self.durability
            && interval < Duration::from_millis(1)
        {
            return invalid("durability", "the interval of a buffered log is at least 1 ms");
        }
        Ok(())
    }

    /// Whether appends are limited in another way than that they wait for the queue.
    pub(crate) fn has_limits(&self) -> bool {
        self.rate_limit.is_some() || self.on_queue_full != OnLimit::Wait
    }

    /// Whether raw segments may tell of dropped records.
    pub(crate) fn may_tell_drops(&self) -> bool {
        let drops_rate = self.rate_limit.is_some_and(|limit| limit.on_limit == OnLimit::Drop);
        self.tells_drops || drops_rate || self.on_queue_full == OnLimit::Drop
    }

    /// The largest frame, in bytes.
    pub(crate) fn frame_bytes_max(&self, overhead: u64) -> u64 {
        (self.segment_bytes - overhead).min(FRAME_BYTES_MAX as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_that_is_too_old_at_once_is_refused() {
        let refused = Options::new().segment_age(Duration::ZERO).check();
        assert!(matches!(refused, Err(Error::InvalidOption { option: "segment_age", .. })), "{refused:?}");
        Options::new().segment_age(Duration::from_nanos(1)).check().unwrap();
    }
}
