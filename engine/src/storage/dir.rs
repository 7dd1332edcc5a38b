//! A real directory.

use super::{File, Lock, Storage};
use crate::Timestamp;
use crate::sync::Mutex;
use annals_index::Bytes;
use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

/// A log's directory on a real file system.
#[derive(Debug)]
pub struct DirStorage {
    root: PathBuf,
    /// `root` from the root of the file system: the process may change its working directory.
    place: PathBuf,
    map_files: bool,
    /// The process that has locked the directory, and which directory that was.
    writer: Mutex<Option<Writer>>,
}

/// Who writes, and where.
#[derive(Debug, Clone)]
struct Writer {
    process: u32,
    root: Option<Root>,
}

/// The directory that was locked.
#[derive(Debug, Clone)]
struct Root {
    /// Open as long as anybody writes, so that no other one gets the same device and number; and so that a name can be made
    /// durable when the process can open no more files.
    dir: Arc<fs::File>,
    id: (u64, u64),
}

impl DirStorage {
    /// The directory at `root`, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        // Without a working directory it stays as it is, and says so when it is used.
        let place = std::path::absolute(&root).unwrap_or_else(|_| root.clone());
        Self { root, place, map_files: false, writer: Mutex::new(None) }
    }

    /// Maps index files instead of reading them. Who truncates one then kills the process.
    #[must_use]
    pub fn with_maps(mut self) -> Self {
        self.map_files = true;
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        match name {
            "" => self.place.clone(),
            name => self.place.join(name),
        }
    }

    /// Fails where names are no longer those of the directory that was locked: files would be made in another one, and
    /// what is in them be missing from the log.
    /// Returns that directory, if one was locked.
    fn check_writer(&self) -> io::Result<Option<Root>> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(writer) = writer else { return Ok(None) };
        check_process(writer.process)?;
        let Some(root) = writer.root else { return Ok(None) };
        match fs::metadata(&self.place) {
            Ok(found) if identify(&found) == Some(root.id) => Ok(Some(root)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Err(io::Error::other("the log's directory was moved, replaced or removed while the log was open")),
        }
    }
}

/// A fork of the process that opened a file shares it, and the lock; but one process writes.
fn check_process(process: u32) -> io::Result<()> {
    match process == std::process::id() {
        true => Ok(()),
        false => Err(io::Error::other("another process has opened the log, and this one is its fork")),
    }
}

impl Storage for DirStorage {
    fn describe(&self, name: &str) -> String {
        let path = if name.is_empty() { self.root.clone() } else { self.root.join(name) };
        path.display().to_string()
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        names_in(&self.path(folder), |kind| !kind.is_dir())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(RealFile::new(open_file(OpenOptions::new().read(true), &self.path(name), Links::Followed)?)))
    }

    fn open_write(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut options = OpenOptions::new();
        Ok(Arc::new(RealFile::new(open_file(options.read(true).write(true), &self.path(name), Links::Refused)?)))
    }

    #[cfg(target_os = "linux")]
    fn open_direct(&self, name: &str, durable: bool) -> io::Result<Arc<dyn File>> {
        use rustix::fs::OFlags;
        self.check_writer()?;
        let durable = if durable { OFlags::DSYNC } else { OFlags::empty() };
        let flags = OFlags::DIRECT | OFlags::NONBLOCK | OFlags::NOFOLLOW | durable;
        let mut options = OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags.bits() as i32);
        Ok(Arc::new(RealFile::new(options.write(true).open(self.path(name))?)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.check_writer()?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(self.path(name))?;
        Ok(Arc::new(RealFile::new(file)))
    }

    fn maps_files(&self) -> bool {
        self.map_files
    }

    fn map(&self, name: &str) -> io::Result<Bytes> {
        let file = open_file(OpenOptions::new().read(true), &self.path(name), Links::Followed)?;
        match self.map_files {
            true => Bytes::map(&file),
            false => Bytes::read(&file),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.check_writer()?;
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.check_writer()?;
        fs::remove_file(self.path(name))
    }

    fn create_dir(&self, folder: &str) -> io::Result<()> {
        let path = self.path(folder);
        let parents = unsynced_parents(&path);
        if path.is_dir() {
            // Who made it may have ended before its name was durable. Where that can't be told, it was somebody else.
            return match parents.iter().try_for_each(|parent| sync_dir_at(parent)) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
                synced => synced,
            };
        }
        fs::create_dir_all(&path)?;
        parents.iter().try_for_each(|parent| sync_dir_at(parent))
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        match self.check_writer()? {
            Some(root) if folder.is_empty() => sync_dir(&root.dir),
            _ => sync_dir_at(&self.path(folder)),
        }
    }

    fn folders(&self) -> io::Result<Vec<String>> {
        // A symbolic link is no directory here, wherever it leads.
        names_in(&self.place, fs::FileType::is_dir)
    }

    fn folder(&self, name: &str) -> io::Result<Arc<dyn Storage>> {
        self.check_writer()?;
        let place = self.place.join(name);
        match fs::symlink_metadata(&place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(found) if !found.is_dir() => return Err(refused("it is not a directory; links are not followed here")),
            _ => {}
        }
        let (root, map_files) = (self.root.join(name), self.map_files);
        Ok(Arc::new(Self { root, place, map_files, writer: Mutex::new(None) }))
    }

    fn lock(&self, name: &str, holder: &str) -> io::Result<Box<dyn Lock>> {
        let path = self.path(name);
        let mut options = OpenOptions::new();
        let mut file = open_file(options.read(true).write(true).create(true).truncate(false), &path, Links::Refused)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // Bounded: the file is ours to write, but anybody's to replace.
                let _ = (&file).take(1024).read_to_string(&mut text);
                return Err(io::Error::new(io::ErrorKind::WouldBlock, text.trim().to_owned()));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // If somebody removed the file and made another of that name, this lock protects nothing.
        if !is_same_file(&file, &path)? {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "a process that has just replaced the lock file"));
        }
        let root = lock_dir(&self.place)?;
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(holder.as_bytes())?;
        let process = std::process::id();
        let root = root.map(Arc::new);
        let id = root.as_ref().and_then(|dir| identify(&dir.metadata().ok()?));
        let writer = Writer { process, root: root.clone().zip(id).map(|(dir, id)| Root { dir, id }) };
        *self.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer);
        Ok(Box::new(RealLock { file, root, process }))
    }

    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(bytes)
    }

    fn boot_id(&self) -> [u8; 16] {
        // Where there is no such file, every restart looks like the same boot: `head` is then only a hint that
        // readers check against the segment (docs/format.md, "Head").
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let mut id = [0; 16];
        for (slot, byte) in id.iter_mut().zip(text.bytes().filter(u8::is_ascii_hexdigit).collect::<Vec<_>>().chunks(2))
        {
            *slot = std::str::from_utf8(byte).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok()).unwrap_or(0);
        }
        id
    }
}

