//! Tests of shapes: merging equals one pass, limits, codecs.

use super::*;
use proptest::prelude::*;
use rmpv::Value;

fn body(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    rmpv::encode::write_value(&mut out, value).unwrap();
    out
}

fn object<K: Into<Value>>(pairs: impl IntoIterator<Item = (K, Value)>) -> Value {
    Value::Map(pairs.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

fn shape<'a>(records: impl IntoIterator<Item = &'a Value>) -> Shape {
    let mut shape = Shape::new();
    for record in records {
        shape.observe(&body(record)).unwrap();
    }
    shape
}

fn encoded(shape: &Shape) -> Vec<u8> {
    let mut out = Vec::new();
    shape.encode(&mut out);
    out
}

fn field<'a>(node: &'a Node, name: &str) -> &'a Field {
    node.fields().iter().find(|field| field.name() == name).unwrap()
}

#[test]
fn counts_every_kind_once() {
    let json_token = |text: &str| Value::Ext(crate::msgpack::EXT_JSON_TOKEN, text.into());
    let values = [
        Value::Nil,
        true.into(),
        7.into(),
        1.5.into(),
        "s".into(),
        Value::Binary(vec![1]),
        json_token("1e999"),
        json_token(r#""\ud800""#),
        Value::Ext(3, vec![]),
        Value::Array(vec![1.into()]),
        Value::Array(vec![]),
        object([("k", 1.into())]),
        object::<&str>([]),
    ];
    let shape = shape(&values.map(|value| object([("a", value)])));
    let node = field(shape.root(), "a").node();
    for kind in Kind::ALL {
        assert_eq!(node.count(kind), u64::from(kind != Kind::Deep), "{kind:?}");
    }
    assert_eq!((shape.records(), node.values()), (13, 13));
}

#[test]
fn integers_keep_range_and_exactness() {
    let of = |values: &[Value]| {
        let shape = shape(&values.iter().map(|value| object([("a", value.clone())])).collect::<Vec<_>>());
        field(shape.root(), "a").node().integers().unwrap()
    };
    let range = of(&[(-3).into(), 5.into(), 0.into()]);
    assert_eq!((range.min, range.max, range.all_exact_as_f64), (-3, 5, true));
    assert!(of(&[(1u64 << 53).into(), i64::MIN.into(), (u64::MAX << 11).into()]).all_exact_as_f64);
    for inexact in [(1i64 << 53) + 1, -(1 << 53) - 1, i64::MAX] {
        assert!(!of(&[inexact.into()]).all_exact_as_f64, "{inexact}");
    }
    let range = of(&[u64::MAX.into(), i64::MIN.into()]);
    assert_eq!((range.min, range.max, range.all_exact_as_f64), (i64::MIN.into(), u64::MAX.into(), false));
}

#[test]
fn fields_keep_the_order_of_first_appearance() {
    let shape = shape(&[
        object([("b", 1.into()), ("a", 1.into())]),
        object([("c", 1.into()), ("a", 1.into()), ("b", 1.into())]),
    ]);
    let names: Vec<_> = shape.root().fields().iter().map(Field::name).collect();
    assert_eq!(names, ["b", "a", "c"]);
}

#[test]
fn duplicate_keys_are_noticed_at_every_level() {
    let inner = object([("x", 1.into()), ("y", 1.into()), ("x", 2.into())]);
    let shape = shape(&[object([("a", inner), ("b", 1.into()), ("b", 1.into())])]);
    assert!(field(shape.root(), "b").is_duplicated());
    assert!(!field(shape.root(), "a").is_duplicated());
    let inner = field(shape.root(), "a").node();
    assert!(field(inner, "x").is_duplicated() && !field(inner, "y").is_duplicated());
}

#[test]
fn keys_that_are_not_strings_are_noticed() {
    let inner = object([(Value::from(1), 1.into())]);
    let shape = shape(&[object([(Value::from("a"), inner), (Value::Array(vec![1.into()]), 1.into())])]);
    assert!(shape.root().has_other_keys() && field(shape.root(), "a").node().has_other_keys());
}

#[test]
fn an_object_with_keys_as_data_is_wide() {
    let records: Vec<_> = (0..=KEYS_MAX).map(|i| object([("m", object([(i.to_string(), 1.into())]))])).collect();
    let narrow = shape(&records[1..]);
    assert_eq!(field(narrow.root(), "m").node().fields().len(), KEYS_MAX);
    let wide = shape(&records);
    let node = field(wide.root(), "m").node();
    assert!(node.is_wide() && node.fields().is_empty());
    assert_eq!(node.count(Kind::Object), KEYS_MAX as u64 + 1);
}

#[test]
fn a_value_with_too_many_paths_is_wide_and_its_siblings_are_not() {
    let leaf = object((0..20).map(|i| (format!("leaf{i}"), 1.into())));
    let records: Vec<_> = (0..60)
        .map(|i| object([("o", object([("m", object([(i.to_string(), leaf.clone())])), ("n", 1.into())]))]))
        .collect();
    let shape = shape(&records);
    let outer = field(shape.root(), "o").node();
    assert!(!outer.is_wide() && field(outer, "m").node().is_wide() && !field(outer, "n").node().is_wide());
}

#[test]
fn containers_beyond_the_depth_are_counted_and_not_entered() {
    let nested = |levels: usize| (0..levels).fold(Value::from(1), |value, _| Value::Array(vec![value]));
    let shape = shape(&[object([("a", nested(100))])]);
    let mut node = field(shape.root(), "a").node();
    for _ in 1..DEPTH_MAX {
        assert_eq!(node.count(Kind::Array), 1);
        node = node.element().unwrap();
    }
    assert_eq!((node.count(Kind::Deep), node.element().is_none()), (1, true));
}

#[test]
fn too_many_top_level_keys_leave_the_shortest() {
    let key = |i: usize| format!("{:>1$}", "k", i + 1);
    let records: Vec<_> = (0..TOP_LEVEL_KEYS_MAX + 5).rev().map(|i| object([(key(i), 1.into())])).collect();
    let shape = shape(&records);
    assert!(shape.is_truncated());
    assert_eq!(shape.root().ceiling(), Some(&*key(shape.root().fields().len())));
    assert!(shape.root().fields().len() <= TOP_LEVEL_KEYS_MAX);
    assert!(shape.root().fields().iter().any(|field| field.name() == key(0)));
}

#[test]
fn a_record_that_is_no_map_is_refused() {
    assert_eq!(Shape::new().observe(&[]), Err(MsgPackError::Truncated { offset: 0 }));
    assert_eq!(Shape::new().observe(&[0x90]), Err(MsgPackError::NotAMap));
    assert_eq!(Shape::new().observe(&[0x80, 0]), Err(MsgPackError::TrailingBytes { offset: 1, extra: 1 }));
}

#[test]
fn encodes_as_the_example_of_the_format_page() {
    let bytes = encoded(&shape(&[object([("a", 1.into())])]));
    assert_eq!(bytes, [1, 0, 0x10, 0x80, 0x10, 1, 1, 2, b'a', 0x0C, 4, 1, 2, 2]);
}

#[test]
fn decoding_refuses_what_no_shape_is() {
    let good = encoded(&shape(&[object([("a", 1.into())])]));
    assert_eq!(Shape::decode(&good).map(|shape| shape.records()), Ok(1));
    for end in 0..good.len() {
        assert!(matches!(Shape::decode(&good[..end]), Err(ShapeError::Truncated { .. })), "{end}");
    }
    assert!(matches!(Shape::decode(&[&good[..], &[0]].concat()), Err(ShapeError::TrailingBytes { .. })));
    assert_eq!(Shape::decode(&[0]), Err(ShapeError::Version { found: 0 }));
    // A million fields claimed in a few bytes.
    assert!(Shape::decode(&[1, 0, FIELDS_FLAG, 0x80, 0x10, 1, 0xC0, 0x84, 0x3D]).is_err());
    // A chain of elements without end.
    let mut deep = vec![1, 0];
    deep.extend([32, 0x80, 0x04, 1].repeat(100_000));
    assert!(matches!(Shape::decode(&deep), Err(ShapeError::BeyondLimits { .. })));
}

const FIELDS_FLAG: u8 = 16;

/// A value made to reach the limits: a few keys of many lengths, objects and arrays with very many.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
        (any::<i8>(), any::<Vec<u8>>()).prop_map(|(kind, bytes)| Value::Ext(kind, bytes)),
    ];
    leaf.prop_recursive(20, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((key(), inner.clone()), 0..5).prop_map(object),
            (0..600usize, 0..200usize, inner)
                .prop_map(|(from, len, value)| object((from..from + len).map(|i| (i.to_string(), value.clone())))),
        ]
    })
}

