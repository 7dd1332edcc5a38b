//! Repairing a log by the program: what it says, what it changes, and what every command says of gaps afterwards.

mod support;

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};
use support::Place;

/// A log with a sealed segment, of which a block is damaged, and its lines.
fn damaged() -> (Place, Vec<String>, String) {
    let place = Place::new();
    let lines: Vec<_> =
        (0..3000u64).map(|n| format!("{{\"n\":{n},\"x\":\"{:x}\"}}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect();
    assert_eq!(place.append(lines.join("\n").as_bytes(), &["--batch", "100"]).code, 0);
    assert_eq!(place.run("seal", &[]).code, 0);
    let name = files(&place).into_keys().find(|name| name.ends_with(".seg")).expect("a sealed segment");
    let path = place.path("log").join(&name);
    let mut bytes = fs::read(&path).expect("read");
    let at = bytes.len() / 2;
    bytes[at] ^= 0x10;
    fs::write(&path, bytes).expect("written");
    (place, lines, name)
}

/// All files of the log.
fn files(place: &Place) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(&place.log).expect("listed").map(|entry| entry.expect("an entry"));
    let files = entries.filter(|entry| entry.file_type().expect("its type").is_file());
    files
        .map(|entry| (entry.file_name().into_string().expect("UTF-8"), fs::read(entry.path()).expect("read")))
        .collect()
}

#[test]
fn a_dry_run_says_what_would_be_done_and_changes_nothing() {
    let (place, _, name) = damaged();
    let before = files(&place);
    let planned = place.run("repair", &["--dry-run"]);
    assert_eq!(planned.code, 3, "{}", planned.stderr);
    assert!(planned.stderr.contains("repair --apply"), "{}", planned.stderr);
    let report = planned.report();
    assert_eq!(
        (&report["sound"], &report["needless"], &report["applied"]),
        (&json!(false), &json!(false), &json!(false))
    );
    assert_eq!(report["replaced"][0]["files"], json!([name]));
    assert!(report["gaps"][0]["first_seq"].as_u64() < report["gaps"][0]["end_seq"].as_u64());
    assert_eq!(files(&place), before);
    let table = place.run("repair", &["--dry-run", "--output", "table"]);
    assert!(String::from_utf8_lossy(&table.stdout).contains("files to replace"), "{table:?}");
}

#[test]
fn it_has_to_be_said_whether_to_apply_a_repair() {
    let (place, _, _) = damaged();
    for more in [&[][..], &["--dry-run", "--apply"], &["--restore"]] {
        assert_eq!(place.run("repair", more).code, 2, "{more:?}");
    }
    let nothing = Place::new();
    assert_eq!(nothing.run("repair", &["--apply"]).code, 1, "there is no log");
    assert!(!nothing.path("log").exists());
}

#[test]
fn after_a_repair_every_command_tells_the_gap_and_goes_on() {
    let (place, lines, name) = damaged();
    let damaged_bytes = files(&place).remove(&name).expect("the segment");
    let repaired = place.run("repair", &["--apply"]);
    assert_eq!(repaired.code, 0, "{}", repaired.stderr);
    let report = repaired.report();
    assert_eq!((&report["sound"], &report["remaining"]), (&json!(true), &json!([])));
    let (first, end) =
        (report["gaps"][0]["first_seq"].as_u64().unwrap(), report["gaps"][0]["end_seq"].as_u64().unwrap());
    let kept = report["replaced"][0]["kept"][0].as_str().expect("a name").to_owned();
    assert_eq!(fs::read(place.path("log").join(&kept)).expect("kept"), damaged_bytes);

    let verified = place.run("verify", &[]);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    assert_eq!(verified.report()["gaps"][0]["kept"], json!([kept]));
    let table = place.run("verify", &["--output", "table"]);
    let text = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(text.contains("unproven") && text.contains(&kept), "{text}");

    let printed = place.run("cat", &[]);
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    assert!(printed.stderr.contains(&format!("records {first} to {} are missing", end - 1)), "{}", printed.stderr);
    let intact: Vec<_> = lines[..first as usize].iter().chain(&lines[end as usize..]).cloned().collect();
    assert_eq!(printed.lines(), intact);

    let got = place.run("get", &[&first.to_string(), "0"]);
    assert_eq!((got.code, got.lines()), (1, lines[..1].to_vec()), "{}", got.stderr);
    assert!(got.stderr.contains(&kept), "{}", got.stderr);

    assert_eq!(place.run("info", &[]).report()["segments"][0]["missing"], json!(end - first));
    let followed = place.run("tail", &["-n", "3000"]);
    assert!(followed.code == 0 && followed.stderr.contains("gap: "), "{}", followed.stderr);

    let out = place.path("out.parquet").display().to_string();
    let exported = place.run("export", &[&out, "--report", "-"]);
    assert_eq!(exported.code, 0, "{}", exported.stderr);
    assert_eq!(exported.report()["gaps"][0]["first_seq"], json!(first));
    assert!(fs::read(&out).expect("exported").windows(11).any(|bytes| bytes == b"annals.gaps"));

    let again = place.run("repair", &["--apply"]);
    assert_eq!((again.code, &again.report()["needless"]), (0, &Value::Bool(true)));
    assert_eq!(place.append(b"{\"n\":3000}\n", &[]).code, 0);
    assert_eq!(place.run("seal", &[]).code, 0);
    let verified = place.run("verify", &[]);
    assert_eq!((verified.code, verified.report()["records"].as_u64()), (0, Some(3_001 - (end - first))));
}

#[test]
fn a_log_that_is_open_for_appending_is_not_repaired() {
    let (place, _, _) = damaged();
    let log = annals::Options::new().open(&place.log).expect("opened");
    let refused = place.run("repair", &["--apply"]);
    assert!(refused.code == 1 && refused.stderr.contains("one writer at a time"), "{refused:?}");
    assert_eq!(place.run("repair", &["--dry-run"]).code, 3);
    drop(log);
}
