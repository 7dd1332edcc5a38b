//! The grammar, the structure of what it becomes, and the words for what is wrong.

use super::{body, refusal, round_trip};
use crate::json::JsonError;
use crate::msgpack::DEPTH_MAX;

#[test]
fn an_object_becomes_a_map() {
    assert_eq!(body(r#"{"a":[true,false,null],"b":{}}"#), b"\x82\xa1a\x93\xc3\xc2\xc0\xa1b\x80");
    assert_eq!(body(" \t\r\n{ } \r\n"), b"\x80");
}

#[test]
fn what_is_in_the_output_stays_there() {
    let mut out = b"before".to_vec();
    super::to_msgpack(b"{\"a\":1}", &mut out).expect("valid");
    assert_eq!(out, b"before\x81\xa1a\x01");
}

#[test]
fn key_order_and_duplicate_keys_are_kept() {
    let json = r#"{"b":1,"a":2,"b":3,"":4,"":5}"#;
    assert_eq!(round_trip(json), json);
}

#[test]
fn white_space_is_allowed_between_tokens_only() {
    assert_eq!(round_trip(" { \"a\" : [ 1 , 2 ] ,\t\"b\"\n:\r{ } } "), r#"{"a":[1,2],"b":{}}"#);
    for text in ["{\"a\":1\u{a0}}", "{\"a\":\u{c}1}", "{\"a\":- 1}", "{\"a\":tr ue}"] {
        assert!(matches!(refusal(text), JsonError::Unexpected { .. }), "{text}");
    }
}

#[test]
fn containers_of_every_size_have_the_smallest_header() {
    for (count, header) in [(0usize, 1), (15, 1), (16, 3), (65_535, 3), (65_536, 5)] {
        let array = format!("{{\"\":[{}]}}", vec!["1"; count].join(","));
        assert_eq!(body(&array).len(), 2 + header + count);
        assert!(round_trip(&array) == array);
        let object = format!("{{{}}}", vec!["\"\":1"; count].join(","));
        assert_eq!(body(&object).len(), header + 2 * count);
        assert!(round_trip(&object) == object);
    }
}

#[test]
fn large_containers_in_large_containers_come_back() {
    let mut json = vec!["7"; 20].join(",");
    for level in 0..100 {
        let siblings = vec!["[]"; 14 + level % 4].join(",");
        json = format!("[{json}],{siblings},[{}]", vec!["{}"; 16].join(","));
    }
    let json = format!("{{\"a\":[{json}]}}");
    assert!(round_trip(&json) == json);
}

#[test]
fn nesting_is_allowed_to_the_limit_and_no_further() {
    let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    assert_eq!(round_trip(&nested(DEPTH_MAX)), nested(DEPTH_MAX));
    assert_eq!(refusal(nested(DEPTH_MAX + 1)), JsonError::TooDeep { offset: 5 + DEPTH_MAX - 1 });
    assert!(matches!(refusal("{\"a\":".repeat(1_000_000)), JsonError::TooDeep { .. }));
    assert!(matches!(refusal(nested(1_000_000)), JsonError::TooDeep { .. }));
}

#[test]
fn only_an_object_is_a_record() {
    for text in ["[]", "1", "\"a\"", "null", "", "  "] {
        assert!(refusal(text).to_string().contains("expected a JSON object ('{')"), "{text}");
    }
    assert_eq!(refusal("[1]").to_string(), "byte 0: expected a JSON object ('{'), found '['");
}

#[test]
fn a_byte_order_mark_is_refused_by_name() {
    assert_eq!(refusal("\u{feff}{}"), JsonError::ByteOrderMark);
    assert!(refusal("\u{feff}{}").to_string().contains("byte order mark"));
}

#[test]
fn what_is_not_json_is_refused_with_place_and_reason() {
    for (text, message) in [
        ("{", "byte 1: expected a key in quotes or '}', found the end of the line"),
        ("{\"a\" 1}", "byte 5: expected ':' after the key, found '1'"),
        ("{\"a\":1,}", "byte 7: expected a key in quotes after ',', found '}'"),
        ("{\"a\":[1,]}", "byte 8: expected a value, found ']'"),
        ("{\"a\":[1 2]}", "byte 8: expected ',' or ']', found '2'"),
        ("{\"a\":1]", "byte 6: expected ',' or '}', found ']'"),
        ("{a:1}", "byte 1: expected a key in quotes or '}', found 'a'"),
        ("{'a':1}", "byte 1: expected a key in quotes or '}', found \"'\""),
        ("{} {}", "byte 3: expected the end of the line after the object, found '{'"),
        ("{\"a\":01}", "byte 6: expected no digit after a leading zero, found '1'"),
        ("{\"a\":-01}", "byte 7: expected no digit after a leading zero, found '1'"),
        ("{\"a\":+1}", "byte 5: expected a value, found '+'"),
        ("{\"a\":.5}", "byte 5: expected a value, found '.'"),
        ("{\"a\":5.}", "byte 7: expected a digit, found '}'"),
        ("{\"a\":1.e5}", "byte 7: expected a digit, found 'e'"),
        ("{\"a\":-}", "byte 6: expected a digit, found '}'"),
        ("{\"a\":1e}", "byte 7: expected a digit, found '}'"),
        ("{\"a\":1e+}", "byte 8: expected a digit, found '}'"),
        ("{\"a\":1e5.0}", "byte 8: expected ',' or '}', found '.'"),
        ("{\"a\":0x10}", "byte 6: expected ',' or '}', found 'x'"),
        ("{\"a\":NaN}", "byte 5: expected a value, found 'N'"),
        ("{\"a\":Infinity}", "byte 5: expected a value, found 'I'"),
        ("{\"a\":nul}", "byte 5: expected a value (true, false or null are spelled so), found 'n'"),
        ("{\"a\":truee}", "byte 9: expected ',' or '}', found 'e'"),
        ("{\"a\":/* */1}", "byte 5: expected a value, found '/'"),
        ("{\"a\":\0}", "byte 5: expected a value, found '\\0'"),
        ("{\"a\":é}", "byte 5: expected a value, found 'é'"),
    ] {
        assert_eq!(refusal(text).to_string(), message, "{text}");
        assert_eq!(format!("byte {}", refusal(text).offset()), message.split(':').next().expect("a place"));
    }
}
