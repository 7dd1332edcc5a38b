//! From a sealed file to the records of its blocks: one block, one record of it, or several blocks at once.

use super::block::{CODEC_COLUMNS, CODEC_ROWS_ZSTD};
use super::cache::{BlockCache, CachedBlock};
use super::codec::{BlockBuf, BlockError};
use super::file::SealedFile;
use super::kept::KeptBlock;
use super::table::{BlockEntry, SPAN_BYTES_MAX};
use crate::Incarnation;
use crate::error::{Damage, Error, Result};
use crate::msgpack::Fields;
use crate::sync::atomic::Ordering;

/// Memory for reading runs of blocks. It is kept from run to run.
#[derive(Debug, Default)]
pub(crate) struct RunBuf {
    stored: Vec<u8>,
    block: BlockBuf,
    /// Blocks whose memory may be used again.
    pub(crate) spare: Vec<KeptBlock>,
}

impl RunBuf {
    /// For records of these fields alone, as [`BlockBuf::only`].
    pub(crate) fn only(fields: Option<Fields>) -> Self {
        let block = fields.map_or_else(BlockBuf::new, BlockBuf::only);
        Self { stored: Vec::new(), block, spare: Vec::new() }
    }
}

/// A block is kept when it is asked for so many times: one of which all records were read with the first; one of which
/// the others have to be read for that, which takes as long as reading one about ten times.
const ASKS_WHOLE: u64 = 2;
const ASKS_PART: u64 = 4;

/// A run ends when so many bytes are decompressed: what its blocks tell of is not known before.
const RUN_PLAIN_BYTES: usize = 4 << 20;

impl SealedFile {
    /// Reads block `n` into `buffer`.
    ///
    /// # Errors
    /// [`Error::Damaged`], with the seqs of the records that are lost; the buffer is empty then.
    pub(crate) fn read_block(&self, n: usize, buffer: &mut BlockBuf) -> Result<()> {
        buffer.clear();
        let entry = self.table()?.0.get(n).copied();
        let entry = entry.ok_or_else(|| {
            Error::Damaged(self.opened.damage(self.opened.blocks_at, &format!("there is no block {n}")))
        })?;
        self.load(&entry, buffer)
    }

    /// Reads the block with the record `seq` into `buffer`; by the index, if there is one and it is right.
    ///
    /// # Errors
    /// [`Error::Damaged`], with the seqs of the records that are lost; the buffer is empty then.
    pub(crate) fn seek(&self, seq: u64, buffer: &mut BlockBuf) -> Result<()> {
        self.seek_for(seq, Some(seq), buffer)
    }

    /// As [`SealedFile::seek`], with all records of the block.
    ///
    /// # Errors
    /// As [`SealedFile::seek`].
    pub(crate) fn seek_all(&self, seq: u64, buffer: &mut BlockBuf) -> Result<()> {
        self.seek_for(seq, None, buffer)
    }

    fn seek_for(&self, seq: u64, only: Option<u64>, buffer: &mut BlockBuf) -> Result<()> {
        buffer.clear();
        if let Some(index) = self.index() {
            match index.find(seq).map(|found| self.load_for(&indexed_entry(&found), only, buffer)) {
                Some(Ok(())) if buffer.contains(seq) => return Ok(()),
                Some(Err(error)) if !error.is_damage() => return Err(error),
                // The index is wrong, or the block is damaged: the file's own table will tell.
                _ => self.index_dropped.store(true, Ordering::Relaxed),
            }
        }
        let entry = self.table()?.0[self.block_of(seq)?];
        self.load_for(&entry, only, buffer)
    }

    /// The block with the record `seq`, if `cache` keeps it.
    pub(crate) fn kept(&self, seq: u64, cache: &BlockCache) -> Option<CachedBlock> {
        let offset = match self.index() {
            Some(index) => index.find(seq)?.offset,
            None => self.table().ok()?.0[self.block_of(seq).ok()?].offset,
        };
        // The index may be wrong about the block; what is kept is not.
        cache.get(self.file_id(), offset).filter(|kept| kept.block().is_some_and(|block| block.contains(seq)))
    }

    /// Keeps the block in `buffer`, of which the record `seq` was read, if it is asked for often enough. The buffer may have no
    /// records then.
    pub(crate) fn keep(&self, seq: u64, buffer: &mut BlockBuf, cache: &BlockCache) -> Option<CachedBlock> {
        let asks = if buffer.is_complete() { ASKS_WHOLE } else { ASKS_PART };
        if buffer.gap().is_some() || cache.note_asked(self.file_id(), buffer.offset) < asks {
            return None;
        }
        let offset = buffer.offset;
        let kept = if buffer.is_partial() {
            let mut whole = BlockBuf::new();
            self.seek_all(seq, &mut whole).ok()?;
            KeptBlock::take(&mut whole)?
        } else {
            buffer.complete().ok()?;
            KeptBlock::take(buffer)?
        };
        Some(cache.keep(self.file_id(), offset, kept))
    }

    /// Reads all records of the block in `buffer`, of which [`SealedFile::seek`] read one.
    ///
    /// # Errors
    /// [`Error::Damaged`], with the seqs of the records that are lost; the buffer is empty then.
    pub(crate) fn complete(&self, buffer: &mut BlockBuf) -> Result<()> {
        let seqs = buffer.seqs();
        buffer.complete().map_err(|detail| {
            let damage = self.opened.damage(self.opened.blocks_at, detail);
            Error::Damaged(Damage { first_seq: Some(seqs.start), end_seq: Some(seqs.end), ..damage })
        })
    }

