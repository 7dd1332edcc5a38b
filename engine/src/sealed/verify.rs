//! Looking at every byte of a sealed file and computing again whatever can be computed.

use super::block::BlockHeader;
use super::codec::BlockBuf;
use super::file::SealedFile;
use super::footer::{Runs, Source, Summary, node_count};
use super::layout::{Directory, TRAILER_BYTES, Tag};
use super::table::{BlockEntry, Table};
use crate::error::{Damage, Error, Result};
use crate::gap::Gap;
use crate::merkle::{Frontier, Proof, Prover, leaf_hash};
use crate::{Incarnation, LogId};
use annals_index::HEADER_BYTES;

/// What verifying a file found, besides damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verified {
    /// Records that were read and checked.
    pub(crate) records: u64,
    /// The hash tree after the last record, computed from the records themselves; `None` if some are lost, or if
    /// nothing tells how it stood before the first. Over gaps, it may be as stated.
    pub(crate) end: Option<Frontier>,
    /// What the file says is missing.
    pub(crate) gaps: Vec<Gap>,
    /// How many nodes of the tree were taken as stated, since records below them are in gaps.
    pub(crate) unproven: u64,
}

impl SealedFile {
    /// Reads and checks all of the file and gives each damaged place to `sink`.
    ///
    /// `start` is the hash tree before the first record as the preceding segment's verification computed it; without
    /// it, the file's own word is taken.
    ///
    /// # Errors
    /// What the operating system says of reading. Damage is no error here.
    pub(crate) fn verify(&self, start: Option<&Frontier>, sink: &mut dyn FnMut(Damage)) -> Result<Verified> {
        let mut pass = Pass { file: self, sink, lost: false };
        pass.ends();
        pass.dictionaries()?;
        let found = pass.blocks(start)?;
        pass.footer(&found)?;
        pass.space()?;
        let proof = found.proof.filter(|_| !pass.lost);
        let (end, unproven) = proof.map_or((None, 0), |proof| (proof.end, proof.unproven));
        Ok(Verified { records: found.summary.records, end, gaps: found.gaps, unproven })
    }
}

/// Adds what stands in the tree for a gap: its leaves may have been others once; that of dropped records never was.
fn push_gap(tree: &mut Prover, gap: &Gap, log_id: &LogId, incarnation: Incarnation) {
    match gap.dropped {
        Some(drops) => tree.record(leaf_hash(log_id, &drops.record(gap.first_seq, incarnation, &drops.encode()))),
        None if Gap::is_wide(gap.end_seq - gap.first_seq) => {
            tree.wide_gap(leaf_hash(log_id, &Gap::wide_leaf(incarnation)), gap.end_seq - gap.first_seq);
        }
        None => {
            let leaf = |seq| leaf_hash(log_id, &Gap::leaf(seq, incarnation));
            (gap.first_seq..gap.end_seq).for_each(|seq| tree.gap(leaf(seq)));
        }
    }
}

/// What the blocks themselves hold.
struct Found {
    table: Table,
    runs: Runs,
    summary: Summary,
    gaps: Vec<Gap>,
    /// The tree, while it is computed; `None` once something is missing.
    tree: Option<Prover>,
    /// What came of it.
    proof: Option<Proof>,
}

struct Pass<'a> {
    file: &'a SealedFile,
    sink: &'a mut dyn FnMut(Damage),
    /// Whether records could not be read.
    lost: bool,
}

