//! Stores of streams, from a shell.

mod support;

use serde_json::{Value, json};
use support::{Place, Run, annals, run, run_with_input};

/// Twelve records of three services, two of them at every second.
fn events() -> String {
    let line = |n: usize| {
        let service = ["web", "db", "Api/v1"][n % 3];
        format!("{{\"time\":\"2024-05-01T00:00:{:02}Z\",\"service\":\"{service}\",\"n\":{n}}}\n", n / 2)
    };
    (0..12).map(line).collect()
}

fn store() -> Place {
    let place = Place::new();
    let appended = place.append(events().as_bytes(), &["--stream-by", "service"]);
    assert_eq!(appended.code, 0, "{}", appended.stderr);
    place
}

/// The stream, seq and number of each record that is printed.
fn found(run: &Run) -> Vec<(String, u64, u64)> {
    assert_eq!(run.code, 0, "{}", run.stderr);
    let record = |line: String| {
        let value: Value = serde_json::from_str(&line).unwrap();
        let text = value["_stream"].as_str().unwrap().to_owned();
        (text, value["_seq"].as_u64().unwrap(), value["record"]["n"].as_u64().unwrap())
    };
    run.lines().into_iter().map(record).collect()
}

#[test]
fn records_go_to_the_stream_that_a_field_names_and_come_back_merged_by_time() {
    let place = Place::new();
    let appended = place.append(events().as_bytes(), &["--stream-by", "service"]);
    assert_eq!(appended.code, 0, "{}", appended.stderr);
    let report = appended.report();
    assert_eq!((&report["records"], &report["first_seq"], &report["synced"]), (&json!(12), &json!(null), &json!(true)));
    assert_eq!(report["streams"]["Api/v1"], json!({"records": 4, "first_seq": 0, "end_seq": 4}));
    assert!(report["store_id"].is_string() && report.get("log_id").is_none());

    // By time; of one time, by the name of the stream.
    let expected: Vec<_> = (0..6)
        .flat_map(|second| {
            let mut both = [2 * second, 2 * second + 1];
            both.sort_by_key(|n| ["web", "db", "Api/v1"][*n as usize % 3]);
            both
        })
        .map(|n: u64| (["web", "db", "Api/v1"][n as usize % 3].to_owned(), n / 3, n))
        .collect();
    assert_eq!(found(&place.run("cat", &["--meta"])), expected);
    let reversed: Vec<_> = expected.iter().rev().cloned().collect();
    assert_eq!(found(&place.run("cat", &["--meta", "--reverse"])), reversed);
    assert_eq!(found(&place.run("cat", &["--meta", "--limit", "5"])), expected[..5]);
    let two: Vec<_> = expected.iter().filter(|(stream, ..)| stream != "db").cloned().collect();
    assert_eq!(found(&place.run("cat", &["--meta", "--stream", "web", "--stream", "Api/v1"])), two);
    let late: Vec<_> = expected.iter().filter(|(_, _, n)| *n >= 6).cloned().collect();
    assert_eq!(found(&place.run("query", &["n >= 6", "--meta"])), late);
    assert_eq!(found(&place.run("cat", &["--meta", "--since", "2024-05-01T00:00:03Z"])), late);
    // Without --meta, what went in comes out.
    let lines = place.cat(&["--stream", "db"]);
    assert_eq!(lines[0], r#"{"time":"2024-05-01T00:00:00Z","service":"db","n":1}"#);
    let explained = place.run("query", &["n = 3", "--explain", "--output", "json"]).report();
    assert_eq!((&explained["records_matched"], &explained["records_examined"]), (&json!(1), &json!(12)));
}

#[test]
fn records_without_a_time_are_merged_in_the_order_in_which_they_came() {
    let place = Place::new();
    let lines: Vec<String> = (0..500).map(|n| format!("{{\"to\":{},\"n\":{n}}}", (n * 7) % 5)).collect();
    let appended = place.append(lines.join("\n").as_bytes(), &["--stream-by", "to", "--batch", "100"]);
    assert_eq!((appended.code, &appended.report()["time_of_ingest"]), (0, &json!(500)));
    assert_eq!(place.cat(&[]), lines);
}

#[test]
fn streams_are_listed_and_are_logs() {
    let place = store();
    let listed = place.run("streams", &["--output", "json"]).report();
    let streams = listed["streams"].as_array().unwrap();
    let names: Vec<_> = streams.iter().map(|stream| stream["stream"].as_str().unwrap()).collect();
    assert_eq!(names, ["Api/v1", "db", "web"]);
    assert!(streams.iter().all(|stream| stream["records"] == 4 && stream["bytes"].as_u64().unwrap() > 0));
    assert_eq!(streams[1]["time_min"], json!(1_714_521_600_000_000u64));
    let directory = streams[0]["directory"].as_str().unwrap();
    assert!(directory.ends_with("log/%41pi%2fv1"), "{directory}");
    let lines = run(&mut annals(["cat", directory])).lines();
    assert_eq!((lines.len(), run(&mut annals(["verify", directory])).code), (4, 0));
    // And it can be appended to as one, while the store is not open.
    assert_eq!(run_with_input(&mut annals(["append", directory]), b"{\"n\":99}\n").code, 0);
    assert_eq!(place.cat(&["--stream", "Api/v1"]).len(), 5);
    let table = place.run("streams", &["--output", "table"]);
    assert!(String::from_utf8(table.stdout).unwrap().starts_with("3 streams\n"));
}

#[test]
fn one_stream_is_appended_to_by_name() {
    let place = store();
    let appended = place.append(b"{\"n\":1}\n{\"n\":2}\n", &["--stream", "audit"]);
    assert_eq!(appended.report()["streams"], json!({"audit": {"records": 2, "first_seq": 0, "end_seq": 2}}));
    let appended =
        place.append(b"{\"id\":\"x\"}\n{\"id\":\"x\"}\n{\"id\":7}\n", &["--stream", "audit", "--once-key", "id"]);
    assert_eq!((&appended.report()["records"], &appended.report()["known_keys"]), (&json!(2), &json!(1)));
    assert_eq!(place.cat(&["--stream", "audit"]).len(), 4);
    // A key is one of its stream.
    let lines = b"{\"service\":\"web\",\"id\":\"x\"}\n{\"service\":\"audit\",\"id\":\"x\"}\n";
    let appended = place.append(lines, &["--stream-by", "service", "--once-key", "id"]);
    assert_eq!((&appended.report()["records"], &appended.report()["known_keys"]), (&json!(1), &json!(1)));
}

#[test]
fn a_record_without_a_stream_is_a_bad_line() {
    let place = Place::new();
    let rejects = place.path("rejects").display().to_string();
    let lines = b"{\"to\":\"a\"}\n{\"n\":1}\n{\"to\":\"\"}\n{\"to\":\"\\u0000\"}\n{\"to\":[1]}\n{\"to\":\"../../b\"}\n{\"to\":42}\n";
    let stopped = place.append(lines, &["--stream-by", "to"]);
    assert_eq!((stopped.code, &stopped.report()["records"]), (4, &json!(1)));
    assert!(stopped.stderr.contains("line 2: no string and no integer in the field to"), "{}", stopped.stderr);
    let appended = place.append(lines, &["--stream-by", "to", "--rejects", &rejects]);
    assert_eq!((appended.code, &appended.report()["rejected_lines"]), (0, &json!(4)));
    let listed = place.run("streams", &["--output", "json"]).report();
    let names: Vec<_> = listed["streams"].as_array().unwrap().iter().map(|stream| stream["stream"].clone()).collect();
    assert_eq!(names, ["../../b", "42", "a"]);
    assert_eq!(std::fs::read_dir(place.dir.path()).unwrap().count(), 2, "the store and the rejects");
}

#[test]
fn logs_and_stores_are_told_apart() {
    let place = store();
    let refused = place.append(b"{}\n", &[]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("is a store of many streams") && refused.stderr.contains("--stream"),
        "{}",
        refused.stderr
    );
    for command in ["get", "tail", "hold", "index"] {
        let more: &[&str] = match command {
            "get" => &["0"],
            "hold" => &["list"],
            _ => &[],
        };
        let refused = place.run(command, more);
        assert_eq!(refused.code, 1, "{command}");
        assert!(refused.stderr.contains("is a store of many streams"), "{command}: {}", refused.stderr);
    }
    let missing = place.run("cat", &["--stream", "missing"]);
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.contains("has no stream missing"), "{}", missing.stderr);
    assert_eq!(place.run("cat", &["--stream", ""]).code, 2);

    let log = Place::new();
    assert_eq!(log.append(b"{\"n\":1}\n", &[]).code, 0);
    assert_eq!(log.append(b"{\"n\":1}\n", &["--stream", "web"]).code, 1);
    assert_eq!(log.run("cat", &["--stream", "web"]).code, 2);
    assert_eq!(log.run("streams", &[]).code, 1);
    assert_eq!(log.cat(&[]).len(), 1);
}

