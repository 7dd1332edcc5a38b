//! Opening a sealed file: its header or the copy, its directory, what is lost of either.

use super::bytes::Salt;
use super::layout::{Directory, TRAILER_BYTES, Trailer, blocks_at};
use crate::error::{Damage, Error, Result};
use crate::names::SegmentName;
use crate::storage::{File, Storage, read_exact_at};
use crate::{FileId, LogId};
use annals_index::{FileHeader, FileKind, HEADER_BYTES, HeaderError};
use std::io;
use std::sync::Arc;

/// How much of a file's end is read at once: its trailer, directory and small sections.
const TAIL_BYTES: u64 = 4 << 10;

/// An open file, and what its ends say.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: Arc<dyn File>,
    pub(super) path: String,
    pub(super) len: u64,
    pub(super) header: FileHeader,
    pub(super) salt: Salt,
    pub(super) blocks_at: u64,
    pub(super) directory: Result<Directory, Damage>,
    /// What is wrong with the header at the start and with its copy.
    pub(super) header_damage: [Option<Damage>; 2],
    tail: Vec<u8>,
}

impl Opened {
    /// Opens the file `file_name`, which is or is to become the segment `name`, and reads its ends.
    pub(super) fn new(storage: &dyn Storage, file_name: &str, name: SegmentName, log_id: LogId) -> Result<Self> {
        let path = storage.describe(file_name);
        let file = storage.open(file_name).map_err(Error::io("open", path.clone()))?;
        let len = file.len().map_err(Error::io("read the length of", path.clone()))?;
        let read = |offset: u64, bytes: u64| {
            let mut buffer = vec![0; bytes as usize];
            read_exact_at(&*file, &mut buffer, offset).map_err(Error::io("read", path.clone())).map(|()| buffer)
        };
        let front = read(0, len.min(HEADER_BYTES as u64))?;
        let tail_bytes = len.min(TAIL_BYTES);
        let tail = read(len - tail_bytes, tail_bytes)?;
        let trailer = tail.last_chunk::<TRAILER_BYTES>();

        let damage =
            |offset, detail: String| Damage { path: path.clone(), offset, detail, first_seq: None, end_seq: None };
        let judged = |bytes: &[u8], offset| match judge(bytes, name, log_id) {
            Ok(header) => Ok(header),
            Err(Refusal::Damaged(detail)) => Err(Ok(damage(offset, detail))),
            Err(Refusal::Unsupported(detail)) => Err(Err(Error::Unsupported { path: path.clone(), detail })),
        };
        let copy_at = len.saturating_sub(TRAILER_BYTES as u64);
        let headers = [judged(&front, 0), judged(trailer.map_or(&[][..], Trailer::header_copy), copy_at)];
        let header = match &headers {
            [Ok((header, at)), _] | [_, Ok((header, at))] => (header.clone(), *at),
            [Err(Err(unsupported)), _] | [_, Err(Err(unsupported))] => return Err(unsupported.clone()),
            [Err(Ok(damage)), _] => return Err(Error::Damaged(damage.clone())),
        };
        let (header, blocks_at) = header;
        let salt = Salt::of(&header);
        let header_damage = headers.map(|judged| match judged {
            Ok((own, _)) if own == header => None,
            Ok(_) => Some(damage(copy_at, "the two copies of the file header differ".to_owned())),
            Err(Ok(damage)) => Some(damage),
            Err(Err(_)) => Some(damage(copy_at, "one copy of the file header is of a newer version".to_owned())),
        });
        let mut opened = Self {
            directory: Err(damage(copy_at, "the file is too short for a trailer: it may have been cut".to_owned())),
            file,
            path,
            len,
            header,
            salt,
            blocks_at,
            header_damage,
            tail,
        };
        if let Some(trailer) = opened.tail.last_chunk::<TRAILER_BYTES>().copied() {
            opened.directory = match Trailer::decode(&trailer, salt, len) {
                Ok(trailer) => opened.read_directory(&trailer)?,
                Err(detail) => Err(opened.damage(copy_at, detail)),
            };
        }
        Ok(opened)
    }

    fn read_directory(&self, trailer: &Trailer) -> Result<Result<Directory, Damage>> {
        let at = trailer.directory_at;
        let bytes = match self.read(at, u64::from(trailer.directory_len))? {
            Ok(bytes) => bytes,
            Err(damage) => return Ok(Err(damage)),
        };
        if self.salt.crc(&bytes) != trailer.directory_crc {
            return Ok(Err(self.damage(at, "the section directory doesn't match its checksum")));
        }
        Ok(Directory::decode(&bytes, at).ok_or_else(|| self.damage(at, "the section directory contradicts itself")))
    }

