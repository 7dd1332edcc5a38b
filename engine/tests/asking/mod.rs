//! Drawn records, conditions over them, and what a condition means, said as plainly as possible: over decoded JSON.
#![allow(dead_code, reason = "each test file uses a part of it")]

use annals::{Comparison, Condition, FieldPath, Value};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use std::cmp::Ordering;

const KEYS: [&str; 4] = ["a", "b", "c", "a.b"];

/// Few values, so that conditions meet them.
fn scalar() -> impl Strategy<Value = Json> {
    prop_oneof![
        1 => Just(Json::Null),
        1 => any::<bool>().prop_map(Json::from),
        3 => (-3..4i64).prop_map(Json::from),
        2 => (-6..7i64).prop_map(|quarters| json!(quarters as f64 / 4.0)),
        3 => "[ab]{0,2}".prop_map(Json::from),
        1 => prop_oneof![Just(json!("")), Just(json!("ü")), Just(json!(1_i64 << 53)), Just(json!(u64::MAX)), Just(json!(i64::MIN))],
    ]
}

fn json() -> impl Strategy<Value = Json> {
    scalar().prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            2 => prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            3 => object_of(inner),
        ]
    })
}

fn object_of(inner: impl Strategy<Value = Json>) -> impl Strategy<Value = Json> {
    let pairs = prop::collection::vec((prop::sample::select(&KEYS[..]), inner), 0..4);
    pairs.prop_map(|pairs| Json::Object(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()))
}

/// A record.
pub(crate) fn record() -> impl Strategy<Value = Json> {
    object_of(json())
}

fn path() -> impl Strategy<Value = FieldPath> {
    prop::collection::vec(prop::sample::select(&KEYS[..]), 1..4).prop_map(|keys| FieldPath::new(keys).unwrap())
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_map(|json| match json {
        Json::Null => Value::NULL,
        Json::Bool(value) => Value::from(value),
        Json::String(text) => Value::from(text),
        json => json
            .as_u64()
            .map(Value::from)
            .or(json.as_i64().map(Value::from))
            .unwrap_or_else(|| json.as_f64().unwrap().into()),
    })
}

/// A condition.
pub(crate) fn condition() -> impl Strategy<Value = Condition> {
    use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    let comparison =
        prop::sample::select(&[Equal, Equal, Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual][..]);
    let leaf = prop_oneof![
        5 => (path(), comparison, value()).prop_map(|(path, comparison, value)| Condition::Compare(path, comparison, value)),
        2 => (path(), prop::collection::vec(value(), 0..12)).prop_map(|(path, values)| Condition::In(path, values)),
        1 => (path(), "[ab]{0,2}").prop_map(|(path, prefix)| Condition::Prefix(path, prefix)),
        1 => path().prop_map(Condition::Exists),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Condition::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Condition::Or),
            inner.prop_map(|inner| Condition::Not(Box::new(inner))),
        ]
    })
}

/// Everything that the keys lead to in `json`, arrays as such.
fn reached<'a>(keys: &[String], json: &'a Json, found: &mut Vec<&'a Json>) {
    match (keys, json) {
        ([], json) => found.push(json),
        (_, Json::Array(elements)) => elements.iter().for_each(|element| reached(keys, element, found)),
        ([key, rest @ ..], Json::Object(pairs)) => {
            if let Some(value) = pairs.get(key) {
                reached(rest, value, found);
            }
        }
        _ => {}
    }
}

/// The values in place of arrays.
fn flattened<'a>(json: &'a Json, values: &mut Vec<&'a Json>) {
    match json {
        Json::Array(elements) => elements.iter().for_each(|element| flattened(element, values)),
        json => values.push(json),
    }
}

/// What a [`Value`] is, as its text tells.
fn json_of(value: &Value) -> Json {
    serde_json::from_str(&value.to_string()).unwrap()
}

fn order(a: &Json, b: &Json) -> Option<Ordering> {
    match (a, b) {
        (Json::String(a), Json::String(b)) => Some(a.cmp(b)),
        (Json::Number(_), Json::Number(_)) => {
            let int = |json: &Json| json.as_i64().map(i128::from).or(json.as_u64().map(i128::from));
            // The drawn fractions, and the quarters of all integers but the largest, are doubles.
            match (int(a), int(b)) {
                (Some(a), Some(b)) => Some(a.cmp(&b)),
                _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
            }
        }
        _ => None,
    }
}

fn equal(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(_), Json::Number(_)) => order(a, b) == Some(Ordering::Equal),
        _ => a == b,
    }
}

/// Whether `condition` holds for `record`.
pub(crate) fn holds(condition: &Condition, record: &Json) -> bool {
    let any = |path: &FieldPath, test: &dyn Fn(&Json) -> bool| {
        let (mut found, mut values) = (Vec::new(), Vec::new());
        reached(path.keys(), record, &mut found);
        found.into_iter().for_each(|json| flattened(json, &mut values));
        values.into_iter().any(test)
    };
    match condition {
        Condition::Compare(path, comparison, value) => any(path, &|json| {
            let (value, order) = (json_of(value), order(json, &json_of(value)));
            match comparison {
                Comparison::Equal => equal(json, &value),
                Comparison::NotEqual => !equal(json, &value),
                Comparison::Less => order == Some(Ordering::Less),
                Comparison::LessOrEqual => order.is_some_and(Ordering::is_le),
                Comparison::Greater => order == Some(Ordering::Greater),
                Comparison::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
            }
        }),
        Condition::In(path, values) => any(path, &|json| values.iter().any(|value| equal(json, &json_of(value)))),
        Condition::Prefix(path, prefix) => {
            any(path, &|json| json.as_str().is_some_and(|text| text.starts_with(prefix.as_str())))
        }
        Condition::Exists(path) => {
            let mut found = Vec::new();
            reached(path.keys(), record, &mut found);
            !found.is_empty()
        }
        Condition::And(parts) => parts.iter().all(|part| holds(part, record)),
        Condition::Or(parts) => parts.iter().any(|part| holds(part, record)),
        Condition::Not(inner) => !holds(inner, record),
        _ => unreachable!("all conditions of this version are above"),
    }
}