impl Pass<'_> {
    fn report(&mut self, damage: Damage) {
        (self.sink)(damage);
    }

    fn say(&mut self, offset: u64, detail: &str) {
        self.report(self.file.opened.damage(offset, detail));
    }

    /// The header, its copy, the trailer, the directory.
    fn ends(&mut self) {
        let opened = &self.file.opened;
        opened.header_damage.iter().flatten().cloned().for_each(|damage| self.report(damage));
        if let Err(damage) = &opened.directory {
            self.report(damage.clone());
        }
    }

    fn dictionaries(&mut self) -> Result<()> {
        let file = self.file;
        if file.opened.blocks_at == HEADER_BYTES as u64 {
            return Ok(());
        }
        let copies = [file.first_dictionary()?, file.second_dictionary()?];
        if let [Ok(first), Ok(second)] = &copies
            && first != second
        {
            self.say(HEADER_BYTES as u64, "the two copies of the dictionary differ");
        }
        for damage in copies.into_iter().filter_map(Result::err) {
            self.report(damage);
        }
        Ok(())
    }

    /// Every block that can be found, by its own header or by the footer's table.
    fn blocks(&mut self, start: Option<&Frontier>) -> Result<Found> {
        let file = self.file;
        let walk = file.walk()?;
        for damage in &walk.damage {
            self.lost = true;
            self.report(damage.clone());
        }
        let stated = file.merkle().ok();
        let base_seq = file.seqs().start;
        let begin = start.or(stated.as_ref().map(|ends| &ends.start)).filter(|start| start.size() == base_seq);
        let expected = node_count(base_seq..walk.table.end_seq(base_seq));
        // Without any, they need not be computed.
        let nodes = file.nodes().ok().map(|(_, nodes)| nodes);
        let nodes = nodes.filter(|nodes| !nodes.is_empty() && nodes.len() as u64 == expected);
        let mut found = Found {
            table: walk.table.clone(),
            runs: walk.runs.clone(),
            summary: Summary::empty(base_seq),
            gaps: Vec::new(),
            tree: begin.map(|start| Prover::new(start, nodes)),
            proof: None,
        };
        let mut buffer = BlockBuf::new();
        for entry in &walk.table.0 {
            match file.load(entry, &mut buffer) {
                Ok(()) => self.block(entry, &buffer, &mut found),
                Err(error @ Error::Io { .. }) => return Err(error),
                Err(error) => {
                    self.lost = true;
                    self.report(self.lost_block(entry, error));
                }
            }
        }
        found.summary.end_seq = found.table.end_seq(base_seq);
        let end = stated.as_ref().map(|ends| &ends.end);
        found.proof = found.tree.take().map(|tree| tree.finish(end));
        if let (Some(start), Some(stated)) = (start.filter(|start| start.size() == base_seq), stated)
            && stated.start != *start
        {
            let damage = file.contradiction(Tag::MERKLE);
            self.report(damage);
        }
        Ok(found)
    }

    fn lost_block(&self, entry: &BlockEntry, error: Error) -> Damage {
        match error {
            Error::Damaged(damage) => damage,
            other => Damage {
                first_seq: Some(entry.first_seq),
                end_seq: Some(entry.end_seq()),
                ..self.file.opened.damage(entry.offset, &other.to_string())
            },
        }
    }

    /// The records of a block that was read.
    fn block(&mut self, entry: &BlockEntry, buffer: &BlockBuf, found: &mut Found) {
        let told = buffer.header().map(|header: &BlockHeader| (header.time_min, header.time_max));
        if buffer.gap().is_none() && buffer.time_range() != told {
            self.say(entry.offset, "the block's header tells other timestamps than its records have");
        }
        if entry.first_seq != found.summary.end_seq {
            // Reported as a gap by the walk: what comes after can't be hashed.
            found.tree = None;
        }
        let log_id = self.file.log_id();
        let summary = &mut found.summary;
        for record in buffer.iter() {
            summary.records += 1;
            summary.body_bytes += record.body.len() as u64;
            summary.time_min = summary.time_min.min(record.timestamp.as_micros());
            summary.time_max = summary.time_max.max(record.timestamp.as_micros());
            if let Some(tree) = &mut found.tree {
                tree.record(leaf_hash(&log_id, &record));
            }
        }
        if let Some(gap) = buffer.gap() {
            found.gaps.push(gap.clone());
            if let Some(tree) = &mut found.tree {
                push_gap(tree, gap, &log_id, buffer.incarnation());
            }
        }
        summary.end_seq = entry.end_seq();
    }

    /// Every footer section against what the blocks hold.
    fn footer(&mut self, found: &Found) -> Result<()> {
        let file = self.file;
        let Ok(directory) = &file.opened.directory else { return Ok(()) };
        for tag in Tag::REQUIRED.into_iter().filter(|tag| directory.find(*tag).is_none()) {
            self.say(file.opened.len, &format!("the section {tag} is missing"));
        }
        for (n, section) in directory.0.iter().enumerate() {
            if directory.0[..n].iter().any(|before| before.tag == section.tag) {
                self.say(section.offset, &format!("the section {} is there twice", section.tag));
            }
            match file.section(section.tag)? {
                // That of the dictionary is reported with the dictionary.
                Err(_) if section.tag == Tag::DICTIONARY => {}
                Err(damage) => self.report(damage),
                Ok(bytes) if !self.agrees(section.tag, &bytes, found)? => {
                    let damage = file.contradiction(section.tag);
                    self.report(damage);
                }
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// Whether a section says what the blocks say. Where records are lost, only whether it can be so.
    fn agrees(&self, tag: Tag, bytes: &[u8], found: &Found) -> Result<bool> {
        let base_seq = self.file.seqs().start;
        Ok(match tag {
            Tag::SUMMARY => {
                let summary = Summary::decode(bytes, base_seq);
                summary.is_some_and(|summary| self.lost || summary == found.summary)
            }
            Tag::BLOCKS => self.file.stored_table()?.is_ok_and(|table| self.lost || table == found.table),
            Tag::RUNS => Runs::decode(bytes, base_seq).is_some_and(|runs| self.lost || runs == found.runs),
            Tag::SOURCES => Source::decode_all(bytes).is_some(),
            Tag::MERKLE => {
                self.file.merkle().is_ok() && (self.lost || found.proof.as_ref().is_none_or(|proof| proof.end_agrees))
            }
            Tag::NODES => {
                let nodes = super::footer::decode_nodes(bytes);
                let count = match self.lost {
                    true => self.file.merkle().ok().map(|ends| ends.node_count()),
                    false => Some(node_count(base_seq..found.summary.end_seq)),
                };
                nodes.is_some_and(|nodes| {
                    count.is_none_or(|count| count == nodes.len() as u64)
                        && (self.lost || found.proof.as_ref().is_none_or(|proof| proof.nodes_agree))
                })
            }
            _ => true,
        })
    }

    /// That the file's parts lie end to end, so that no byte of it goes unread.
    fn space(&mut self) -> Result<()> {
        let file = self.file;
        let Ok(directory) = &file.opened.directory else { return Ok(()) };
        let Directory(sections) = directory;
        let mut at = match self.lost {
            true => file.blocks_end().unwrap_or(file.opened.blocks_at),
            false => file.walk()?.end,
        };
        for section in sections {
            if section.offset != at {
                self.say(at.min(section.offset), "bytes that belong to no part of the file, or to two");
            }
            at = section.offset + section.len;
        }
        let directory_at = file.opened.len - (TRAILER_BYTES + directory.encode().len()) as u64;
        if at != directory_at {
            self.say(at, "bytes that belong to no part of the file, or to two");
        }
        Ok(())
    }
}
