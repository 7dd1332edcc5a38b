//! One test for each row of the tables of docs/export.md.

mod common;

use annals::shape::{DEPTH_MAX, KEYS_MAX, TOP_LEVEL_KEYS_MAX};
use annals_export::{ColumnType, ExportOptions, ForcedType, JsonReason, LEAVES_MAX, META_ENCODING, META_NAME, Plan};
use common::{json, round_trip};
use rmpv::Value;

/// The type of column `a` for these values; every value is checked on the way.
fn type_of(values: &[&str]) -> ColumnType {
    let records: Vec<_> = values.iter().map(|value| json(&format!(r#"{{"a":{value}}}"#))).collect();
    round_trip(&records, &ExportOptions::default()).0.columns()[0].column_type.clone()
}

fn type_of_value(value: Value) -> ColumnType {
    let record = Value::Map(vec![("a".into(), value)]);
    round_trip(&[record], &ExportOptions::default()).0.columns()[0].column_type.clone()
}

#[track_caller]
fn is_json(found: ColumnType, reason: JsonReason) {
    assert_eq!(found, ColumnType::Json(reason));
}

#[test]
fn booleans() {
    assert_eq!(type_of(&["true", "null", "false"]), ColumnType::Bool);
}

#[test]
fn integers_of_64_bits_with_sign() {
    assert_eq!(type_of(&["0", "-9223372036854775808", "9223372036854775807", "null"]), ColumnType::Int);
}

#[test]
fn integers_beyond_64_bits_with_sign() {
    is_json(type_of(&["1", "9223372036854775808"]), JsonReason::IntegerRange);
}

#[test]
fn integers_and_floats_with_exact_integers() {
    assert_eq!(type_of(&["1", "1.5", "9007199254740992", "9223372036854775808"]), ColumnType::Float);
}

#[test]
fn integers_and_floats_with_an_inexact_integer() {
    is_json(type_of(&["1.5", "9007199254740993"]), JsonReason::InexactInteger);
}

#[test]
fn floats() {
    assert_eq!(type_of(&["1.5", "-0.0", "1e300", "null"]), ColumnType::Float);
    assert_eq!(type_of_value(f64::NAN.into()), ColumnType::Float);
    assert_eq!(type_of_value(0.1f32.into()), ColumnType::Float);
}

#[test]
fn strings() {
    assert_eq!(type_of(&[r#""""#, r#""\u0000é""#, "null"]), ColumnType::String);
}

#[test]
fn binary() {
    assert_eq!(type_of_value(Value::Binary(vec![0, 255])), ColumnType::Binary);
}

#[test]
fn arrays() {
    let ColumnType::List(element) = type_of(&["[1,null]", "[]", "null"]) else { panic!() };
    assert_eq!(element.column_type, ColumnType::Int);
}

#[test]
fn arrays_of_objects_that_are_null_or_empty() {
    let ColumnType::List(element) = type_of(&[r#"[{"x":1},null,{},{"x":null}]"#]) else { panic!() };
    assert!(matches!(element.column_type, ColumnType::Struct(_)));
}

#[test]
fn objects() {
    let ColumnType::Struct(fields) = type_of(&[r#"{"x":1}"#, "{}", r#"{"y":"s"}"#, "null"]) else { panic!() };
    assert_eq!(fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>(), ["x", "y"]);
}

#[test]
fn nothing_but_null() {
    is_json(type_of(&["null"]), JsonReason::NullOnly);
}

#[test]
fn arrays_of_nothing_but_null() {
    let ColumnType::List(element) = type_of(&["[null,null]"]) else { panic!() };
    is_json(element.column_type, JsonReason::NullOnly);
}

#[test]
fn nothing_but_empty_objects() {
    is_json(type_of(&["{}", "null"]), JsonReason::EmptyObjects);
}

#[test]
fn nothing_but_empty_arrays() {
    is_json(type_of(&["[]", "null"]), JsonReason::EmptyArrays);
}

#[test]
fn mixed_types() {
    for values in
        [["1", r#""1""#], ["true", "1"], [r#"{"x":1}"#, r#""s""#], ["[1]", "1"], ["[]", "{}"], ["[1]", r#"{"x":1}"#]]
    {
        is_json(type_of(&[values[0], values[1], "null"]), JsonReason::MixedTypes);
    }
}

#[test]
fn json_tokens() {
    is_json(type_of(&["1", "1e999"]), JsonReason::JsonToken);
    is_json(type_of(&[r#""s""#, r#""\ud800""#]), JsonReason::JsonToken);
}

#[test]
fn extensions() {
    is_json(type_of_value(Value::Ext(-1, vec![1, 2, 3, 4])), JsonReason::Extension);
}

#[test]
fn keys_used_as_data() {
    let values: Vec<_> = (0..=KEYS_MAX).map(|i| format!(r#"{{"{i}":1}}"#)).collect();
    is_json(type_of(&values.iter().map(String::as_str).collect::<Vec<_>>()), JsonReason::Wide);
}

#[test]
fn nested_too_deeply() {
    let mut column = type_of(&[&format!("{}1{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX))]);
    while let ColumnType::List(element) = column {
        column = element.column_type;
    }
    is_json(column, JsonReason::Deep);
}

#[test]
fn objects_with_a_key_twice() {
    is_json(type_of(&[r#"{"x":1}"#, r#"{"x":1,"x":2}"#]), JsonReason::DuplicateKeys);
}

#[test]
fn objects_with_keys_that_are_not_strings() {
    is_json(type_of_value(Value::Map(vec![(1.into(), 2.into())])), JsonReason::OtherKeys);
}

#[test]
fn too_many_leaves() {
    let fields = |prefix: &str, count| (0..count).map(|i| format!(r#""{prefix}{i}":1"#)).collect::<Vec<_>>().join(",");
    let objects = (0..10).map(|i| format!(r#""o{i}":{{{}}}"#, fields("k", 480 + i))).collect::<Vec<_>>().join(",");
    let (plan, report) = round_trip(&[json(&format!("{{{objects}}}"))], &ExportOptions::default());
    let limited = |at: usize| plan.columns()[at].column_type == ColumnType::Json(JsonReason::ColumnLimit);
    assert_eq!((0..10).filter(|&at| limited(at)).collect::<Vec<_>>(), [8, 9]);
    assert!(report.columns.iter().filter(|column| column.type_name != "struct").count() <= LEAVES_MAX);
}

#[test]
fn keys_twice_at_the_top_go_to_extra() {
    let (plan, report) = round_trip(&[json(r#"{"a":1,"b":2,"a":"x"}"#), json("{}")], &ExportOptions::default());
    assert!(plan.has_extra());
    assert_eq!(report.extra_values, 1);
}

#[test]
fn too_many_keys_at_the_top_go_to_extra() {
    let records: Vec<_> = (0..TOP_LEVEL_KEYS_MAX + 10).map(|i| json(&format!(r#"{{"key{i}":{i},"n":1}}"#))).collect();
    let (plan, report) = round_trip(&records, &ExportOptions::default());
    assert_eq!((plan.columns().len(), report.extra_values), (TOP_LEVEL_KEYS_MAX, 11));
}

#[test]
fn without_need_there_is_no_extra() {
    assert!(!round_trip(&[json(r#"{"a":1}"#)], &ExportOptions::default()).0.has_extra());
}

#[test]
fn names_and_metadata() {
    let (plan, _) =
        round_trip(&[json(r#"{"A":1,"a":{},"":2,"_seq":{"_seq":1,"x":1,"X":2}}"#)], &ExportOptions::default());
    let names: Vec<_> = plan.columns().iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["A", "a_2", "_2", "_seq_2"]);
    let schema = plan.arrow_schema();
    let metadata = |name: &str, key: &str| schema.field_with_name(name).unwrap().metadata().get(key).cloned();
    assert_eq!(metadata("A", META_NAME), None);
    assert_eq!(metadata("a_2", META_NAME).as_deref(), Some("a"));
    assert_eq!(metadata("a_2", META_ENCODING).as_deref(), Some("json"));
    assert_eq!(metadata("_2", META_NAME).as_deref(), Some(""));
    let ColumnType::Struct(fields) = &plan.columns()[3].column_type else { panic!() };
    assert_eq!(fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>(), ["_seq", "x", "X_2"]);
}

#[test]
fn field_ids_count_parents_before_children() {
    let (plan, _) = round_trip(&[json(r#"{"a":{"b":[1]},"c":2}"#)], &ExportOptions::default());
    let id = |name: &str| plan.arrow_schema().field_with_name(name).unwrap().metadata()["PARQUET:field_id"].clone();
    assert_eq!(["_seq", "_time", "a", "c"].map(id), ["1", "2", "3", "6"]);
}

fn forced(columns: &[(&str, ForcedType)]) -> ExportOptions {
    let mut options = ExportOptions::default();
    options.columns = columns.iter().map(|(path, forced)| ((*path).to_owned(), *forced)).collect();
    options
}

#[test]
fn what_does_not_fit_a_forced_type_goes_to_extra() {
    let records: Vec<_> =
        ["1", "\"x\"", "null", "2.5", "18446744073709551615", "[1]"].map(|v| json(&format!(r#"{{"a":{v}}}"#))).into();
    for (forced_type, misfits) in [
        (ForcedType::Int, 4),
        (ForcedType::Double, 3),
        (ForcedType::String, 5 - 1),
        (ForcedType::Bool, 5),
        (ForcedType::Json, 0),
    ] {
        let (_, report) = round_trip(&records, &forced(&[("a", forced_type)]));
        assert_eq!((report.columns[0].misfits, report.extra_values), (misfits, misfits), "{forced_type:?}");
    }
}

#[test]
fn a_forced_timestamp() {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::TimestampMicrosecondType;
    let records = [json(r#"{"o":{"t":"1970-01-01T00:00:01.5Z"}}"#), json(r#"{"o":{"t":"yesterday"},"z":0}"#)];
    let options = forced(&[("/o/t", ForcedType::Timestamp)]);
    let plan = Plan::new(&common::shape(&records), &options).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.parquet");
    let mut sink = annals_export::FileSink::create(&path, &plan, &options, &[]).unwrap();
    (0..2).for_each(|seq| sink.push(seq, 0, &common::body(&records[seq as usize])).unwrap());
    assert_eq!(sink.finish().unwrap().columns[1].misfits, 1);
    let batch = &common::read(&path)[0];
    let times =
        batch.column_by_name("o").unwrap().as_struct().column(0).as_primitive::<TimestampMicrosecondType>().clone();
    assert_eq!((times.value(0), times.is_null(1)), (1_500_000, true));
    assert_eq!(batch.column_by_name("_extra").unwrap().as_string::<i32>().value(1), r#"[[["o","t"],"yesterday"]]"#);
}

#[test]
fn a_forced_column_that_is_not_there_is_an_error() {
    let shape = common::shape(&[json(r#"{"a.b":1,"c":{"d":1}}"#)]);
    for (path, there) in [("a.b", true), ("/a.b", true), ("c.d", true), ("/c/d", true), ("x", false), ("a.b.c", false)]
    {
        assert_eq!(Plan::new(&shape, &forced(&[(path, ForcedType::Json)])).is_ok(), there, "{path}");
    }
}
