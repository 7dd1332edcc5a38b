//! Finding the column of a key: by guessing that keys come in the order of last time, and by hash when they do not.

use annals::msgpack::Reader;
use std::collections::HashMap;

const NONE: u32 = u32::MAX;

/// The keys of one struct level.
#[derive(Debug)]
pub(crate) struct Keys {
    names: Vec<Box<str>>,
    /// The same in MessagePack.
    encoded: Vec<Box<[u8]>>,
    by_name: HashMap<Box<str>, u32>,
    /// What followed each key last time; the first entry is what came first.
    next: Vec<u32>,
    before: usize,
}

impl Keys {
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let names: Vec<Box<str>> = names.map(Into::into).collect();
        let encoded = names.iter().map(|name| encode(name)).collect();
        let by_name = names.iter().cloned().zip(0..).collect();
        let next = vec![NONE; names.len() + 1];
        Self { names, encoded, by_name, next, before: 0 }
    }

    /// Begins another object.
    pub(crate) fn rewind(&mut self) {
        self.before = 0;
    }

    /// Reads past the key that is likely to come next, if it does, and returns its position.
    #[inline]
    pub(crate) fn skip_next(&mut self, reader: &mut Reader<'_>) -> Option<usize> {
        let guess = self.next[self.before] as usize;
        let is_right = self.encoded.get(guess).is_some_and(|encoded| reader.skip_if(encoded));
        is_right.then(|| {
            self.before = guess + 1;
            guess
        })
    }

    /// The position of `key`, if it is known: for when [`Keys::skip_next`] finds nothing.
    pub(crate) fn find(&mut self, key: &str) -> Option<usize> {
        let found = *self.by_name.get(key)?;
        self.next[self.before] = found;
        self.before = found as usize + 1;
        Some(found as usize)
    }

    /// The key at `position`.
    pub(crate) fn name(&self, position: usize) -> &str {
        &self.names[position]
    }
}

/// A string in MessagePack, as short as it can be. Keys that were encoded otherwise are found by name.
fn encode(text: &str) -> Box<[u8]> {
    let len = text.len() as u32;
    let mut out = match len {
        0..32 => vec![0xA0 | len as u8],
        32..0x100 => vec![0xD9, len as u8],
        0x100..0x1_0000 => [&[0xDA][..], &(len as u16).to_be_bytes()].concat(),
        0x1_0000.. => [&[0xDB][..], &len.to_be_bytes()].concat(),
    };
    out.extend_from_slice(text.as_bytes());
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rmpv::Value;

    #[test]
    fn keys_of_any_length_are_found_where_they_are_likely() {
        let names: Vec<String> = [0, 1, 31, 32, 255, 256, 65_535, 65_536].map(|len| "k".repeat(len)).into();
        let mut keys = Keys::new(names.iter().map(String::as_str));
        for round in 0..2 {
            keys.rewind();
            for (position, name) in names.iter().enumerate() {
                let mut body = Vec::new();
                rmpv::encode::write_value(&mut body, &Value::from(name.as_str())).unwrap();
                let mut reader = Reader::new(&body);
                assert_eq!(keys.skip_next(&mut reader), (round > 0).then_some(position));
                assert_eq!(reader.offset(), if round > 0 { body.len() } else { 0 });
                if round == 0 {
                    assert_eq!(keys.find(name), Some(position));
                }
            }
        }
        assert_eq!((keys.find("other"), keys.name(1)), (None, "k"));
    }

    #[test]
    fn what_is_likely_but_does_not_come_is_left_to_be_read() {
        let mut keys = Keys::new(["a", "ab"].into_iter());
        keys.find("a");
        keys.rewind();
        let mut reader = Reader::new(b"\xA2ab");
        assert_eq!((keys.skip_next(&mut reader), reader.offset()), (None, 0));
        assert_eq!(keys.find("ab"), Some(1));
    }
}
