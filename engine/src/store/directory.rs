//! A store's directory: its identity, its lock, and the directories of its streams. docs/format.md, "A store of streams".

use crate::Timestamp;
use crate::error::{Damage, Error, Result};
use crate::log::{identity, take_lock_of};
use crate::names::{IDENTITY, STORE_IDENTITY, STORE_LOCK, SegmentName, StreamName, is_temporary};
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
    check_no_log(storage)?;
    if let Some(damage) = lost(storage)? {
        return Err(Error::Damaged(damage));
    }
    if mode == Mode::Open && !exists {
        return Err(no_store(storage)?);
    }
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

/// The store's identity, as far as it can be read, and what is wrong with its file; `None` if the directory is no store.
pub(crate) fn identity(storage: &dyn Storage) -> Result<Option<(Option<FileHeader>, Vec<Damage>)>> {
    match identity::OF_STORE.read(storage)? {
        Some(found) => Ok(Some(found)),
        None => Ok(lost(storage)?.map(|damage| (None, vec![damage]))),
    }
}

/// That the identity file of a store is missing, of which its lock and its streams tell. Streams alone don't: logs may stand side
/// by side anywhere.
fn lost(storage: &dyn Storage) -> Result<Option<Damage>> {
    if identity::OF_STORE.exists(storage)? || identity::OF_LOG.exists(storage)? || !has_lock(storage)? {
        return Ok(None);
    }
    let streams = streams(storage)?.len();
    Ok((streams > 0).then(|| Damage {
        path: storage.describe(STORE_IDENTITY),
        offset: 0,
        detail: format!("the file is missing, but a store's lock and {streams} of its streams are here: `annals repair` writes another"),
        first_seq: None,
        end_seq: None,
    }))
}

fn has_lock(storage: &dyn Storage) -> Result<bool> {
    match storage.open(STORE_LOCK) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
        Err(error) => Err(Error::io("open", storage.describe(STORE_LOCK))(error)),
    }
}

/// When the first of the streams was created, as far as they can tell.
pub(crate) fn first_created(storage: &dyn Storage) -> Result<Option<Timestamp>> {
    let mut first = None;
    for name in streams(storage)? {
        let folder = name.folder();
        let stream = storage.folder(&folder).map_err(Error::io("open", storage.describe(&folder)))?;
        if let Ok((header, _)) = identity::read_or_told(&*stream) {
            first = first.into_iter().chain([header.created_us]).min();
        }
    }
    Ok(first.map(Timestamp::from_micros))
}

/// Why a directory without a store's identity file is none.
pub(crate) fn no_store(storage: &dyn Storage) -> Result<Error> {
    check_no_log(storage)?;
    Ok(Error::NotAStore { path: storage.describe(""), detail: "it has no store.id file" })
}

/// Refuses a directory with a log's identity file, whatever else is there: what is a log is never a store.
pub(crate) fn check_no_log(storage: &dyn Storage) -> Result<()> {
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

/// How many directories there are that can be those of streams, whatever is in them.
pub(super) fn count(storage: &dyn Storage) -> Result<usize> {
    let folders = storage.folders().map_err(Error::io("list", storage.describe("")))?;
    Ok(folders.iter().filter(|folder| StreamName::of_folder(folder).is_some()).count())
}

/// Whether something has the name of that stream's directory.
pub(super) fn is_taken(storage: &dyn Storage, name: &StreamName) -> Result<bool> {
    let folder = name.folder();
    match storage.folder(&folder).and_then(|storage| storage.list("")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        // No directory: whoever opens it says so.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotADirectory) => Ok(true),
        listed => listed.map(|_| true).map_err(Error::io("list", storage.describe(&folder))),
    }
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
