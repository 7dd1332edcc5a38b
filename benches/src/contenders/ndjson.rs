//! A line of JSON for each event in one file: what a logging library does.

use super::{Appender, Contender, Facts, Reads, Setup, Store};
use crate::Result;
use crate::items::{Encoding, Item};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// One way of writing lines.
#[derive(Debug)]
pub(super) struct Ndjson {
    facts: Facts,
    buffered: bool,
}

const BASE: Facts = Facts { encoding: Encoding::Json, gets: false, ..Facts::new("ndjson") };

/// A system call for each append.
pub(super) const WRITE: Ndjson = Ndjson {
    facts: Facts {
        durable: Some("one `write` and fdatasync for each append, under a mutex; the file grows"),
        unsynced: Some("one `write` for each append, under a mutex; survives a kill"),
        reads: Some("the lines; no checksum, no seqs, so scans only and no `get`"),
        ..BASE
    },
    buffered: false,
};

/// A buffer in the process.
pub(super) const BUFFERED: Ndjson = Ndjson {
    facts: Facts {
        name: "ndjson-buffered",
        unsynced: Some("`BufWriter` of 8 KiB under a mutex, encoded outside it; a kill loses what is in it"),
        ..BASE
    },
    buffered: true,
};

impl Contender for Ndjson {
    fn facts(&self) -> Facts {
        self.facts
    }

    fn open(&self, dir: &Path, setup: Setup) -> Result<Box<dyn Store>> {
        std::fs::create_dir_all(dir)?;
        let path = dir.join("events.ndjson");
        let file = OpenOptions::new().append(true).create(true).open(&path)?;
        let out = if self.buffered { Out::Buffered(BufWriter::new(file)) } else { Out::Plain(file) };
        Ok(Box::new(Open { path, out: Mutex::new(out), durable: setup.durable }))
    }
}

enum Out {
    Plain(File),
    Buffered(BufWriter<File>),
}

struct Open {
    path: PathBuf,
    out: Mutex<Out>,
    durable: bool,
}

impl Store for Open {
    fn appender(&self) -> Result<Box<dyn Appender + '_>> {
        Ok(Box::new(Appending { store: self, lines: Vec::new(), line: Vec::new() }))
    }

    fn reader(&self) -> Result<Box<dyn Reads + '_>> {
        Ok(Box::new(Lines(self)))
    }

    /// There is no other way to know than to count the lines.
    fn len(&self) -> Result<u64> {
        let mut count = 0;
        Lines(self).scan(&mut |_| {
            count += 1;
            Ok(())
        })?;
        Ok(count)
    }

    fn close(self: Box<Self>) -> Result<()> {
        match self.out.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Out::Plain(file) => file.sync_data()?,
            Out::Buffered(buffered) => buffered.into_inner().map_err(|error| error.into_error())?.sync_data()?,
        }
        Ok(())
    }
}

struct Appending<'a> {
    store: &'a Open,
    lines: Vec<u8>,
    line: Vec<u8>,
}

impl Appender for Appending<'_> {
    fn append(&mut self, items: &[Item]) -> Result<()> {
        self.lines.clear();
        for item in items {
            item.encode_line(&mut self.line)?;
            self.lines.extend_from_slice(&self.line);
        }
        match &mut *self.store.out.lock().unwrap_or_else(PoisonError::into_inner) {
            Out::Plain(file) => {
                file.write_all(&self.lines)?;
                if self.store.durable {
                    file.sync_data()?;
                }
            }
            Out::Buffered(buffered) => buffered.write_all(&self.lines)?,
        }
        Ok(())
    }
}

struct Lines<'a>(&'a Open);

impl Reads for Lines<'_> {
    fn get(&mut self, _seq: u64, _see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        Err("lines have no seqs".into())
    }

    fn scan(&mut self, see: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut lines = BufReader::with_capacity(256 << 10, File::open(&self.0.path)?);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            see(&line)?;
            line.clear();
        }
        Ok(())
    }
}
