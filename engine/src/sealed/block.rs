//! The header before each block. docs/format.md, "Blocks".

use super::bytes::{Fields, Salt};
use crate::Incarnation;

/// Bytes of a block header without an incarnation.
pub(crate) const BLOCK_HEADER_BYTES: usize = HEADER_CRC_AT + 4;

/// Bytes of a block header with an incarnation.
pub(crate) const BLOCK_HEADER_BYTES_MAX: usize = BLOCK_HEADER_BYTES + 16;

/// What a block begins with.
pub(crate) const BLOCK_MAGIC: [u8; 4] = *b"\xA7blk";

/// Rows, compressed with zstd.
pub(crate) const CODEC_ROWS_ZSTD: u8 = 1;

/// Rows as they are: what compression doesn't make smaller.
pub(crate) const CODEC_ROWS_PLAIN: u8 = 2;

/// No records: a gap, and why.
pub(crate) const CODEC_GAP: u8 = 3;

/// Columns, by the file's dictionary.
pub(crate) const CODEC_COLUMNS: u8 = 4;

/// No record of a user's: one that tells of those that a limit dropped.
pub(crate) const CODEC_DROPPED: u8 = 5;

/// Whether a block of this codec says that something is missing.
pub(crate) fn is_gap(codec: u8) -> bool {
    matches!(codec, CODEC_GAP | CODEC_DROPPED)
}

const FLAG_RUN: u8 = 1;

const CODEC_AT: usize = BLOCK_MAGIC.len();
const FLAGS_AT: usize = CODEC_AT + 1;
const RESERVED_AT: usize = FLAGS_AT + 1;
const STORED_LEN_AT: usize = RESERVED_AT + 2;
const PLAIN_LEN_AT: usize = STORED_LEN_AT + 4;
const FIRST_SEQ_AT: usize = PLAIN_LEN_AT + 4;
const COUNT_AT: usize = FIRST_SEQ_AT + 8;
const TIME_MIN_AT: usize = COUNT_AT + 4;
const TIME_MAX_AT: usize = TIME_MIN_AT + 8;
const PAYLOAD_CRC_AT: usize = TIME_MAX_AT + 8;
const HEADER_CRC_AT: usize = PAYLOAD_CRC_AT + 4;
const _: () = assert!(BLOCK_HEADER_BYTES == 52);

/// The header of a block, decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    pub(crate) codec: u8,
    /// Bytes of the payload as it stands in the file.
    pub(crate) stored_len: u32,
    /// Bytes of the payload when decompressed.
    pub(crate) plain_len: u32,
    pub(crate) first_seq: u64,
    /// Records in the block; at least one.
    pub(crate) count: u32,
    pub(crate) time_min: i64,
    pub(crate) time_max: i64,
    pub(crate) payload_crc: u32,
    /// The incarnation of this block and those after it, where it is not that of the block before.
    pub(crate) run: Option<Incarnation>,
}

impl BlockHeader {
    /// Bytes of this header in the file.
    pub(crate) fn bytes(&self) -> usize {
        match self.run {
            Some(_) => BLOCK_HEADER_BYTES_MAX,
            None => BLOCK_HEADER_BYTES,
        }
    }

    /// Bytes of the header and the payload.
    pub(crate) fn span(&self) -> u64 {
        self.bytes() as u64 + u64::from(self.stored_len)
    }

    pub(crate) fn end_seq(&self) -> u64 {
        self.first_seq + u64::from(self.count)
    }

    pub(crate) fn encode(&self, salt: Salt, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend(BLOCK_MAGIC);
        out.extend([self.codec, if self.run.is_some() { FLAG_RUN } else { 0 }, 0, 0]);
        out.extend(self.stored_len.to_le_bytes());
        out.extend(self.plain_len.to_le_bytes());
        out.extend(self.first_seq.to_le_bytes());
        out.extend(self.count.to_le_bytes());
        out.extend(self.time_min.to_le_bytes());
        out.extend(self.time_max.to_le_bytes());
        out.extend(self.payload_crc.to_le_bytes());
        let run = self.run.as_ref().map_or(&[][..], |run| &run.0);
        let crc = salt.crc_of(&[&out[start..], run]);
        out.extend(crc.to_le_bytes());
        out.extend(run);
    }

    /// The header that `bytes` begin with, or what is wrong with them. Whether this version has its codec is left
    /// to who reads the payload.
    pub(crate) fn decode(bytes: &[u8], salt: Salt) -> Result<Self, &'static str> {
        let short = "the block's header is cut";
        let fixed = bytes.first_chunk::<BLOCK_HEADER_BYTES>().ok_or(short)?;
        if fixed[..CODEC_AT] != BLOCK_MAGIC {
            return Err("no block begins here");
        }
        let run = match fixed[FLAGS_AT] & FLAG_RUN {
            0 => None,
            _ => Some(bytes[BLOCK_HEADER_BYTES..].first_chunk::<16>().ok_or(short)?),
        };
        let crc = salt.crc_of(&[&fixed[..HEADER_CRC_AT], run.map_or(&[][..], |run| run)]);
        if crc.to_le_bytes() != fixed[HEADER_CRC_AT..] {
            return Err("the block's header doesn't match its checksum");
        }
        if fixed[FLAGS_AT] & !FLAG_RUN != 0 || fixed[RESERVED_AT..STORED_LEN_AT] != [0, 0] || fixed[CODEC_AT] == 0 {
            return Err("the block's header has bits that this version doesn't know");
        }
        let mut fields = Fields(&fixed[STORED_LEN_AT..]);
        let header = Self {
            codec: fixed[CODEC_AT],
            stored_len: fields.u32().ok_or(short)?,
            plain_len: fields.u32().ok_or(short)?,
            first_seq: fields.u64().ok_or(short)?,
            count: fields.u32().ok_or(short)?,
            time_min: fields.i64().ok_or(short)?,
            time_max: fields.i64().ok_or(short)?,
            payload_crc: fields.u32().ok_or(short)?,
            run: run.copied().map(Incarnation),
        };
        let end = header.first_seq.checked_add(u64::from(header.count));
        if header.count == 0 || end.is_none_or(|end| end > 1 << 63) || header.time_min > header.time_max {
            return Err("the block's header contradicts itself");
        }
        Ok(header)
    }
}
