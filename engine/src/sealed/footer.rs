//! What stands in the footer sections. docs/format.md, "Footer sections".

use super::bytes::Fields;
use crate::merkle::{Frontier, HASH_BYTES, Hash, NODE_LEAVES};
use crate::{FileId, Incarnation};
use std::ops::Range;

/// What a sealed segment holds, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Records, those in gaps left out.
    pub(crate) records: u64,
    /// The first seq after the last record or gap.
    pub(crate) end_seq: u64,
    /// The earliest timestamp; that of a segment without records is later than the latest.
    pub(crate) time_min: i64,
    pub(crate) time_max: i64,
    /// Bytes of all bodies.
    pub(crate) body_bytes: u64,
}

impl Summary {
    /// The summary of no records.
    pub(crate) fn empty(base_seq: u64) -> Self {
        Self { records: 0, end_seq: base_seq, time_min: i64::MAX, time_max: i64::MIN, body_bytes: 0 }
    }

    /// How many seqs from `base_seq` on are in gaps.
    pub(crate) fn missing(&self, base_seq: u64) -> u64 {
        (self.end_seq - base_seq).saturating_sub(self.records)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let numbers = [self.records, self.end_seq, self.time_min as u64, self.time_max as u64, self.body_bytes];
        numbers.into_iter().flat_map(u64::to_le_bytes).collect()
    }

    pub(crate) fn decode(bytes: &[u8], base_seq: u64) -> Option<Self> {
        let mut fields = Fields(bytes);
        let summary = Self {
            records: fields.u64()?,
            end_seq: fields.u64()?,
            time_min: fields.i64()?,
            time_max: fields.i64()?,
            body_bytes: fields.u64()?,
        };
        let sound = fields.is_empty()
            && summary.end_seq <= 1 << 63
            && base_seq.checked_add(summary.records).is_some_and(|end| end <= summary.end_seq)
            && (summary.records == 0 || summary.time_min <= summary.time_max);
        sound.then_some(summary)
    }
}

/// From which seq on the records are of which incarnation; `None` where damage leaves nothing to tell it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Runs(pub(crate) Vec<(u64, Option<Incarnation>)>);

impl Runs {
    /// The incarnation of the record `seq`.
    pub(crate) fn of(&self, seq: u64) -> Option<Incarnation> {
        let after = self.0.partition_point(|(first, _)| *first <= seq);
        after.checked_sub(1).and_then(|n| self.0[n].1)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let known = self.0.iter().filter_map(|(first, run)| Some((first, (*run)?)));
        known.flat_map(|(first, run)| first.to_le_bytes().into_iter().chain(run.0)).collect()
    }

    pub(crate) fn decode(bytes: &[u8], base_seq: u64) -> Option<Self> {
        let mut fields = Fields(bytes);
        let mut runs: Vec<(u64, Option<Incarnation>)> = Vec::with_capacity(bytes.len() / 24);
        while !fields.is_empty() {
            let (first, run) = (fields.u64()?, Incarnation(fields.array()?));
            if !runs.last().map_or(first == base_seq, |(before, _)| *before < first) {
                return None;
            }
            runs.push((first, Some(run)));
        }
        Some(Self(runs))
    }
}

/// A raw segment whose records a sealed one took over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) base_seq: u64,
    pub(crate) ordinal: u64,
    pub(crate) file_id: FileId,
}

impl Source {
    pub(crate) fn encode_all(sources: &[Self]) -> Vec<u8> {
        let mut out = Vec::with_capacity(sources.len() * 32);
        for source in sources {
            out.extend(source.base_seq.to_le_bytes());
            out.extend(source.ordinal.to_le_bytes());
            out.extend(source.file_id.0);
        }
        out
    }

    pub(crate) fn decode_all(bytes: &[u8]) -> Option<Vec<Self>> {
        let mut fields = Fields(bytes);
        let mut sources = Vec::with_capacity(bytes.len() / 32);
        while !fields.is_empty() {
            let (base_seq, ordinal) = (fields.u64()?, fields.u64()?);
            sources.push(Self { base_seq, ordinal, file_id: FileId(fields.array()?) });
        }
        Some(sources)
    }
}

/// How the log's hash tree stood before the segment's first record and after its last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MerkleEnds {
    pub(crate) start: Frontier,
    pub(crate) end: Frontier,
}

impl MerkleEnds {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(self.start.root());
        out.extend(self.end.root());
        self.start.encode(&mut out);
        self.end.encode(&mut out);
        out
    }

    /// Checks the roots against the frontiers, too.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let roots: [Hash; 2] = [fields.array()?, fields.array()?];
        let (start, rest) = Frontier::decode(fields.0)?;
        let (end, rest) = Frontier::decode(rest)?;
        let sound = rest.is_empty() && start.size() <= end.size() && roots == [start.root(), end.root()];
        sound.then_some(Self { start, end })
    }

    /// How many nodes over aligned leaves are kept of those that the segment completes.
    pub(crate) fn node_count(&self) -> u64 {
        node_count(self.start.size()..self.end.size())
    }
}

/// Most seqs of a segment whose nodes are kept: those that its index can tell apart.
const NODES_SPAN_MAX: u64 = annals_index::RECORDS_MAX as u64;

/// Whether nodes are kept of a segment with these seqs. One with more has a gap that few bytes tell of.
pub(crate) fn keeps_nodes(seqs: Range<u64>) -> bool {
    seqs.end - seqs.start <= NODES_SPAN_MAX
}

/// How many nodes over aligned leaves are kept of a segment with these seqs.
pub(crate) fn node_count(seqs: Range<u64>) -> u64 {
    if keeps_nodes(seqs.clone()) { seqs.end / NODE_LEAVES - seqs.start / NODE_LEAVES } else { 0 }
}

/// The nodes that a segment completes, from a footer section.
pub(crate) fn decode_nodes(bytes: &[u8]) -> Option<&[Hash]> {
    let (nodes, rest) = bytes.as_chunks::<HASH_BYTES>();
    rest.is_empty().then_some(nodes)
}
