//! Directories for measurements that go away afterwards.

use std::path::PathBuf;

/// A directory in memory where there is such a thing, for what shall not wait for a disk; otherwise a temporary one.
///
/// # Panics
/// If no directory can be made: then nothing can be measured.
pub fn in_memory() -> tempfile::TempDir {
    let shared = PathBuf::from("/dev/shm");
    tempfile::tempdir_in(shared).or_else(|_| tempfile::tempdir()).expect("a temporary directory can be made")
}
