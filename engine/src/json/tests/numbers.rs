//! Which MessagePack type a number becomes, and that its value survives.

use super::naive::number;
use super::{body, round_trip};
use crate::msgpack::{Reader, Token};

/// The MessagePack token that a number in an object becomes, as text.
fn encoded(number: &str) -> String {
    let body = body(&format!("{{\"n\":{number}}}"));
    let mut reader = Reader::new(&body);
    assert_eq!(reader.token(), Ok(Token::Map(1)));
    assert_eq!(reader.token(), Ok(Token::Str("n")));
    match reader.token().expect("a value") {
        Token::Ext(0x4A, payload) => format!("ext {}", String::from_utf8_lossy(payload)),
        Token::F64(value) => format!("f64 {value:?}"),
        token => format!("{token:?}"),
    }
}

fn printed(number: &str) -> String {
    let text = round_trip(&format!("{{\"n\":{number}}}"));
    text["{\"n\":".len()..text.len() - 1].to_string()
}

#[test]
fn integers_of_64_bits_are_integers() {
    assert_eq!(encoded("0"), "UInt(0)");
    assert_eq!(encoded("18446744073709551615"), "UInt(18446744073709551615)");
    assert_eq!(encoded("-1"), "Int(-1)");
    assert_eq!(encoded("-9223372036854775808"), "Int(-9223372036854775808)");
}

#[test]
fn integers_take_the_smallest_encoding() {
    for (number, bytes) in [
        ("127", 1),
        ("128", 2),
        ("255", 2),
        ("256", 3),
        ("65535", 3),
        ("65536", 5),
        ("4294967295", 5),
        ("4294967296", 9),
        ("-32", 1),
        ("-33", 2),
        ("-128", 2),
        ("-129", 3),
        ("-32768", 3),
        ("-32769", 5),
        ("-2147483648", 5),
        ("-2147483649", 9),
    ] {
        assert_eq!(body(&format!("{{\"n\":{number}}}")).len(), 3 + bytes, "{number}");
        assert_eq!(printed(number), number);
    }
}

#[test]
fn integers_beyond_64_bits_stay_tokens() {
    for number in
        ["18446744073709551616", "-9223372036854775809", "99999999999999999999", "123456789012345678901234567890"]
    {
        assert_eq!(encoded(number), format!("ext {number}"));
        assert_eq!(printed(number), number);
    }
}

#[test]
fn negative_zero_is_kept_as_integer_and_as_float() {
    assert_eq!(encoded("-0"), "ext -0");
    assert_eq!(printed("-0"), "-0");
    assert_eq!(encoded("-0.0"), "f64 -0.0");
    assert_eq!(printed("-0.0"), "-0.0");
    assert_eq!(printed("-0e7"), "-0.0");
}

#[test]
fn a_float_stays_a_float() {
    assert_eq!(encoded("1.0"), "f64 1.0");
    assert_eq!(printed("1.0"), "1.0");
    assert_eq!(printed("1"), "1");
    assert_eq!(encoded("1e5"), "f64 100000.0");
    assert_eq!(number(&printed("1e5")), number("1e5"));
    assert_eq!(encoded("0e999999999999999999999999999"), "f64 0.0");
}

#[test]
fn decimals_a_double_prints_exactly_are_doubles() {
    for token in [
        "0.1",
        "0.10",
        "1.7976931348623157e308",
        "5e-324",
        "2.2250738585072014e-308",
        "1e22",
        "1e23",
        "0.3",
        "1234567.890123",
        "9007199254741e-3",
        "4.35",
        "1e308",
        "123456789012345.6",
        "1e-300",
        "1e-290",
        "1e290",
    ] {
        assert!(encoded(token).starts_with("f64"), "{token}: {}", encoded(token));
        assert_eq!(number(&printed(token)), number(token), "{token}");
    }
}

#[test]
fn decimals_beyond_a_double_stay_tokens() {
    for token in [
        "0.1000000000000000055511151231257827",
        "1e400",
        "-1e400",
        "1e-400",
        "4e-324",
        "1.7976931348623159e308",
        "12345678901234567.5",
        "9007199254740993.0",
        "123456789012345678.0",
        "3.14159265358979323846",
        "1e999999999999999999999999",
        "1e-999999999999999999999999",
        "1E+400",
    ] {
        assert_eq!(encoded(token), format!("ext {token}"));
        assert_eq!(printed(token), token);
    }
}

#[test]
fn of_two_shortest_decimals_equally_near_the_even_one_is_the_double() {
    // The double is 233115890514796.125.
    assert_eq!(printed("233115890514796.12"), "233115890514796.12");
    assert!(encoded("233115890514796.12").starts_with("f64"));
    assert_eq!(encoded("233115890514796.13"), "ext 233115890514796.13");
    assert_eq!(encoded("233115890514796.125"), "ext 233115890514796.125");
}

#[test]
fn hostile_exponents_and_endless_digits_cost_linear_work() {
    let zeros = "0".repeat(4 << 20);
    assert_eq!(encoded(&format!("1.{zeros}")), "f64 1.0");
    assert_eq!(encoded(&format!("0.{zeros}1e{}", zeros.len() + 1)), "f64 1.0");
    assert_eq!(encoded(&format!("1{zeros}e-{}", zeros.len())), "f64 1.0");
    assert_eq!(encoded(&format!("1e{zeros}5")), "f64 100000.0");
    for token in [format!("1{zeros}"), format!("1.{zeros}1"), format!("1e1{zeros}"), format!("0.{zeros}1e-9{zeros}")] {
        assert!(encoded(&token) == format!("ext {token}"), "{}…", &token[..8]);
        assert!(printed(&token) == token, "{}…", &token[..8]);
    }
}

#[test]
fn powers_of_ten_and_their_neighbours_keep_their_value() {
    for exponent in -345..=330 {
        for mantissa in ["1", "1.5", "9.99999999999999", "1.2345678901234567", "4.9406564584124654", "123456789.123456"]
        {
            let token = format!("{mantissa}e{exponent}");
            assert_eq!(number(&printed(&token)), number(&token), "{token}");
        }
    }
}