fn key() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => "[ab]{1,2}".prop_map(Value::from),
        1 => (0..20_000usize).prop_map(|len| Value::from("x".repeat(len))),
        1 => any::<u8>().prop_map(Value::from),
    ]
}

fn record() -> impl Strategy<Value = Value> {
    let wide = (0..2000usize, 0..600usize, value())
        .prop_map(|(from, len, value)| object((from..from + len).map(|i| (i.to_string(), value.clone()))));
    prop_oneof![4 => prop::collection::vec((key(), value()), 0..6).prop_map(object), 1 => wide]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn merging_equals_one_pass(records in prop::collection::vec(record(), 0..12), cut in 0..12usize) {
        let cut = cut.min(records.len());
        let whole = shape(&records);
        let mut merged = shape(&records[..cut]);
        merged.merge(&shape(&records[cut..]));
        prop_assert_eq!(encoded(&whole), encoded(&merged));

        // What was merged or decoded goes on observing as if nothing had happened.
        let mut decoded = Shape::decode(&encoded(&shape(&records[..cut]))).unwrap();
        for record in &records[cut..] {
            decoded.observe(&body(record)).unwrap();
        }
        prop_assert_eq!(encoded(&whole), encoded(&decoded));
        for record in &records {
            decoded.observe(&body(record)).unwrap();
            merged.observe(&body(record)).unwrap();
        }
        prop_assert_eq!(decoded, merged);
    }

    #[test]
    fn decoding_returns_what_was_encoded(records in prop::collection::vec(record(), 0..6)) {
        let shape = shape(&records);
        prop_assert_eq!(Shape::decode(&encoded(&shape)), Ok(shape));
    }

    #[test]
    fn damaged_encodings_never_panic(
        records in prop::collection::vec(record(), 0..4),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = encoded(&shape(&records));
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(shape) = Shape::decode(&bytes) {
            prop_assert_eq!(encoded(&shape), bytes);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in any::<Vec<u8>>()) {
        let _ = Shape::decode(&bytes);
        bytes.splice(0..0, [1, 0]);
        let _ = Shape::decode(&bytes);
        let _ = Shape::new().observe(&bytes);
    }
}
