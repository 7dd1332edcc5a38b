//! Walking a record's body along the paths that somebody asked for, and past everything else.

use super::trie::{ROOT, Trie};
use super::value::Cell;
use crate::msgpack::{DEPTH_MAX, MsgPackError, Reader, Token};

/// Calls `see` with the node of every path that leads to something in `body`, and with the value there: `None` for an
/// array, of which each element is then seen as well.
pub(crate) fn walk<'a>(
    trie: &Trie,
    body: &'a [u8],
    see: &mut dyn FnMut(usize, Option<Cell<'a>>),
) -> Result<(), MsgPackError> {
    let mut walker = Walker { trie, reader: Reader::new(body), see };
    match walker.reader.token()? {
        Token::Map(pairs) => walker.object(ROOT, pairs, 1),
        _ => Err(MsgPackError::NotAMap),
    }
}

struct Walker<'a, 'w> {
    trie: &'w Trie,
    reader: Reader<'a>,
    see: &'w mut dyn FnMut(usize, Option<Cell<'a>>),
}

impl Walker<'_, '_> {
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
        (self.see)(node, Some(Cell::of(token)));
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
