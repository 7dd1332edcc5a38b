//! The raw baseline past the page cache: O_DIRECT into a zeroed file, the last block rewritten until it is full.

use super::raw::{prepared_bytes, zero};
use super::raw_frames::push;
use super::{Appender, Contender, Facts, Setup, Store, encode_each};
use crate::Result;
use crate::items::Item;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Direct writes.
#[derive(Debug)]
pub(super) struct RawDirect;

/// What the address, the offset and the length of a direct write are multiples of.
const ALIGNED: usize = 4096;

impl Contender for RawDirect {
    fn facts(&self) -> Facts {
        Facts {
            durable: Some(
                "`pwrite` with O_DIRECT in blocks of 4 KiB, the last one rewritten, and fdatasync; zeroed beforehand, not \
                 in the time. A file for each thread",
            ),
            ..Facts::new("raw-direct")
        }
    }

    fn open(&self, dir: &Path, setup: Setup) -> Result<Box<dyn Store>> {
        std::fs::create_dir_all(dir)?;
        Ok(Box::new(Open { dir: dir.to_owned(), bytes: prepared_bytes(setup), appenders: AtomicUsize::new(0) }))
    }
}

struct Open {
    dir: PathBuf,
    bytes: u64,
    appenders: AtomicUsize,
}

impl Store for Open {
    fn appender(&self) -> Result<Box<dyn Appender + '_>> {
        let number = self.appenders.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("{number:04}.raw"));
        zero(&OpenOptions::new().write(true).create(true).truncate(true).open(&path)?, self.bytes)?;
        let direct = rustix::fs::OFlags::DIRECT.bits() as i32;
        let file = OpenOptions::new().write(true).custom_flags(direct).open(path)?;
        Ok(Box::new(Appending { file, at: 0, tail: Vec::new(), body: Vec::new(), block: Vec::new() }))
    }

    fn len(&self) -> Result<u64> {
        Err("direct files are not read back".into())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct Appending {
    file: File,
    /// Where `tail` begins in the file: a multiple of [`ALIGNED`].
    at: u64,
    /// The frames that don't fill a block yet, and what is appended now.
    tail: Vec<u8>,
    body: Vec<u8>,
    /// Room for what is written, and for aligning it.
    block: Vec<u8>,
}

impl Appender for Appending {
    fn append(&mut self, items: &[Item]) -> Result<()> {
        let Self { tail, body, .. } = self;
        encode_each(items, body, |_, body| {
            push(tail, body);
            Ok(())
        })?;
        let bytes = tail.len().next_multiple_of(ALIGNED);
        if self.block.len() < bytes + ALIGNED {
            self.block.resize(bytes + ALIGNED, 0);
        }
        let start = self.block.as_ptr().align_offset(ALIGNED);
        let block = &mut self.block[start..start + bytes];
        block[..tail.len()].copy_from_slice(tail);
        block[tail.len()..].fill(0);
        self.file.write_all_at(block, self.at)?;
        self.file.sync_data()?;
        let full = tail.len() / ALIGNED * ALIGNED;
        self.at += full as u64;
        tail.drain(..full);
        Ok(())
    }
}
