//! What goes in comes out: `append`, then `cat` and `get`, compared value by value.

mod support;

use support::json::parse;
use support::{Place, samples};

fn assert_same(expected: &[&str], found: &[String]) {
    assert_eq!(expected.len(), found.len(), "as many records as lines");
    for (line, (expected, found)) in expected.iter().zip(found).enumerate() {
        assert_eq!(parse(expected), parse(found), "line {line}: {expected}\nbecame {found}");
    }
}

#[test]
fn the_comparison_tells_apart_what_differs_and_only_that() {
    for (left, right) in [
        ("1", "1.0"),
        ("0", "-0"),
        ("0.0", "-0.0"),
        ("1e400", "1e401"),
        ("[1,2]", "[2,1]"),
        (r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#),
        (r#"{"a":1,"a":1}"#, r#"{"a":1}"#),
        (r#""\ud800""#, r#""\ufffd""#),
        ("null", "false"),
    ] {
        assert_ne!(parse(left), parse(right), "{left} and {right}");
    }
    for (left, right) in
        [("1.0", "10e-1"), ("1.50", "1.5"), ("0.0", "0e9"), (r#""\u00e4\/""#, r#""ä/""#), ("[ ]", "[]")]
    {
        assert_eq!(parse(left), parse(right), "{left} and {right}");
    }
}

#[test]
fn the_samples_come_back_unchanged_raw_and_sealed() {
    for (path, plain) in samples() {
        let place = Place::new();
        let summary = place.append(b"", &[path.to_str().expect("UTF-8")]);
        assert_eq!(summary.code, 0, "{}", summary.stderr);
        let plain = String::from_utf8(plain).expect("UTF-8");
        let expected: Vec<_> = plain.lines().collect();
        assert_eq!(summary.report()["records"], expected.len());
        assert_same(&expected, &place.cat(&[]));

        assert_eq!(place.run("seal", &[]).code, 0);
        assert_same(&expected, &place.cat(&[]));
        let mut reversed = place.cat(&["--reverse"]);
        reversed.reverse();
        assert_same(&expected, &reversed);
        for seq in [0, 1, expected.len() / 2, expected.len() - 1] {
            assert_same(&expected[seq..=seq], &place.run("get", &[&seq.to_string()]).lines());
        }
    }
}

#[test]
fn nasty_json_comes_back_unchanged() {
    let lines = [
        r#"{}"#,
        r#"{"a":1,"b":1.0,"c":1e0,"d":-0,"e":-0.0,"f":0}"#,
        r#"{"i":[9223372036854775807,-9223372036854775808,9223372036854775808,18446744073709551615,18446744073709551616]}"#,
        r#"{"i":-9223372036854775809,"j":123456789012345678901234567890123456789012345678901234567890}"#,
        r#"{"d":0.1,"e":0.1000000000000000055511151231257827,"f":1e400,"g":-1e-400,"h":3.141592653589793238462643}"#,
        r#"{"d":1.7976931348623157e308,"e":5e-324,"f":2.2250738585072014e-308,"g":9007199254740993.0}"#,
        r#"{"a":1,"a":2,"b":{"x":1,"x":1},"a":null}"#,
        r#"{"z":1,"y":2,"x":3,"aa":4}"#,
        r#"{"s":"\ud800","t":"\udc00\ud800","u":"\ud83d\ude00","v":"😀","\udfff":"key"}"#,
        r#"{"s":"\u0000\u001f\"\\\/\b\f\n\r\t","t":"ä€𝄞\u2028\u2029","":"","\u0000":"nul"}"#,
        r#"  { "spaced" : [ 1 , 2 , { } , [ ] ] , "t" : true , "n" : null }  "#,
        r#"{"a":1}"#,
        r#"{"a":1}"#,
        r#"{"$binary":"AA==","$float":"NaN","_seq":-1}"#,
    ];
    let place = Place::new();
    let summary = place.append(lines.join("\n").as_bytes(), &[]);
    assert_eq!(summary.code, 0, "{}", summary.stderr);
    assert_same(&lines, &place.cat(&[]));
    assert_eq!(place.run("seal", &[]).code, 0);
    assert_same(&lines, &place.cat(&[]));
}

#[test]
fn deep_and_large_records_come_back_unchanged() {
    let deep = format!("{}1{}", r#"{"a":"#.repeat(128), "}".repeat(128));
    let large = format!(r#"{{"text":"{}"}}"#, "long ".repeat(1_000_000));
    let wide: Vec<_> = (0..5000).map(|key| format!(r#""k{key}":{key}"#)).collect();
    let wide = format!("{{{}}}", wide.join(","));
    let lines = [deep.as_str(), large.as_str(), wide.as_str()];
    let place = Place::new();
    assert_eq!(place.append(lines.join("\n").as_bytes(), &[]).code, 0);
    assert_same(&lines, &place.cat(&[]));
}
