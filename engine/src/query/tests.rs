//! The text of conditions, and what they say of single bodies. Whole logs are asked in `engine/tests/query.rs`.

use super::parse::TEXT_BYTES_MAX;
use super::project::Projection;
use super::*;
use crate::msgpack::{DEPTH_MAX, EXT_JSON_TOKEN, validate_body};
use proptest::prelude::*;

fn parsed(text: &str) -> Condition {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn error(text: &str) -> String {
    text.parse::<Condition>().unwrap_err().to_string()
}

fn body(value: rmpv::Value) -> Vec<u8> {
    let mut body = Vec::new();
    rmpv::encode::write_value(&mut body, &value).unwrap();
    body
}

/// A record with one field `a`.
fn of(value: impl Into<rmpv::Value>) -> Vec<u8> {
    body(rmpv::Value::Map(vec![("a".into(), value.into())]))
}

fn holds(text: &str, body: &[u8]) -> bool {
    Matcher::new(&parsed(text)).unwrap().matches(body).unwrap()
}

#[test]
fn every_form_of_a_condition() {
    let path = |path: &str| field(path).unwrap();
    assert_eq!(parsed("a = 1"), path("a").is(1));
    assert_eq!(
        parsed(r#"a."b c".d>="x""#),
        Condition::Compare(FieldPath::new(["a", "b c", "d"]).unwrap(), Comparison::GreaterOrEqual, "x".into())
    );
    assert_eq!(parsed("a in (1, null, true)"), Condition::In(path("a"), vec![1.into(), Value::NULL, true.into()]));
    assert_eq!(parsed("a in ()"), Condition::In(path("a"), vec![]));
    assert_eq!(parsed(r#"a prefix "\u00e9\ud83d\ude00\n""#), path("a").has_prefix("é😀\n"));
    assert_eq!(parsed("exists ( a )"), path("a").exists());
    let (a, b, c) = (path("a").is(1), path("b").is(2), path("c").is(3));
    assert_eq!(parsed("a=1 and b=2 or not c=3"), a.clone().and(b.clone()).or(c.clone().negated()));
    assert_eq!(parsed("a=1 and (b=2 or c=3)"), a.and(b.or(c)));
    assert_eq!(parsed("@timestamp-x2 = 1"), path("@timestamp-x2").is(1));
    assert_eq!(parsed("android = -1.5e1"), path("android").is(-15));
}

#[test]
fn errors_point_at_the_column() {
    for (text, column) in [
        ("", 1),
        ("a", 2),
        ("a =", 4),
        ("a = b", 5),
        ("a = 1 b", 7),
        ("a = 01", 5),
        ("(a = 1", 7),
        ("a = 1)", 6),
        ("a = \"x", 5),
        (r#"é = "\x""#, 6),
        (r#"a = "\ud800""#, 6),
        ("a in 1", 6),
        ("a in (1,)", 9),
        ("a prefix 1", 10),
        ("exists a", 8),
        ("and = 1", 1),
        ("1a = 1", 1),
        ("a..b = 1", 3),
        ("a = 1 AND b = 2", 7),
        ("a = 'x'", 5),
        ("a = 1e99999999999999999", 5),
        ("a == 1", 4),
        ("not", 4),
        ("a = \"\t\"", 6),
    ] {
        assert!(error(text).starts_with(&format!("column {column}: ")), "{text}: {}", error(text));
    }
}

#[test]
fn size_and_depth_are_bounded() {
    let nested = |levels: usize| format!("{}a = 1{}", "(".repeat(levels), ")".repeat(levels));
    parsed(&nested(63));
    assert!(error(&nested(64)).contains("64 levels"));
    assert!(error(&"not ".repeat(1_000_000 / 4)).contains("64 levels"));
    assert!(error(&" ".repeat(TEXT_BYTES_MAX + 1)).contains("1 MiB"));
    assert!(error(&format!("{} = 1", ["a"; 33].join("."))).contains("32 keys"));
    assert!(error(&format!("{} = 1", "a".repeat(1_025))).contains("1 KiB"));

    let deep = (0..300).fold(parsed("a = 1"), |inner, _| inner.negated());
    assert!(Matcher::new(&deep).is_err());
    let wide = Condition::Or(vec![parsed("a = 1"); 70_000]);
    assert!(Matcher::new(&wide).is_err());
    // What the text allows is never too deep.
    let alternating = (0..63).fold("a = 1".to_owned(), |inner, _| format!("a = 1 or a = 1 and ({inner})"));
    Matcher::new(&parsed(&alternating)).unwrap();
}

#[test]
fn missing_null_and_empty_are_different() {
    let (missing, null, empty) = (body(rmpv::Value::Map(vec![])), of(rmpv::Value::Nil), of(rmpv::Value::Array(vec![])));
    let each = |text: &str| [&missing, &null, &empty].map(|body| holds(text, body));
    assert_eq!(each("exists(a)"), [false, true, true]);
    assert_eq!(each("a = null"), [false, true, false]);
    assert_eq!(each("a != null"), [false, false, false]);
    assert_eq!(each("not a = null"), [true, false, true]);
    assert_eq!(each("a != 1"), [false, true, false]);
    assert_eq!(each("a in ()"), [false, false, false]);
}

#[test]
fn arrays_stand_for_their_elements() {
    let rows = |values: &[i64]| rmpv::Value::Array(values.iter().map(|&value| rmpv::Value::from(value)).collect());
    let flat = of(rows(&[1, 2]));
    assert!(holds("a = 1", &flat) && holds("a = 2", &flat) && !holds("a = 3", &flat));
    assert!(holds("a != 1", &flat) && !holds("not a = 1", &flat));
    let nested = of(rmpv::Value::Array(vec![rows(&[]), rows(&[7])]));
    assert!(holds("a = 7", &nested));
    let element = rmpv::Value::Map(vec![("b".into(), rows(&[5]))]);
    let through = of(rmpv::Value::Array(vec![rmpv::Value::from(1), element]));
    assert!(holds("a.b = 5", &through) && holds("exists(a.b)", &through) && !holds("exists(a.c)", &through));
}

#[test]
fn what_json_has_no_value_for_is_there_and_equals_nothing() {
    for value in [
        rmpv::Value::Binary(vec![1]),
        rmpv::Value::Ext(5, vec![1]),
        rmpv::Value::F64(f64::NAN),
        rmpv::Value::Map(vec![]),
    ] {
        let record = of(value);
        assert!(holds("exists(a)", &record) && holds("a != 1", &record));
        assert!(!holds("a = null or a < 1 or a >= 1 or a = \"\"", &record));
    }
    let nan = field("a").unwrap().is_one_of(vec![f64::NAN; 20]);
    assert!(!Matcher::new(&nan).unwrap().matches(&of(f64::NAN)).unwrap());
    let surrogate = of(rmpv::Value::Ext(EXT_JSON_TOKEN, br#""\ud800""#.to_vec()));
    assert!(holds("exists(a)", &surrogate));
}

#[test]
fn numbers_beyond_64_bits_are_compared_exactly() {
    let record = of(rmpv::Value::Ext(EXT_JSON_TOKEN, b"123456789012345678901234567890".to_vec()));
    assert!(holds("a = 123456789012345678901234567890", &record));
    assert!(holds("a < 123456789012345678901234567891 and a > 18446744073709551615", &record));
    assert!(!holds("a = 1.2345678901234568e29", &record));
    let int = of((1_i64 << 53) + 1);
    assert!(holds("a > 9007199254740992.0 and a != 9007199254740992.0", &int));
}

#[test]
fn keys_that_occur_twice_or_are_no_strings() {
    let twice = body(rmpv::Value::Map(vec![("a".into(), 1.into()), ("a".into(), 2.into())]));
    assert!(holds("a = 1", &twice) && holds("a = 2", &twice));
    let odd = rmpv::Value::Map(vec![
        (rmpv::Value::Array(vec!["a".into()]), 1.into()),
        (5.into(), 1.into()),
        ("a".into(), 2.into()),
    ]);
    assert!(holds("a = 2", &body(odd.clone())) && !holds("a = 1", &body(odd)));
}

#[test]
fn a_body_that_is_none_is_an_error() {
    let mut matcher = Matcher::new(&parsed("a = 1")).unwrap();
    for bad in [&b""[..], &[0x90], &[0x81, 0xA1, b'a'], &[0x81, 0xA1, b'a', 0xC1], &[0xDF, 0xFF, 0xFF, 0xFF, 0xFF]] {
        assert!(matcher.matches(bad).is_err(), "{bad:?}");
    }
    let mut deep = vec![0x81, 0xA1, b'a'];
    deep.extend(vec![0x91; 1_000_000]);
    assert!(matcher.matches(&deep).is_err());
    assert!(Projection::new(&[field("a.b").unwrap()]).apply(&deep, &mut Vec::new()).is_err());
}

#[test]
fn a_projection_keeps_fields_and_what_is_around_them() {
    let record = rmpv::Value::Map(vec![
        ("a".into(), rmpv::Value::Map(vec![("b".into(), 1.into()), ("c".into(), 2.into())])),
        (
            "d".into(),
            rmpv::Value::Array(vec![3.into(), rmpv::Value::Map(vec![("b".into(), 4.into()), ("x".into(), 5.into())])]),
        ),
        ("e".into(), rmpv::Value::Nil),
    ]);
    let cut = |paths: &[&str]| {
        let mut out = Vec::new();
        let paths: Vec<_> = paths.iter().map(|path| field(path).unwrap()).collect();
        Projection::new(&paths).apply(&body(record.clone()), &mut out).unwrap();
        validate_body(&out).unwrap();
        rmpv::decode::read_value(&mut &out[..]).unwrap().to_string()
    };
    assert_eq!(cut(&["a.b", "e"]), r#"{"a": {"b": 1}, "e": nil}"#);
    assert_eq!(cut(&["d.b"]), r#"{"d": [{"b": 4}]}"#);
    assert_eq!(cut(&["a", "a.b"]), r#"{"a": {"b": 1, "c": 2}}"#);
    assert_eq!(cut(&["x", "e.y"]), "{}");
}

fn path() -> impl Strategy<Value = FieldPath> {
    let key = prop_oneof!["[a-z_@]{1,3}", any::<String>(), Just("and".to_owned())];
    prop::collection::vec(key, 1..4).prop_map(|keys| FieldPath::new(keys).unwrap())
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::NULL),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no word for it", |value| value.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ]
}

proptest! {
    #[test]
    fn a_condition_is_printed_as_it_is_parsed(
        path in path(), value in value(), values in prop::collection::vec(value(), 0..3), text in any::<String>()
    ) {
        let leaves = [
            path.clone().compares(Comparison::LessOrEqual, value),
            path.clone().is_one_of(values),
            path.clone().has_prefix(text),
            path.exists(),
        ];
        let [a, b, c, d] = leaves;
        let tree = a.clone().and(b.clone().or(c.negated())).or(d.and(a.or(b).negated()));
        prop_assert_eq!(parsed(&tree.to_string()), tree);
    }

    #[test]
    fn any_text_is_a_condition_or_an_error_within_it(text in any::<String>(), words in "[a(). =<>\"\\\\unotrd0-9,]{0,40}") {
        for text in [text, words] {
            if let Err(error) = text.parse::<Condition>() {
                prop_assert!(error.column <= text.chars().count() + 1);
            }
        }
    }

    #[test]
    fn any_bytes_are_asked_and_cut_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..64), map in 0x80..0x84u8) {
        let mut matcher = Matcher::new(&parsed("a.b = 1 or a > 2")).unwrap();
        let bytes = [&[map, 0xA1, b'a'], &bytes[..]].concat();
        let _ = matcher.matches(&bytes);
        let _ = Projection::new(&[field("a.b").unwrap()]).apply(&bytes, &mut Vec::new());
    }
}

/// Levels that a validated body has are all walked.
#[test]
fn the_deepest_body_is_walked() {
    let mut deep = vec![0x81, 0xA1, b'a'];
    deep.extend(vec![0x91; DEPTH_MAX - 1]);
    deep.push(7);
    validate_body(&deep).unwrap();
    assert!(holds("a = 7", &deep));
}

/// What a text says may be printed longer, and never means another number or nests deeper than it did.
#[test]
fn a_condition_is_printed_as_one_that_is_parsed_to_the_same() {
    let chain = |levels: usize| format!("{}a = 1{}", "a = 1 or b = 2 and (".repeat(levels), ")".repeat(levels));
    let texts = [
        chain(63),
        "a = 100000000000000000000000".into(),
        "a = -99999999999999999999999 or a = 18446744073709551616".into(),
        "a = 0.000001e-999999999999990".into(),
        "(a = 1 or b = 2) or c = 3 and (d = 4 and e = 5)".into(),
    ];
    for text in texts {
        let condition = parsed(&text);
        assert_eq!(parsed(&condition.to_string()), condition, "{text}");
    }
    assert!(error("a = 1e9999999999999999").contains("a value"));
}
