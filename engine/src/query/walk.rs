//! Walking a record's body along the paths that somebody asked for, and past everything else.

use super::trie::{ROOT, Trie};
use super::value::Cell;
use crate::msgpack::{DEPTH_MAX, MsgPackError, Reader, Token};

/// Most of a record's own keys that are known again, and most bytes of one.
const KEYS_KNOWN_MAX: usize = 64;
const KEY_BYTES_MAX: usize = 64;

/// Calls `see` with the node of every path that leads to something in `body`, and with the value there: `None` for an
/// array, of which each element is then seen as well.
pub(crate) fn walk<'a>(
    trie: &Trie,
    body: &'a [u8],
    see: &mut dyn FnMut(usize, Option<Cell<'a>>),
) -> Result<(), MsgPackError> {
    walk_tokens(trie, None, body, &mut |node, token| see(node, token.map(Cell::of)))
}

/// As [`walk`], with values as they are stored. `known`, which is kept from record to record, makes it quicker where the records
/// have the same keys of their own in the same order.
pub(crate) fn walk_tokens<'a>(
    trie: &Trie,
    known: Option<&mut KnownKeys>,
    body: &'a [u8],
    see: &mut impl FnMut(usize, Option<Token<'a>>),
) -> Result<(), MsgPackError> {
    let mut walker = Walker { trie, reader: Reader::new(body), see };
    match (walker.reader.token()?, known) {
        (Token::Map(pairs), None) => walker.object(ROOT, pairs, 1),
        (Token::Map(pairs), Some(known)) => walker.record(known, pairs),
        _ => Err(MsgPackError::NotAMap),
    }
}

/// The own keys of the record that was walked last, as they were encoded, and the node that each leads to in the trie, which is
/// always the same.
#[derive(Debug, Default)]
pub(crate) struct KnownKeys(Vec<(Vec<u8>, Option<usize>)>);

struct Walker<'a, 'w, F> {
    trie: &'w Trie,
    reader: Reader<'a>,
    see: &'w mut F,
}

impl<'a, F: FnMut(usize, Option<Token<'a>>)> Walker<'a, '_, F> {
    fn record(&mut self, known: &mut KnownKeys, pairs: u32) -> Result<(), MsgPackError> {
        for n in 0..pairs as usize {
            let child = match known.0.get(n) {
                Some((key, child)) if self.reader.skip_if(key) => *child,
                _ => self.new_key(known, n)?,
            };
            match child {
                Some(child) => self.value(child, 1)?,
                None => _ = self.reader.skip_value()?,
            }
        }
        Ok(())
    }

    /// Reads the record's own key `n`, and notes it for the next record.
    fn new_key(&mut self, known: &mut KnownKeys, n: usize) -> Result<Option<usize>, MsgPackError> {
        let before = self.reader.clone();
        let child = key(&mut self.reader)?.and_then(|key| self.trie.child(ROOT, key));
        let encoded = before.until(&self.reader);
        if n < KEYS_KNOWN_MAX && encoded.len() <= KEY_BYTES_MAX {
            if n == known.0.len() {
                known.0.push((Vec::new(), None));
            }
            if let Some((key, node)) = known.0.get_mut(n) {
                key.clear();
                key.extend_from_slice(encoded);
                *node = child;
            }
        }
        Ok(child)
    }

    fn object(&mut self, node: usize, pairs: u32, depth: usize) -> Result<(), MsgPackError> {
        for _ in 0..pairs {
            match key(&mut self.reader)?.and_then(|key| self.trie.child(node, key)) {
                Some(child) => self.value(child, depth)?,
                None => _ = self.reader.skip_value()?,
            }
        }
        Ok(())
    }

    fn value(&mut self, node: usize, depth: usize) -> Result<(), MsgPackError> {
        let offset = self.reader.offset();
        let before = self.reader.clone();
        let token = self.reader.token()?;
        if matches!(token, Token::Array(_) | Token::Map(_)) && depth == DEPTH_MAX {
            return Err(MsgPackError::TooDeep { offset });
        }
        if let Token::Array(elements) = token {
            (self.see)(node, None);
            for _ in 0..elements {
                self.value(node, depth + 1)?;
            }
            return Ok(());
        }
        (self.see)(node, Some(token));
        match token {
            Token::Map(_) if self.trie.is_end(node) => {
                self.reader = before;
                self.reader.skip_value()?;
            }
            Token::Map(pairs) => self.object(node, pairs, depth + 1)?,
            _ => {}
        }
        Ok(())
    }
}

/// Reads the next key. `None` if it is no string.
pub(crate) fn key<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a str>, MsgPackError> {
    let before = reader.clone();
    match reader.token()? {
        Token::Str(key) => Ok(Some(key)),
        Token::Array(_) | Token::Map(_) => {
            *reader = before;
            reader.skip_value()?;
            Ok(None)
        }
        _ => Ok(None),
    }
}