    /// The `len` bytes at `offset`, all of which lie in the file; or damage, where the file has become shorter.
    pub(super) fn read(&self, offset: u64, len: u64) -> Result<Result<Vec<u8>, Damage>> {
        let mut bytes = Vec::new();
        Ok(self.read_into(&mut bytes, offset, len)?.map(|()| bytes))
    }

    /// [`Opened::read`] into `bytes`, in place of what is there: of no meaning after damage or an error.
    pub(super) fn read_into(&self, bytes: &mut Vec<u8>, offset: u64, len: u64) -> Result<Result<(), Damage>> {
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            return Ok(Err(
                self.damage(offset, &format!("{len} bytes are told to be here, beyond the end of the file"))
            ));
        }
        let tail_at = self.len - self.tail.len() as u64;
        if let Some(from) = offset.checked_sub(tail_at) {
            bytes.clear();
            bytes.extend_from_slice(&self.tail[from as usize..(from + len) as usize]);
            return Ok(Ok(()));
        }
        // What is there is written over, and need not be zeroed.
        bytes.resize(len as usize, 0);
        match read_exact_at(&*self.file, bytes, offset) {
            Ok(()) => Ok(Ok(())),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Ok(Err(self.damage(offset, "the file has become shorter since it was opened")))
            }
            Err(error) => Err(Error::io("read", self.path.clone())(error)),
        }
    }

    /// Whether these bytes stand near the end of the file.
    pub(super) fn ends_with(&self, bytes: &[u8]) -> bool {
        self.tail.windows(bytes.len().max(1)).any(|window| window == bytes)
    }

    /// Where from `offset` on bytes may be other than zero.
    pub(super) fn data_from(&self, offset: u64) -> Result<u64> {
        self.file.data_from(offset).map_err(Error::io("read", self.path.clone()))
    }

    pub(super) fn damage(&self, offset: u64, detail: &str) -> Damage {
        Damage { path: self.path.clone(), offset, detail: detail.to_owned(), first_seq: None, end_seq: None }
    }

    pub(super) fn log_id(&self) -> LogId {
        LogId(self.header.log_id)
    }

    pub(super) fn file_id(&self) -> FileId {
        FileId(self.header.file_id)
    }
}

/// The header of a sealed file, or its copy in the trailer; `None` if neither is sound.
pub(crate) fn read_sealed_header(file: &dyn File) -> io::Result<Option<FileHeader>> {
    for at in [0, file.len()?.saturating_sub(TRAILER_BYTES as u64)] {
        let mut bytes = [0; HEADER_BYTES];
        match read_exact_at(file, &mut bytes, at) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
            Ok(()) if FileHeader::decode(&bytes, FileKind::Sealed).is_ok() => {
                return Ok(FileHeader::decode(&bytes, FileKind::Sealed).ok());
            }
            _ => {}
        }
    }
    Ok(None)
}

enum Refusal {
    Damaged(String),
    Unsupported(String),
}

/// The header in `bytes` and where its blocks begin, if it is that of the segment `name` of the log `log_id`.
fn judge(bytes: &[u8], name: SegmentName, log_id: LogId) -> Result<(FileHeader, u64), Refusal> {
    let header = FileHeader::decode(bytes, FileKind::Sealed).map_err(|error| match error {
        HeaderError::UnknownVersion { .. }
        | HeaderError::UnknownKind { .. }
        | HeaderError::UnsupportedFeatures { .. } => Refusal::Unsupported(error.to_string()),
        _ => Refusal::Damaged(error.to_string()),
    })?;
    if header.log_id != log_id.0 {
        let detail = format!("the file belongs to log {}, not to {log_id}", LogId(header.log_id));
        return Err(Refusal::Damaged(detail));
    }
    if (header.base_seq, header.ordinal) != (name.base_seq, name.ordinal) {
        let detail = format!("the file was named for record {} and ordinal {}", header.base_seq, header.ordinal);
        return Err(Refusal::Damaged(detail));
    }
    match blocks_at(&header) {
        Some(at) if header.base_seq < 1 << 63 => Ok((header, at)),
        _ => Err(Refusal::Damaged("the file header contradicts itself".to_owned())),
    }
}