#[test]
fn every_stream_is_sealed_verified_told_of_and_retained_by_itself() {
    let place = store();
    let sealed = place.run("seal", &["--output", "json"]).report();
    assert!(
        sealed["streams"].as_array().unwrap().iter().all(|stream| stream["records"] == 4 && stream["segments"] == 1)
    );
    let verified = place.run("verify", &["--output", "json"]);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    assert!(verified.report()["streams"].as_array().unwrap().iter().all(|stream| stream["sound"] == true));
    let info = place.run("info", &["--stream", "db", "--output", "json"]).report();
    assert_eq!((info["streams"].as_array().unwrap().len(), &info["streams"][0]["end_seq"]), (1, &json!(4)));
    assert_eq!(place.run("info", &["--output", "table"]).code, 0);

    let planned =
        place.run("retain", &["--older-than", "1d", "--stream", "web", "--dry-run", "--output", "json"]).report();
    assert_eq!(planned["streams"][0]["removal"]["records"], 4);
    let removed = place.run("retain", &["--older-than", "1d", "--stream", "web", "--output", "json"]).report();
    assert_eq!((&removed["streams"][0]["stream"], &removed["streams"][0]["first_seq"]), (&json!("web"), &json!(4)));
    let left: Vec<_> = found(&place.run("cat", &["--meta"])).into_iter().map(|(stream, ..)| stream).collect();
    assert!(left.len() == 8 && !left.contains(&"web".to_owned()));
}

