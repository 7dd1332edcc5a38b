//! One key of all records of a block, without the rest of them.

use super::block::Block;
use super::dictionary::{Dictionary, ROOT};
use super::entry::{Entry, Span};
use crate::msgpack::{Reader, Token};

impl Block {
    /// Gives `sink` the value that each record has for `key`, both in MessagePack; the first, if it has several.
    ///
    /// # Errors
    /// What is wrong with the block.
    #[allow(dead_code, reason = "statistics and export are to read columns")]
    pub(crate) fn field(
        &mut self,
        dictionary: &Dictionary,
        key: &[u8],
        limit: usize,
        sink: &mut dyn FnMut(usize, Option<&[u8]>),
    ) -> Result<(), &'static str> {
        self.reading.next.fill(0);
        let mut out = Vec::new();
        for row in 0..self.rows {
            out.clear();
            let mut walk = self.walk(dictionary, false, limit);
            let code = walk.code(ROOT, row as u32)?;
            let entry = dictionary.columns[ROOT as usize].entry(code);
            // Every column's place is kept, for texts that refer to others; only what was asked for is read.
            match entry {
                Some(Entry::Shape(parts)) => {
                    walk.enter(parts.iter().map(|(_, child)| *child));
                    let found = (0..parts.len()).find(|n| key_of(dictionary, parts, *n) == Some(key));
                    for (n, (_, child)) in parts.iter().enumerate() {
                        match Some(n) == found {
                            true => walk.value(*child, &mut out)?,
                            false => drop(walk.take(*child)),
                        }
                    }
                    walk.take(ROOT);
                    sink(row, found.map(|_| &out[..]));
                }
                _ => {
                    walk.value(ROOT, &mut out)?;
                    sink(row, find(&out, key));
                }
            }
        }
        Ok(())
    }
}

/// The key of a map's pair, as a shape has it: before the first stands the map's head, too.
fn key_of<'d>(dictionary: &'d Dictionary, parts: &[(Span, u32)], n: usize) -> Option<&'d [u8]> {
    let is_map = |reader: &mut Reader<'_>| matches!(reader.token(), Ok(Token::Map(_)));
    let mut head = Reader::new(dictionary.span(parts.first()?.0));
    match (n, is_map(&mut head)) {
        (0, true) => dictionary.span(parts[0].0).get(head.offset()..),
        (_, true) => Some(dictionary.span(parts[n].0)),
        _ => None,
    }
}

/// The value of `key` in a body.
fn find<'b>(body: &'b [u8], key: &[u8]) -> Option<&'b [u8]> {
    let mut reader = Reader::new(body);
    let Ok(Token::Map(pairs)) = reader.token() else { return None };
    for _ in 0..pairs {
        let own = reader.skip_value().ok()?;
        let value = reader.skip_value().ok()?;
        if own == key {
            return Some(value);
        }
    }
    None
}
