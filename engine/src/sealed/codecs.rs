//! The parts of a sealed file for fuzz targets: see `crate::codecs`.

use super::block::BlockHeader;
use super::bytes::Salt;
use super::codec::{BlockBuf, BlockError};
use super::dictionary;
use super::footer::{MerkleEnds, Runs, Source, Summary, decode_nodes};
use super::layout::{Directory, TRAILER_BYTES, Trailer};
use super::rows::RowsBuilder;
use super::shared::FileDictionary;
use super::table::Table;
use crate::Incarnation;
use crate::codecs::Row;
use annals_index::{FileHeader, FileKind, SPECIFIC_BYTES};

/// What a block holds, and what encoding it again gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its records, forwards.
    pub records: Vec<Row>,
    /// Its header, encoded again.
    pub header: Vec<u8>,
    /// Its plain payload as it was read.
    pub plain: Vec<u8>,
    /// Its records, encoded again.
    pub plain_again: Vec<u8>,
}

fn salt(file_id: [u8; 16]) -> Salt {
    Salt::of(&header(file_id))
}

fn header(file_id: [u8; 16]) -> FileHeader {
    FileHeader {
        kind: FileKind::Sealed,
        compatible: 0,
        incompatible: 0,
        log_id: [0; 16],
        file_id,
        base_seq: 0,
        ordinal: 1,
        created_us: 0,
        specific: [0; SPECIFIC_BYTES],
    }
}

/// The block that `bytes` are, compressed with `dictionary` if there is one.
///
/// # Errors
/// What the decoder says.
pub fn block(bytes: &[u8], file_id: [u8; 16], dictionary: Option<&[u8]>) -> Result<Block, String> {
    let text = |error: BlockError| format!("{error:?}");
    let mut buffer = BlockBuf::new();
    let found = buffer.check(bytes, salt(file_id)).map_err(text)?;
    let shared =
        dictionary.map(|plain| FileDictionary::Rows(plain.to_vec()).share().ok_or("zstd refuses the dictionary"));
    let shared = shared.transpose()?;
    let incarnation = found.run.unwrap_or(Incarnation([0; 16]));
    buffer.decode(bytes, found, shared.as_ref(), incarnation, None).map_err(text)?;
    let mut header = Vec::new();
    BlockHeader::encode(&found, salt(file_id), &mut header);
    let mut rows = RowsBuilder::default();
    buffer.iter().for_each(|record| rows.push(&record));
    let mut plain_again = Vec::new();
    rows.finish(&mut plain_again);
    let row = |record: crate::record::StoredRecord<'_>| {
        (record.seq, record.timestamp.as_micros(), record.key.to_vec(), record.body.to_vec())
    };
    Ok(Block { records: buffer.iter().map(row).collect(), header, plain: buffer.plain.clone(), plain_again })
}

/// The footer section `tag` of a file with the first record `base_seq`, whose blocks lie in `from..to`: encoded again.
/// `None` if it doesn't decode, or if there is nothing to decode in a section of that tag.
pub fn section(tag: [u8; 4], bytes: &[u8], base_seq: u64, from: u64, to: u64) -> Option<Vec<u8>> {
    Some(match &tag {
        b"BLKS" => {
            let mut out = Vec::new();
            Table::decode(bytes, from, base_seq, to)?.encode(&mut out);
            out
        }
        b"MERK" => MerkleEnds::decode(bytes)?.encode(),
        b"SRCS" => Source::encode_all(&Source::decode_all(bytes)?),
        b"RUNS" => Runs::decode(bytes, base_seq)?.encode(),
        b"SUMM" => Summary::decode(bytes, base_seq)?.encode(),
        b"NODE" => decode_nodes(bytes)?.concat(),
        _ => return None,
    })
}

/// The section directory in `bytes`, which begin at `at`: encoded again.
pub fn directory(bytes: &[u8], at: u64) -> Option<Vec<u8>> {
    Directory::decode(bytes, at).map(|directory| directory.encode())
}

/// The trailer in `bytes`, encoded again: all of it but the copy of the file header.
///
/// # Errors
/// What the decoder says.
pub fn trailer(bytes: &[u8; TRAILER_BYTES], file_id: [u8; 16], file_len: u64) -> Result<[u8; TRAILER_BYTES], String> {
    let mut again = Trailer::decode(bytes, salt(file_id), file_len)?.encode(&header(file_id), salt(file_id));
    let copy = Trailer::header_copy(bytes);
    again[..copy.len()].copy_from_slice(copy);
    Ok(again)
}

/// The plain dictionary in `bytes`, which are one copy with its header, and whether zstd takes it.
///
/// # Errors
/// What the decoder says.
pub fn dictionary(bytes: &[u8], file_id: [u8; 16]) -> Result<(Vec<u8>, bool), String> {
    let (codec, plain) = dictionary::decode_copy(bytes, salt(file_id))?;
    let taken = FileDictionary::decode(codec, plain.clone()).and_then(FileDictionary::share).is_some();
    Ok((plain, taken))
}
