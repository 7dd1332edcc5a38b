//! Strings: all of Unicode, escapes, and surrogates without their other half.

use super::super::string::{canonical_token, plain_len};
use super::{body, refusal, round_trip, text};
use crate::json::JsonError;

#[test]
fn all_of_unicode_comes_back() {
    let json = "{\"ключ\":\"naïve 😀 \u{2028}\u{7f}\u{10ffff}\u{fffd}\u{feff}\"}";
    assert_eq!(round_trip(json), json);
}

#[test]
fn escapes_become_the_characters_they_stand_for() {
    assert_eq!(round_trip(r#"{"a":"\u0041\/\u00e9\ud83d\ude00\u20AC"}"#), "{\"a\":\"A/é😀€\"}");
}

#[test]
fn control_characters_come_back_escaped() {
    let json = r#"{"\u0000":"\b\t\n\f\r\"\\\u0001\u001f\u0000"}"#;
    assert_eq!(round_trip(json), json);
}

#[test]
fn every_string_length_has_the_smallest_header() {
    for (len, header) in [(0, 1), (31, 1), (32, 2), (255, 2), (256, 3), (65_535, 3), (65_536, 5)] {
        for json in [format!("{{\"\":\"{}\"}}", "x".repeat(len)), format!("{{\"\":\"{}\"}}", "\\n".repeat(len))] {
            assert_eq!(body(&json).len(), 2 + header + len);
            assert!(round_trip(&json) == json);
        }
    }
}

#[test]
fn a_special_byte_is_found_at_every_place() {
    for len in 0..40 {
        for at in 0..len {
            for special in (0..0x20).chain([b'"', b'\\']) {
                let mut bytes = vec![b'a'; len];
                bytes[at] = special;
                assert_eq!(plain_len(&bytes), at);
            }
            for plain in [0x20, 0x21, 0x23, 0x5B, 0x5D, 0x7F, 0x80, 0xA2, 0xDC, 0xFF] {
                let mut bytes = vec![b'"'; len];
                bytes[..=at].fill(plain);
                assert_eq!(plain_len(&bytes), at + 1, "{plain:#x}");
            }
        }
    }
}

#[test]
fn lone_surrogates_survive_as_keys_and_as_values() {
    for json in [
        r#"{"a":"\ud800"}"#,
        r#"{"\udc00":1}"#,
        r#"{"\ud800":"\udfff\ud800","b":"x\ud83d"}"#,
        r#"{"a":"\ud83d\ud83d"}"#,
        r#"{"a":"é\ude00\n"}"#,
    ] {
        assert_eq!(round_trip(json), json);
    }
}

#[test]
fn strings_with_lone_surrogates_have_one_canonical_token() {
    assert_eq!(canonical_token(br#""\uD800\u0041\/\u000a\ud83d\ude00\u0022""#), "\"\\ud800A/\\n😀\\\"\"".as_bytes());
    let expected = [&[0x81, 0xA1, b'a', 0xC7, 8, 0x4A], br#""\udbff""#.as_slice()].concat();
    // Eight bytes have a fixed-size header of their own.
    let expected = [&[0x81, 0xA1, b'a', 0xD7], &expected[5..]].concat();
    assert_eq!(body(r#"{"a":"\uDBFF"}"#), expected);
}

#[test]
fn a_high_surrogate_before_another_escape_is_lone() {
    assert_eq!(round_trip(r#"{"a":"\ud800\n"}"#), r#"{"a":"\ud800\n"}"#);
    assert_eq!(round_trip(r#"{"a":"\ud800\u0041"}"#), r#"{"a":"\ud800A"}"#);
    assert_eq!(refusal(r#"{"a":"\ud800\u00"}"#), JsonError::BadEscape { offset: 12 });
}

#[test]
fn bad_strings_are_refused_where_they_go_wrong() {
    assert_eq!(refusal("{\"a\":\"b\tc\"}"), JsonError::ControlCharacter { offset: 7, byte: 9 });
    assert_eq!(refusal("{\"a\nb\":1}"), JsonError::ControlCharacter { offset: 3, byte: 10 });
    assert_eq!(refusal(r#"{"a":"b\x"}"#), JsonError::BadEscape { offset: 7 });
    assert_eq!(refusal(r#"{"a":"b\u12g4"}"#), JsonError::BadEscape { offset: 7 });
    assert_eq!(refusal(r#"{"a":"bcd"#), JsonError::UnterminatedString { offset: 5 });
    assert_eq!(refusal(r#"{"a":"bcd\"#), JsonError::BadEscape { offset: 9 });
    assert_eq!(refusal(b"{\"a\":\"b\xFF\"}"), JsonError::NotUtf8 { offset: 7 });
    assert_eq!(refusal(b"{\"a\":\"\xED\xA0\x80\"}"), JsonError::NotUtf8 { offset: 6 });
}

#[test]
fn a_plain_string_in_the_token_extension_prints_as_a_string() {
    assert_eq!(text(&[0xC7, 3, 0x4A, b'"', b'a', b'"']), "\"a\"");
}
