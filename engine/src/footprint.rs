//! How much a log keeps in memory and sets aside on disk to be quick: as the only one, or as one of many streams.

/// See the module. All are limits, none of which any promise depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Footprint {
    /// Bytes that were written last and are kept for readers, since direct writes leave none in the system's cache.
    pub(crate) recent_bytes: usize,
    /// Largest buffer that is kept to be filled again.
    pub(crate) spare_bytes: usize,
    /// How much of a file is prepared first.
    pub(crate) prepare_bytes: u64,
    /// Sealed segments that are held open at once. Each takes a file handle and about 150 KiB, most of it for its dictionary,
    /// so that both stay bounded however long the log grows.
    pub(crate) open_files: usize,
}

impl Footprint {
    /// Of a log that is opened by itself.
    pub(crate) const LOG: Self =
        Self { recent_bytes: 1 << 20, spare_bytes: 1 << 20, prepare_bytes: 256 << 10, open_files: 256 };
    /// Of one stream of many.
    pub(crate) const STREAM: Self =
        Self { recent_bytes: 16 << 10, spare_bytes: 16 << 10, prepare_bytes: 16 << 10, open_files: 1 };
}
