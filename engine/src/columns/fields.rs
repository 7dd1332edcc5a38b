//! Some fields of the records of a block, without the rest of them.

use super::block::{Block, CUT};
use super::dictionary::{Dictionary, ROOT};
use super::entry::{Entry, Span};
use super::keys::{map_head, put_map_head};
use super::read::{Outcome, Walk};
use crate::msgpack::Fields;

/// Which columns the named fields of records are in, by one dictionary.
#[derive(Debug)]
pub(crate) struct Plan {
    fields: Fields,
    /// For each entry of a whole record, what its pairs are; `None` where it has to be read to be known.
    entries: Vec<Option<Vec<Pair>>>,
    /// The columns of named fields.
    wanted: Vec<bool>,
}

/// A pair of an entry: the bytes of its key, the column of its value, whether it is named.
#[derive(Debug, Clone, Copy)]
struct Pair {
    key: Span,
    column: u32,
    is_named: bool,
}

impl Plan {
    pub(crate) fn new(dictionary: &Dictionary, fields: &Fields) -> Self {
        let entries: Vec<_> = dictionary.columns[ROOT as usize]
            .entries
            .iter()
            .map(|entry| match entry {
                Entry::Shape(parts) => pairs_of_shape(dictionary, parts, fields),
                Entry::Map { known, .. } => known.iter().map(|part| pair(dictionary, *part, fields)).collect(),
                _ => None,
            })
            .collect();
        let mut wanted = vec![false; dictionary.columns.len()];
        for pair in entries.iter().flatten().flatten().filter(|pair| pair.is_named) {
            wanted[pair.column as usize] = true;
        }
        Self { fields: fields.clone(), entries, wanted }
    }
}

fn pair(dictionary: &Dictionary, (key, column): (Span, u32), fields: &Fields) -> Option<Pair> {
    let is_named = fields.has_key(dictionary.span(key))?;
    Some(Pair { key, column, is_named })
}

/// The pairs of a shape that is a map. Before the first key stands the map's head, too; nothing else stands between two
/// values but one key.
fn pairs_of_shape(dictionary: &Dictionary, parts: &[(Span, u32)], fields: &Fields) -> Option<Vec<Pair>> {
    let (first, _) = *parts.first()?;
    let (count, head_len) = map_head(dictionary.span(first))?;
    let behind_head = (first.0 + head_len as u32, first.1);
    let spans = parts.iter().enumerate().map(|(n, part)| if n == 0 { (behind_head, part.1) } else { *part });
    (count == parts.len()).then(|| spans.map(|part| pair(dictionary, part, fields)).collect())?
}

impl Block {
    /// Adds the named fields of one record to `out`, a map of its own, which grows to little more than `limit` bytes at most.
    ///
    /// # Errors
    /// What is wrong with the block.
    pub(crate) fn fields(
        &mut self,
        dictionary: &Dictionary,
        plan: &Plan,
        row: usize,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Outcome {
        if row >= self.rows {
            return Err(CUT);
        }
        self.reading.next[ROOT as usize] = row as u32;
        self.walk(dictionary, true, limit).named(plan, &mut Vec::new(), out)
    }

    /// Adds the named fields of all records to `out`, as [`Block::fields`], and where each ends to `ends`.
    ///
    /// # Errors
    /// What is wrong with the block.
    pub(crate) fn all_fields(
        &mut self,
        dictionary: &Dictionary,
        plan: &Plan,
        limit: usize,
        out: &mut Vec<u8>,
        ends: &mut Vec<u32>,
    ) -> Outcome {
        self.reading.next.fill(0);
        let mut scratch = Vec::new();
        for _ in 0..self.rows {
            self.walk(dictionary, false, limit).named(plan, &mut scratch, out)?;
            ends.push(out.len() as u32);
        }
        Ok(())
    }
}

impl Walk<'_> {
    /// Adds the named fields of the next record to `out`. Every column's place is kept, for texts that refer to others; only
    /// what was named is read.
    fn named(&mut self, plan: &Plan, scratch: &mut Vec<u8>, out: &mut Vec<u8>) -> Outcome {
        let dictionary = self.dictionary;
        let position = self.reading.next[ROOT as usize];
        let code = self.code(ROOT, position)?;
        let pairs = code.checked_sub(1).and_then(|entry| plan.entries.get(entry as usize)?.as_deref());
        match (dictionary.columns[ROOT as usize].entry(code), pairs) {
            (Some(Entry::Shape(parts)), Some(pairs)) => {
                self.take(ROOT);
                self.place(ROOT, position, parts)?;
                self.enter(parts.iter().map(|(_, child)| *child));
                put_map_head(pairs.iter().filter(|pair| pair.is_named).count(), out);
                pairs.iter().try_for_each(|pair| self.pair(plan, *pair, scratch, out))
            }
            (Some(Entry::Map { count, keys, known }), Some(pairs)) => {
                self.take(ROOT);
                self.place(ROOT, position, known)?;
                let rank = self.rank(ROOT, position, code)?;
                let (start, len) = (self.start_of(*count, rank)?, self.number(*count, rank)?);
                let end = usize::try_from(len).ok().and_then(|len| start.checked_add(len)).ok_or(CUT)?;
                let mut named = 0;
                for index in start..end {
                    let pair = pairs[self.key_number(*keys, index, known)?];
                    self.enter([pair.column].into_iter());
                    named += usize::from(pair.is_named);
                }
                put_map_head(named, out);
                for index in start..end {
                    let pair = pairs[self.key_number(*keys, index, known)?];
                    self.pair(plan, pair, scratch, out)?;
                }
                Ok(())
            }
            _ => {
                let mut body = Vec::new();
                self.value(ROOT, &mut body)?;
                let named = plan.fields.project(&body, scratch);
                let named = named.map_err(|_| "a record of the block is no MessagePack map")?;
                out.extend_from_slice(&scratch[named]);
                Ok(())
            }
        }
    }

    fn pair(&mut self, plan: &Plan, pair: Pair, scratch: &mut Vec<u8>, out: &mut Vec<u8>) -> Outcome {
        match (pair.is_named, plan.wanted[pair.column as usize]) {
            (true, _) => {
                out.extend_from_slice(self.dictionary.span(pair.key));
                self.value(pair.column, out)?;
            }
            // What has a column in common with a named field has the columns below it in common, too.
            (false, true) => {
                scratch.clear();
                self.value(pair.column, scratch)?;
            }
            (false, false) => drop(self.take(pair.column)),
        }
        Ok(())
    }
}
