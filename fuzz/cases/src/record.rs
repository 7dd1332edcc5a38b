//! The body of a record and the entry around it: bytes that claim to be MessagePack, and values that are.

use crate::draw::{Draw, damage, encode};
use crate::forge::{Salt, entry, repair_entry};
use annals::codecs::raw::entry as decode_entry;
use annals::msgpack::{Reader, Token, validate_body};
use rmpv::{Value, ValueRef};

const FILE_ID: [u8; 16] = [9; 16];
const DEPTH_MAX: usize = 128;

pub(crate) fn case(input: &[u8]) {
    let mut draw = Draw::new(input);
    match draw.byte() % 4 {
        0 => body(draw.rest()),
        1 => {
            let mut bytes = draw.body();
            damage(&mut draw, &mut bytes);
            body(&bytes);
        }
        2 => {
            let value = draw.record();
            let bytes = encode(&value);
            validate_body(&bytes).expect("a map is a body");
            // NaN is not equal to itself: encodings are compared.
            assert_eq!(encode(&read(&mut Reader::new(&bytes), 0)), bytes);
        }
        _ => {
            let (seq, time, key) = (draw.number() >> 1, draw.number() as i64, draw.bytes(40));
            let salt = Salt::of(&FILE_ID);
            let plain = draw.body();
            let whole = entry(seq, time, key, &plain, salt);
            let record = (seq, time, key.to_vec(), plain);
            assert_eq!(decode_entry(&whole, seq, FILE_ID), Ok((record, whole.clone())));
            let mut bytes = whole;
            damage(&mut draw, &mut bytes);
            repair_entry(&mut bytes, seq, salt);
            if let Ok((_, again)) = decode_entry(&bytes, seq, FILE_ID) {
                assert_eq!(bytes[..again.len()], again);
            }
        }
    }
}

/// What is accepted is read by an independent decoder too, token by token, and has a text.
fn body(bytes: &[u8]) {
    let accepted = validate_body(bytes);
    let mut rest = bytes;
    let other = rmpv::decode::read_value_ref_with_max_depth(&mut rest, 1_024);
    if accepted.is_ok() {
        let other = other.expect("what is valid is read");
        assert!(rest.is_empty() && matches!(other, ValueRef::Map(_)));
        let mut text = Vec::new();
        annals::json::to_json(bytes, &mut text).expect("a body has a text");
        assert!(std::str::from_utf8(&text).is_ok());
        let mut reader = Reader::new(bytes);
        let read = read(&mut reader, 0);
        reader.finish().expect("what is valid has been read");
        assert_eq!(encode(&read), encode(&other.to_owned()));
    }
    let _ = annals::json::to_json(bytes, &mut Vec::new());
}

/// The value that `reader` gives, token by token.
fn read(reader: &mut Reader<'_>, depth: usize) -> Value {
    assert!(depth <= DEPTH_MAX);
    match reader.token().expect("it was validated") {
        Token::Nil => Value::Nil,
        Token::Bool(bool) => bool.into(),
        Token::UInt(number) => number.into(),
        Token::Int(number) => number.into(),
        Token::F32(number) => Value::F32(number),
        Token::F64(number) => Value::F64(number),
        Token::Str(text) => text.into(),
        Token::Bin(bytes) => bytes.into(),
        Token::Array(count) => (0..count).map(|_| read(reader, depth + 1)).collect::<Vec<_>>().into(),
        Token::Map(count) => {
            Value::Map((0..count).map(|_| (read(reader, depth + 1), read(reader, depth + 1))).collect())
        }
        Token::Ext(kind, bytes) => Value::Ext(kind, bytes.to_vec()),
    }
}
