//! Nothing panics, whatever the bytes, and what comes out is what it should be.

use crate::json::{to_json, to_msgpack};
use crate::msgpack::{EXT_JSON_TOKEN, validate_body};
use proptest::prelude::*;
use rmpv::Value;

/// Bytes that are almost JSON.
fn almost_json() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", "\"a\"", "\"", "\\u", "\\ud800", "d800", "1", "0", "-", ".", "e", "E+", "tru",
        "null", " ", "\n", "\u{1}", "é",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| format!("{{\"a\":{}", pieces.concat()).into_bytes())
}

fn messagepack() -> impl Strategy<Value = Value> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    let token = prop_oneof![Just(b"1e999".to_vec()), Just(b"\"\\ud800\"".to_vec()), Just(b"-".to_vec()), bytes()];
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f32>().prop_map(Value::F32),
        any::<f64>().prop_map(Value::F64),
        any::<String>().prop_map(Value::from),
        bytes().prop_map(Value::Binary),
        (any::<i8>(), bytes()).prop_map(|(kind, bytes)| Value::Ext(kind, bytes)),
        token.prop_map(|bytes| Value::Ext(EXT_JSON_TOKEN, bytes)),
    ];
    leaf.prop_recursive(4, 60, 8, |inner| {
        let string = any::<String>().prop_map(Value::from);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::Array),
            prop::collection::vec((string, inner.clone()), 0..20).prop_map(Value::Map),
            prop::collection::vec((inner.clone(), inner), 0..4).prop_map(Value::Map),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_text_never_panics(text in prop_oneof![prop::collection::vec(any::<u8>(), 0..200), almost_json()]) {
        let mut out = b"before".to_vec();
        let is_object = serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok() && text.trim_ascii().starts_with(b"{");
        match to_msgpack(&text, &mut out) {
            Ok(()) => {
                prop_assert_eq!(validate_body(&out[6..]), Ok(()));
                prop_assert!(is_object);
            }
            Err(error) => {
                prop_assert_eq!(out, b"before");
                prop_assert!(error.offset() <= text.len());
                prop_assert!(!is_object, "{}", error);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(value in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut out = b"before".to_vec();
        match to_json(&value, &mut out) {
            Ok(()) => prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&out[6..]).is_ok()),
            Err(_) => prop_assert_eq!(out, b"before"),
        }
    }

    #[test]
    fn any_messagepack_becomes_valid_json(value in messagepack()) {
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, &value).expect("memory takes all");
        let json = super::text(&bytes);
        let parsed = serde_json::from_str::<serde::de::IgnoredAny>(&json);
        prop_assert!(parsed.is_ok(), "{}: {:?}", json, parsed);
    }

    #[test]
    fn damaged_messagepack_never_panics(value in messagepack(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, &value).expect("memory takes all");
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = to_json(&bytes, &mut Vec::new());
        let _ = to_json(&bytes[..at], &mut Vec::new());
    }
}