    /// Reads blocks that lie end to end with one read, and adds each to `out`: up to the first that can't be read, is a gap,
    /// or is one too many for a run's memory. Who wants to know why asks for that block alone.
    pub(crate) fn read_run(&self, entries: &[BlockEntry], buffer: &mut RunBuf, out: &mut Vec<KeptBlock>) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
        let bytes = (last.offset + u64::from(last.span)).saturating_sub(first.offset);
        let mut plain_bytes = 0;
        let read = self.opened.read_into(&mut buffer.stored, first.offset, bytes);
        for entry in entries.iter().filter(|_| matches!(read, Ok(Ok(())))) {
            let from = (entry.offset - first.offset) as usize;
            let Some(stored) = buffer.stored.get(from..from + entry.span as usize) else { return };
            // Memory that another thread gives back to the system would have to be zeroed again for the next block.
            if let Some(spare) = buffer.spare.pop() {
                buffer.block.put_memory(spare.into_memory());
            }
            let decoded = self.decode(entry, None, stored, &mut buffer.block);
            let Some(kept) = decoded.ok().and_then(|()| KeptBlock::take(&mut buffer.block)) else { return };
            plain_bytes += kept.bytes();
            out.push(kept);
            if plain_bytes >= RUN_PLAIN_BYTES {
                return;
            }
        }
    }

    /// Reads the block that `entry` tells of.
    pub(super) fn load(&self, entry: &BlockEntry, buffer: &mut BlockBuf) -> Result<()> {
        self.load_for(entry, None, buffer)
    }

    /// As [`SealedFile::load`]; if only one record is asked for, the others are left out where that is quicker.
    fn load_for(&self, entry: &BlockEntry, seq: Option<u64>, buffer: &mut BlockBuf) -> Result<()> {
        buffer.clear();
        if u64::from(entry.span) > SPAN_BYTES_MAX {
            return Err(lost(entry, self.opened.damage(entry.offset, "the block is larger than any block may be")));
        }
        let mut stored = std::mem::take(&mut buffer.stored);
        let read = self.opened.read_into(&mut stored, entry.offset, u64::from(entry.span));
        let outcome = match read {
            Ok(Ok(())) => self.decode(entry, seq, &stored, buffer),
            Ok(Err(damage)) => Err(lost(entry, damage)),
            Err(error) => Err(error),
        };
        buffer.stored = stored;
        outcome
    }

    /// The records of the block `stored`, of which `entry` tells.
    fn decode(&self, entry: &BlockEntry, seq: Option<u64>, stored: &[u8], buffer: &mut BlockBuf) -> Result<()> {
        buffer.offset = entry.offset;
        let lost = |damage| lost(entry, damage);
        self.decode_checked(entry, seq, stored, buffer).map_err(|error| match error {
            Failure::Block(BlockError::Damaged(detail)) => lost(self.opened.damage(entry.offset, detail)),
            Failure::Block(BlockError::UnknownCodec(codec)) => Error::Unsupported {
                path: self.opened.path.clone(),
                detail: format!("the block at byte {} has codec {codec}: use a newer program", entry.offset),
            },
            Failure::Other(Error::Damaged(damage)) => lost(damage),
            Failure::Other(error) => error,
        })
    }

    fn decode_checked(
        &self,
        entry: &BlockEntry,
        seq: Option<u64>,
        stored: &[u8],
        buffer: &mut BlockBuf,
    ) -> Result<(), Failure> {
        let header = buffer.check(stored, self.opened.salt)?;
        if (header.first_seq, header.count) != (entry.first_seq, entry.count) {
            return Err("the block holds other records than the table tells".into());
        }
        let incarnation = self.incarnation(header.first_seq, header.run).map_err(Failure::Other)?;
        let incarnation = incarnation.ok_or("nothing tells the incarnation of the block's records any more")?;
        let dictionary = match header.codec {
            CODEC_ROWS_ZSTD | CODEC_COLUMNS => self.dictionary().map_err(Failure::Other)?,
            _ => None,
        };
        Ok(buffer.decode(stored, header, dictionary, incarnation, seq)?)
    }

    /// The incarnation of a block's records: what its own header says, or what the runs say.
    fn incarnation(&self, seq: u64, own: Option<Incarnation>) -> Result<Option<Incarnation>> {
        match own {
            Some(own) => Ok(Some(own)),
            None => Ok(self.runs()?.of(seq)),
        }
    }
}

/// The damage that costs the records of a block.
fn lost(entry: &BlockEntry, damage: Damage) -> Error {
    Error::Damaged(Damage { first_seq: Some(entry.first_seq), end_seq: Some(entry.end_seq()), ..damage })
}

enum Failure {
    Block(BlockError),
    Other(Error),
}

impl From<BlockError> for Failure {
    fn from(error: BlockError) -> Self {
        Self::Block(error)
    }
}

impl From<&'static str> for Failure {
    fn from(detail: &'static str) -> Self {
        Self::Block(BlockError::Damaged(detail))
    }
}

/// The entry an index tells of. Indexes say nothing of timestamps: nothing is left out because an index says so.
fn indexed_entry(found: &annals_index::IndexedBlock) -> BlockEntry {
    BlockEntry {
        offset: found.offset,
        span: u32::try_from(found.bytes).unwrap_or(u32::MAX),
        count: found.count,
        first_seq: found.first_seq,
        time_min: i64::MIN,
        time_max: i64::MAX,
    }
}
