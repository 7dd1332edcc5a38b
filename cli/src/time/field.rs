//! Where in a record its time is: in the field the user names, or under one of the names such fields usually have.

use annals::Timestamp;
use annals::msgpack::{EXT_JSON_TOKEN, Reader, Token};

use super::value::{self, Moment};

/// Field names that are looked for at a record's top level, in order of preference. docs/cli.md lists them too.
pub(crate) const COMMON_NAMES: [&str; 30] = [
    "@timestamp",
    "timestamp",
    "Timestamp",
    "eventTime",
    "event_time",
    "EventTime",
    "TimeCreated",
    "UtcTime",
    "TimeGenerated",
    "CreationTime",
    "requestReceivedTimestamp",
    "stageTimestamp",
    "ts",
    "_write_ts",
    "time",
    "Time",
    "_time",
    "datetime",
    "dateTime",
    "date_time",
    "occurred_at",
    "occurredAt",
    "created_at",
    "createdAt",
    "logged_at",
    "published",
    "date",
    "__REALTIME_TIMESTAMP",
    "start_time",
    "startTime",
];

/// A number under a common name is taken for a time only from here (March 1973)…
const COMMON_NUMBER_MICROS_MIN: i64 = 100_000_000_000_000;
/// …to here (November 2286): what is outside is more likely a duration, a counter or a date without separators.
const COMMON_NUMBER_MICROS_END: i64 = 10_000_000_000_000_000;

/// Where to look for a record's time.
#[derive(Debug, Clone)]
pub(crate) enum TimeSource {
    /// Under the first of [`COMMON_NAMES`] that holds a usable time.
    CommonNames,
    /// In this field: a key of the record, or a path of keys with dots between them.
    Field(String),
}

/// A record's time and the field it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found<'a> {
    pub(crate) timestamp: Timestamp,
    pub(crate) field: &'a str,
}

impl TimeSource {
    /// Why a record has no time, for the person who asked that all have one.
    pub(crate) fn nothing_found(&self) -> String {
        match self {
            Self::CommonNames => {
                "no usable time under any of the common names (--time-field names the field)".to_owned()
            }
            Self::Field(path) => format!("no usable time in the field {path}"),
        }
    }

    /// Finds the time of the record whose encoded body is `body`. `None` if there is none that can be used.
    pub(crate) fn find(&self, body: &[u8]) -> Option<Found<'_>> {
        match self {
            Self::CommonNames => find_common(body),
            Self::Field(path) => {
                let moment = moment(find_path(body, path)?)?;
                Some(Found { timestamp: moment.timestamp, field: path })
            }
        }
    }
}

fn find_common(body: &[u8]) -> Option<Found<'static>> {
    let mut best: Option<(usize, Timestamp)> = None;
    let mut reader = Reader::new(body);
    let Token::Map(pairs) = reader.token().ok()? else { return None };
    for _ in 0..pairs {
        let key = reader.skip_value().ok()?;
        let value = reader.skip_value().ok()?;
        let rank = str_of(key).and_then(|key| COMMON_NAMES.iter().position(|&name| name == key));
        let Some(rank) = rank.filter(|&rank| best.is_none_or(|(best, _)| rank < best)) else { continue };
        if let Some(moment) = moment(value).filter(is_plausible) {
            best = Some((rank, moment.timestamp));
            if rank == 0 {
                break;
            }
        }
    }
    best.map(|(rank, timestamp)| Found { timestamp, field: COMMON_NAMES[rank] })
}

fn is_plausible(moment: &Moment) -> bool {
    let range = COMMON_NUMBER_MICROS_MIN..COMMON_NUMBER_MICROS_END;
    !moment.is_number || range.contains(&moment.timestamp.as_micros())
}

/// The value at `path` in the map at the start of `map`. A key that is spelled like the whole path (with its dots) goes
/// before a descent; of duplicate keys the first counts.
pub(crate) fn find_path<'a>(map: &'a [u8], path: &str) -> Option<&'a [u8]> {
    let mut reader = Reader::new(map);
    let Token::Map(pairs) = reader.token().ok()? else { return None };
    let mut deeper = None;
    for _ in 0..pairs {
        let key = str_of(reader.skip_value().ok()?);
        let value = reader.skip_value().ok()?;
        let Some(key) = key else { continue };
        if key == path {
            return Some(value);
        }
        if deeper.is_none() {
            let rest = path.strip_prefix(key).and_then(|rest| rest.strip_prefix('.'));
            deeper = rest.and_then(|rest| find_path(value, rest));
        }
    }
    deeper
}

fn str_of(value: &[u8]) -> Option<&str> {
    match Reader::new(value).token() {
        Ok(Token::Str(text)) => Some(text),
        _ => None,
    }
}

