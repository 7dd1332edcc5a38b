//! The text of conditions: parsed or refused with a place in it; printed, it is the same condition; and it is asked of a record.

use crate::draw::Draw;
use annals::{Condition, Matcher};

/// What texts are made of, so that many of them are conditions.
const PIECES: [&str; 48] = [
    "a",
    "b",
    "a.b",
    "\"a.b\"",
    "\"\"",
    "@x-1",
    "é",
    "in",
    "in (",
    "(",
    ")",
    ",",
    "and",
    "or",
    "not",
    " and ",
    " or ",
    "not ",
    "not (",
    "exists(",
    "exists(a)",
    "prefix",
    "prefix \"",
    "\"",
    "\\n",
    "\\u0041",
    "\\ud83d\\ude00",
    "\\ud800",
    "=",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "= 1",
    "a = 1",
    "a = \"x\"",
    "b in (1, 2)",
    "null",
    "true",
    "false",
    "-0.5e3",
    "18446744073709551616",
    "100000000000000000000000",
    "1e-99999999999999",
    "0.",
    " ",
    ".",
];

pub(crate) fn case(input: &[u8]) {
    let mut draw = Draw::new(input);
    let body = draw.body();
    let text = match draw.byte() % 4 {
        0 => String::from_utf8_lossy(draw.rest()).into_owned(),
        1 => nested(&mut draw),
        _ => pieces(&mut draw),
    };
    match text.parse::<Condition>() {
        Ok(condition) => parsed(&condition, &body),
        Err(error) => {
            assert!((1..=text.chars().count() + 1).contains(&error.column), "column {} of {text:?}", error.column);
            assert!(!error.detail.is_empty());
        }
    }
}

fn pieces(draw: &mut Draw<'_>) -> String {
    let mut text = String::new();
    while !draw.is_empty() {
        match draw.byte() {
            choice @ 0..=239 => text.push_str(PIECES[usize::from(choice) % PIECES.len()]),
            _ => text.push_str(&String::from_utf8_lossy(draw.bytes(8))),
        }
    }
    text
}

/// Conditions within conditions, up to the limit and beyond.
fn nested(draw: &mut Draw<'_>) -> String {
    const OPENINGS: [&str; 6] = ["(", "not ", "not (", "(a = 1 or ", "(a = 1 and b = 2 or ", "(exists(a) and "];
    let mut closing = 0;
    let mut text = String::new();
    for _ in 0..draw.below(90) {
        let opening = draw.choose(&OPENINGS);
        closing += usize::from(opening.contains('('));
        text.push_str(opening);
    }
    text + "a = 1" + &")".repeat(closing)
}

fn parsed(condition: &Condition, body: &[u8]) {
    let printed = condition.to_string();
    let again: Condition = printed.parse().unwrap_or_else(|error| panic!("{printed:?} was parsed before: {error}"));
    assert_eq!((&again, again.to_string()), (condition, printed.clone()));
    let holds = |condition: &Condition| {
        let mut matcher = Matcher::new(condition).unwrap_or_else(|error| panic!("{printed:?}: {error}"));
        matcher.matches(body).expect("a drawn body is MessagePack")
    };
    let negated = Condition::Not(Box::new(again));
    assert_ne!(holds(condition), holds(&negated), "{printed:?}");
}
