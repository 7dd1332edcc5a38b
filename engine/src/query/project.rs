//! Records cut down to the fields that somebody asked for.

use super::path::FieldPath;
use super::trie::{ROOT, Trie};
use super::walk::key;
use crate::msgpack::{DEPTH_MAX, MsgPackError, Reader, Token};

/// The fields to keep.
#[derive(Debug, Clone)]
pub(crate) struct Projection {
    trie: Trie,
    /// Of each node, whether all of it is kept.
    whole: Vec<bool>,
}

impl Projection {
    pub(crate) fn new(paths: &[FieldPath]) -> Self {
        let mut trie = Trie::default();
        let ends: Vec<usize> = paths.iter().map(|path| trie.insert(path)).collect();
        let mut whole = vec![false; trie.len()];
        ends.into_iter().for_each(|end| whole[end] = true);
        Self { trie, whole }
    }

    /// Puts a map into `out` that has the fields of `body` that are kept, in their order: objects and arrays around them
    /// stay, without what else is in them.
    pub(crate) fn apply(&self, body: &[u8], out: &mut Vec<u8>) -> Result<(), MsgPackError> {
        out.clear();
        let mut reader = Reader::new(body);
        if !self.value(&mut reader, ROOT, out, 0)? {
            out.push(EMPTY_MAP);
        }
        Ok(())
    }

    /// Writes what is kept of the next value. `false` if nothing is.
    fn value(
        &self,
        reader: &mut Reader<'_>,
        node: usize,
        out: &mut Vec<u8>,
        depth: usize,
    ) -> Result<bool, MsgPackError> {
        if self.whole[node] {
            out.extend_from_slice(reader.skip_value()?);
            return Ok(true);
        }
        let (start, offset) = (out.len(), reader.offset());
        let mut kept = 0;
        match reader.token()? {
            Token::Map(_) | Token::Array(_) if depth == DEPTH_MAX => return Err(MsgPackError::TooDeep { offset }),
            Token::Map(pairs) => {
                for _ in 0..pairs {
                    let (pair, before) = (out.len(), reader.clone());
                    let Some(child) = key(reader)?.and_then(|key| self.trie.child(node, key)) else {
                        reader.skip_value()?;
                        continue;
                    };
                    out.extend_from_slice(before.clone().skip_value()?);
                    match self.value(reader, child, out, depth + 1)? {
                        true => kept += 1,
                        false => out.truncate(pair),
                    }
                }
                insert_header(out, start, |header| rmp::encode::write_map_len(header, kept).map(|_| ()));
            }
            Token::Array(elements) => {
                for _ in 0..elements {
                    kept += u32::from(self.value(reader, node, out, depth + 1)?);
                }
                insert_header(out, start, |header| rmp::encode::write_array_len(header, kept).map(|_| ()));
            }
            _ => {}
        }
        if kept == 0 {
            out.truncate(start);
        }
        Ok(kept > 0)
    }
}

const EMPTY_MAP: u8 = 0x80;

/// Puts a header before what was written from `start` on: only then it is known how much that is.
fn insert_header<E: std::fmt::Debug>(
    out: &mut Vec<u8>,
    start: usize,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) {
    let mut header = Vec::with_capacity(5);
    write(&mut header).expect("memory takes what is written to it");
    out.splice(start..start, header);
}