/// The directories in which names have to be made durable for `path` to be, once it has been created with those above it
/// that are missing: that in which it stands itself comes last.
fn unsynced_parents(path: &Path) -> Vec<PathBuf> {
    let mut parents = Vec::new();
    for parent in path.ancestors().skip(1) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        parents.insert(0, parent.to_owned());
        if parent.is_dir() {
            break;
        }
    }
    parents
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// The names in the directory at `path` of what is of a kind.
fn names_in(path: &Path, is_wanted: impl Fn(&fs::FileType) -> bool) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        // A name that is not Unicode is none of ours.
        if let Ok(name) = entry.file_name().into_string()
            && is_wanted(&entry.file_type()?)
        {
            names.push(name);
        }
    }
    Ok(names)
}

/// What to do where a name only leads to a file elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Links {
    /// Sealed segments may be kept on another disk.
    Followed,
    /// What is written to is never somebody else's file.
    Refused,
}

/// Opens a regular file. Whatever else has its name, a pipe or a device, is refused, and nobody waits for its other end.
fn open_file(options: &mut OpenOptions, path: &Path, links: Links) -> io::Result<fs::File> {
    let refuses = links == Links::Refused;
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::OFlags;
        let flags = OFlags::NONBLOCK | if refuses { OFlags::NOFOLLOW } else { OFlags::empty() };
        std::os::unix::fs::OpenOptionsExt::custom_flags(options, flags.bits() as i32);
    }
    // Looked at before, since opening a device may do something; and after, since it may have been exchanged.
    match if refuses { fs::symlink_metadata(path) } else { fs::metadata(path) } {
        Ok(found) if found.is_symlink() => {
            return Err(refused("it is a symbolic link, and what it leads to is not written to: remove the link"));
        }
        Ok(found) if !found.is_file() => return Err(refused(NO_FILE)),
        _ => {}
    }
    let file = options.open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(refused(NO_FILE)) }
}

const NO_FILE: &str = "it is not a regular file";

#[derive(Debug)]
struct RealLock {
    file: fs::File,
    root: Option<Arc<fs::File>>,
    process: u32,
}

impl Lock for RealLock {}

impl Drop for RealLock {
    fn drop(&mut self) {
        // A fork shares the lock, which is not its to give up.
        if check_process(self.process).is_err() {
            return;
        }
        // Closing the files isn't enough: a child process that is being started shares them until it runs its program.
        if let Some(root) = &self.root {
            let _ = root.unlock();
        }
        let _ = self.file.unlock();
    }
}

/// Locks the directory itself, so that who removes the lock file of a living writer admits no second one. `None` where
/// directories can't be locked.
#[cfg(unix)]
fn lock_dir(root: &Path) -> io::Result<Option<fs::File>> {
    let dir = fs::File::open(root)?;
    match dir.try_lock() {
        Ok(()) => Ok(Some(dir)),
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::new(io::ErrorKind::WouldBlock, "a process whose lock file was removed or replaced"))
        }
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Elsewhere a directory can't be opened, and neither can an open, locked file be removed.
#[cfg(not(unix))]
fn lock_dir(_root: &Path) -> io::Result<Option<fs::File>> {
    Ok(None)
}

#[derive(Debug)]
struct RealFile {
    file: fs::File,
    process: u32,
}

