//! What JSON can't say: the tagged forms.

use super::text;
use crate::json::to_json;
use crate::msgpack::{DEPTH_MAX, MsgPackError};

#[test]
fn binary_is_tagged() {
    assert_eq!(text(&[0xC4, 0]), r#"{"$binary":""}"#);
    assert_eq!(text(&[0xC4, 3, 0xFB, 0xFF, 0x00]), r#"{"$binary":"+/8A"}"#);
    assert_eq!(text(&[0xC4, 1, 0xFF]), r#"{"$binary":"/w=="}"#);
}

#[test]
fn floats_json_lacks_are_tagged() {
    let f64 = |value: f64| [&[0xCB][..], &value.to_be_bytes()].concat();
    let f32 = |value: f32| [&[0xCA][..], &value.to_be_bytes()].concat();
    assert_eq!(text(&f64(f64::NAN)), r#"{"$float":"NaN"}"#);
    assert_eq!(text(&f64(-f64::NAN)), r#"{"$float":"NaN"}"#);
    assert_eq!(text(&f64(f64::INFINITY)), r#"{"$float":"Infinity"}"#);
    assert_eq!(text(&f64(f64::NEG_INFINITY)), r#"{"$float":"-Infinity"}"#);
    assert_eq!(text(&f32(f32::NAN)), r#"{"$float":"NaN"}"#);
    assert_eq!(text(&f32(f32::NEG_INFINITY)), r#"{"$float":"-Infinity"}"#);
}

#[test]
fn a_small_float_prints_as_the_double_it_equals() {
    assert_eq!(text(&[&[0xCA][..], &1.1f32.to_be_bytes()].concat()), "1.100000023841858");
    assert_eq!(text(&[&[0xCA][..], &0.5f32.to_be_bytes()].concat()), "0.5");
}

#[test]
fn other_extensions_are_tagged() {
    assert_eq!(text(&[0xD4, 5, 0xFF]), r#"{"$ext":[5,"/w=="]}"#);
    assert_eq!(text(&[0xC7, 0, 0xFF]), r#"{"$ext":[-1,""]}"#);
}

#[test]
fn the_token_extension_is_believed_only_if_it_holds_a_token() {
    let ext = |payload: &[u8]| text(&[&[0xC7, payload.len() as u8, 0x4A], payload].concat());
    assert_eq!(ext(b"-0"), "-0");
    assert_eq!(ext(b"1e400"), "1e400");
    assert_eq!(ext(br#""\ud800""#), r#""\ud800""#);
    for payload in [
        b"".as_slice(),
        b"1,2",
        b" 1",
        b"1 ",
        b"01",
        b"-",
        b"NaN",
        b"null",
        b"{}",
        b"\"",
        b"\"a",
        b"\"a\"\"",
        b"\"\n\"",
        b"\"\\x\"",
        b"\"\xFF\"",
    ] {
        assert!(ext(payload).starts_with(r#"{"$ext":[74,""#), "{payload:?}");
    }
}

#[test]
fn a_map_with_a_key_that_is_no_string_is_tagged() {
    assert_eq!(text(&[0x82, 0xA1, b'a', 0x01, 0x02, 0xC0]), r#"{"$map":[["a",1],[2,null]]}"#);
    assert_eq!(text(&[0x81, 0x90, 0x01]), r#"{"$map":[[[],1]]}"#);
    assert_eq!(text(&[0x81, 0xC4, 0, 0x01]), r#"{"$map":[[{"$binary":""},1]]}"#);
    // A number in the token extension is no key; a string is.
    assert_eq!(text(&[0x81, 0xD5, 0x4A, b'-', b'0', 0x01]), r#"{"$map":[[-0,1]]}"#);
    assert_eq!(text(&[0x81, 0xD5, 0x4A, b'"', b'"', 0x01]), r#"{"":1}"#);
}

#[test]
fn only_the_maps_that_need_it_are_tagged() {
    let value = [0x92, 0x81, 0xA1, b'a', 0x01, 0x81, 0x01, 0x81, 0xA1, b'b', 0x81, 0xC0, 0xC0];
    assert_eq!(text(&value), r#"[{"a":1},{"$map":[[1,{"b":{"$map":[[null,null]]}}]]}]"#);
}

#[test]
fn nested_odd_maps_cost_linear_work() {
    // Each map's last key is what gives it away, after its first value was written: retrying by level would be 2^126.
    let mut value = Vec::new();
    for _ in 0..DEPTH_MAX - 1 {
        value.extend_from_slice(&[0x82, 0xA0]);
    }
    value.push(0xC0);
    for _ in 0..DEPTH_MAX - 1 {
        value.extend_from_slice(&[0xC0, 0xC0]);
    }
    assert!(text(&value).starts_with(r#"{"$map":[["",{"$map":"#));
}

#[test]
fn any_value_prints_not_only_maps() {
    assert_eq!(text(&[0xC0]), "null");
    assert_eq!(text(&[0xA1, b'"']), r#""\"""#);
    assert_eq!(text(&[0x92, 0xFF, 0xC3]), "[-1,true]");
}

#[test]
fn an_integer_prints_the_same_whichever_marker_wrote_it() {
    for value in [&[0x05][..], &[0xCC, 5], &[0xD0, 5], &[0xCD, 0, 5], &[0xD3, 0, 0, 0, 0, 0, 0, 0, 5]] {
        assert_eq!(text(value), "5");
    }
}

#[test]
fn bad_messagepack_leaves_the_output_as_it_was() {
    let deep = [vec![0x91; DEPTH_MAX + 1], vec![0xC0]].concat();
    for (value, error) in [
        (&[][..], MsgPackError::Truncated { offset: 0 }),
        (&[0x81, 0xA0, 0xC1], MsgPackError::ReservedMarker { offset: 2 }),
        (&[0x01, 0x02], MsgPackError::TrailingBytes { offset: 1, extra: 1 }),
        (&[0x81, 0x01, 0xA1, 0xFF], MsgPackError::NotUtf8 { offset: 2 }),
        (&deep, MsgPackError::TooDeep { offset: DEPTH_MAX }),
    ] {
        let mut out = b"before".to_vec();
        assert_eq!(to_json(value, &mut out), Err(error));
        assert_eq!(out, b"before");
    }
    assert!(to_json(&vec![0x91; 1_000_000], &mut Vec::new()).is_err());
}
