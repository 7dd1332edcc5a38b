//! The seam between the engine and the world: every byte read or written, every clock and every random id comes
//! through [`Storage`]. Real directories are [`DirStorage`]; the simulated disk is `SimDisk` (feature `sim`).
//!
//! Names are relative to the log's directory, either `name` or `folder/name` (see `names.rs`). Implementations
//! don't interpret them.

use crate::Timestamp;
use std::fmt::Debug;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

mod aligned;
mod dir;
#[cfg(feature = "sim")]
pub mod sim;

pub(crate) use aligned::{AlignedBuf, BLOCK_BYTES};
pub use dir::DirStorage;

/// A place that holds the files of one log, or of a store of streams.
pub trait Storage: Debug + Send + Sync {
    /// How a person would name `name` in this place: a path.
    fn describe(&self, name: &str) -> String;

    /// The names of the files in `folder` (`""` is the log's directory itself), without the folder, in no order.
    /// Folders are left out.
    ///
    /// # Errors
    /// As the operating system says; a folder that doesn't exist is [`io::ErrorKind::NotFound`].
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Opens a file that exists, for reading.
    ///
    /// # Errors
    /// As the operating system says.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Opens a file that exists, for reading and writing.
    ///
    /// # Errors
    /// As the operating system says.
    fn open_write(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Opens a file that exists for direct writes: no cache of the system's stands in between. `durable`: what
    /// [`File::write_at`] has taken is durable when it returns, as far as the file has been reserved and synced before.
    /// Offsets, lengths and addresses of what is written are multiples of 4096. Many threads may write at once, where they
    /// don't overlap. Nothing else is done with such a handle.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] where there is no such thing, and as the operating system says. A file system may
    /// also refuse only the first write, as [`io::ErrorKind::InvalidInput`].
    fn open_direct(&self, name: &str, durable: bool) -> io::Result<Arc<dyn File>> {
        let _ = (name, durable);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Creates a file for reading and writing.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] where there is one already.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// The whole of an immutable file; mapped where that is possible and allowed.
    ///
    /// # Errors
    /// As the operating system says.
    fn map(&self, name: &str) -> io::Result<annals_index::Bytes>;

    /// Whether [`Storage::map`] maps files, and so costs nothing for what is not looked at.
    fn maps_files(&self) -> bool {
        false
    }

    /// Gives a file another name in the same folder, in one step. Durable after [`Storage::sync_dir`].
    ///
    /// # Errors
    /// As the operating system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file's name; who has it open goes on reading. Durable after [`Storage::sync_dir`].
    ///
    /// # Errors
    /// As the operating system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Creates `folder` (`""`: the log's directory itself, with its parents) unless it is there.
    ///
    /// # Errors
    /// As the operating system says.
    fn create_dir(&self, folder: &str) -> io::Result<()>;

    /// Makes creations, renames and removals in `folder` durable.
    ///
    /// # Errors
    /// As the operating system says.
    fn sync_dir(&self, folder: &str) -> io::Result<()>;

    /// The names of the folders in the directory itself, in no order. What only leads to a folder elsewhere is left out.
    /// For a [`crate::Store`] alone.
    ///
    /// # Errors
    /// As the operating system says; [`io::ErrorKind::Unsupported`] where there can be no stores.
    fn folders(&self) -> io::Result<Vec<String>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The folder `name` of the directory itself as a place of its own, which need not exist yet. For a [`crate::Store`] alone:
    /// each of its streams is a log in such a place.
    ///
    /// # Errors
    /// As the operating system says; [`io::ErrorKind::InvalidInput`] if what has that name is no folder, or only leads to one;
    /// [`io::ErrorKind::Unsupported`] where there can be no stores.
    fn folder(&self, name: &str) -> io::Result<Arc<dyn Storage>> {
        let _ = name;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Takes the exclusive lock `name`, creating its file if needed, and writes `holder` into it. The lock lasts
    /// until what is returned is dropped.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if another holds it, with what the holder wrote as the error's text.
    fn lock(&self, name: &str, holder: &str) -> io::Result<Box<dyn Lock>>;

    /// The clock.
    fn now(&self) -> Timestamp;

    /// Time that has passed since some moment, the same for each call: it never goes back, and nobody sets it. What is limited
    /// goes by it.
    fn elapsed(&self) -> Duration {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        BEGAN.get_or_init(Instant::now).elapsed()
    }

    /// 128 random bits.
    ///
    /// # Errors
    /// Where the operating system has none to give.
    fn random(&self) -> io::Result<[u8; 16]>;

    /// An id that changes when the machine restarts: what was written but not synced before may be gone.
    fn boot_id(&self) -> [u8; 16];
}

/// A lock that is held until it is dropped.
pub trait Lock: Debug + Send + Sync {}

/// An open file. All methods may be called from many threads at once.
#[allow(clippy::len_without_is_empty)] // Its length is asked of the system, which may refuse.
pub trait File: Debug + Send + Sync {
    /// Reads at `offset` into `buffer`; returns how many bytes there were, 0 only at the end of the file.
    ///
    /// # Errors
    /// As the operating system says, [`io::ErrorKind::Interrupted`] included.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes at `offset`; returns how many bytes were taken.
    ///
    /// # Errors
    /// As the operating system says, [`io::ErrorKind::Interrupted`] included.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Makes the file `len` bytes long if it is shorter, with space for them set aside and zeros in them.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] and whatever else the operating system says; the file may be longer then.
    fn reserve(&self, len: u64) -> io::Result<()>;

    /// Makes the file's bytes and length durable.
    ///
    /// # Errors
    /// As the operating system says. After an error nothing is known of what is durable, and a retry proves nothing.
    fn sync(&self) -> io::Result<()>;

    /// The file's length in bytes.
    ///
    /// # Errors
    /// As the operating system says.
    fn len(&self) -> io::Result<u64>;

    /// Where from `offset` on bytes may be other than zero: all before are known to be zeros. So that holes in a file
    /// need not be read; `offset` itself is always right.
    ///
    /// # Errors
    /// As the operating system says.
    fn data_from(&self, offset: u64) -> io::Result<u64> {
        Ok(offset)
    }
}

/// Whether `error` says that the process, or the system, can open no more files. The standard library has no kind for it.
pub(crate) fn is_out_of_files(error: &io::Error) -> bool {
    #[cfg(unix)]
    const NO_MORE: [i32; 2] = [23, 24]; // ENFILE and EMFILE, on all of them.
    #[cfg(not(unix))]
    const NO_MORE: [i32; 1] = [4]; // ERROR_TOO_MANY_OPEN_FILES
    error.raw_os_error().is_some_and(|code| NO_MORE.contains(&code))
}

/// How many interruptions in a row are overcome.
const INTERRUPTIONS_MAX: u32 = 1_000;

/// Repeats `call` while it is interrupted.
fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    for _ in 0..INTERRUPTIONS_MAX {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
    call()
}

/// Reads exactly `buffer.len()` bytes at `offset`.
///
/// # Errors
/// [`io::ErrorKind::UnexpectedEof`] if the file ends before, and what [`File::read_at`] says.
pub(crate) fn read_exact_at(file: &dyn File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match uninterrupted(|| file.read_at(buffer, offset))? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                buffer = &mut buffer[read..];
                offset += read as u64;
            }
        }
    }
    Ok(())
}

/// Writes all of `bytes` at `offset`.
///
/// # Errors
/// [`io::ErrorKind::WriteZero`] if the file takes no more, and what [`File::write_at`] says.
pub(crate) fn write_all_at(file: &dyn File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match uninterrupted(|| file.write_at(bytes, offset))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
        }
    }
    Ok(())
}
