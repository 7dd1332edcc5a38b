//! The records of several streams in one table.

mod common;

use annals_export::{
    DatasetReport, DatasetSink, ExportError, ExportOptions, FileSink, MANIFEST_NAME, META_NAME, Plan, StreamReport,
    StreamSink,
};
use arrow::array::{AsArray, StringArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use common::{body, json, read, shape};
use parquet::file::reader::{FileReader, SerializedFileReader};
use rmpv::Value;
use std::fs::{self, File};
use std::path::Path;

/// A stream, a seq in it, and the text of a field.
type Row = (String, i64, String);

fn options(file_rows: u64) -> ExportOptions {
    let mut options = ExportOptions::default();
    (options.with_stream, options.file_rows) = (true, file_rows);
    options
}

fn record(stream: &str, seq: u64) -> Value {
    json(&format!(r#"{{"text":"{stream} {seq}","_stream":"mine"}}"#))
}

/// Streams of 0 to 9 records, whose seqs begin anywhere and have holes.
fn model() -> Vec<(String, Vec<u64>)> {
    let seqs = |n: u64| (0..n % 10).map(|k| n * 7 % 4 + k * (n % 3 + 1)).collect();
    let mut streams: Vec<_> = (0..60).map(|n| (format!("Tenant/{}", n * 37 % 60), seqs(n))).collect();
    streams.sort();
    streams
}

fn rows_of(streams: &[(String, Vec<u64>)]) -> Vec<Row> {
    let row = |stream: &str, seq: u64| (stream.to_owned(), seq as i64, format!("{stream} {seq}"));
    streams.iter().flat_map(|(stream, seqs)| seqs.iter().map(move |&seq| row(stream, seq))).collect()
}

fn reports_of(rows: &[Row]) -> Vec<StreamReport> {
    let mut reports: Vec<StreamReport> = Vec::new();
    for (stream, seq, _) in rows {
        let seq = *seq as u64;
        match reports.iter_mut().find(|report| report.stream == *stream) {
            Some(report) => (report.rows, report.seq_last) = (report.rows + 1, seq),
            None => reports.push(StreamReport { stream: stream.clone(), rows: 1, seq_first: seq, seq_last: seq }),
        }
    }
    reports
}

fn push_all(sink: &mut impl StreamSink, streams: &[(String, Vec<u64>)]) {
    for (stream, seqs) in streams {
        sink.begin_stream(stream).unwrap();
        seqs.iter().for_each(|&seq| sink.push(seq, 5, &body(&record(stream, seq))).unwrap());
    }
}

fn rows_in(path: &Path) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in read(path) {
        let streams = batch.column_by_name("_stream").unwrap().as_dictionary::<Int32Type>();
        let streams = streams.downcast_dict::<StringArray>().unwrap();
        let seqs = batch.column_by_name("_seq").unwrap().as_primitive::<Int64Type>();
        let texts = batch.column_by_name("text").unwrap().as_string::<i32>();
        for (row, stream) in streams.into_iter().enumerate() {
            rows.push((stream.unwrap().to_owned(), seqs.value(row), texts.value(row).to_owned()));
        }
        let own = batch.column_by_name("_stream_2").unwrap().as_string::<i32>();
        assert!(own.iter().all(|text| text == Some("mine")), "the records' own field");
    }
    rows
}

#[test]
fn a_dataset_has_the_records_of_all_streams_one_after_the_other() {
    let streams = model();
    let expected = rows_of(&streams);
    assert!(expected.len() > 200);
    for file_rows in [1, 7, 1_000] {
        let directory = tempfile::tempdir().unwrap();
        let plan = Plan::new(&shape(&[record("a", 0)]), &options(file_rows)).unwrap();
        let mut sink = DatasetSink::create(directory.path(), &plan, &options(file_rows), &[]).unwrap();
        push_all(&mut sink, &streams);
        let report: DatasetReport = sink.finish().unwrap();

        let mut found = Vec::new();
        for (part, n) in report.files.iter().zip(0..) {
            assert_eq!((part.file.as_str(), part.seq_first), (format!("part-{n:010}.parquet").as_str(), None));
            let rows = rows_in(&directory.path().join(&part.file));
            assert_eq!((part.rows, &part.streams), (rows.len() as u64, &reports_of(&rows)));
            assert!(part.rows == file_rows || n + 1 == report.files.len());
            found.extend(rows);
        }
        assert_eq!(found, expected, "{file_rows} rows a file");
        assert_eq!((report.rows, &report.streams), (expected.len() as u64, &reports_of(&expected)));
        let manifest: serde_json::Value =
            serde_json::from_slice(&fs::read(directory.path().join(MANIFEST_NAME)).unwrap()).unwrap();
        assert_eq!(manifest["streams"], serde_json::to_value(reports_of(&expected)).unwrap());
    }
}

#[test]
fn a_file_tells_its_streams() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("all.parquet");
    let plan = Plan::new(&shape(&[record("a", 0)]), &options(1)).unwrap();
    let mut sink = FileSink::create(&path, &plan, &options(1), &[]).unwrap();
    push_all(&mut sink, &model());
    let report = sink.finish().unwrap();
    let expected = rows_of(&model());
    assert_eq!(rows_in(&path), expected);
    assert_eq!((report.seq_first, report.seq_last, &report.streams), (None, None, &reports_of(&expected)));

    let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
    let file = reader.metadata().file_metadata();
    let pairs = file.key_value_metadata().unwrap();
    let value = |key: &str| pairs.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.as_deref());
    let told: serde_json::Value = serde_json::from_str(value("annals.streams").unwrap()).unwrap();
    assert_eq!(told, serde_json::to_value(reports_of(&expected)).unwrap());
    assert_eq!((value("annals.rows"), value("annals.first_seq")), (Some(expected.len().to_string().as_str()), None));

    // By name of the stream, row groups and pages can be left out.
    let column = reader.metadata().row_group(0).column(0);
    assert_eq!(column.column_path().string(), "_stream");
    assert_eq!(column.statistics().unwrap().min_bytes_opt(), Some("Tenant/1".as_bytes()));
    assert!(column.column_index_offset().is_some() && column.dictionary_page_offset().is_some());
}

