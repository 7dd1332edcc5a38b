//! Numbers and group keys as bytes: terms, with their length before them. docs/format.md, "Statistics file".

use crate::fields::{Fields, put_varint};
use crate::query::{Inner, Number, Value};

pub(super) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(super) fn take_bytes<'a>(fields: &mut Fields<'a>) -> Option<&'a [u8]> {
    let len = usize::try_from(fields.varint()?).ok()?;
    fields.take(len)
}

pub(super) fn put_number(number: &Number, out: &mut Vec<u8>) {
    let mut term = Vec::new();
    number.term(&mut term);
    put_bytes(&term, out);
}

pub(super) fn take_number(fields: &mut Fields<'_>) -> Option<Number> {
    match Value::of_term(take_bytes(fields)?)?.0 {
        Inner::Number(number) if !number.is_nan() => Some(number),
        _ => None,
    }
}
