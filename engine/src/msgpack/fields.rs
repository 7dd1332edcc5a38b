//! Some fields of a record: of its own keys, those that were named.

use super::{MsgPackError, Reader, Token};
use std::ops::Range;
use std::sync::Arc;

/// Names of a record's own keys. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fields(Arc<[Box<str>]>);

/// Most bytes of a map's head.
const HEAD_BYTES_MAX: usize = 5;

impl Fields {
    pub(crate) fn new<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Self {
        Self(names.into_iter().map(|name| name.as_ref().into()).collect())
    }

    /// Whether `text` is one of the names.
    pub(crate) fn has(&self, text: &str) -> bool {
        self.0.iter().any(|name| **name == *text)
    }

    /// Whether `value`, one MessagePack value, is a string that is one of the names; `None` if it is not one value.
    pub(crate) fn has_key(&self, value: &[u8]) -> Option<bool> {
        let mut reader = Reader::new(value);
        let is_named = match Reader::new(value).token().ok()? {
            Token::Str(text) => self.has(text),
            _ => false,
        };
        reader.skip_value().ok()?;
        reader.finish().ok()?;
        Some(is_named)
    }

    /// Puts into `out`, in place of what is there, the map that `body` is without all other fields; in its order, a key that
    /// occurs twice twice. Returns where in `out` it is.
    ///
    /// # Errors
    /// `body` is no map in MessagePack.
    pub(crate) fn project(&self, body: &[u8], out: &mut Vec<u8>) -> Result<Range<usize>, MsgPackError> {
        let mut reader = Reader::new(body);
        let Token::Map(pairs) = reader.token()? else { return Err(MsgPackError::NotAMap) };
        out.clear();
        out.resize(HEAD_BYTES_MAX, 0);
        let mut count = 0;
        for _ in 0..pairs {
            let from = reader.offset();
            let is_named = match reader.token()? {
                Token::Str(text) => self.has(text),
                _ => {
                    reader = Reader::at(body, from);
                    reader.skip_value()?;
                    false
                }
            };
            reader.skip_value()?;
            if is_named {
                out.extend_from_slice(&body[from..reader.offset()]);
                count += 1;
            }
        }
        reader.finish()?;
        let mut head = [0; HEAD_BYTES_MAX];
        let head = map_head(count, &mut head);
        let from = HEAD_BYTES_MAX - head.len();
        out[from..HEAD_BYTES_MAX].copy_from_slice(head);
        Ok(from..out.len())
    }
}

/// The smallest head of a map of so many pairs.
fn map_head(pairs: u32, out: &mut [u8; HEAD_BYTES_MAX]) -> &[u8] {
    match pairs {
        0..=15 => {
            out[0] = 0x80 | pairs as u8;
            &out[..1]
        }
        16..=0xFFFF => {
            out[0] = 0xDE;
            out[1..3].copy_from_slice(&(pairs as u16).to_be_bytes());
            &out[..3]
        }
        _ => {
            out[0] = 0xDF;
            out[1..].copy_from_slice(&pairs.to_be_bytes());
            out
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn projected(body: &[u8], names: &[&str]) -> Result<Vec<u8>, MsgPackError> {
        let mut out = vec![7; 3];
        let range = Fields::new(names).project(body, &mut out)?;
        Ok(out[range].to_vec())
    }

    #[test]
    fn what_is_named_is_left_in_its_order() {
        let body = b"\x84\xa1b\x01\xa1a\x92\x01\x02\xd9\x01b\xc0\x05\xa1b";
        assert_eq!(projected(body, &["b"]).unwrap(), b"\x82\xa1b\x01\xd9\x01b\xc0");
        assert_eq!(projected(body, &["a", "b"]).unwrap(), b"\x83\xa1b\x01\xa1a\x92\x01\x02\xd9\x01b\xc0");
        assert_eq!(projected(body, &["c", ""]).unwrap(), b"\x80");
        assert_eq!(projected(body, &[]).unwrap(), b"\x80");
    }

    #[test]
    fn the_head_is_as_large_as_it_has_to_be() {
        for pairs in [15u32, 16, 65_535, 65_536] {
            let mut body = vec![0xDF];
            body.extend(pairs.to_be_bytes());
            (0..pairs).for_each(|_| body.extend(b"\xa1a\xc3"));
            let head = match pairs {
                15 => 1,
                16 | 65_535 => 3,
                _ => 5,
            };
            let found = projected(&body, &["a"]).unwrap();
            assert_eq!(found.len(), head + 3 * pairs as usize);
            super::super::validate_body(&found).unwrap();
        }
    }

    #[test]
    fn what_is_no_map_is_refused() {
        assert_eq!(projected(b"\x90", &["a"]), Err(MsgPackError::NotAMap));
        assert!(projected(b"\x81\xa1a", &["a"]).is_err());
        assert!(projected(b"\x80\x00", &["a"]).is_err());
    }

    #[test]
    fn a_key_is_one_string() {
        let fields = Fields::new(["a"]);
        assert_eq!(fields.has_key(b"\xa1a"), Some(true));
        assert_eq!(fields.has_key(b"\xd9\x01a"), Some(true));
        assert_eq!(fields.has_key(b"\xa1b"), Some(false));
        assert_eq!(fields.has_key(b"\x91\xa1a"), Some(false));
        assert_eq!(fields.has_key(b"\xa1a\xa1a"), None);
        assert_eq!(fields.has_key(b"\xa1"), None);
        assert_eq!(fields.has_key(b""), None);
    }
}
