//! What goes in comes out, for arbitrary objects in arbitrary spellings.

use super::naive::meanings;
use super::{body, text};
use proptest::prelude::*;

/// A number token; often one that no double or 64-bit integer holds.
fn number_token() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|value| value.to_string()),
        any::<u64>().prop_map(|value| value.to_string()),
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(|value| format!("{value:?}")),
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(|value| format!("{value:.17e}")),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?",
        "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,2})?",
        "-?(0|[1-9]0{0,30})(\\.0{1,20}[0-9]?)?([eE][+-]?[0-9]{1,20})?",
    ]
}

/// A string token: raw characters, needless escapes, surrogates with and without their halves.
fn string_token() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-zA-Z0-9 ]{0,12}",
        1 => "[^\"\\\\\\x00-\\x1f]{0,4}",
        1 => "\\\\[\"\\\\/bfnrt]",
        1 => "\\\\u[0-9a-fA-F]{4}",
        1 => "\\\\u[dD][89a-fA-F][0-9a-fA-F]{2}",
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

/// White space, mostly none.
fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just(""), 1 => Just(" "), 1 => Just("\t\r\n ")]
}

fn value_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        1 => prop_oneof![Just("null"), Just("true"), Just("false")].prop_map(String::from),
        4 => number_token(),
        3 => string_token(),
    ];
    leaf.prop_recursive(5, 120, 20, |inner| {
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..20), space())
                .prop_map(|(values, space)| format!("[{space}{}{space}]", values.join(&format!("{space},")))),
            object_text(inner),
        ]
    })
}

fn object_text(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (prop::collection::vec((string_token(), value), 0..20), space()).prop_map(|(pairs, space)| {
        let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}{space}:{space}{value}")).collect();
        format!("{{{space}{}{space}}}", pairs.join(&format!("{space},{space}")))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn an_object_means_the_same_afterwards(json in object_text(value_text())) {
        let body = body(&json);
        let again = text(&body);
        prop_assert_eq!(meanings(&again), meanings(&json));
        // And the text it became is where it stays, byte for byte, in both forms.
        prop_assert_eq!(&super::body(&again), &body);
    }

    #[test]
    fn numbers_mean_the_same_afterwards(numbers in prop::collection::vec(number_token(), 50)) {
        let json = format!("{{\"\":[{}]}}", numbers.join(","));
        prop_assert_eq!(meanings(&super::round_trip(&json)), meanings(&json));
    }

    #[test]
    fn strings_mean_the_same_afterwards(strings in prop::collection::vec(string_token(), 20)) {
        let json = format!("{{\"\":[{}]}}", strings.join(","));
        prop_assert_eq!(meanings(&super::round_trip(&json)), meanings(&json));
    }
}
