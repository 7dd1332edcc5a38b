//! `annals retain` and `annals hold`.

mod support;

use support::Place;

/// A log of three sealed segments of two records each, and one record that is not sealed.
fn place() -> Place {
    let place = Place::new();
    for segment in 0..3 {
        let lines: String =
            (0..2).map(|n| format!("{{\"n\":{},\"time\":\"2024-01-0{}\"}}\n", segment * 2 + n, segment + 1)).collect();
        assert_eq!(place.append(lines.as_bytes(), &[]).code, 0);
        assert_eq!(place.run("seal", &[]).code, 0);
    }
    assert_eq!(place.append(b"{\"n\":6,\"time\":\"2024-01-09\"}\n", &[]).code, 0);
    place
}

#[test]
fn what_is_too_much_goes_and_is_told_of() {
    let place = place();
    let root = place.run("verify", &[]).report()["root"].clone();
    let planned = place.run("retain", &["--max-records", "3", "--dry-run"]);
    assert_eq!((planned.code, planned.report()["removal"]["end_seq"].as_u64()), (0, Some(4)), "{planned:?}");
    assert_eq!(place.cat(&[]).len(), 7);

    let done = place.run("retain", &["--max-records", "3", "--reason", "the rules"]);
    let report = done.report();
    assert_eq!((done.code, &report["segments"], &report["first_seq"]), (0, &planned.report()["segments"], &4.into()));
    assert_eq!(report["removal"]["reason"], "beyond the newest 3 records, the rules");
    assert_eq!(report["removal"]["root"].as_str().map(str::len), Some(64));
    assert_eq!(place.cat(&["--meta"]).len(), 3);
    assert!(place.cat(&["--meta"])[0].contains("\"_seq\":4"));

    let get = place.run("get", &["1", "5"]);
    assert_eq!((get.code, get.lines().len()), (1, 1), "{get:?}");
    assert!(get.stderr.contains("removed by retention") && get.stderr.contains("the rules"), "{}", get.stderr);
    let verified = place.run("verify", &[]);
    assert_eq!((verified.code, &verified.report()["root"]), (0, &root), "{verified:?}");
    assert_eq!(verified.report()["removals"][0]["records"], 4);
    assert_eq!(place.run("info", &[]).report()["first_seq"], 4);
    let table = place.run("info", &["--output", "table"]);
    assert!(String::from_utf8_lossy(&table.stdout).contains("below seq 4 by retention"), "{table:?}");
    let inspected = place.run("inspect", &[]);
    assert_ne!(inspected.code, 0, "a log is no file");
}

#[test]
fn what_the_limit_grants_stays_though_all_is_in_one_segment() {
    let place = Place::new();
    let lines: String = (0..2_900).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    assert_eq!(place.append(lines.as_bytes(), &[]).code, 0);
    assert_eq!(place.run("seal", &[]).code, 0);
    for limit in [["--max-records", "100"], ["--max-bytes", "1"]] {
        let done = place.run("retain", &limit);
        assert_eq!((done.code, &done.report()["removal"]), (0, &serde_json::Value::Null), "{done:?}");
    }
    assert_eq!(place.cat(&[]).len(), 2_900);
    assert_eq!(place.run("retain", &["--max-records", "0"]).report()["removal"]["records"], 2_900);
}

#[test]
fn what_is_old_goes_and_the_rest_stays() {
    let place = place();
    // Everything but the last record is of January 2024; none is that old.
    assert_eq!(place.run("retain", &["--older-than", "300 years"]).report()["removal"], serde_json::Value::Null);
    let done = place.run("retain", &["--older-than", "1d", "--output", "table"]);
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.code == 0 && text.contains("6 records") && text.contains("not sealed yet"), "{text}");
    assert_eq!(place.cat(&[]).len(), 1);
}

#[test]
fn what_is_held_stays_until_it_is_released() {
    let place = place();
    let hold = |more: &[&str]| place.run("hold", more);
    let added = hold(&["add", "case 7", "--seq", "3..5", "--reason", "a court asked"]);
    assert_eq!((added.code, &added.report()[0]["first_seq"]), (0, &3.into()), "{added:?}");
    assert_eq!(hold(&["add", "case 7"]).code, 2, "there is one of that name");
    assert_eq!(hold(&["list"]).report()[0]["reason"], "a court asked");
    let done = place.run("retain", &["--max-bytes", "0"]).report();
    assert_eq!(
        (&done["first_seq"], &done["stopped"]["why"], &done["stopped"]["name"]),
        (&2.into(), &"hold".into(), &"case 7".into())
    );
    let released = hold(&["release", "case 7", "--reason", "ada: closed"]);
    assert_eq!((released.code, &released.report()[0]["release_reason"]), (0, &"ada: closed".into()), "{released:?}");
    assert_eq!(hold(&["release", "case 7"]).code, 2, "there is none any more");
    let listed = hold(&["list", "--output", "table"]);
    assert_eq!(listed.lines(), ["no holds"]);
    let listed = hold(&["list", "--released"]).report();
    assert_eq!((&listed[0], listed.as_array().map(Vec::len)), (&released.report()[0], Some(1)));
    assert_eq!((&listed[0]["name"], &listed[0]["reason"]), (&"case 7".into(), &"a court asked".into()));
    assert!(listed[0]["released"].as_i64() > listed[0]["since"].as_i64(), "{listed}");
    let table = String::from_utf8(hold(&["list", "--released", "--output", "table"]).stdout).unwrap();
    assert!(table.contains("a court asked") && table.contains("ada: closed"), "{table}");
    let info = String::from_utf8(place.run("info", &["--output", "table"]).stdout).unwrap();
    assert!(info.contains("1 hold, the last ") && info.contains(": case 7"), "{info}");
    assert_eq!(place.run("retain", &["--max-bytes", "0"]).report()["first_seq"], 6);
}

#[test]
fn a_limit_has_to_be_given_and_to_mean_something() {
    let place = place();
    assert_eq!(place.run("retain", &[]).code, 2);
    assert_eq!(place.run("retain", &["--older-than", "soon"]).code, 2);
    assert_eq!(place.run("retain", &["--max-bytes", "many"]).code, 2);
    assert_eq!(place.cat(&[]).len(), 7);
}

#[test]
fn what_is_left_is_exported() {
    let place = place();
    assert_eq!(place.run("retain", &["--max-records", "3"]).code, 0);
    let out = place.path("out.parquet").display().to_string();
    let exported = place.run("export", &[&out, "--report", "-"]);
    assert_eq!((exported.code, &exported.report()["rows"]), (0, &3.into()), "{exported:?}");
}
