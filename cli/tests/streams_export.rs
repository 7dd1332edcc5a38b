//! `annals export` of a store of streams: the rows of the Parquet are the records that `annals cat` prints.

mod support;

use arrow::array::{AsArray, StringArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use support::{Place, samples};

/// The name of the stream, the seq in it, the time in µs, and the record's exact JSON.
type Row = (String, i64, i64, String);

fn utf8(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Records whose field `n` has another type in each stream, and one that is called as the column is.
fn events() -> String {
    let line = |n: usize| {
        let (service, value) = match n % 3 {
            0 => ("web", format!("{n}")),
            1 => ("db", format!("{n}.5")),
            _ => ("Api/v1", format!("{}", n * 2)),
        };
        let own = if n.is_multiple_of(7) { format!(r#","_stream":"mine {n}""#) } else { String::new() };
        format!("{{\"time\":\"2024-05-01T00:00:{:02}Z\",\"service\":\"{service}\",\"n\":{value}{own}}}\n", 59 - n / 2)
    };
    (0..60).map(line).collect()
}

fn store() -> Place {
    let place = Place::new();
    let appended = place.append(events().as_bytes(), &["--stream-by", "service"]);
    assert_eq!(appended.code, 0, "{}", appended.stderr);
    place
}

/// What `annals cat --meta` says, with these arguments, stream by stream.
fn expected(place: &Place, more: &[&str]) -> Vec<Row> {
    let run = place.run("cat", &[&["--meta"], more].concat());
    let row = |line: String| {
        let value: Value = serde_json::from_str(&line).unwrap();
        let time = value["_time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_microsecond();
        let (_, body) = line.split_once(r#","record":"#).unwrap();
        let stream = value["_stream"].as_str().unwrap().to_owned();
        (stream, value["_seq"].as_i64().unwrap(), time, body[..body.len() - 1].to_owned())
    };
    let mut rows: Vec<Row> = run.lines().into_iter().map(row).collect();
    rows.sort();
    rows
}

/// The rows of one file of an export with `--with-json`.
fn rows_of(path: &Path) -> Vec<Row> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        let streams = batch.column(0).as_dictionary::<Int32Type>().downcast_dict::<StringArray>().unwrap();
        let seqs = batch.column(1).as_primitive::<Int64Type>();
        let times = batch.column(2).as_primitive::<TimestampMicrosecondType>();
        let texts = batch.column_by_name("_json").unwrap().as_string::<i32>();
        for (row, stream) in streams.into_iter().enumerate() {
            rows.push((stream.unwrap().to_owned(), seqs.value(row), times.value(row), texts.value(row).to_owned()));
        }
    }
    rows
}

/// The rows of all files that a report names, and the report.
fn exported(place: &Place, out: &Path, more: &[&str], code: i32) -> (Vec<Row>, Value) {
    let arguments = [&[utf8(out), "--with-json", "--report", "-"], more].concat();
    let run = place.run("export", &arguments);
    assert_eq!(run.code, code, "{}", run.stderr);
    let report = run.report();
    let files: Vec<PathBuf> = match report["files"].as_array() {
        Some(files) => files.iter().map(|file| out.join(file["file"].as_str().unwrap())).collect(),
        None => vec![out.to_owned()],
    };
    (files.iter().flat_map(|file| rows_of(file)).collect(), report)
}

#[test]
fn all_streams_are_one_table_stream_by_stream() {
    let place = store();
    let expected = expected(&place, &[]);
    assert_eq!(expected.len(), 60);
    for sealed in [false, true] {
        if sealed {
            assert_eq!(place.run("seal", &[]).code, 0);
        }
        let file = place.path(&format!("all-{sealed}.parquet"));
        let (rows, report) = exported(&place, &file, &[], 0);
        assert_eq!(rows, expected);
        let dataset = place.path(&format!("all-{sealed}"));
        let (rows, in_parts) = exported(&place, &dataset, &["--rows-per-file", "7"], 0);
        assert_eq!((rows, in_parts["files"].as_array().unwrap().len()), (expected.clone(), 9));
        let streams = json!([
            {"stream": "Api/v1", "rows": 20, "seq_first": 0, "seq_last": 19},
            {"stream": "db", "rows": 20, "seq_first": 0, "seq_last": 19},
            {"stream": "web", "rows": 20, "seq_first": 0, "seq_last": 19},
        ]);
        assert_eq!((&report["streams"], &in_parts["streams"]), (&streams, &streams));
        let manifest: Value = serde_json::from_slice(&fs::read(dataset.join("_manifest.json")).unwrap()).unwrap();
        assert_eq!((&manifest["streams"], &manifest["rows"]), (&streams, &json!(60)));
        assert!(manifest["store_id"].is_string() && manifest["log_id"].is_null());
        // Integers in two streams and floats in the third: the type is that of all.
        let column = |name: &str| {
            let found = report["columns"].as_array().unwrap().iter().find(|column| column["name"] == name);
            found.unwrap_or_else(|| panic!("{name}")).clone()
        };
        assert_eq!(column("n")["type"], "float64");
        assert_eq!((&column("_stream_2")["path"], &column("_stream_2")["values"]), (&json!("/_stream"), &json!(9)));
    }
}

#[test]
fn the_file_says_of_each_stream_where_it_is_from() {
    let place = store();
    assert_eq!(place.run("seal", &[]).code, 0);
    let file = place.path("all.parquet");
    assert_eq!(place.run("export", &[utf8(&file)]).code, 0);
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&file).unwrap()).unwrap();
    assert!(matches!(builder.schema().field(0).data_type(), DataType::Dictionary(..)));
    let pairs = builder.metadata().file_metadata().key_value_metadata().unwrap().clone();
    let told = |key: &str| -> Value {
        let pair = pairs.iter().find(|pair| pair.key == key).unwrap_or_else(|| panic!("{key}"));
        serde_json::from_str(pair.value.as_deref().unwrap()).unwrap()
    };
    let verified = place.run("verify", &["--output", "json"]).report();
    for stream in verified["streams"].as_array().unwrap() {
        let name = stream["stream"].as_str().unwrap();
        assert_eq!(told("annals.log_ids")[name], stream["log_id"]);
        assert_eq!(told("annals.merkle_roots")[name], json!({"end_seq": 20, "root": stream["root"]}));
    }
    assert_eq!(told("annals.gaps"), json!({}));
    assert_eq!(told("annals.streams").as_array().unwrap().len(), 3);
    assert!(pairs.iter().any(|pair| pair.key == "annals.store_id"));
}

#[test]
fn streams_ranges_and_conditions_choose_rows() {
    let place = store();
    for (number, more) in [
        &["--stream", "web", "--stream", "Api/v1"][..],
        &["--seq", "5..9"],
        &["--since", "2024-05-01T00:00:40Z", "--stream", "db"],
        &["--where", "n > 30"],
        &["--where", "n > 1000"],
    ]
    .into_iter()
    .enumerate()
    {
        let (rows, _) = exported(&place, &place.path(&format!("{number}.parquet")), more, 0);
        assert_eq!(rows, expected(&place, more), "{more:?}");
        assert_eq!(rows.is_empty(), number == 4);
    }
    let missing = place.run("export", &[utf8(&place.path("x.parquet")), "--stream", "missing"]);
    assert!(missing.code == 1 && missing.stderr.contains("has no stream missing"), "{}", missing.stderr);
}

#[test]
fn real_records_with_other_keys_in_every_stream() {
    let place = Place::new();
    for (path, _) in samples() {
        let stream = path.file_stem().unwrap().to_str().unwrap();
        assert_eq!(place.append(b"", &[utf8(&path), "--stream", stream]).code, 0);
    }
    let (rows, report) = exported(&place, &place.path("all"), &["--rows-per-file", "300"], 0);
    assert_eq!((rows.len(), report["streams"].as_array().unwrap().len()), (1113, 3));
    assert!(rows == expected(&place, &[]));
}

#[test]
fn damage_and_gaps_are_told_by_stream() {
    let place = store();
    assert_eq!(place.run("seal", &[]).code, 0);
    let segment = fs::read_dir(place.path("log/db")).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.into_iter().find(|path| path.extension().is_some_and(|end| end == "seg")).unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[300] ^= 1;
    fs::write(&segment, bytes).unwrap();

    let out = place.path("out.parquet");
    let refused = place.run("export", &[utf8(&out)]);
    assert!(refused.code == 3 && refused.stderr.contains("--skip-damaged"), "{}", refused.stderr);
    assert!(!out.exists());
    let readable = expected(&place, &[]);
    assert!(readable.len() < 60);
    let (rows, report) = exported(&place, &out, &["--skip-damaged"], 3);
    assert_eq!(rows, readable);
    assert_eq!(report["damage"][0]["stream"], "db");
    // The others can be exported without a word.
    let (rows, report) = exported(&place, &place.path("web.parquet"), &["--stream", "web"], 0);
    assert_eq!((rows.len(), &report["damage"]), (20, &json!([])));

    let repaired = place.run("repair", &["--apply", "--output", "json"]);
    assert_eq!(repaired.code, 0, "{}", repaired.stderr);
    let (rows, report) = exported(&place, &place.path("repaired.parquet"), &[], 0);
    assert_eq!(rows, readable);
    assert_eq!((&report["gaps"][0]["stream"], report["gaps"].as_array().unwrap().len()), (&json!("db"), 1));

    // A segment of which nothing is left costs its own records and no others.
    let more = b"{\"n\":1,\"service\":\"Api/v1\"}\n";
    assert_eq!(place.append(more, &["--stream-by", "service"]).code, 0);
    let segment = fs::read_dir(place.path("log/%41pi%2fv1")).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.into_iter().find(|path| path.extension().is_some_and(|end| end == "seg")).unwrap();
    fs::write(&segment, b"nothing of it is left").unwrap();
    let readable = expected(&place, &[]);
    let (rows, report) = exported(&place, &place.path("lost.parquet"), &["--skip-damaged"], 3);
    assert_eq!((&rows, rows.iter().filter(|(stream, ..)| stream == "Api/v1").count()), (&readable, 1));
    assert_eq!(report["damage"][0]["stream"], "Api/v1");

    // And of one stream nothing is left that could be opened.
    for entry in fs::read_dir(place.path("log/web")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::write(path, b"gone").unwrap();
        }
    }
    let out = place.path("again");
    assert_eq!(place.run("export", &[utf8(&out)]).code, 3);
    assert!(!out.exists());
    let (rows, report) = exported(&place, &out, &["--skip-damaged"], 3);
    let left: Vec<Row> = readable.into_iter().filter(|(stream, ..)| stream != "web").collect();
    assert_eq!(rows, left);
    assert!(report["damage"].as_array().unwrap().iter().any(|place| place["stream"] == "web"));
}

#[test]
fn a_store_without_records_exports_no_rows() {
    let place = Place::new();
    assert_eq!(place.append(b"", &["--stream", "web"]).code, 0);
    for name in ["empty.parquet", "empty"] {
        let run = place.run("export", &[utf8(&place.path(name)), "--report", "-"]);
        assert_eq!((run.code, &run.report()["rows"]), (0, &json!(0)), "{}", run.stderr);
    }
}
