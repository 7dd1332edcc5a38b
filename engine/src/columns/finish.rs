//! From what an encoder collected to the bytes of a block.

use super::FLAG_META;
use super::encode::{Collected, Encoder};
use super::entry::Holds;
use super::ints::{encode as encode_ints, encode_codes, entropy_bits};
use crate::fields::put_varint;
use std::io;

impl Encoder<'_> {
    /// Puts the block's payload into `out` in place of what is there, and begins anew. Returns the length of the part
    /// that zstd compressed.
    ///
    /// # Errors
    /// What zstd says.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<u32> {
        let (plain, packed) = self.parts();
        let stored = self.compressor.compress(&plain)?;
        out.clear();
        let (is_compressed, stored) = if stored.len() < plain.len() { (1, &stored) } else { (0, &plain) };
        out.push(is_compressed);
        put_varint(out, stored.len() as u64);
        out.extend_from_slice(stored);
        out.extend_from_slice(&packed);
        Ok(plain.len() as u32)
    }

    /// The parts of a block: that to be compressed, and that of packed bits. Begins anew.
    pub(super) fn parts(&mut self) -> (Vec<u8>, Vec<u8>) {
        let (mut heads, mut data, mut packed) = (Vec::new(), Vec::new(), Vec::new());
        heads.push(if self.needs_meta { FLAG_META } else { 0 });
        if self.needs_meta {
            heads.extend_from_slice(&self.meta);
            data.extend_from_slice(&self.keys);
        }
        encode_ints(&self.times, &mut heads, &mut data, &mut packed);
        for id in 0..self.cells.len() {
            self.column(id, &mut heads, &mut data, &mut packed);
        }
        self.clear();
        let mut plain = Vec::with_capacity(heads.len() + data.len() + 3);
        put_varint(&mut plain, heads.len() as u64);
        plain.extend(heads);
        plain.extend(data);
        (plain, packed)
    }

    fn column(&mut self, id: usize, heads: &mut Vec<u8>, data: &mut Vec<u8>, packed: &mut Vec<u8>) {
        let cells = &self.cells[id];
        if cells.codes.is_empty() {
            return;
        }
        encode_codes(&cells.codes, heads, data, packed);
        let column = &self.dictionary.columns[id];
        let mut used = vec![false; column.active as usize + 1];
        for code in &cells.codes {
            if let Some(used) = used.get_mut(*code as usize) {
                *used = true;
            }
        }
        if used[0] {
            put_varint(heads, cells.raw.len() as u64);
            data.extend_from_slice(&cells.raw);
        }
        for code in (1..=column.active).filter(|code| used[*code as usize]) {
            let Some(entry) = column.entry(code) else { continue };
            for slot in super::slots_of(entry) {
                self.slot(slot, heads, data, packed);
            }
        }
    }

    fn slot(&self, id: u32, heads: &mut Vec<u8>, data: &mut Vec<u8>, packed: &mut Vec<u8>) {
        let (slot, own) = (&self.dictionary.slots[id as usize], &self.slots[id as usize]);
        match slot.holds {
            Holds::Number | Holds::Count | Holds::Items => match slot.reference {
                None => encode_ints(&own.numbers, heads, data, packed),
                Some(reference) => {
                    let others = &self.slots[reference as usize];
                    encode_ints(&differences(own, others), heads, data, packed);
                }
            },
            Holds::Fixed(_) => {
                let is_random = entropy_bits(own.bytes.iter().copied()) * 100 > own.bytes.len() as u64 * 8 * 97;
                heads.push(u8::from(is_random));
                if is_random { packed } else { data }.extend_from_slice(&own.bytes);
            }
            Holds::Any => {
                put_varint(heads, own.bytes.len() as u64);
                data.extend_from_slice(&own.bytes);
            }
        }
    }

    fn clear(&mut self) {
        for cells in &mut self.cells {
            cells.codes.clear();
            cells.raw.clear();
        }
        for slot in &mut self.slots {
            slot.numbers.clear();
            slot.rows.clear();
            slot.bytes.clear();
        }
        for part in [&mut self.meta, &mut self.keys] {
            part.clear();
        }
        self.times.clear();
        (self.items, self.text_bytes, self.needs_meta) = (0, 0, false);
    }
}

/// The numbers of `own` less the first number of `others` in the same row, where there is one.
pub(super) fn differences(own: &Collected, others: &Collected) -> Vec<i64> {
    let mut at = 0;
    let difference = |(number, row): (&i64, &u32)| {
        while others.rows.get(at).is_some_and(|other| other < row) {
            at += 1;
        }
        match others.rows.get(at) {
            Some(other) if other == row => number.wrapping_sub(others.numbers[at]),
            _ => *number,
        }
    };
    own.numbers.iter().zip(&own.rows).map(difference).collect()
}
