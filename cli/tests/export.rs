//! `annals export` and `annals demo`: what they write, report and refuse. What is in the Parquet is tested where it is made.

mod support;

use serde_json::json;
use support::{Place, annals, run, samples};

fn utf8(path: &std::path::Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn log_of_samples() -> Place {
    let place = Place::new();
    for (path, _) in samples() {
        assert_eq!(place.append(b"", &[utf8(&path)]).code, 0);
    }
    place
}

#[test]
fn one_file_or_a_dataset_with_a_report() {
    let place = log_of_samples();
    let file = place.path("all.parquet");
    let exported = place.run("export", &[utf8(&file), "--report", "-"]);
    assert_eq!(exported.code, 0, "{}", exported.stderr);
    assert!(exported.stderr.contains("exported 1,113 records"), "{}", exported.stderr);
    let report = exported.report();
    assert_eq!((&report["rows"], &report["damage"]), (&json!(1113), &json!([])));
    let bytes = std::fs::read(&file).expect("read");
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    assert_eq!(report["bytes"], json!(bytes.len()));

    let dataset = place.path("dataset");
    let report_file = place.path("report.json");
    let more = [utf8(&dataset), "--rows-per-file", "500", "--with-json", "--report", utf8(&report_file)];
    let exported = place.run("export", &more);
    assert_eq!((exported.code, exported.stdout.len()), (0, 0), "{}", exported.stderr);
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&report_file).expect("read")).expect("JSON");
    let rows: Vec<_> = report["files"].as_array().expect("files").iter().map(|file| file["rows"].clone()).collect();
    assert_eq!(rows, [json!(500), json!(500), json!(113)]);
}

#[test]
fn ranges_and_types_are_passed_on() {
    let place = log_of_samples();
    let out = place.path("some.parquet");
    let schema = place.file("schema.json", br#"{"eventTime":"timestamp"}"#);
    let more = [utf8(&out), "--seq", "10..20", "--schema", &schema, "--column", "awsRegion=json", "--report", "-"];
    let report = place.run("export", &more).report();
    assert_eq!(report["rows"], json!(10));
    let type_of = |path: &str| {
        let columns = report["columns"].as_array().expect("columns");
        columns.iter().find(|column| column["path"] == path).expect("the column")["type"].clone()
    };
    assert!(type_of("/eventTime").as_str().is_some_and(|name| name.starts_with("timestamp")));
    assert_eq!(type_of("/awsRegion"), json!("json"));
}

#[test]
fn what_is_there_is_replaced_only_by_force() {
    let place = log_of_samples();
    let file = place.path("all.parquet");
    std::fs::write(&file, b"mine").expect("written");
    let refused = place.run("export", &[utf8(&file)]);
    assert!(refused.code == 1 && refused.stderr.contains("--force"), "{}", refused.stderr);
    assert_eq!(std::fs::read(&file).expect("read"), b"mine");
    assert_eq!(place.run("export", &[utf8(&file), "--force"]).code, 0);
    assert!(std::fs::read(&file).expect("read").starts_with(b"PAR1"));
}

#[test]
fn wrong_options_are_usage_errors_and_a_bad_schema_is_bad_input() {
    let place = log_of_samples();
    let out = place.path("out.parquet");
    let code = |more: &[&str]| place.run("export", &[&[utf8(&out)], more].concat()).code;
    assert_eq!(code(&["--rows-per-file", "10"]), 2);
    assert_eq!(code(&["--column", "awsRegion"]), 2);
    assert_eq!(code(&["--column", "awsRegion=date"]), 2);
    assert_eq!(code(&["--column", "no.such.column=int"]), 2);
    assert_eq!(code(&["--schema", &place.file("bad.json", b"[1]")]), 4);
    assert_eq!(code(&["--schema", &place.file("worse.json", br#"{"awsRegion":"date"}"#)]), 4);
    assert_eq!(code(&["--schema", "/does/not/exist"]), 1);
    assert!(!out.exists());
}

#[test]
fn a_damaged_log_is_exported_only_when_asked_to() {
    let place = log_of_samples();
    assert_eq!(place.run("seal", &[]).code, 0);
    let segment = std::fs::read_dir(&place.log)
        .expect("listed")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .expect("a sealed segment");
    let mut bytes = std::fs::read(&segment).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).expect("written");

    let out = place.path("out.parquet");
    let refused = place.run("export", &[utf8(&out)]);
    assert!(refused.code == 3 && refused.stderr.contains("--skip-damaged"), "{}", refused.stderr);
    assert!(!out.exists());
    let exported = place.run("export", &[utf8(&out), "--skip-damaged", "--report", "-"]);
    assert_eq!(exported.code, 3, "{}", exported.stderr);
    let report = exported.report();
    assert_eq!(report["damage"].as_array().map(Vec::len), Some(1));
    let rows = report["rows"].as_u64().expect("a count");
    assert!((1000..1113).contains(&rows), "{rows}");
}

#[test]
fn an_empty_log_and_an_empty_range_export_no_rows() {
    let place = Place::new();
    assert_eq!(place.append(b"", &[]).code, 0);
    for name in ["empty.parquet", "empty"] {
        let report = place.run("export", &[utf8(&place.path(name)), "--report", "-"]).report();
        assert_eq!(report["rows"], json!(0));
    }
}

#[test]
fn the_demo_runs_and_says_where_things_are() {
    let place = Place::new();
    let dir = place.path("demo");
    let demo = run(&mut annals(["demo", utf8(&dir)]));
    assert_eq!(demo.code, 0, "{}", demo.stderr);
    let text = String::from_utf8(demo.stdout).expect("UTF-8");
    for step in
        ["1. Append   1,113 records", "2. Seal", "3. Look up", "4. Verify   1,113 records", "5. Parquet  1,113 rows"]
    {
        assert!(text.contains(step), "{step} in {text}");
    }
    let (log, parquet) = (dir.join("log"), dir.join("events.parquet"));
    assert!(text.contains(utf8(&log)) && text.contains(utf8(&parquet)), "{text}");
    assert!(parquet.exists());
    assert_eq!(run(&mut annals(["verify", utf8(&log)])).code, 0);
    let again = run(&mut annals(["demo", utf8(&dir)]));
    assert!(again.code == 1 && again.stderr.contains("exists already"), "{}", again.stderr);
}
