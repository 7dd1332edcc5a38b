//! The catalog's file: read from whichever of its two copies is sound, and replaced as a whole.

use super::Catalog;
use super::codec::BODY_BYTES_MAX;
use crate::checksum::Salt;
use crate::error::{Damage, Error, Result};
use crate::names::{CATALOG, ORDINAL_LIMIT, temporary};
use crate::storage::{File, Storage, read_exact_at, write_all_at};
use crate::{FileId, LogId};
use annals_index::{FileHeader, FileKind, HEADER_BYTES, HeaderError, SPECIFIC_BYTES};
use std::io;

/// Each copy is filled up to a multiple of this, so that no page of a disk holds bytes of both.
const COPY_ALIGN: usize = 4 << 10;

/// Where in the kind-specific bytes the length of the body stands, and its checksum.
const LENGTH_AT: usize = 0;
const CRC_AT: usize = LENGTH_AT + 4;
const REST_AT: usize = CRC_AT + 4;

/// What was found in place of a catalog.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stored {
    /// Empty if there is no file, or nothing can be read of it.
    pub(crate) catalog: Catalog,
    /// The ordinal under which it was written; 0 without a file.
    pub(crate) ordinal: u64,
    /// What is wrong with the file.
    pub(crate) damage: Vec<Damage>,
    /// Whether there is a file of which neither copy is sound.
    pub(crate) is_lost: bool,
}

/// Reads the catalog of the log `log_id`.
///
/// # Errors
/// [`Error::Unsupported`] if a newer version wrote it, and what the operating system says. What is damaged is in the
/// outcome.
pub(crate) fn read(storage: &dyn Storage, log_id: LogId) -> Result<Stored> {
    let path = storage.describe(CATALOG);
    let damage = |offset, detail| Damage { path: path.clone(), offset, detail, first_seq: None, end_seq: None };
    let file = match storage.open(CATALOG) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Stored::default()),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            let damage = vec![damage(0, format!("it is no file that can be read{LOST}"))];
            return Ok(Stored { damage, is_lost: true, ..Stored::default() });
        }
        opened => opened.map_err(Error::io("open", path.clone()))?,
    };
    let len = file.len().map_err(Error::io("read", path.clone()))?;
    let first = read_copy(&*file, 0, log_id, &path)?;
    // They are of one length.
    let second_at = first.as_ref().map_or(len / 2, |copy| copy.bytes);
    let second = read_copy(&*file, second_at, log_id, &path)?;
    let mut stored = Stored::default();
    let end = match (&first, &second) {
        (Ok(copy), _) | (_, Ok(copy)) => copy.bytes.saturating_mul(2),
        _ => {
            stored.is_lost = true;
            len
        }
    };
    if let (Ok(first), Ok(second)) = (&first, &second)
        && (&first.header, &first.catalog) != (&second.header, &second.catalog)
    {
        stored.damage.push(damage(second_at, "the two copies differ".into()));
    }
    if len > end {
        stored.damage.push(damage(end, "more bytes than a catalog has".into()));
    }
    for (offset, copy) in [(0, first), (second_at, second)] {
        match copy {
            Ok(copy) if stored.ordinal == 0 => {
                (stored.catalog, stored.ordinal) = (copy.catalog, copy.header.ordinal);
            }
            Ok(_) => {}
            Err(detail) if stored.is_lost => stored.damage.push(damage(offset, detail + LOST)),
            Err(detail) => stored.damage.push(damage(offset, detail)),
        }
    }
    Ok(stored)
}

/// The base seq that the first copy of the catalog tells, or 0: a hint that it has changed, at the cost of its header.
///
/// # Errors
/// What the operating system says.
pub(crate) fn base_seq(storage: &dyn Storage) -> Result<u64> {
    let path = storage.describe(CATALOG);
    let file = match storage.open(CATALOG) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) => return Ok(0),
        opened => opened.map_err(Error::io("open", path.clone()))?,
    };
    let mut head = [0; HEADER_BYTES];
    let is_there = read_if_there(&*file, &mut head, 0, &path)?;
    Ok(FileHeader::decode(&head, FileKind::Catalog).map_or(0, |header| if is_there { header.base_seq } else { 0 }))
}

/// What is lost with both copies.
const LOST: &str = "; nothing tells of holds, indexed fields and what retention removed";

