//! Times in records and on the command line: the program's own module, by its path, since a program is no library.

#[path = "../../../cli/src/time/mod.rs"]
#[allow(dead_code, unused_imports, unreachable_pub, reason = "the program uses more of it")]
mod time;

use crate::draw::Draw;
use annals::Timestamp;
use time::{Rfc3339, TimeSource, parse_moment};

/// The years that have four digits, in µs.
const FOUR_DIGITS: std::ops::Range<i64> = -62_167_219_200_000_000..253_402_300_800_000_000;

pub(crate) fn case(input: &[u8]) {
    let mut draw = Draw::new(input);
    match draw.byte() % 4 {
        0 => {
            // What is printed reads back.
            let time = draw.number() as i64;
            let text = Rfc3339(Timestamp::from_micros(time)).to_string();
            if FOUR_DIGITS.contains(&time) {
                assert_eq!(parse_moment(&text), Ok(Timestamp::from_micros(time)), "{text}");
            }
        }
        1 => {
            let body = draw.body();
            let sources = [TimeSource::CommonNames, TimeSource::Field(String::from_utf8_lossy(draw.rest()).into())];
            sources.iter().for_each(|source| {
                let _ = source.find(&body);
            });
        }
        2 => in_a_record(&String::from_utf8_lossy(draw.rest())),
        _ => {
            if let Ok(text) = std::str::from_utf8(draw.rest()) {
                moment(text);
                in_a_record(text);
            }
        }
    }
}

/// Where two parsers of RFC 3339 read a text, they read the same.
fn moment(text: &str) {
    let Ok(ours) = parse_moment(text) else { return };
    let zoned = text.ends_with('Z') && text.contains('T') && !text.contains(":60");
    if let (true, Ok(theirs)) = (zoned, text.parse::<jiff::Timestamp>()) {
        assert_eq!(ours.as_micros(), theirs.as_nanosecond().div_euclid(1_000) as i64, "{text}");
    }
    let again = Rfc3339(ours).to_string();
    if FOUR_DIGITS.contains(&ours.as_micros()) {
        assert_eq!(parse_moment(&again), Ok(ours), "{text} {again}");
    }
}

/// A number means the same moment on the command line and in a record, as text and as a number.
fn in_a_record(text: &str) {
    let source = TimeSource::Field("t".to_owned());
    let mut body = Vec::new();
    if annals::json::to_msgpack(format!("{{\"t\":{text}}}").as_bytes(), &mut body).is_ok() {
        let number = source.find(&body).map(|found| found.timestamp);
        if let (Some(number), Ok(argument)) = (number, parse_moment(text)) {
            assert_eq!(number, argument, "{text}");
        }
    }
}
