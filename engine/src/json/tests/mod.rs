//! What the two directions promise, one test a behaviour, and both against a naive model.

mod damage;
mod naive;
mod numbers;
mod reading;
mod round_trip;
mod strings;
mod writing;

use super::{JsonError, to_json, to_msgpack};

/// The body that `text` becomes.
fn body(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    to_msgpack(text.as_bytes(), &mut out).unwrap_or_else(|error| panic!("{text}: {error}"));
    crate::msgpack::validate_body(&out).unwrap_or_else(|error| panic!("{text}: {error}"));
    out
}

/// Why `text` is refused. The output is checked to be left as it was.
fn refusal(text: impl AsRef<[u8]>) -> JsonError {
    let mut out = b"before".to_vec();
    let error = to_msgpack(text.as_ref(), &mut out).expect_err("refused");
    assert_eq!(out, b"before");
    error
}

/// The text that one MessagePack value becomes.
fn text(value: &[u8]) -> String {
    let mut out = Vec::new();
    to_json(value, &mut out).unwrap_or_else(|error| panic!("{value:x?}: {error}"));
    String::from_utf8(out).expect("JSON text is UTF-8")
}

/// There and back.
fn round_trip(json: &str) -> String {
    text(&body(json))
}

#[test]
fn the_worked_example_of_the_format_page() {
    let expected = b"\x82\xa1n\xd5\x4a-0\xa1s\xd7\x4a\"\\ud800\"";
    assert_eq!(body(r#"{"n":-0,"s":"\uD800"}"#), expected);
}
