//! Blocks of columns in a sealed file: learning a segment's columns, and encoding its blocks.

use super::SealOptions;
use super::dictionary::COLUMNS_BYTES_MAX;
use super::rows::PLAIN_BYTES_MAX;
use super::shared::FileDictionary;
use crate::columns::{Block, Dictionary, Encoder, LearnOptions, Meta, Sample, learn};
use crate::record::StoredRecord;
use std::io;
use zstd::zstd_safe::{DCtx, DDict};

/// Fewest bytes of records that columns are learned from.
const LEARN_BYTES_MIN: usize = 2 << 10;

/// Most bytes of the values that a dictionary holds.
const LITERAL_BYTES: usize = 1 << 20;

/// Most bytes of records in a block, but for one record alone.
const BODY_BYTES_MAX: usize = 256 << 10;

/// Largest dictionary of the zstd frames, in bytes.
const CONTENT_BYTES: usize = 16 << 10;

/// The columns of a segment with these records, timestamps and bodies; `None` if there is too little to learn from.
pub(crate) fn learn_columns(samples: &[(i64, &[u8])], options: &SealOptions) -> Option<FileDictionary> {
    let samples: Vec<Sample<'_>> = samples.iter().map(|(time, body)| Sample { time: *time, body }).collect();
    let bytes: usize = samples.iter().map(|sample| sample.body.len()).sum();
    if bytes < LEARN_BYTES_MIN {
        return None;
    }
    let options = LearnOptions {
        block_records: options.column_records,
        literal_bytes: LITERAL_BYTES,
        content_bytes: CONTENT_BYTES,
        level: options.level,
    };
    let columns = learn(&samples, &options)?;
    (columns.encode().len() <= COLUMNS_BYTES_MAX).then(|| FileDictionary::Columns(Box::new(columns)))
}

/// Makes blocks of columns, and checks each.
pub(super) struct ColumnsBuilder<'d> {
    dictionary: &'d Dictionary,
    encoder: Encoder<'d>,
    content: Option<DDict<'static>>,
    context: DCtx<'static>,
    records_max: usize,
    bytes_max: usize,
    block: Block,
    bodies: Vec<u8>,
    ends: Vec<u32>,
}

impl<'d> ColumnsBuilder<'d> {
    pub(super) fn new(dictionary: &'d Dictionary, options: &SealOptions) -> io::Result<Self> {
        let content = dictionary.content();
        Ok(Self {
            dictionary,
            encoder: Encoder::new(dictionary, options.level)?,
            content: (!content.is_empty()).then(|| DDict::create(content)),
            context: DCtx::create(),
            records_max: options.column_records,
            bytes_max: options.column_bytes,
            block: Block::default(),
            bodies: Vec::new(),
            ends: Vec::new(),
        })
    }

    /// Whether the block is to end before a record with which its rows would have so many bytes.
    pub(super) fn is_full(&self, bytes_with: usize) -> bool {
        let count = self.encoder.count() as usize;
        count >= self.records_max || self.encoder.weight() >= self.bytes_max || bytes_with > BODY_BYTES_MAX
    }

    pub(super) fn push(&mut self, record: &StoredRecord<'_>) {
        let meta = Meta { kind: record.kind as u8, flags: record.flags, key: record.key };
        self.encoder.push(record.timestamp.as_micros(), &meta, record.body);
    }

    /// Puts the payload into `out`. Returns the plain length of what is compressed in it; `None` if it doesn't give back
    /// `bodies`: what the codec can't do stays rows.
    pub(super) fn finish(&mut self, bodies: &[u8], out: &mut Vec<u8>) -> io::Result<Option<u32>> {
        let count = self.encoder.count();
        let plain_len = self.encoder.finish(out)?;
        let (context, content) = (&mut self.context, &self.content);
        let mut decompress = |stored: &[u8], plain: &mut Vec<u8>| {
            plain.reserve_exact(plain_len as usize);
            let written = match content {
                Some(content) => context.decompress_using_ddict(plain, stored, content),
                None => context.decompress(plain, stored),
            };
            written.ok().map(drop)
        };
        self.bodies.clear();
        self.ends.clear();
        let read = self
            .block
            .open(self.dictionary, out, count, &mut decompress)
            .and_then(|()| self.block.bodies(self.dictionary, PLAIN_BYTES_MAX, &mut self.bodies, &mut self.ends));
        let is_same = read.is_ok() && self.bodies == bodies && plain_len as usize <= PLAIN_BYTES_MAX;
        Ok(is_same.then_some(plain_len))
    }
}
