//! The identity file: what makes a directory a log, or a store of streams. docs/format.md, "Identity".

use crate::error::{Damage, Error, Result};
use crate::names::{IDENTITY, STORE_IDENTITY, SegmentKind, SegmentName, temporary};
use crate::raw::read_header;
use crate::sealed::read_sealed_header;
use crate::storage::{Storage, read_exact_at, write_all_at};
use crate::{LogId, Timestamp};
use annals_index::{FileHeader, FileKind, HEADER_BYTES, HeaderError, SPECIFIC_BYTES};
use std::io;

/// The header stands in the file twice.
const COPIES: usize = 2;
/// Bytes of the file.
pub(crate) const IDENTITY_BYTES: usize = COPIES * HEADER_BYTES;

/// An identity file, of a log or of a store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdentityFile {
    name: &'static str,
    kind: FileKind,
}

/// That of a log.
pub(crate) const OF_LOG: IdentityFile = IdentityFile { name: IDENTITY, kind: FileKind::Identity };
/// That of a store of streams.
pub(crate) const OF_STORE: IdentityFile = IdentityFile { name: STORE_IDENTITY, kind: FileKind::Store };

impl IdentityFile {
    /// Whether there is one.
    pub(crate) fn exists(self, storage: &dyn Storage) -> Result<bool> {
        match storage.open(self.name) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
            Err(error) => Err(Error::io("open", storage.describe(self.name))(error)),
        }
    }

    /// Writes the identity of a log or store in place of what is there. When this returns, it exists and will after any crash.
    pub(crate) fn replace(
        self,
        storage: &dyn Storage,
        id: [u8; 16],
        file_id: [u8; 16],
        created: Timestamp,
    ) -> Result<()> {
        let header = header(LogId(id), file_id, created.as_micros());
        self.write(storage, &FileHeader { kind: self.kind, ..header })
    }

    /// Writes the identity of a new log or store. When this returns, it exists and will after any crash.
    pub(crate) fn create(self, storage: &dyn Storage) -> Result<()> {
        let draw = || storage.random().map_err(Error::io("draw a random id for", storage.describe(self.name)));
        self.replace(storage, draw()?, draw()?, storage.now())
    }

    /// Writes an identity, in place of what is there.
    fn write(self, storage: &dyn Storage, header: &FileHeader) -> Result<()> {
        let path = storage.describe(self.name);
        let name = temporary(self.name);
        match storage.remove(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::io("remove", path)(error)),
            _ => {}
        }
        let file = storage.create(&name).map_err(Error::io("create", path.clone()))?;
        write_all_at(&*file, &header.encode().repeat(COPIES), 0).map_err(Error::io("write", path.clone()))?;
        file.sync().map_err(Error::io("sync", path.clone()))?;
        storage.rename(&name, self.name).map_err(Error::io("rename", path.clone()))?;
        storage.sync_dir("").map_err(Error::io("sync", storage.describe("")))
    }

    /// Reads whichever copy is sound, and what is wrong with the other; `None` if there is no such file, or only damage.
    pub(crate) fn read(self, storage: &dyn Storage) -> Result<Option<(Option<FileHeader>, Vec<Damage>)>> {
        let path = storage.describe(self.name);
        let file = match storage.open(self.name) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            opened => opened.map_err(Error::io("open", path.clone()))?,
        };
        let mut damage = Vec::new();
        let mut identity = None;
        for copy in 0..COPIES {
            let offset = (copy * HEADER_BYTES) as u64;
            let mut bytes = [0; HEADER_BYTES];
            let decoded = match read_exact_at(&*file, &mut bytes, offset) {
                Ok(()) => FileHeader::decode(&bytes, self.kind),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(HeaderError::TooShort { found: 0 }),
                Err(error) => return Err(Error::io("read", path)(error)),
            };
            match decoded {
                Ok(header) => identity = identity.or(Some(header)),
                Err(error @ (HeaderError::UnknownVersion { .. } | HeaderError::UnsupportedFeatures { .. })) => {
                    return Err(Error::Unsupported { path, detail: error.to_string() });
                }
                Err(error) => {
                    let detail = error.to_string();
                    damage.push(Damage { path: path.clone(), offset, detail, first_seq: None, end_seq: None });
                }
            }
        }
        if file.len().map_err(Error::io("read", path.clone()))? > IDENTITY_BYTES as u64 {
            let detail = "more bytes than an identity file has".into();
            damage.push(Damage { path, offset: IDENTITY_BYTES as u64, detail, first_seq: None, end_seq: None });
        }
        Ok(Some((identity, damage)))
    }
}

