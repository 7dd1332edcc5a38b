//! Files and datasets: whole or not there, in order, and as the options say.

mod common;

use annals_export::{DatasetSink, ExportError, ExportOptions, FileSink, MANIFEST_NAME, Plan};
use common::{body, json, shape};
use parquet::file::reader::{FileReader, SerializedFileReader};
use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::path::Path;

fn plan() -> Plan {
    Plan::new(&shape(&[json(r#"{"a":1}"#)]), &ExportOptions::default()).unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_appears_only_when_it_is_finished() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.parquet");
    let mut sink = FileSink::create(&path, &plan(), &ExportOptions::default(), &[]).unwrap();
    sink.push(0, 0, &body(&json(r#"{"a":1}"#))).unwrap();
    assert!(!path.exists());
    drop(sink);
    assert_eq!(names(directory.path()), [""; 0]);
}

#[test]
fn what_is_there_is_not_overwritten_unasked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.parquet");
    let create = |overwrite| {
        let mut options = ExportOptions::default();
        options.overwrite = overwrite;
        FileSink::create(&path, &plan(), &options, &[])
    };
    let early = create(false).unwrap();
    fs::write(&path, "mine").unwrap();
    assert!(matches!(create(false), Err(ExportError::Exists { .. })));
    assert!(matches!(early.finish(), Err(ExportError::Exists { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    create(true).unwrap().finish().unwrap();
    assert_eq!(names(directory.path()), ["a.parquet"]);
    assert!(SerializedFileReader::new(File::open(&path).unwrap()).is_ok());
}

#[test]
fn a_value_the_plan_has_no_place_for_is_an_error_and_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let of = |text: &str| Plan::new(&shape(&[json(text)]), &ExportOptions::default()).unwrap();
    for (planned, record, at) in [
        (r#"{"a":1}"#, r#"{"a":"x"}"#, "/a"),
        (r#"{"a":1}"#, r#"{"b":1}"#, "/b"),
        (r#"{"a":1}"#, r#"{"a":1,"a":1}"#, "/a"),
        (r#"{"a":1.5}"#, r#"{"a":9007199254740993}"#, "/a"),
        (r#"{"a":[{"x":1}]}"#, r#"{"a":[{"x":1},{"x":true}]}"#, "/a/[]/x"),
        (r#"{"a":{"b":{"x":1}}}"#, r#"{"a":{"b":{"y":true}}}"#, "/a/b/y"),
        (r#"{"a":{"b":{"x":1}}}"#, r#"{"a":{"b":{"x":1,"x":2}}}"#, "/a/b/x"),
    ] {
        let mut sink =
            FileSink::create(&directory.path().join("a"), &of(planned), &ExportOptions::default(), &[]).unwrap();
        match sink.push(7, 0, &body(&json(record))) {
            Err(ExportError::DoesNotFit { seq: 7, path }) => assert_eq!(path, at, "{record}"),
            other => panic!("{record}: {other:?}"),
        }
        assert!(matches!(sink.push(8, 0, &body(&json(planned))), Err(ExportError::Poisoned)));
        assert!(matches!(sink.finish(), Err(ExportError::Poisoned)));
        assert_eq!(names(directory.path()), [""; 0]);
    }
}

#[test]
fn seqs_have_to_ascend_and_bodies_to_be_maps() {
    let directory = tempfile::tempdir().unwrap();
    let create = || FileSink::create(&directory.path().join("a"), &plan(), &ExportOptions::default(), &[]).unwrap();
    let record = body(&json(r#"{"a":1}"#));
    let mut sink = create();
    sink.push(5, 0, &record).unwrap();
    assert!(matches!(sink.push(5, 0, &record), Err(ExportError::Order { seq: 5, previous: Some(5) })));
    assert!(matches!(create().push(1 << 63, 0, &record), Err(ExportError::Order { .. })));
    for damaged in [&[0x90][..], &[], &record[..2], &[0x80, 0x80]] {
        assert!(matches!(create().push(0, 0, damaged), Err(ExportError::Body { seq: 0, .. })));
    }
}

#[test]
fn the_file_says_where_it_is_from() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.parquet");
    let metadata = [("annals.log_id".to_owned(), "77".to_owned())];
    let mut sink = FileSink::create(&path, &plan(), &ExportOptions::default(), &metadata).unwrap();
    for seq in [3, 4, 9] {
        sink.push(seq, 0, &body(&json(r#"{"a":1}"#))).unwrap();
    }
    sink.finish().unwrap();
    let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
    let pairs = reader.metadata().file_metadata().key_value_metadata().unwrap();
    let value = |key: &str| pairs.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.as_deref());
    assert_eq!(value("annals.log_id"), Some("77"));
    assert_eq!(
        (value("annals.first_seq"), value("annals.last_seq"), value("annals.rows")),
        (Some("3"), Some("9"), Some("3"))
    );
    assert!(value("annals.writer").is_some());
    let column = reader.metadata().row_group(0).column(2);
    assert!(
        column.statistics().is_some()
            && column.column_index_offset().is_some()
            && column.offset_index_offset().is_some()
    );
}

#[test]
fn a_dataset_is_split_and_its_manifest_names_every_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = ExportOptions::default();
    options.file_rows = 4;
    let metadata = [("annals.log_id".to_owned(), "77".to_owned())];
    let mut sink = DatasetSink::create(directory.path(), &plan(), &options, &metadata).unwrap();
    for seq in 10..20 {
        sink.push(seq, 0, &body(&json(r#"{"a":1}"#))).unwrap();
        assert!(!directory.path().join(MANIFEST_NAME).exists());
    }
    let report = sink.finish().unwrap();
    let files: Vec<_> = report.files.iter().map(|part| part.file.clone()).collect();
    assert_eq!(files[0], "part-0000000000000000010-0000000000000000013.parquet");
    assert_eq!(names(directory.path()), [&[MANIFEST_NAME.to_owned()], &files[..]].concat());
    assert_eq!(
        report.files.iter().map(|part| (part.seq_first.unwrap(), part.rows)).collect::<Vec<_>>(),
        [(10, 4), (14, 4), (18, 2)]
    );
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(directory.path().join(MANIFEST_NAME)).unwrap()).unwrap();
    assert_eq!((manifest["rows"].as_u64(), manifest["log_id"].as_str()), (Some(10), Some("77")));
    assert_eq!(manifest["columns"][0]["values"], 10);
}

#[test]
fn an_interrupted_dataset_has_no_manifest_and_is_not_added_to() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = ExportOptions::default();
    options.file_rows = 1;
    let create = |options: &ExportOptions| DatasetSink::create(directory.path(), &plan(), options, &[]);
    let mut sink = create(&options).unwrap();
    sink.push(0, 0, &body(&json(r#"{"a":1}"#))).unwrap();
    sink.push(1, 0, &body(&json(r#"{"a":1}"#))).unwrap();
    drop(sink);
    assert_eq!(names(directory.path()).len(), 1);
    assert!(matches!(create(&options), Err(ExportError::Exists { .. })));

    fs::write(directory.path().join("notes.txt"), "mine").unwrap();
    options.overwrite = true;
    let report = create(&options).unwrap().finish().unwrap();
    assert_eq!((report.rows, report.files.len()), (0, 0));
    assert_eq!(names(directory.path()), [MANIFEST_NAME, "notes.txt"]);
}

#[test]
fn the_file_is_the_same_for_any_number_of_threads() {
    let records: Vec<_> = (0..40_000)
        .map(|i| json(&format!(r#"{{"a":{i},"b":"text {}","c":[{},null],"d":{{"x":{}}}}}"#, i * i, i % 7, i % 100)))
        .collect();
    let directory = tempfile::tempdir().unwrap();
    let plan = Plan::new(&shape(&records), &ExportOptions::default()).unwrap();
    let file = |threads: usize| {
        let path = directory.path().join(threads.to_string());
        let mut options = ExportOptions::default();
        options.row_group_rows = 30_000;
        // Little enough that row groups end by it.
        options.row_group_bytes = 1 << 18;
        options.threads = NonZeroUsize::new(threads);
        let mut sink = FileSink::create(&path, &plan, &options, &[]).unwrap();
        for (record, seq) in records.iter().zip(0..) {
            sink.push(seq, 0, &body(record)).unwrap();
        }
        let report = sink.finish().unwrap();
        (fs::read(&path).unwrap(), report)
    };
    let one = file(1);
    let row_groups = SerializedFileReader::new(File::open(directory.path().join("1")).unwrap()).unwrap();
    assert!(row_groups.metadata().num_row_groups() > 2);
    for threads in [2, 3, 8] {
        assert_eq!(file(threads), one);
    }
}