/// One copy.
struct Copy {
    header: FileHeader,
    catalog: Catalog,
    /// Its length, with what fills it up.
    bytes: u64,
}

/// Reads the copy at `offset`. The inner error says what is wrong with it.
fn read_copy(file: &dyn File, offset: u64, log_id: LogId, path: &str) -> Result<Result<Copy, String>> {
    let mut head = [0; HEADER_BYTES];
    if !read_if_there(file, &mut head, offset, path)? {
        return Ok(Err("the file ends before the end of a copy".into()));
    }
    let header = match FileHeader::decode(&head, FileKind::Catalog) {
        Ok(header) => header,
        Err(error @ (HeaderError::UnknownVersion { .. } | HeaderError::UnsupportedFeatures { .. })) => {
            return Err(Error::Unsupported { path: path.to_owned(), detail: error.to_string() });
        }
        Err(error) => return Ok(Err(error.to_string())),
    };
    if header.log_id != log_id.0 {
        return Ok(Err(format!("it belongs to log {}, not to {log_id}", LogId(header.log_id))));
    }
    if header.ordinal == 0 || header.ordinal >= ORDINAL_LIMIT {
        return Ok(Err(format!("its ordinal {} is none that a file can have", header.ordinal)));
    }
    let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| header.specific[at + i]));
    let body_bytes = number(LENGTH_AT) as usize;
    if body_bytes > BODY_BYTES_MAX {
        return Ok(Err(format!("{body_bytes} bytes are told of, where a catalog has at most {BODY_BYTES_MAX}")));
    }
    let mut rest = vec![0; copy_bytes(body_bytes) - HEADER_BYTES];
    if !read_if_there(file, &mut rest, offset.saturating_add(HEADER_BYTES as u64), path)? {
        return Ok(Err("the file ends before the end of a copy".into()));
    }
    let (body, unused) = rest.split_at(body_bytes);
    if Salt::of(FileId(header.file_id)).checksum(body) != number(CRC_AT) {
        return Ok(Err("the body doesn't match its checksum".into()));
    }
    // All of them, without looking at each whether it is the last: it is a block of them.
    if header.specific[REST_AT..].iter().chain(unused).fold(0, |all, byte| all | byte) != 0 {
        return Ok(Err("unused bytes that are not zero".into()));
    }
    let catalog = Catalog::decode(body).filter(|catalog| catalog.removed().end_seq() == header.base_seq);
    let bytes = copy_bytes(body_bytes) as u64;
    Ok(catalog.map(|catalog| Copy { header, catalog, bytes }).ok_or_else(|| "the body contradicts itself".into()))
}

/// Fills `buffer` from `offset` on; `false` if the file ends before.
fn read_if_there(file: &dyn File, buffer: &mut [u8], offset: u64, path: &str) -> Result<bool> {
    match read_exact_at(file, buffer, offset) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(Error::io("read", path.to_owned())(error)),
    }
}

/// The length of a copy.
fn copy_bytes(body_bytes: usize) -> usize {
    (HEADER_BYTES + body_bytes).next_multiple_of(COPY_ALIGN)
}

/// How far replacing a catalog came.
pub(super) enum Failure {
    /// The old one is in its place.
    Unchanged(Error),
    /// The new one is in its place, and may not be after a crash.
    Unknown(Error),
}

/// Writes `catalog` in place of what is there, durably. `ordinal` is that of a new file.
///
/// # Errors
/// What the operating system says.
pub(crate) fn write(storage: &dyn Storage, log_id: LogId, ordinal: u64, catalog: &Catalog) -> Result<()> {
    replace(storage, log_id, ordinal, catalog).map_err(|failure| match failure {
        Failure::Unchanged(error) | Failure::Unknown(error) => error,
    })
}

/// As [`write`], and says after a failure what stands in the place.
pub(super) fn replace(storage: &dyn Storage, log_id: LogId, ordinal: u64, catalog: &Catalog) -> Result<(), Failure> {
    let name = temporary(CATALOG);
    prepare(storage, log_id, ordinal, catalog, &name).map_err(|error| {
        // What is left of it holds nothing, and its name may be wanted again.
        let _ = storage.remove(&name);
        Failure::Unchanged(error)
    })?;
    // A rename that failed may have taken place.
    let path = || storage.describe(CATALOG);
    storage.rename(&name, CATALOG).map_err(|error| Failure::Unknown(Error::io("rename", path())(error)))?;
    let described = storage.describe("");
    storage.sync_dir("").map_err(|error| Failure::Unknown(Error::io("sync", described)(error)))
}

