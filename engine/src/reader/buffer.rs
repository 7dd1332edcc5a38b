//! Where a reader keeps the bytes around the record it read last.

use crate::FileId;
use crate::error::{Damage, Error, Result};
use crate::msgpack::Fields;
use crate::raw::{RawCursor, ReadAhead};
use crate::reader::Source;
use crate::reader::spare::SpareBlock;
use crate::record::{Record, StoredRecord};
use crate::sealed::{BlockBuf, CachedBlock, KeptBlock, SealedFile};
use crate::view::{Chain, Segment};
use std::ops::Range;

/// Memory for reading: the bytes around the last record, from which it is borrowed. Reuse one for many reads.
#[derive(Debug, Default)]
pub struct ReadBuffer {
    raw: RawCursor,
    block: SpareBlock,
    /// A block that was decompressed elsewhere, in place of `block`.
    kept: Option<Kept>,
    /// The file that the block is of.
    block_file: Option<FileId>,
    /// The record that was read last is in the block, and has this seq.
    in_block: Option<u64>,
    /// The fields that records are to have, if not all.
    fields: Option<Fields>,
    /// The record that was read last with these fields alone, and where in it; `None` if it is that as it was read.
    projected: Vec<u8>,
    body: Option<Range<usize>>,
    blocks_read: u64,
}

#[derive(Debug)]
enum Kept {
    Cached(CachedBlock),
    Own(KeptBlock),
}

impl Kept {
    fn block(&self) -> Option<&KeptBlock> {
        match self {
            Self::Cached(cached) => cached.block(),
            Self::Own(block) => Some(block),
        }
    }

    fn contains(&self, seq: u64) -> bool {
        self.block().is_some_and(|block| block.contains(seq))
    }
}

impl ReadBuffer {
    /// A buffer without memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A buffer into which only some fields of records are read: the body of a record is the map that it would be without
    /// all others of its own keys, in its order. Of segments sealed by column, only the columns of these are read.
    ///
    /// ```
    /// # fn main() -> annals::Result<()> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let log = annals::Options::new().open_or_create(directory.path().join("log"))?;
    /// use annals::ReadBuffer;
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Status<'a> {
    ///     status: &'a str,
    /// }
    ///
    /// # let seq = log.append(&std::collections::BTreeMap::from([("status", "ok"), ("user", "ada")]))?;
    /// let mut buffer = ReadBuffer::only(["status"]);
    /// let record = log.reader().get_into(seq, &mut buffer)?.unwrap();
    /// assert_eq!(record.decode::<Status>()?.status, "ok");
    /// # Ok(())
    /// # }
    /// ```
    pub fn only<S: AsRef<str>>(fields: impl IntoIterator<Item = S>) -> Self {
        Self::with_fields(Some(Fields::new(fields)))
    }

    pub(crate) fn with_fields(fields: Option<Fields>) -> Self {
        let block = fields.clone().map_or_else(SpareBlock::default, |fields| BlockBuf::only(fields).into());
        Self { block, fields, ..Self::default() }
    }

    /// A buffer that may leave out other fields than these, where that is quicker.
    pub(crate) fn at_least(fields: Fields) -> Self {
        Self { block: BlockBuf::only(fields).into(), ..Self::default() }
    }

    /// Leaves of the record that was read last only the fields that were asked for.
    ///
    /// # Errors
    /// [`Error::Decode`] if its body is not MessagePack; it was when it was appended.
    #[inline]
    pub(crate) fn project(&mut self) -> Result<()> {
        if self.fields.is_some() { self.project_fields() } else { Ok(()) }
    }

    fn project_fields(&mut self) -> Result<()> {
        self.body = None;
        let is_done = self.in_block.is_some()
            && self.kept.as_ref().and_then(Kept::block).map_or_else(|| self.block.is_partial(), KeptBlock::is_partial);
        if is_done {
            return Ok(());
        }
        let mut projected = std::mem::take(&mut self.projected);
        let outcome = match (&self.fields, self.stored()) {
            (Some(fields), Some(record)) => fields
                .project(record.body, &mut projected)
                .map(Some)
                .map_err(|error| Error::Decode { seq: record.seq, detail: error.to_string() }),
            _ => Ok(None),
        };
        self.projected = projected;
        self.body = outcome?;
        Ok(())
    }

