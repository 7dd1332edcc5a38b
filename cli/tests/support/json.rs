//! A naive JSON reader that keeps everything that counts: order, duplicates, exact numbers, UTF-16 code units.

/// A value, such that two are equal exactly if their texts mean the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number { integer: bool, negative: bool, digits: String, exponent: i64 },
    String(Vec<u16>),
    Array(Vec<Value>),
    Object(Vec<(Vec<u16>, Value)>),
}

/// Reads one text; panics if it isn't JSON, since the tests only read what has to be.
pub(crate) fn parse(text: &str) -> Value {
    let mut rest = text;
    let value = value(&mut rest);
    assert!(rest.trim().is_empty(), "text after the value: {rest}");
    value
}

fn take(rest: &mut &str, token: &str) -> bool {
    let trimmed = rest.trim_start();
    let found = trimmed.strip_prefix(token);
    *rest = found.unwrap_or(trimmed);
    found.is_some()
}

fn value(rest: &mut &str) -> Value {
    if take(rest, "null") {
        Value::Null
    } else if take(rest, "true") {
        Value::Bool(true)
    } else if take(rest, "false") {
        Value::Bool(false)
    } else if take(rest, "[") {
        let mut items = Vec::new();
        while !take(rest, "]") {
            assert!(items.is_empty() || take(rest, ","), "a comma is missing: {rest}");
            items.push(value(rest));
        }
        Value::Array(items)
    } else if take(rest, "{") {
        let mut pairs = Vec::new();
        while !take(rest, "}") {
            assert!(pairs.is_empty() || take(rest, ","), "a comma is missing: {rest}");
            assert!(take(rest, "\""), "a key is missing: {rest}");
            let key = string(rest);
            assert!(take(rest, ":"), "a colon is missing: {rest}");
            pairs.push((key, value(rest)));
        }
        Value::Object(pairs)
    } else if take(rest, "\"") {
        Value::String(string(rest))
    } else {
        number(rest)
    }
}

/// Reads what follows an opening quote.
fn string(rest: &mut &str) -> Vec<u16> {
    let mut units = Vec::new();
    let mut chars = rest.chars();
    loop {
        match chars.next().expect("a closing quote") {
            '"' => break,
            '\\' => match chars.next().expect("an escape") {
                'u' => {
                    let hex: String = chars.by_ref().take(4).collect();
                    units.push(u16::from_str_radix(&hex, 16).expect("four hex digits"));
                }
                'b' => units.push(8),
                't' => units.push(9),
                'n' => units.push(10),
                'f' => units.push(12),
                'r' => units.push(13),
                other => units.push(other as u16),
            },
            other => units.extend_from_slice(other.encode_utf16(&mut [0; 2])),
        }
    }
    *rest = chars.as_str();
    units
}

fn number(rest: &mut &str) -> Value {
    let len = rest.find(|c: char| !"+-.eE0123456789".contains(c)).unwrap_or(rest.len());
    let (token, after) = rest.split_at(len);
    *rest = after;
    assert!(!token.is_empty(), "no value: {after}");
    let (negative, token) = token.strip_prefix('-').map_or((false, token), |token| (true, token));
    let (mantissa, exponent) = token.split_once(['e', 'E']).unwrap_or((token, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let integer = !token.contains(['.', 'e', 'E']);
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0').trim_end_matches('0');
    let trailing = all.trim_start_matches('0').len() - significant.len();
    let mut exponent = exponent.parse::<i64>().expect("an exponent") - fraction.len() as i64 + trailing as i64;
    if significant.is_empty() {
        exponent = 0;
    }
    Value::Number { integer, negative, digits: significant.to_owned(), exponent }
}