/// Writes and syncs the file under the name that it has until it is complete.
fn prepare(storage: &dyn Storage, log_id: LogId, ordinal: u64, catalog: &Catalog, name: &str) -> Result<()> {
    let path = storage.describe(CATALOG);
    let file_id = storage.random().map_err(Error::io("draw a random id for", path.clone()))?;
    let body = catalog.encode();
    let mut specific = [0; SPECIFIC_BYTES];
    specific[LENGTH_AT..CRC_AT].copy_from_slice(&(body.len() as u32).to_le_bytes());
    specific[CRC_AT..REST_AT].copy_from_slice(&Salt::of(FileId(file_id)).checksum(&body).to_le_bytes());
    let header = FileHeader {
        kind: FileKind::Catalog,
        compatible: 0,
        incompatible: 0,
        log_id: log_id.0,
        file_id,
        base_seq: catalog.removed().end_seq(),
        ordinal,
        created_us: storage.now().as_micros(),
        specific,
    };
    let mut copy = header.encode().to_vec();
    copy.extend(&body);
    copy.resize(copy_bytes(body.len()), 0);
    match storage.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::io("remove", path)(error)),
        _ => {}
    }
    let file = storage.create(name).map_err(Error::io("create", path.clone()))?;
    write_all_at(&*file, &copy.repeat(2), 0).map_err(Error::io("write", path.clone()))?;
    file.sync().map_err(Error::io("sync", path))
}

#[cfg(all(test, feature = "sim"))]
mod tests {
    use super::super::codec::tests::catalog;
    use super::*;
    use crate::storage::sim::SimDisk;

    const LOG: LogId = LogId([7; 16]);

    fn written() -> (SimDisk, Vec<u8>) {
        let disk = SimDisk::new(1);
        let storage = disk.storage();
        storage.create_dir("").unwrap();
        write(&*storage, LOG, 5, &catalog()).unwrap();
        let bytes = disk.read(CATALOG).unwrap();
        (disk, bytes)
    }

    fn read_as(disk: &SimDisk, bytes: &[u8]) -> Stored {
        disk.replace(CATALOG, bytes);
        read(&*disk.storage(), LOG).unwrap()
    }

    #[test]
    fn a_catalog_is_read_as_it_was_written_and_none_is_empty() {
        let (disk, bytes) = written();
        let stored = read_as(&disk, &bytes);
        assert_eq!((stored.catalog, stored.ordinal, stored.damage.len()), (catalog(), 5, 0));
        let none = SimDisk::new(2);
        none.storage().create_dir("").unwrap();
        let stored = read(&*none.storage(), LOG).unwrap();
        assert_eq!((stored.catalog, stored.ordinal, stored.is_lost), (Catalog::default(), 0, false));
    }

    #[test]
    fn every_changed_byte_is_found_and_heals() {
        let (disk, bytes) = written();
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            let stored = read_as(&disk, &bad);
            assert_eq!((stored.catalog, stored.is_lost), (catalog(), false), "byte {at}");
            assert_eq!(stored.damage.len(), 1, "byte {at}: {:?}", stored.damage);
            assert_eq!(stored.damage[0].offset, (at / 4096 * 4096) as u64, "byte {at}");
        }
    }

    #[test]
    fn a_file_of_any_other_length_is_found_and_half_of_it_is_enough() {
        let (disk, bytes) = written();
        for len in (0..bytes.len()).chain([bytes.len() + 1, bytes.len() * 3]) {
            let mut cut = bytes.clone();
            cut.resize(len, 0);
            let stored = read_as(&disk, &cut);
            assert!(!stored.damage.is_empty(), "{len} bytes");
            assert_eq!(stored.is_lost, len < bytes.len() / 2, "{len} bytes");
            assert_eq!(stored.catalog, if stored.is_lost { Catalog::default() } else { catalog() }, "{len} bytes");
        }
    }

    #[test]
    fn one_of_another_log_is_none_of_this() {
        let (disk, _) = written();
        let stored = read(&*disk.storage(), LogId([8; 16])).unwrap();
        assert!(stored.is_lost && stored.damage.len() == 2, "{:?}", stored.damage);
    }
}
