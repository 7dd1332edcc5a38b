//! Finding the column of a key: by guessing that keys come in the order of last time, and by hash when they do not.

use std::collections::HashMap;

const NONE: u32 = u32::MAX;

/// The keys of one struct level.
#[derive(Debug)]
pub(crate) struct Keys {
    names: Vec<Box<str>>,
    by_name: HashMap<Box<str>, u32>,
    /// What followed each key last time; the first entry is what came first.
    next: Vec<u32>,
    before: usize,
}

impl Keys {
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let names: Vec<Box<str>> = names.map(Into::into).collect();
        let by_name = names.iter().cloned().zip(0..).collect();
        let next = vec![NONE; names.len() + 1];
        Self { names, by_name, next, before: 0 }
    }

    /// Begins another object.
    pub(crate) fn rewind(&mut self) {
        self.before = 0;
    }

    /// The position of `key`, if it is known.
    #[inline]
    pub(crate) fn find(&mut self, key: &str) -> Option<usize> {
        let guess = self.next[self.before] as usize;
        let found = match self.names.get(guess) {
            Some(name) if **name == *key => guess,
            _ => {
                let found = *self.by_name.get(key)?;
                self.next[self.before] = found;
                found as usize
            }
        };
        self.before = found + 1;
        Some(found)
    }
}