#[test]
fn damage_of_one_stream_is_found_and_leaves_the_others() {
    let place = store();
    assert_eq!(place.run("seal", &[]).code, 0);
    let segment = std::fs::read_dir(place.path("log/db")).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.into_iter().find(|path| path.extension().is_some_and(|end| end == "seg")).unwrap();
    std::fs::write(&segment, b"nothing of it is left").unwrap();

    let read = place.run("cat", &[]);
    assert_eq!((read.code, read.lines().len()), (3, 8));
    assert!(read.stderr.contains(&segment.display().to_string()), "{}", read.stderr);
    let verified = place.run("verify", &["--output", "json"]);
    assert_eq!(verified.code, 3);
    assert!(verified.stderr.contains("1 stream of") && verified.stderr.contains("db"), "{}", verified.stderr);
    let verdicts = verified.report()["streams"].clone();
    let sound: Vec<_> = verdicts.as_array().unwrap().iter().map(|stream| stream["sound"] == true).collect();
    assert_eq!(sound, [true, false, true]);
    assert_eq!(place.run("verify", &["--stream", "web"]).code, 0);
    assert_eq!(place.run("info", &[]).code, 3);
}

#[test]
fn statistics_are_those_of_all_streams_or_of_some() {
    let place = store();
    let one = Place::new();
    assert_eq!(one.append(events().as_bytes(), &[]).code, 0);
    for more in [&["--by", "service", "--of", "n"][..], &["--every", "2s"], &["--where", "n > 4", "--format", "csv"]] {
        let (found, expected) = (place.run("stats", more), one.run("stats", more));
        assert_eq!((found.code, found.lines()), (0, expected.lines()), "{more:?}: {}", found.stderr);
    }
    let some = place.run("stats", &["--stream", "db", "--stream", "web"]).report();
    assert_eq!(some["records"], 8);
    let refused = one.run("stats", &["--stream", "db"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);

    assert_eq!(place.run("seal", &[]).code, 0);
    let segment = std::fs::read_dir(place.path("log/db")).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.into_iter().find(|path| path.extension().is_some_and(|end| end == "seg")).unwrap();
    std::fs::write(&segment, b"nothing of it is left").unwrap();
    let found = place.run("stats", &[]);
    assert_eq!((found.code, &found.report()["records"]), (3, &json!(8)));
    assert!(found.stderr.contains("stream db: "), "{}", found.stderr);
}

#[test]
fn a_record_that_would_need_one_stream_too_many_is_a_bad_line() {
    let place = store();
    let rejects = place.path("rejects");
    let lines = b"{\"service\":\"web\",\"n\":12}\n{\"service\":\"new\",\"n\":13}\n{\"service\":\"db\",\"n\":14}\n";
    let stopped = place.append(lines, &["--stream-by", "service", "--streams-max", "3"]);
    assert_eq!((stopped.code, &stopped.report()["records"]), (4, &json!(1)), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("line 2: ") && stopped.stderr.contains("--streams-max"), "{}", stopped.stderr);
    let more = ["--stream-by", "service", "--streams-max", "3", "--rejects", rejects.to_str().unwrap()];
    let appended = place.append(lines, &more);
    assert_eq!((appended.code, &appended.report()["records"]), (0, &json!(2)), "{}", appended.stderr);
    assert_eq!(std::fs::read(&rejects).unwrap(), b"{\"service\":\"new\",\"n\":13}\n");
    let streams = place.run("streams", &["--output", "json"]).report();
    assert_eq!(streams["streams"].as_array().unwrap().len(), 3);
    let refused = place.append(b"{}\n", &["--stream", "new", "--streams-max", "3"]);
    assert!(refused.code == 1 && refused.stderr.contains("as many streams as it may have, 3"), "{}", refused.stderr);
    assert_eq!(place.append(b"{}\n", &["--stream", "new"]).code, 0);
    assert_eq!(Place::new().append(b"{}\n", &["--streams-max", "3"]).code, 2);
    assert_eq!(place.append(b"{}\n", &["--stream", "new", "--streams-max", "0"]).code, 2);
}

#[test]
fn the_identity_of_a_store_is_repaired() {
    for bytes in [None, Some(&b"nothing of it is left"[..])] {
        let place = store();
        let path = place.path("log/store.id");
        match bytes {
            Some(bytes) => std::fs::write(&path, bytes).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let verified = place.run("verify", &["--output", "json"]);
        assert_eq!((verified.code, &verified.report()["store_id"]), (3, &json!(null)), "{}", verified.stderr);
        assert!(verified.stderr.contains("store.id"), "{}", verified.stderr);
        assert_eq!(place.run("cat", &[]).lines().len(), 12, "its streams are read as before");
        assert_eq!(place.append(b"{}\n", &["--stream", "web"]).code, 3);

        let planned = place.run("repair", &["--dry-run", "--output", "json"]);
        assert_eq!((planned.code, &planned.report()["needless"]), (3, &json!(false)));
        assert_eq!(place.run("verify", &[]).code, 3, "nothing was changed");
        let done = place.run("repair", &["--apply", "--output", "json"]);
        assert_eq!((done.code, &done.report()["sound"]), (0, &json!(true)), "{}", done.stderr);
        let report = done.report();
        assert!(report["streams"].as_array().unwrap().iter().all(|stream| stream["needless"] == true));
        let verified = place.run("verify", &["--output", "json"]);
        assert_eq!((verified.code, &verified.report()["store_id"]), (0, &report["store_id"]), "{}", verified.stderr);
        if let Some(bytes) = bytes {
            let kept = report["replaced"][0]["kept"][0].as_str().unwrap();
            assert_eq!(std::fs::read(place.path("log").join(kept)).unwrap(), bytes);
        }
        assert_eq!(place.append(b"{}\n", &["--stream", "web"]).code, 0);
        let streams = place.run("streams", &["--output", "json"]).report();
        assert_eq!(streams["streams"].as_array().unwrap().len(), 3);
        let again = place.run("repair", &["--dry-run", "--output", "table"]);
        assert_eq!(again.code, 0, "{}", again.stderr);
        assert!(String::from_utf8(again.stdout).unwrap().contains("nothing to repair"));
    }
}

#[test]
fn a_repair_of_a_store_repairs_the_streams_that_need_it() {
    let place = store();
    assert_eq!(place.run("seal", &[]).code, 0);
    let segment = std::fs::read_dir(place.path("log/db")).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.into_iter().find(|path| path.extension().is_some_and(|end| end == "seg")).unwrap();
    std::fs::write(&segment, b"nothing of it is left").unwrap();
    assert_eq!(place.run("repair", &["--dry-run", "--stream", "web"]).code, 0);
    let planned = place.run("repair", &["--dry-run", "--output", "json"]);
    assert_eq!((planned.code, &planned.report()["streams"][1]["sound"]), (3, &json!(false)));
    let done = place.run("repair", &["--apply", "--output", "json"]);
    let needless = |stream: &Value| (stream["stream"].clone(), stream["needless"].clone());
    let told: Vec<_> = done.report()["streams"].as_array().unwrap().iter().map(needless).collect();
    assert_eq!((done.code, told[1].clone()), (0, (json!("db"), json!(false))), "{}", done.stderr);
    assert_eq!((&told[0].1, &told[2].1), (&json!(true), &json!(true)));
    assert_eq!((place.run("verify", &[]).code, place.cat(&[]).len()), (0, 8));
}
