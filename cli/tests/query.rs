//! `query`, and `--where` of `cat`, `tail` and `export`.

mod support;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;
use support::{Place, Run, annals};

/// A log of 60 records: every third failed, every second has a user.
fn log() -> Place {
    let place = Place::new();
    let line = |n: u64| {
        let status = if n.is_multiple_of(3) { "failed" } else { "ok" };
        let user =
            if n.is_multiple_of(2) { format!(r#","user":{{"name":"u{}","id":{n}}}"#, n % 4) } else { String::new() };
        format!("{{\"n\":{n},\"ts\":{},\"status\":\"{status}\"{user}}}\n", 1_704_067_200 + n)
    };
    assert_eq!(place.append((0..60).map(line).collect::<String>().as_bytes(), &[]).code, 0);
    place
}

fn numbers(run: &Run) -> Vec<u64> {
    assert_eq!(run.code, 0, "{}", run.stderr);
    run.lines().iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["n"].as_u64().unwrap()).collect()
}

#[test]
fn records_for_which_a_condition_holds() {
    let place = log();
    let query = |arguments: &[&str]| numbers(&place.run("query", arguments));
    let failed: Vec<u64> = (0..60).step_by(3).collect();
    assert_eq!(query(&[r#"status = "failed""#]), failed);
    assert_eq!(place.run("seal", &[]).code, 0);
    assert_eq!(query(&[r#"status = "failed""#]), failed);
    assert_eq!(query(&[]).len(), 60);
    assert_eq!(query(&[r#"user.name = "u2" and n < 10"#]), [2, 6]);
    assert_eq!(query(&["not exists(user) and n >= 55"]), [55, 57, 59]);
    assert_eq!(query(&["n in (7, 5.0, 99)", "--reverse"]), [7, 5]);
    assert_eq!(query(&["exists(user)", "--seq", "10..20", "--limit", "2"]), [10, 12]);
    assert_eq!(query(&["exists(user)", "--until", "2024-01-01T00:00:04Z"]), [0, 2]);
}

#[test]
fn fields_and_envelopes() {
    let place = log();
    let run = place.run("query", &["n = 4", "--field", "user.name", "--field", "status", "--meta"]);
    let expected = r#"{"_seq":4,"_time":"2024-01-01T00:00:04.000000Z","record":{"status":"ok","user":{"name":"u0"}}}"#;
    assert_eq!(run.lines(), [expected]);
}

#[test]
fn explain_tells_what_it_took() {
    let place = log();
    assert_eq!(place.run("seal", &[]).code, 0);
    let run = place.run("query", &["n = 4", "--explain"]);
    let report = run.report();
    assert_eq!(report["condition"], "n = 4");
    assert_eq!((&report["segments"], &report["records_matched"], &report["damage"]), (&1.into(), &1.into(), &0.into()));
    let table = place.run("query", &["n = 4", "--explain", "--output", "table"]).lines().join("\n");
    assert!(table.contains("records examined"), "{table}");
}

#[test]
fn indexed_fields_are_found_without_the_rest() {
    let place = Place::new();
    let lines: String = (0..500).map(|n| format!("{{\"n\":{n},\"id\":\"id-{n}\"}}\n")).collect();
    assert_eq!(place.append(lines.as_bytes(), &["--index", "id"]).code, 0);
    // The log remembers what it is to be indexed by.
    assert_eq!(place.run("info", &[]).report()["indexed_fields"], serde_json::json!(["id"]));
    assert_eq!(place.run("seal", &[]).code, 0);
    let examined = |condition: &str| place.run("query", &[condition, "--explain"]).report()["records_examined"].clone();
    assert_eq!((examined("id = \"id-77\""), examined("n = 77")), (1.into(), 500.into()));
    let indexed = place.run("index", &["n", "id"]).report();
    assert_eq!((&indexed["fields"], &indexed["segments"]), (&serde_json::json!(["id", "n"]), &1.into()));
    assert_eq!(examined("n = 77"), 1);
    assert_eq!(place.run("index", &[]).report()["segments"], 0);
    let info = String::from_utf8(place.run("info", &["--output", "table"]).stdout).unwrap();
    assert!(info.contains("id, n"), "{info}");
    let inspected = std::fs::read_dir(place.path("log")).unwrap().map(|entry| entry.unwrap().path());
    let index = inspected.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "fld")).unwrap();
    let shown = support::run(&mut annals(["inspect", index.to_str().unwrap(), "--output", "ndjson"]));
    assert!(shown.lines()[0].contains("field index"), "{shown:?}");
}

#[test]
fn fields_are_indexed_until_they_are_dropped() {
    let place = log();
    assert_eq!(place.run("index", &["n", "status", "user.name"]).code, 0);
    let dropped = place.run("index", &["ts", "--drop", "n", "--drop", "status"]).report();
    assert_eq!(dropped["fields"], serde_json::json!(["user.name", "ts"]));
    let unknown = place.run("index", &["--drop", "n"]);
    assert!(unknown.code == 2 && unknown.stderr.contains("n is not indexed"), "{unknown:?}");
    assert_eq!(place.run("seal", &[]).code, 0);
    let examined = |condition: &str| place.run("query", &[condition, "--explain"]).report()["records_examined"].clone();
    assert_eq!((examined("user.name = \"u2\""), examined("n = 7")), (15.into(), 60.into()));
    assert_eq!(place.run("index", &["--drop", "user.name", "--drop", "ts"]).report()["fields"], serde_json::json!([]));
    assert_eq!(place.append(b"{\"ts\":1704067300}\n", &[]).code, 0);
    assert_eq!(place.run("info", &[]).report()["indexed_fields"], serde_json::json!([]));
}

#[test]
fn a_condition_that_cannot_be_read_is_a_usage_error_that_points_at_it() {
    let place = log();
    for command in ["query", "cat", "tail", "export"] {
        let arguments: &[&str] = if command == "query" { &["n = = 4"] } else { &["--where", "n = = 4"] };
        let run = place.run(command, arguments);
        assert_eq!(run.code, 2, "{command}");
        assert!(run.stderr.contains("column 5: expected a value"), "{command}: {}", run.stderr);
    }
}

#[test]
fn cat_and_tail_take_conditions() {
    let place = log();
    let failed = r#"status = "failed""#;
    assert_eq!(numbers(&place.run("cat", &["--where", failed, "--seq", "50.."])), [51, 54, 57]);
    assert_eq!(numbers(&place.run("cat", &["--where", failed, "--where", "exists(user)", "--limit", "2"])), [0, 6]);
    assert_eq!(numbers(&place.run("tail", &["--where", failed, "-n", "2"])), [54, 57]);
    assert_eq!(numbers(&place.run("tail", &["--where", "n = 999"])), [0; 0]);
}

#[test]
fn tail_follows_records_for_which_a_condition_holds() {
    let place = log();
    let mut tail = annals(["tail", &place.log, "-f", "-n", "1", "--where", "n > 57"]);
    let mut child = tail.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("\"n\":59"));
    assert_eq!(place.append(b"{\"n\":1}\n{\"n\":58.5}\n{\"n\":\"99\"}\n{\"n\":100}\n", &[]).code, 0);
    assert_eq!([lines.next().unwrap().unwrap(), lines.next().unwrap().unwrap()], [r#"{"n":58.5}"#, r#"{"n":100}"#]);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn an_export_has_the_rows_for_which_a_condition_holds() {
    let place = log();
    let out = place.path("out.parquet");
    let run = place.run("export", &[out.to_str().unwrap(), "--where", "not exists(user)", "--report", "-"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let report = run.report();
    assert_eq!(report["rows"], 30);
    assert!(!run.lines().concat().contains("\"user\""), "no column for what no row has");
}