impl RealFile {
    fn new(file: fs::File) -> Self {
        Self { file, process: std::process::id() }
    }
}

impl File for RealFile {
    #[cfg(unix)]
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.file, buffer, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(&self.file, buffer, offset)
    }

    #[cfg(unix)]
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        check_process(self.process)?;
        std::os::unix::fs::FileExt::write_at(&self.file, bytes, offset)
    }

    #[cfg(windows)]
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_write(&self.file, bytes, offset)
    }

    #[cfg(target_os = "linux")]
    fn reserve(&self, len: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        let from = self.len()?;
        if from >= len {
            return Ok(());
        }
        loop {
            match fallocate(&self.file, FallocateFlags::empty(), from, len - from) {
                Ok(()) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => return write_zeros(self, from, len),
                Err(error) => return Err(error.into()),
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn reserve(&self, len: u64) -> io::Result<()> {
        write_zeros(self, self.len()?, len)
    }

    /// Not by `std`, which repeats a sync that was interrupted: what the first one had to tell may be lost by then.
    #[cfg(target_os = "linux")]
    fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(&self.file)?)
    }

    #[cfg(not(target_os = "linux"))]
    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    #[cfg(target_os = "linux")]
    fn data_from(&self, offset: u64) -> io::Result<u64> {
        use rustix::fs::{SeekFrom, seek};
        use rustix::io::Errno;
        // Moves the handle's own place, which nothing here uses.
        match seek(&self.file, SeekFrom::Data(offset)) {
            Ok(at) => Ok(at),
            Err(Errno::NXIO) => Ok(self.len()?.max(offset)),
            // Not every file system knows its holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(offset),
            Err(error) => Err(error.into()),
        }
    }
}

fn write_zeros(file: &RealFile, mut from: u64, to: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    while from < to {
        let len = (to - from).min(ZEROS.len() as u64);
        super::write_all_at(file, &ZEROS[..len as usize], from)?;
        from += len;
    }
    Ok(())
}

#[cfg(unix)]
fn sync_dir_at(path: &Path) -> io::Result<()> {
    sync_dir(&fs::File::open(path)?)
}

#[cfg(target_os = "linux")]
fn sync_dir(dir: &fs::File) -> io::Result<()> {
    Ok(rustix::fs::fsync(dir)?)
}

#[cfg(all(unix, not(target_os = "linux")))]
fn sync_dir(dir: &fs::File) -> io::Result<()> {
    dir.sync_all()
}

/// Other systems offer no way to sync a directory; there a rename is as durable as the file system makes it.
#[cfg(not(unix))]
fn sync_dir_at(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn sync_dir(_dir: &fs::File) -> io::Result<()> {
    Ok(())
}

/// The device and the number of a file, where there is such a thing.
#[cfg(unix)]
fn identify(metadata: &fs::Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identify(_metadata: &fs::Metadata) -> Option<(u64, u64)> {
    None
}

#[cfg(unix)]
fn is_same_file(file: &fs::File, path: &Path) -> io::Result<bool> {
    Ok(identify(&file.metadata()?) == identify(&fs::symlink_metadata(path)?))
}

/// Elsewhere an open, locked file can't be removed.
#[cfg(not(unix))]
fn is_same_file(_file: &fs::File, _path: &Path) -> io::Result<bool> {
    Ok(true)
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fork_of_the_writer_neither_writes_nor_gives_up_its_lock() {
        let home = tempfile::tempdir().unwrap();
        let storage = DirStorage::new(home.path());
        let ours = storage.lock("lock", "the writer").unwrap();
        let file = storage.create("file").unwrap();
        // A fork has the same open files, and another number.
        let shared = fs::File::open(home.path()).unwrap();
        drop(ours);
        shared.try_lock().unwrap();
        let process = std::process::id() + 1;
        let inherited = shared.try_clone().unwrap();
        let lock = fs::File::open(home.path().join("file")).unwrap();
        drop(RealLock { file: lock, root: Some(Arc::new(inherited)), process });
        let refused = storage.lock("lock", "another").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        let forked = RealFile { file: fs::File::create(home.path().join("other")).unwrap(), process };
        assert!(forked.write_at(b"x", 0).is_err());
        assert_eq!(file.write_at(b"x", 0).unwrap(), 1);
        storage.writer.lock().unwrap().as_mut().unwrap().process = process;
        assert!(storage.create("more").is_err() && storage.rename("file", "more").is_err());
        assert!(storage.remove("file").is_err() && storage.sync_dir("").is_err());
    }

    #[test]
    fn every_directory_that_is_made_gets_a_durable_name() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        assert_eq!(unsynced_parents(&home.join("a/b/c")), [home.to_owned(), home.join("a"), home.join("a/b")]);
        assert_eq!(unsynced_parents(&home.join("a")), [home.to_owned()]);
        let storage = DirStorage::new(home.join("a/b/c"));
        storage.create_dir("").unwrap();
        storage.create_dir("").unwrap();
        assert_eq!(unsynced_parents(&home.join("a/b/c")), [home.join("a/b")]);
    }
}