    /// The record that was read last.
    pub(crate) fn current(&self) -> Option<Record<'_>> {
        let mut record = self.stored()?;
        if let Some(body) = &self.body {
            record.body = &self.projected[body.clone()];
        }
        Some(Record::new(record))
    }

    pub(crate) fn stored(&self) -> Option<StoredRecord<'_>> {
        match (self.in_block, &self.kept) {
            (Some(seq), Some(kept)) => kept.block()?.get(seq),
            (Some(seq), None) => self.block.get(seq),
            (None, _) => self.raw.current(),
        }
    }

    /// How many blocks of sealed segments were read.
    pub(crate) fn blocks_read(&self) -> u64 {
        self.blocks_read
    }

    /// Goes on to `seq` if it has been read with the record that was read last, in its block of a sealed segment, which never
    /// changes. The caller knows that `seq` belongs to that segment.
    #[inline]
    pub(crate) fn step_to(&mut self, seq: u64) -> bool {
        let has = || self.kept.as_ref().map_or_else(|| self.block.has(seq), |kept| kept.contains(seq));
        let is_here = self.in_block.is_some() && has();
        if is_here {
            self.in_block = Some(seq);
        }
        is_here
    }

    /// Reads `seq` from the segment at `index` of `chain`, so that [`ReadBuffer::current`] gives it.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the record can't be read, or is not there; [`Error::Gap`] if the log says so.
    pub(crate) fn read(
        &mut self,
        source: &Source,
        chain: &Chain,
        index: usize,
        seq: u64,
        ahead: ReadAhead,
    ) -> Result<()> {
        match &chain.segments[index] {
            Segment::Raw(raw) => {
                self.in_block = None;
                match self.raw.read(raw, seq, ahead)? {
                    true => Ok(()),
                    false => {
                        let (offset, end_seq) = raw.end();
                        Err(missing(&raw.path, offset, end_seq..end_of(source, chain, index)))
                    }
                }
            }
            Segment::Sealed(slot) => {
                let opened = slot.opened_now();
                if let Some(file) = opened.as_ref() {
                    return self.read_sealed(source, (chain, index), file, seq, ahead);
                }
                drop(opened);
                let file = source.sealed(slot).map_err(|error| unreadable(error, source, chain, index))?;
                self.read_sealed(source, (chain, index), &file, seq, ahead)
            }
        }
    }

    /// Reads `seq` from the file of the segment at `index`. Who reads on has all records of the block at once, and leaves the cache as it is.
    fn read_sealed(
        &mut self,
        source: &Source,
        (chain, index): (&Chain, usize),
        file: &SealedFile,
        seq: u64,
        ahead: ReadAhead,
    ) -> Result<()> {
        self.in_block = None;
        if !file.seqs().contains(&seq) {
            return Err(missing(file.path(), 0, file.seqs().end..end_of(source, chain, index)));
        }
        if self.block_file != Some(file.file_id()) || !self.covers(seq) {
            self.block_file = None;
            self.blocks_read += 1;
            self.load(source, file, seq, ahead)?;
            self.block_file = Some(file.file_id());
        } else if self.kept.is_none() && !self.block.has(seq) {
            // Who asks for a second record of a block goes on to the others.
            self.block_file = None;
            file.complete(&mut self.block)?;
            self.block_file = Some(file.file_id());
        }
        match self.block.gap().filter(|_| self.kept.is_none()) {
            Some(gap) => Err(Error::Gap(gap.clone())),
            None => {
                self.in_block = Some(seq);
                Ok(())
            }
        }
    }

    /// Whether the block of `file` with the record `seq` is here.
    pub(crate) fn has_block(&self, file: &SealedFile, seq: u64) -> bool {
        self.block_file == Some(file.file_id()) && self.covers(seq)
    }

    /// Goes on with a block of `file` that was read elsewhere. Returns the one before, if it was.
    pub(crate) fn put_block(&mut self, file: &SealedFile, block: KeptBlock) -> Option<KeptBlock> {
        self.blocks_read += 1;
        (self.in_block, self.block_file) = (None, Some(file.file_id()));
        match self.kept.replace(Kept::Own(block)) {
            Some(Kept::Own(before)) => Some(before),
            _ => None,
        }
    }

    fn load(&mut self, source: &Source, file: &SealedFile, seq: u64, ahead: ReadAhead) -> Result<()> {
        let cache = source.cache.as_deref();
        self.kept = cache.and_then(|cache| file.kept(seq, cache)).map(Kept::Cached);
        match (&self.kept, ahead) {
            (Some(_), _) => {}
            (None, ReadAhead::None) => {
                file.seek(seq, &mut self.block)?;
                self.kept = cache.and_then(|cache| file.keep(seq, &mut self.block, cache)).map(Kept::Cached);
                if self.kept.is_none() && !self.block.has(seq) {
                    file.seek(seq, &mut self.block)?;
                }
            }
            _ => file.seek_all(seq, &mut self.block)?,
        }
        Ok(())
    }

    /// Whether the block that is here covers `seq`.
    fn covers(&self, seq: u64) -> bool {
        self.kept.as_ref().map_or_else(|| self.block.contains(seq), |kept| kept.contains(seq))
    }
}

/// The end of the records that the segment at `index` is to hold: those that readers may read, if it is the last. So one
/// error stands for all of them, however many a file claims that there are.
fn end_of(source: &Source, chain: &Chain, index: usize) -> u64 {
    chain.end_of(index).min(source.view.visible_seq())
}

/// The error for all records of a segment whose file can't be opened.
pub(crate) fn unreadable(error: Error, source: &Source, chain: &Chain, index: usize) -> Error {
    match error {
        Error::Damaged(damage) if damage.first_seq.is_none() => {
            let (first, end) = (chain.segments[index].base_seq(), end_of(source, chain, index));
            Error::Damaged(Damage { first_seq: Some(first), end_seq: Some(end), ..damage })
        }
        error => error,
    }
}

/// The error for records that no file holds, though files before them are there.
fn missing(path: &str, offset: u64, seqs: Range<u64>) -> Error {
    Error::Damaged(Damage {
        path: path.to_owned(),
        offset,
        detail: "the file ends before the next one begins: records are missing".into(),
        first_seq: Some(seqs.start),
        end_seq: Some(seqs.end),
    })
}
