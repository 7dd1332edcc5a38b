//! The raw baseline: frames appended to a file by `write`, in a file that grows or in one that was zeroed before.

use super::raw_frames::{Frames, push};
use super::{Appender, Contender, Facts, Reads, Setup, Store, encode_each};
use crate::Result;
use crate::items::Item;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// One way of writing frames.
#[derive(Debug)]
pub(super) struct Raw {
    facts: Facts,
    zeroed: bool,
}

/// A file that grows with each append.
pub(super) const GROWING: Raw = Raw {
    facts: Facts {
        durable: Some("`write` and fdatasync; the file grows. Each thread has a file of its own: no order, no lock"),
        unsynced: Some("`write`; survives a kill. Each thread has a file of its own"),
        reads: Some("one `pread` by an index of offsets in memory (built at opening, by reading all), CRC checked"),
        ..Facts::new("raw")
    },
    zeroed: false,
};

/// A file whose blocks were written before.
pub(super) const ZEROED: Raw = Raw {
    facts: Facts {
        name: "raw-zeroed",
        durable: Some(
            "`pwrite` and fdatasync into files zeroed and synced beforehand, not in the time. A file for each thread",
        ),
        ..Facts::new("raw-zeroed")
    },
    zeroed: true,
};

/// Bytes that an event takes, rather too many: larger ones of another workload go on in a part that grows.
const EVENT_BYTES: u64 = 500;

/// How many bytes each thread's file gets beforehand.
pub(super) fn prepared_bytes(setup: Setup) -> u64 {
    (setup.events.div_ceil(setup.threads) + 1) * EVENT_BYTES
}

impl Contender for Raw {
    fn facts(&self) -> Facts {
        self.facts
    }

    fn open(&self, dir: &Path, setup: Setup) -> Result<Box<dyn Store>> {
        std::fs::create_dir_all(dir)?;
        let zeroed_bytes = if self.zeroed { prepared_bytes(setup) } else { 0 };
        Ok(Box::new(Open { dir: dir.to_owned(), zeroed_bytes, durable: setup.durable, appenders: AtomicUsize::new(0) }))
    }
}

/// The files of frames in a directory.
fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
    let mut files: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    files.sort();
    Ok(files)
}

/// Writes zeros to a new file, and syncs it.
pub(super) fn zero(file: &File, bytes: u64) -> Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut at = 0;
    while at < bytes {
        file.write_all_at(&zeros, at)?;
        at += zeros.len() as u64;
    }
    Ok(file.sync_all()?)
}

struct Open {
    dir: PathBuf,
    zeroed_bytes: u64,
    durable: bool,
    appenders: AtomicUsize,
}

impl Store for Open {
    fn appender(&self) -> Result<Box<dyn Appender + '_>> {
        let number = self.appenders.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("{number:04}.raw"));
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        let zeroed = self.zeroed_bytes > 0;
        if zeroed {
            zero(&file, self.zeroed_bytes)?;
        }
        let (frames, body) = (Vec::new(), Vec::new());
        Ok(Box::new(Appending { file, at: zeroed.then_some(0), durable: self.durable, frames, body }))
    }

    fn reader(&self) -> Result<Box<dyn Reads + '_>> {
        Ok(Box::new(Frames::new(files(&self.dir)?)?))
    }

    fn len(&self) -> Result<u64> {
        Ok(Frames::new(files(&self.dir)?)?.len())
    }

    fn close(self: Box<Self>) -> Result<()> {
        for path in files(&self.dir)? {
            File::open(path)?.sync_all()?;
        }
        Ok(())
    }
}

struct Appending {
    file: File,
    /// Where the next frames go in a zeroed file.
    at: Option<u64>,
    durable: bool,
    frames: Vec<u8>,
    body: Vec<u8>,
}

impl Appender for Appending {
    fn append(&mut self, items: &[Item]) -> Result<()> {
        let Self { frames, body, .. } = self;
        frames.clear();
        encode_each(items, body, |_, body| {
            push(frames, body);
            Ok(())
        })?;
        match &mut self.at {
            Some(at) => {
                self.file.write_all_at(frames, *at)?;
                *at += frames.len() as u64;
            }
            None => self.file.write_all(frames)?,
        }
        if self.durable {
            self.file.sync_data()?;
        }
        Ok(())
    }
}