#[test]
fn a_field_of_that_name_has_another_column() {
    let records = [json(r#"{"_Stream":1,"_stream":true,"_stream_2":"x","_seq":1}"#)];
    let plan = Plan::new(&shape(&records), &options(1)).unwrap();
    let names: Vec<_> = plan.columns().iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["_Stream_3", "_stream_4", "_stream_2", "_seq_2"]);
    let fields = plan.arrow_schema().fields();
    assert_eq!((fields[0].name().as_str(), fields[1].name().as_str()), ("_stream", "_seq"));
    assert!(matches!(fields[0].data_type(), DataType::Dictionary(_, text) if **text == DataType::Utf8));
    assert_eq!(fields[4].metadata()[META_NAME], "_stream");

    // In the export of one log the name is free.
    let plan = Plan::new(&shape(&records), &ExportOptions::default()).unwrap();
    assert!(!plan.has_stream() && plan.columns()[0].name == "_Stream" && plan.columns()[1].name == "_stream_3");
}

#[test]
fn streams_have_to_come_in_their_order_and_where_they_are_expected() {
    let directory = tempfile::tempdir().unwrap();
    let plan = Plan::new(&shape(&[record("a", 0)]), &options(5)).unwrap();
    let dataset = |name: &str| DatasetSink::create(&directory.path().join(name), &plan, &options(5), &[]).unwrap();
    let push = |sink: &mut DatasetSink, seq| sink.push(seq, 0, &body(&record("a", seq)));

    let mut sink = dataset("none");
    assert!(matches!(push(&mut sink, 3), Err(ExportError::NoStream { seq: 3 })));
    assert!(matches!(sink.begin_stream("a"), Err(ExportError::Poisoned)));
    for (name, next) in [("again", "b"), ("back", "a")] {
        let mut sink = dataset(name);
        sink.begin_stream("b").unwrap();
        assert!(matches!(sink.begin_stream(next), Err(ExportError::StreamOrder { .. })), "{name}");
        assert!(matches!(sink.finish(), Err(ExportError::Poisoned)));
        assert!(!directory.path().join(name).join(MANIFEST_NAME).exists());
    }
    let mut sink = dataset("seqs");
    sink.begin_stream("a").unwrap();
    (7..17).for_each(|seq| push(&mut sink, seq).unwrap());
    sink.begin_stream("b").unwrap();
    push(&mut sink, 2).unwrap();
    assert!(matches!(push(&mut sink, 2), Err(ExportError::Order { seq: 2, previous: Some(2) })));

    let path = directory.path().join("log.parquet");
    let plan = Plan::new(&shape(&[record("a", 0)]), &ExportOptions::default()).unwrap();
    let mut sink = FileSink::create(&path, &plan, &ExportOptions::default(), &[]).unwrap();
    assert!(matches!(sink.begin_stream("a"), Err(ExportError::StreamNotPlanned { .. })));
    assert!(sink.finish().is_err() && !path.exists());
}