fn header(log_id: LogId, file_id: [u8; 16], created_us: i64) -> FileHeader {
    FileHeader {
        kind: FileKind::Identity,
        compatible: 0,
        incompatible: 0,
        log_id: log_id.0,
        file_id,
        base_seq: 0,
        ordinal: 0,
        created_us,
        specific: [0; SPECIFIC_BYTES],
    }
}

/// Writes a log's identity, in place of what is there.
pub(crate) fn write(storage: &dyn Storage, header: &FileHeader) -> Result<()> {
    OF_LOG.write(storage, header)
}

/// As [`read`]; where the identity is lost, the log's id is what all segments agree on whose headers can be read.
///
/// # Errors
/// As [`read`], if there is no such id.
pub(crate) fn read_or_told(storage: &dyn Storage) -> Result<(FileHeader, Vec<Damage>)> {
    let error = match read(storage) {
        Err(error @ (Error::NotALog { .. } | Error::Damaged(_))) => error,
        outcome => return outcome,
    };
    let Some((told, _)) = told_by_segments(storage)? else { return Err(error) };
    let damage = match error {
        Error::Damaged(damage) => damage,
        _ => {
            let detail = "the identity file is missing: the segments tell the log's id".into();
            Damage { path: storage.describe(IDENTITY), offset: 0, detail, first_seq: None, end_seq: None }
        }
    };
    Ok((told, vec![damage]))
}

/// An identity as the headers of the segments tell it, and how many do; `None` if they tell of none, or of more than one
/// log.
pub(crate) fn told_by_segments(storage: &dyn Storage) -> Result<Option<(FileHeader, usize)>> {
    let names = match storage.list("") {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        listed => listed.map_err(Error::io("list", storage.describe("")))?,
    };
    let mut told: Option<(FileHeader, usize)> = None;
    for name in names.iter().filter_map(|name| SegmentName::parse(name)) {
        let text = name.to_string();
        let file = match storage.open(&text) {
            // Sealed or retired since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.map_err(Error::io("open", storage.describe(&text)))?,
        };
        let read = match name.kind {
            SegmentKind::Raw => read_header(&*file).map(Result::ok),
            SegmentKind::Sealed => read_sealed_header(&*file),
            SegmentKind::Index | SegmentKind::Fields | SegmentKind::Statistics => continue,
        };
        let own = read.map_err(Error::io("read", storage.describe(&text)))?;
        let Some(own) = own.filter(|own| (own.base_seq, own.ordinal) == (name.base_seq, name.ordinal)) else {
            continue;
        };
        match &mut told {
            None => told = Some((header(LogId(own.log_id), own.file_id, own.created_us), 1)),
            Some((told, _)) if told.log_id != own.log_id => return Ok(None),
            Some((told, count)) => {
                told.created_us = told.created_us.min(own.created_us);
                *count += 1;
            }
        }
    }
    Ok(told)
}

/// Reads the log's id from whichever copy is sound, and what is wrong with the other.
///
/// # Errors
/// [`Error::NotALog`] or [`Error::IsAStore`] if there is no identity file, [`Error::Damaged`] if both copies are unusable.
pub(crate) fn read(storage: &dyn Storage) -> Result<(FileHeader, Vec<Damage>)> {
    match OF_LOG.read(storage)? {
        None => Err(no_log(storage)?),
        Some((Some(header), damage)) => Ok((header, damage)),
        Some((None, mut damage)) => Err(Error::Damaged(damage.swap_remove(0))),
    }
}

/// Why a directory without an identity file is no log.
pub(crate) fn no_log(storage: &dyn Storage) -> Result<Error> {
    let path = storage.describe("");
    Ok(if OF_STORE.exists(storage)? { Error::IsAStore { path } } else { Error::NotALog { path } })
}
