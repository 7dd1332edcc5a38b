//! A store's directory: its identity, its lock, and the directories of its streams. docs/format.md, "A store of streams".

use crate::error::{Error, Result};
use crate::log::{identity, take_lock_of};
use crate::names::{IDENTITY, STORE_LOCK, SegmentName, StreamName, is_temporary};
use crate::storage::{Lock, Storage};
use annals_index::FileHeader;
use std::io;

/// What to do about a store that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Open,
    OpenOrCreate,
}

/// Locks the store, and creates it if there is none and `mode` says so.
pub(super) fn open(storage: &dyn Storage, mode: Mode) -> Result<(Box<dyn Lock>, FileHeader)> {
    let exists = identity::OF_STORE.exists(storage)?;
    if mode == Mode::Open && !exists {
        return Err(no_store(storage)?);
    }
    check_no_log(storage)?;
    if !exists {
        check_empty(storage)?;
        storage.create_dir("").map_err(Error::io("create", storage.describe("")))?;
    }
    let lock = take_lock_of(storage, STORE_LOCK)?;
    // Another process may have created it, or a log, before this one got the lock.
    check_no_log(storage)?;
    if identity::OF_STORE.exists(storage)? {
        // Whoever created it may have ended before its name was durable.
        storage.sync_dir("").map_err(Error::io("sync", storage.describe("")))?;
    } else {
        identity::OF_STORE.create(storage)?;
    }
    match identity::OF_STORE.read(storage)? {
        Some((Some(header), _)) => Ok((lock, header)),
        Some((None, mut damage)) => Err(Error::Damaged(damage.swap_remove(0))),
        None => Err(no_store(storage)?),
    }
}

/// Why a directory without a store's identity file is none.
pub(super) fn no_store(storage: &dyn Storage) -> Result<Error> {
    check_no_log(storage)?;
    Ok(Error::NotAStore { path: storage.describe(""), detail: "it has no store.id file" })
}

/// Refuses a directory with a log's identity file, whatever else is there: what is a log is never a store.
pub(super) fn check_no_log(storage: &dyn Storage) -> Result<()> {
    match identity::OF_LOG.exists(storage)? {
        true => Err(Error::NotAStore { path: storage.describe(""), detail: "it is a log" }),
        false => Ok(()),
    }
}

/// A store is created among no other files or directories: they would be mistaken for its own.
fn check_empty(storage: &dyn Storage) -> Result<()> {
    let listed = storage.list("").and_then(|files| Ok((files, storage.folders()?)));
    let (files, folders) = match listed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        listed => listed.map_err(Error::io("list", storage.describe("")))?,
    };
    let strange = |name: &String| name != STORE_LOCK && !is_temporary(name);
    match files.into_iter().filter(strange).chain(folders).next() {
        Some(found) => Err(Error::NotEmpty { path: storage.describe(""), found }),
        None => Ok(()),
    }
}

/// The streams that there are, in the order of their names. Directories of other names are left alone, and so are those
/// in which a log was begun and has come to nothing.
pub(super) fn streams(storage: &dyn Storage) -> Result<Vec<StreamName>> {
    let folders = storage.folders().map_err(Error::io("list", storage.describe("")))?;
    let mut streams = Vec::new();
    for folder in folders {
        if let Some(name) = StreamName::of_folder(&folder)
            && exists(storage, &name)?
        {
            streams.push(name);
        }
    }
    streams.sort_unstable();
    Ok(streams)
}

/// Whether there is a stream of that name: a log, if only by its segments.
pub(super) fn exists(storage: &dyn Storage, name: &StreamName) -> Result<bool> {
    let folder = name.folder();
    let listed = match storage.folder(&folder).and_then(|storage| storage.list("")) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) => {
            return Ok(false);
        }
        listed => listed.map_err(Error::io("list", storage.describe(&folder)))?,
    };
    Ok(listed.iter().any(|name| name == IDENTITY || SegmentName::parse(name).is_some()))
}