/// Reads one encoded value as a moment.
fn moment(value: &[u8]) -> Option<Moment> {
    let number = |timestamp| Moment { timestamp, is_number: true };
    match Reader::new(value).token().ok()? {
        Token::Str(text) => value::from_text(text),
        Token::UInt(integer) => decimal(format_args!("{integer}")).map(number),
        Token::Int(integer) => decimal(format_args!("{integer}")).map(number),
        // The shortest decimal that reads back as the double: what the JSON said.
        Token::F64(double) => decimal(format_args!("{double:e}")).map(number),
        Token::Ext(EXT_JSON_TOKEN, token) => value::from_decimal(std::str::from_utf8(token).ok()?).map(number),
        _ => None,
    }
}

fn decimal(number: std::fmt::Arguments<'_>) -> Option<Timestamp> {
    use std::io::Write;
    let mut text = [0u8; 40];
    let mut rest = &mut text[..];
    rest.write_fmt(number).ok()?;
    let left = rest.len();
    value::from_decimal(std::str::from_utf8(&text[..text.len() - left]).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'a>(source: &'a TimeSource, json: &str) -> Option<(i64, &'a str)> {
        let mut body = Vec::new();
        annals::json::to_msgpack(json.as_bytes(), &mut body).expect("valid JSON");
        source.find(&body).map(|found| (found.timestamp.as_micros(), found.field))
    }

    fn common(json: &str) -> Option<(i64, &'static str)> {
        const COMMON: TimeSource = TimeSource::CommonNames;
        find(&COMMON, json)
    }

    fn field(path: &str, json: &str) -> Option<i64> {
        find(&TimeSource::Field(path.to_owned()), json).map(|(micros, _)| micros)
    }

    #[test]
    fn the_order_of_names_decides_not_the_order_of_keys() {
        let json = r#"{"time":"2001-01-01T00:00:00Z","ts":"2002-01-01T00:00:00Z","@timestamp":"2003-01-01T00:00:00Z"}"#;
        assert_eq!(common(json), Some((1_041_379_200_000_000, "@timestamp")));
        let json = r#"{"_write_ts":"2002-01-01T00:00:00Z","ts":"2001-01-01T00:00:00Z"}"#;
        assert_eq!(common(json), Some((978_307_200_000_000, "ts")));
    }

    #[test]
    fn an_unusable_value_gives_way_to_the_next_name() {
        let json = r#"{"@timestamp":"yesterday","ts":null,"time":"2001-01-01T00:00:00Z"}"#;
        assert_eq!(common(json), Some((978_307_200_000_000, "time")));
        assert_eq!(common(r#"{"@timestamp":{"a":1},"x":"2001-01-01T00:00:00Z"}"#), None);
        assert_eq!(common("{}"), None);
    }

    #[test]
    fn of_duplicate_keys_the_first_usable_counts() {
        let json = r#"{"ts":"?","ts":"2001-01-01T00:00:00Z","ts":"2002-01-01T00:00:00Z"}"#;
        assert_eq!(common(json), Some((978_307_200_000_000, "ts")));
    }

    #[test]
    fn numbers_of_every_kind() {
        assert_eq!(common(r#"{"ts":1521911721}"#), Some((1_521_911_721_000_000, "ts")));
        assert_eq!(common(r#"{"ts":1521911721.123456}"#), Some((1_521_911_721_123_456, "ts")));
        assert_eq!(common(r#"{"ts":"1521911721123"}"#), Some((1_521_911_721_123_000, "ts")));
        // More digits than a double holds.
        assert_eq!(common(r#"{"ts":1521911721.12345678901234567}"#), Some((1_521_911_721_123_456, "ts")));
    }

    #[test]
    fn implausible_numbers_count_only_where_the_field_is_named() {
        for json in [r#"{"time":0.035}"#, r#"{"time":12}"#, r#"{"time":"20150912"}"#, r#"{"time":20150912010203}"#] {
            assert_eq!(common(json), None, "{json}");
            assert!(field("time", json).is_some(), "{json}");
        }
        assert_eq!(common(r#"{"time":"1970-01-01T00:00:00Z"}"#), Some((0, "time")));
        assert_eq!(field("time", r#"{"time":-5}"#), Some(-5_000_000));
    }

    #[test]
    fn dotted_paths_and_dotted_keys() {
        assert_eq!(field("a.b", r#"{"a":{"b":5}}"#), Some(5_000_000));
        assert_eq!(field("a.b", r#"{"a":{"b":5},"a.b":6}"#), Some(6_000_000));
        assert_eq!(field("a.b.c", r#"{"a":{"b.c":7}}"#), Some(7_000_000));
        assert_eq!(field("a.b.c", r#"{"a.b":{"c":8}}"#), Some(8_000_000));
        assert_eq!(field("a.b", r#"{"a":5}"#), None);
        assert_eq!(field("a.b", r#"{"a":[{"b":5}]}"#), None);
    }
}
