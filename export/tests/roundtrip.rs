//! Any records come back value for value.

mod common;

use annals_export::ExportOptions;
use common::round_trip;
use proptest::prelude::*;
use rmpv::Value;

/// Few keys, so that records meet at the same paths; every type, so that they disagree there.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        2 => Just(Value::Nil),
        1 => any::<bool>().prop_map(Value::from),
        3 => (-3i64..3).prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        2 => any::<f64>().prop_map(Value::from),
        1 => any::<f32>().prop_map(Value::from),
        3 => "\\PC{0,3}".prop_map(Value::from),
        1 => any::<Vec<u8>>().prop_map(Value::Binary),
        1 => prop_oneof![Just("1e999"), Just("-0"), Just(r#""\ud800""#), Just("nonsense")]
            .prop_map(|token| Value::Ext(0x4A, token.into())),
        1 => (any::<i8>(), any::<Vec<u8>>()).prop_map(|(kind, bytes)| Value::Ext(kind, bytes)),
    ];
    leaf.prop_recursive(5, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((key(), inner.clone()), 0..4).prop_map(Value::Map),
            // Mostly of one kind, so that lists and structs come about.
            (prop::collection::vec(-9i64..9, 0..4)).prop_map(|list| list
                .into_iter()
                .map(Value::from)
                .collect::<Vec<_>>()
                .into()),
            inner.prop_map(|value| Value::Map(vec![(
                "k".into(),
                Value::Array(vec![Value::Map(vec![("m".into(), value)])])
            )])),
        ]
    })
}

fn key() -> impl Strategy<Value = Value> {
    prop_oneof![
        20 => "[aAb]{0,2}".prop_map(Value::from),
        2 => prop_oneof![Just("_seq"), Just("_time"), Just("_extra"), Just("_json"), Just("a_2"), Just("_2")].prop_map(Value::from),
        1 => any::<u8>().prop_map(Value::from),
        1 => Just(Value::Ext(0x4A, br#""\ud800""#.to_vec())),
    ]
}

fn record() -> impl Strategy<Value = Value> {
    prop::collection::vec((key(), value()), 0..6).prop_map(Value::Map)
}

/// Values of one type for each key: the typed columns.
fn regular_record() -> impl Strategy<Value = Value> {
    let optional = |strategy: BoxedStrategy<Value>| prop_oneof![1 => Just(Value::Nil), 3 => strategy].boxed();
    let inner = || {
        (optional(any::<i64>().prop_map(Value::from).boxed()), optional("[a-c]{0,3}".prop_map(Value::from).boxed()))
            .prop_map(|(a, b)| Value::Map(vec![("a".into(), a), ("A".into(), b)]))
            .boxed()
    };
    let fields = vec![
        ("bool", optional(any::<bool>().prop_map(Value::from).boxed())),
        ("int", optional(any::<i64>().prop_map(Value::from).boxed())),
        ("number", prop_oneof![(-100i64..100).prop_map(Value::from), any::<f64>().prop_map(Value::from)].boxed()),
        ("text", optional("\\PC{0,8}".prop_map(Value::from).boxed())),
        ("bytes", optional(any::<Vec<u8>>().prop_map(Value::Binary).boxed())),
        ("struct", optional(inner())),
        ("list", prop::collection::vec(optional(inner()), 0..3).prop_map(Value::Array).boxed()),
        (
            "lists",
            prop::collection::vec(prop::collection::vec(0..9i64, 0..3), 0..3)
                .prop_map(|lists| {
                    Value::Array(
                        lists
                            .into_iter()
                            .map(|list| Value::Array(list.into_iter().map(Value::from).collect()))
                            .collect(),
                    )
                })
                .boxed(),
        ),
    ];
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(key, value)| prop::option::weighted(0.8, value).prop_map(move |value| Some((Value::from(key), value?))))
        .collect();
    fields.prop_map(|pairs| Value::Map(pairs.into_iter().flatten().collect()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn irregular_records_come_back(records in prop::collection::vec(record(), 0..8), with_json: bool) {
        let mut options = ExportOptions::default();
        options.with_json = with_json;
        round_trip(&records, &options);
    }

    #[test]
    fn regular_records_come_back_in_typed_columns(records in prop::collection::vec(regular_record(), 1..30)) {
        round_trip(&records, &ExportOptions::default());
    }
}

#[test]
fn many_rows_pass_through_several_batches_and_row_groups() {
    let records: Vec<_> = (0..20_000)
        .map(|i| match i % 3 {
            0 => common::json(&format!(r#"{{"n":{i},"s":"text {i}","l":[{i},null]}}"#)),
            1 => common::json(&format!(r#"{{"o":{{"x":{i}}},"m":"{i}"}}"#)),
            _ => common::json(r#"{"m":1}"#),
        })
        .collect();
    let mut options = ExportOptions::default();
    options.row_group_rows = 3000;
    let (_, report) = round_trip(&records, &options);
    assert_eq!(report.rows, 20_000);
}
