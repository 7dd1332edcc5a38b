//! A damaged log: told apart by the exit code, named with file and offset, and read around.

mod support;

use std::fs;

use serde_json::json;
use support::Place;

fn flip_bit(place: &Place, extension: &str, at: impl Fn(usize) -> usize) -> String {
    let name = fs::read_dir(&place.log)
        .expect("listed")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .find(|name| name.ends_with(extension))
        .expect("a file");
    let path = place.path("log").join(&name);
    let mut bytes = fs::read(&path).expect("read");
    let at = at(bytes.len());
    bytes[at] ^= 0x10;
    fs::write(&path, bytes).expect("written");
    name
}

fn log_of_many() -> (Place, Vec<String>) {
    let place = Place::new();
    let lines: Vec<_> =
        (0..3000u64).map(|n| format!("{{\"n\":{n},\"x\":\"{:x}\"}}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect();
    assert_eq!(place.append(lines.join("\n").as_bytes(), &["--batch", "100"]).code, 0);
    (place, lines)
}

fn assert_read_around(place: &Place, name: &str, lines: &[String]) {
    let verified = place.run("verify", &[]);
    assert_eq!(verified.code, 3, "{}", verified.stderr);
    let report = verified.report();
    assert_eq!((&report["sound"], &report["scope"]), (&json!(false), &json!(null)));
    let damage = &report["damage"][0];
    assert!(damage["path"].as_str().expect("a path").ends_with(name), "{damage}");
    assert!(damage["offset"].as_u64().is_some(), "{damage}");
    let table = place.run("verify", &["--output", "table"]);
    assert!(table.code == 3 && String::from_utf8_lossy(&table.stdout).contains(name));

    let printed = place.run("cat", &[]);
    assert_eq!(printed.code, 3);
    assert!(printed.stderr.contains(name) && printed.stderr.contains("at byte"), "{}", printed.stderr);
    let printed = printed.lines();
    assert!(printed.len() < lines.len() && printed.len() > lines.len() / 2, "{}", printed.len());
    assert!(printed.iter().all(|line| lines.contains(line)), "only records that were appended");
    // Both ends are there.
    assert_eq!((printed.first(), printed.last()), (lines.first(), lines.last()));

    let first = damage["first_seq"].as_u64().expect("a seq").to_string();
    let got = place.run("get", &[&first, "0"]);
    assert_eq!(got.code, 3, "{}", got.stderr);
    assert_eq!(got.lines(), lines[..1]);
}

#[test]
fn a_flipped_bit_in_a_raw_segment() {
    let (place, lines) = log_of_many();
    // In the middle of the records: the file is prepared longer than they are.
    let used: usize = lines.iter().map(String::len).sum();
    let name = flip_bit(&place, ".log", |_| used / 2);
    assert_read_around(&place, &name, &lines);
}

#[test]
fn a_flipped_bit_in_a_sealed_segment() {
    let (place, lines) = log_of_many();
    assert_eq!(place.run("seal", &[]).code, 0);
    let name = flip_bit(&place, ".seg", |len| len / 2);
    assert_read_around(&place, &name, &lines);
}

#[test]
fn a_flipped_bit_in_an_index_costs_nothing_but_time() {
    let (place, lines) = log_of_many();
    assert_eq!(place.run("seal", &[]).code, 0);
    flip_bit(&place, ".idx", |len| len / 2);
    assert_eq!(place.cat(&[]), lines);
    assert_eq!(place.run("get", &["2999"]).lines(), lines[2999..]);
}

#[test]
fn inspect_shows_every_file_and_what_is_bad_in_it() {
    let (place, lines) = log_of_many();
    assert_eq!(place.run("seal", &[]).code, 0);
    assert_eq!(place.append(lines.join("\n").as_bytes(), &["--batch", "100"]).code, 0);
    let inspect = |name: &str, format: &str| {
        let path = place.path("log").join(name);
        support::run(&mut support::annals(["inspect", path.to_str().expect("UTF-8"), "--output", format]))
    };
    for entry in fs::read_dir(&place.log).expect("listed") {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        if name == "lock" || name == "quarantine" {
            continue;
        }
        for format in ["table", "json", "ndjson"] {
            let shown = inspect(&name, format);
            assert_eq!(shown.code, 0, "{name}: {}", shown.stderr);
            assert!(!shown.stdout.is_empty());
        }
        inspect(&name, "json").report();
        let pieces = inspect(&name, "ndjson").lines();
        let count = |piece: &str| pieces.iter().filter(|line| line.contains(&format!(r#""piece":"{piece}""#))).count();
        if name.ends_with(".log") {
            assert!(count("header") == 2 && count("frame") >= 30, "{name}: {pieces:?}");
        } else if name.ends_with(".seg") {
            assert!(count("header") == 1 && count("block") > 1 && count("trailer") == 1, "{name}: {pieces:?}");
        }
    }
    let used: usize = lines.iter().map(String::len).sum();
    let name = flip_bit(&place, ".log", |_| used / 2);
    let shown = inspect(&name, "table");
    assert_eq!(shown.code, 3, "{}", shown.stderr);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("BAD"));
    assert_eq!(inspect("nothing", "json").code, 1);
}

#[test]
fn a_sound_log_says_what_that_means() {
    let (place, lines) = log_of_many();
    for _ in 0..2 {
        let verified = place.run("verify", &[]);
        assert_eq!(verified.code, 0, "{}", verified.stderr);
        let report = verified.report();
        assert_eq!(report["scope"], json!("internally consistent; truncation and rollback not excluded"));
        assert_eq!(report["records"], json!(lines.len()));
        assert_eq!(report["root"].as_str().map(str::len), Some(64));
        assert_eq!(place.run("seal", &[]).code, 0);
    }
}

#[test]
fn sealing_does_not_change_the_root() {
    let (place, _) = log_of_many();
    let root = |place: &Place| place.run("verify", &[]).report()["root"].clone();
    let raw = root(&place);
    assert_eq!(place.run("seal", &[]).code, 0);
    assert_eq!(raw, root(&place));
}
