//! The bytes of an immutable file, mapped or read: the one place in the workspace with `unsafe` code.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;

/// The most bytes of a file that are read into memory: some six times what the index of the largest segment can have.
pub const INDEX_BYTES_MAX: u64 = 24 << 20;

/// The bytes of an immutable file.
#[derive(Debug)]
pub enum Bytes {
    /// Mapped into memory.
    Mapped(memmap2::Mmap),
    /// Read into memory.
    Read(Vec<u8>),
}

impl Bytes {
    /// Maps `file` whole.
    ///
    /// Only for files that are complete when they get their name and are never written, truncated or renamed over
    /// afterwards: index files. A file that another process truncates under the map raises SIGBUS; where that can't
    /// be ruled out, use [`Bytes::read`].
    ///
    /// # Errors
    /// What the operating system says of the mapping.
    pub fn map(file: &File) -> io::Result<Self> {
        if file.metadata()?.len() == 0 {
            return Ok(Self::Read(Vec::new()));
        }
        // SAFETY: a mapping is unsound if the file's bytes change while a slice of them is held. The caller passes
        // an index file: written under a temporary name, never opened for writing again, and only ever unlinked
        // (docs/architecture.md, "Sealed means immutable"). All that is read from it is checked again against the
        // segment it points into, so even changed bytes lead to an error or a rebuild and not to a wrong record.
        unsafe { memmap2::Mmap::map(file) }.map(Self::Mapped)
    }

    /// Reads `file` whole, from its start.
    ///
    /// # Errors
    /// [`io::ErrorKind::FileTooLarge`] if it has more than [`INDEX_BYTES_MAX`], and what the operating system says of the
    /// reading.
    pub fn read(file: &File) -> io::Result<Self> {
        let mut bytes = Vec::new();
        file.take(INDEX_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > INDEX_BYTES_MAX {
            true => Err(io::ErrorKind::FileTooLarge.into()),
            false => Ok(Self::Read(bytes)),
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Read(bytes) => bytes,
        }
    }
}
