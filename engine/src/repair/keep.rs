//! Copies of what a repair replaces, in quarantine.

use crate::error::{Error, Result};
use crate::names::{QUARANTINE, quarantined_copy, temporary};
use crate::storage::{File, Storage, read_exact_at, write_all_at};
use std::io;
use std::sync::Arc;

/// How much is copied at a time.
const COPY_BYTES: usize = 1 << 20;

/// Copies all of the file `name` to quarantine, durably, under a name that was never used. A copy that a repair before
/// this one made of the same bytes will do. Returns its name; `None` if there is no such file.
pub(super) fn copy(storage: &dyn Storage, name: &str) -> Result<Option<String>> {
    let path = storage.describe(name);
    let Some(file) = open(storage, name)? else { return Ok(None) };
    storage.create_dir(QUARANTINE).map_err(Error::io("create", storage.describe(QUARANTINE)))?;
    let mut n = 0;
    let kept = loop {
        let kept = quarantined_copy(name, n);
        match open(storage, &kept)? {
            None => break kept,
            Some(earlier) if is_same(&*file, &*earlier).map_err(Error::io("read", path.clone()))? => {
                return Ok(Some(kept));
            }
            Some(_) => n += 1,
        }
    };
    let unfinished = temporary(&kept);
    match storage.remove(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io("remove", storage.describe(&unfinished))(error));
        }
        _ => {}
    }
    let copy = storage.create(&unfinished).map_err(Error::io("create", storage.describe(&kept)))?;
    let mut at = 0;
    each_part(&*file, &mut |part| {
        write_all_at(&*copy, part, at)?;
        at += part.len() as u64;
        Ok(true)
    })
    .map_err(Error::io("copy to quarantine", path.clone()))?;
    copy.sync().map_err(Error::io("sync", storage.describe(&kept)))?;
    storage.rename(&unfinished, &kept).map_err(Error::io("rename", storage.describe(&unfinished)))?;
    storage.sync_dir(QUARANTINE).map_err(Error::io("sync", storage.describe(QUARANTINE)))?;
    Ok(Some(kept))
}

fn open(storage: &dyn Storage, name: &str) -> Result<Option<Arc<dyn File>>> {
    match storage.open(name) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("open", storage.describe(name))(error)),
    }
}

fn is_same(file: &dyn File, other: &dyn File) -> io::Result<bool> {
    let (mut at, mut own) = (0, Vec::new());
    Ok(file.len()? == other.len()?
        && each_part(file, &mut |part| {
            own.resize(part.len(), 0);
            read_exact_at(other, &mut own, at)?;
            at += part.len() as u64;
            Ok(own == part)
        })?)
}

/// Reads a file part by part, as long as `each` asks for more. Whether it always did.
fn each_part(file: &dyn File, each: &mut dyn FnMut(&[u8]) -> io::Result<bool>) -> io::Result<bool> {
    let len = file.len()?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut at = 0;
    while at < len {
        let part = &mut buffer[..COPY_BYTES.min((len - at) as usize)];
        read_exact_at(file, part, at)?;
        if !each(part)? {
            return Ok(false);
        }
        at += part.len() as u64;
    }
    Ok(true)
}
