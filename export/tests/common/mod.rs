//! Writing records to Parquet and comparing what comes back, value by value, by the rules of docs/export.md.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use annals::shape::Shape;
use annals_export::{Column, ColumnType, ExportOptions, FileReport, FileSink, Plan};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rmpv::Value;
use std::fs::File;
use std::path::Path;

/// `_seq` and `_time` come first.
const OWN_COLUMNS: usize = 2;

/// A record from its JSON.
pub fn json(text: &str) -> Value {
    let mut body = Vec::new();
    annals::json::to_msgpack(text.as_bytes(), &mut body).unwrap();
    rmpv::decode::read_value(&mut &body[..]).unwrap()
}

pub fn body(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    rmpv::encode::write_value(&mut out, value).unwrap();
    out
}

pub fn text(value: &Value) -> String {
    let mut out = Vec::new();
    annals::json::to_json(&body(value), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

pub fn shape(records: &[Value]) -> Shape {
    let mut shape = Shape::new();
    records.iter().for_each(|record| shape.observe(&body(record)).unwrap());
    shape
}

pub fn read(path: &Path) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    reader.collect::<Result<_, _>>().unwrap()
}

/// Exports, reads back, and checks every value.
pub fn round_trip(records: &[Value], options: &ExportOptions) -> (Plan, FileReport) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.parquet");
    let plan = Plan::new(&shape(records), options).unwrap();
    let mut sink = FileSink::create(&path, &plan, options, &[]).unwrap();
    for (record, seq) in records.iter().zip(0..) {
        sink.push(seq, -(seq as i64), &body(record)).unwrap();
    }
    let report = sink.finish().unwrap();
    let mut left = records.iter();
    for batch in read(&path) {
        for row in 0..batch.num_rows() {
            check_row(&plan, left.next().unwrap(), &batch, row);
        }
    }
    assert!(left.next().is_none());
    (plan, report)
}

fn check_row(plan: &Plan, record: &Value, batch: &RecordBatch, row: usize) {
    let seq = batch.column(0).as_primitive::<Int64Type>().value(row);
    assert_eq!(batch.column(1).as_primitive::<TimestampMicrosecondType>().value(row), -seq);
    let pairs = record.as_map().unwrap();
    let mut extra: Vec<String> = Vec::new();
    let mut placed = vec![false; plan.columns().len()];
    for (key, value) in pairs {
        let column = plan.columns().iter().position(|column| Some(column.key.as_str()) == key.as_str());
        match column {
            Some(at) if !placed[at] => {
                placed[at] = true;
                let column = &plan.columns()[at];
                let array = batch.column(OWN_COLUMNS + at);
                let fits = !column.forced || array.is_valid(row) || value.is_nil();
                match fits {
                    true => check(column, Some(value), array, row),
                    false => extra.push(format!("[{},{}]", text(key), text(value))),
                }
            }
            _ => extra.push(format!("[{},{}]", text(key), text(value))),
        }
    }
    for (column, at) in plan.columns().iter().zip(0..).filter(|&(_, at)| !placed[at]) {
        check(column, None, batch.column(OWN_COLUMNS + at), row);
    }
    match batch.column_by_name("_extra").map(|array| array.as_string::<i32>()) {
        Some(array) if array.is_valid(row) => assert_eq!(array.value(row), format!("[{}]", extra.join(","))),
        _ => assert_eq!(extra, [""; 0]),
    }
    if let Some(array) = batch.column_by_name("_json") {
        assert_eq!(array.as_string::<i32>().value(row), text(record));
    }
}

fn check(column: &Column, expected: Option<&Value>, array: &ArrayRef, row: usize) {
    if let (ColumnType::Json(_), Some(value)) = (&column.column_type, expected) {
        return assert_eq!(array.as_string::<i32>().value(row), text(value));
    }
    let Some(value) = expected.filter(|value| !value.is_nil()) else {
        return assert!(array.is_null(row), "{} is invented", column.key);
    };
    assert!(array.is_valid(row), "{} lost {value}", column.key);
    match &column.column_type {
        ColumnType::Bool => assert_eq!(Some(array.as_boolean().value(row)), value.as_bool()),
        ColumnType::Int => assert_eq!(Some(array.as_primitive::<Int64Type>().value(row)), value.as_i64()),
        ColumnType::Float => {
            let float = array.as_primitive::<Float64Type>().value(row);
            assert_eq!(float.to_bits(), value.as_f64().unwrap().to_bits());
            if value.is_i64() || value.is_u64() {
                assert_eq!(float as i128, value.as_i64().map_or_else(|| value.as_u64().unwrap().into(), i128::from));
            }
        }
        ColumnType::String => assert_eq!(Some(array.as_string::<i32>().value(row)), value.as_str()),
        ColumnType::Binary => assert_eq!(array.as_binary::<i32>().value(row), value.as_slice().unwrap()),
        ColumnType::List(element) => {
            let (cells, values) = (array.as_list::<i32>().value(row), value.as_array().unwrap());
            assert_eq!(cells.len(), values.len());
            values.iter().zip(0..).for_each(|(value, at)| check(element, Some(value), &cells, at));
        }
        ColumnType::Struct(fields) => {
            let pairs = value.as_map().unwrap();
            for (key, _) in pairs {
                let named = |other: &Value| pairs.iter().filter(|(key, _)| key == other).count();
                assert!(named(key) == 1 && fields.iter().any(|field| Some(field.key.as_str()) == key.as_str()));
            }
            for (field, cells) in fields.iter().zip(array.as_struct().columns()) {
                let value = pairs.iter().find(|(key, _)| key.as_str() == Some(&field.key)).map(|(_, value)| value);
                check(field, value, cells, row);
            }
        }
        other => panic!("{other:?} is tested by name"),
    }
}
