//! Finding the blocks of a file without its table, by the headers of the blocks themselves.

use super::block::{BLOCK_HEADER_BYTES_MAX, BLOCK_MAGIC, BlockHeader, is_gap};
use super::footer::Runs;
use super::open::Opened;
use super::table::{BlockEntry, SPAN_BYTES_MAX, Table};
use crate::error::{Damage, Result};

/// How much is searched at once for the next block.
const SEARCH_BYTES: u64 = 64 << 10;

/// What the blocks themselves tell.
#[derive(Debug, Clone, Default)]
pub(super) struct Walk {
    pub(super) table: Table,
    /// The runs that begin in blocks whose headers are sound.
    pub(super) runs: Runs,
    /// The first byte after the last block.
    pub(super) end: u64,
    /// The numbers of the blocks that are gaps, in order.
    pub(super) gaps: Vec<usize>,
    /// Where no block was found and one belongs.
    pub(super) damage: Vec<Damage>,
}

/// Walks over the headers of all blocks.
///
/// `end` is where the blocks are known to end, and `end_seq` the first seq after them. Without `end`, what follows
/// the last block is searched for another one, up to the end of the file.
pub(super) fn walk(opened: &Opened, end: Option<u64>, end_seq: Option<u64>) -> Result<Walk> {
    let limit = end.unwrap_or(opened.len).min(opened.len);
    let mut walk = Walk { end: opened.blocks_at, ..Walk::default() };
    let (mut at, mut seq) = (opened.blocks_at, opened.header.base_seq);
    // The first bad place since the last sound header.
    let mut bad: Option<Damage> = None;
    while at < limit {
        match header_at(opened, at, limit)? {
            Ok(header) if header.first_seq >= seq => {
                if header.first_seq > seq || bad.is_some() {
                    let damage = bad.take().unwrap_or_else(|| opened.damage(at, "blocks are missing before here"));
                    walk.damage.push(Damage { first_seq: Some(seq), end_seq: Some(header.first_seq), ..damage });
                    // A run may have begun in the gap.
                    walk.runs.0.push((header.first_seq, header.run));
                } else if header.run.is_some() {
                    walk.runs.0.push((header.first_seq, header.run));
                }
                if is_gap(header.codec) {
                    walk.gaps.push(walk.table.0.len());
                }
                walk.table.0.push(BlockEntry::of(&header, at));
                (at, seq) = (at + header.span(), header.end_seq());
                walk.end = at;
            }
            found => {
                let detail = found.err().unwrap_or("the block repeats records of one before it");
                bad.get_or_insert_with(|| opened.damage(at, detail));
                match search(opened, at + 1, limit, seq)? {
                    Some(next) => at = next,
                    None => break,
                }
            }
        }
    }
    // Without a known end, bytes that no block follows are the footer's.
    let missing = end_seq.is_some_and(|end_seq| end_seq > seq);
    if missing || (bad.is_some() && end.is_some()) {
        let damage = bad.unwrap_or_else(|| opened.damage(walk.end, "blocks are missing from here on"));
        walk.damage.push(Damage { first_seq: Some(seq), end_seq, ..damage });
    }
    Ok(walk)
}

/// The header of the block at `at`, which ends before `limit`.
fn header_at(opened: &Opened, at: u64, limit: u64) -> Result<Result<BlockHeader, &'static str>> {
    let bytes = match opened.read(at, (limit - at).min(BLOCK_HEADER_BYTES_MAX as u64))? {
        Ok(bytes) => bytes,
        Err(_) => return Ok(Err("the file has become shorter since it was opened")),
    };
    Ok(BlockHeader::decode(&bytes, opened.salt).and_then(|header| match header.span() {
        span if span > SPAN_BYTES_MAX => Err("the block is larger than any block may be"),
        span if span > limit - at => Err("the block is cut"),
        _ => Ok(header),
    }))
}

/// Where from `at` on the next sound header of a block with `seq` or a later record stands.
fn search(opened: &Opened, mut at: u64, limit: u64, seq: u64) -> Result<Option<u64>> {
    while at < limit {
        at = at.max(opened.data_from(at)?.min(limit));
        let len = (limit - at).min(SEARCH_BYTES);
        let Ok(bytes) = opened.read(at, len)? else { return Ok(None) };
        for found in bytes.windows(BLOCK_MAGIC.len()).enumerate().filter(|(_, window)| *window == BLOCK_MAGIC) {
            let candidate = at + found.0 as u64;
            if header_at(opened, candidate, limit)?.is_ok_and(|header| header.first_seq >= seq) {
                return Ok(Some(candidate));
            }
        }
        // The magic may lie across the end of what was read.
        at += len.saturating_sub(BLOCK_MAGIC.len() as u64 - 1).max(1);
    }
    Ok(None)
}
