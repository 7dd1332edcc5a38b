//! Files that appear whole or not at all.

use crate::ExportError;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// A file under a temporary name. Dropped before [`Pending::publish`], it is removed.
#[derive(Debug)]
pub(crate) struct Pending {
    target: PathBuf,
    temporary: PathBuf,
    overwrite: bool,
    published: bool,
}

impl Pending {
    pub(crate) fn create(target: &Path, overwrite: bool) -> Result<(Pending, File), ExportError> {
        refuse_existing(target, overwrite)?;
        let mut temporary = target.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        let file = File::create(&temporary).map_err(io("create", &temporary))?;
        Ok((Pending { target: target.to_owned(), temporary, overwrite, published: false }, file))
    }

    /// Syncs `file`, which [`Pending::create`] gave, renames it and syncs the directory.
    pub(crate) fn publish(mut self, file: File) -> Result<(), ExportError> {
        file.sync_all().map_err(io("sync", &self.temporary))?;
        drop(file);
        refuse_existing(&self.target, self.overwrite)?;
        fs::rename(&self.temporary, &self.target).map_err(io("rename", &self.temporary))?;
        self.published = true;
        sync_directory(self.target.parent())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.published {
            // The name says that it is temporary; what can't be removed does no harm.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

pub(crate) fn sync_directory(directory: Option<&Path>) -> Result<(), ExportError> {
    let directory = directory.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Only on Unix can a directory be opened as a file.
    if cfg!(unix) {
        File::open(directory).and_then(|file| file.sync_all()).map_err(io("sync", directory))?;
    }
    Ok(())
}

pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> ExportError {
    move |source| ExportError::Io { operation, path: path.to_owned(), source }
}

fn refuse_existing(target: &Path, overwrite: bool) -> Result<(), ExportError> {
    match overwrite || target.symlink_metadata().is_err() {
        true => Ok(()),
        false => Err(ExportError::Exists { path: target.to_owned() }),
    }
}
