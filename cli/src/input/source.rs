//! One input: a file or stdin, plain or compressed, whatever its name says.

use std::fs::File;
use std::io::{self, BufReader, Chain, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use crate::failure::{Failure, Result};

/// Bytes read from a file at once.
const READ_BYTES: usize = 256 << 10;
/// Enough bytes to tell what a stream is.
const MAGIC_BYTES: u64 = 4;

/// Where lines come from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
    /// Bytes of this program, under a name to show.
    Embedded(&'static str, &'static [u8]),
}

impl Source {
    /// The source an argument names: `-` is stdin.
    pub(crate) fn from_argument(argument: PathBuf) -> Self {
        if argument == Path::new("-") { Self::Stdin } else { Self::File(argument) }
    }

    /// What to call it in messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Stdin => "standard input".to_owned(),
            Self::File(path) => path.display().to_string(),
            Self::Embedded(name, _) => (*name).to_owned(),
        }
    }

    /// Its size as it is stored, where that is known. Fails if it can't be opened, so that a misspelled name among many is
    /// found before anything is appended.
    pub(crate) fn check(&self) -> Result<Option<u64>> {
        match self {
            Self::Stdin => Ok(None),
            Self::Embedded(_, bytes) => Ok(Some(bytes.len() as u64)),
            Self::File(path) => {
                let metadata = File::open(path)
                    .and_then(|file| file.metadata())
                    .map_err(|error| Failure::io("open", path, &error))?;
                if metadata.is_dir() {
                    return Err(Failure::Failed(format!("{} is a directory: name the files in it", path.display())));
                }
                Ok(metadata.is_file().then_some(metadata.len()))
            }
        }
    }

    /// Whether what is there now may be all for a while, so that it has to be passed on without waiting for more.
    pub(crate) fn is_live(&self) -> bool {
        match self {
            Self::Stdin => true,
            Self::File(path) => !path.is_file(),
            Self::Embedded(..) => false,
        }
    }

    /// Opens it for reading its plain bytes.
    pub(crate) fn open(&self, meter: &Arc<Meter>) -> io::Result<Box<dyn Read + Send>> {
        let raw: Box<dyn Read + Send> = match self {
            Self::Stdin => Box::new(io::stdin()),
            Self::File(path) => Box::new(File::open(path)?),
            Self::Embedded(_, bytes) => Box::new(*bytes),
        };
        decode(Metered { raw, meter: Arc::clone(meter) })
    }
}

/// What is known of the reading from outside.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    bytes: AtomicU64,
    failed: AtomicBool,
}

impl Meter {
    /// Bytes read so far, as they are stored.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether the operating system failed to read, as opposed to bytes that make no sense.
    pub(crate) fn io_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

struct Metered {
    raw: Box<dyn Read + Send>,
    meter: Arc<Meter>,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.raw.read(buffer) {
            Ok(count) => {
                self.meter.bytes.fetch_add(count as u64, Ordering::Relaxed);
                Ok(count)
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::Interrupted {
                    self.meter.failed.store(true, Ordering::Relaxed);
                }
                Err(error)
            }
        }
    }
}

type Whole = Chain<Cursor<Vec<u8>>, Metered>;

/// Tells gzip (RFC 1952) and Zstandard (RFC 8878) by their magic numbers; all else is plain.
fn decode(mut raw: Metered) -> io::Result<Box<dyn Read + Send>> {
    let mut magic = Vec::new();
    raw.by_ref().take(MAGIC_BYTES).read_to_end(&mut magic)?;
    let kind = magic.clone();
    let whole: Whole = Cursor::new(magic).chain(raw);
    Ok(match kind[..] {
        // Concatenated members are one stream.
        [0x1F, 0x8B, ..] => Box::new(MultiGzDecoder::new(BufReader::with_capacity(READ_BYTES, whole))),
        // So are concatenated frames; a stream may also begin with a skippable one.
        [0x28, 0xB5, 0x2F, 0xFD] | [0x50..=0x5F, 0x2A, 0x4D, 0x18] => {
            Box::new(zstd::stream::read::Decoder::with_buffer(BufReader::with_capacity(READ_BYTES, whole))?)
        }
        _ => Box::new(whole),
    })
}
