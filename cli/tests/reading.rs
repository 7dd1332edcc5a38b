//! `get`, `cat`, `tail`: ranges, order, envelopes, following, and readers that go away.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use support::{Place, Run, annals};

/// A log of `count` records, one second apart from 2024-01-01T00:00:00Z on.
fn log_of(count: u64) -> Place {
    let place = Place::new();
    let lines: String = (0..count).map(|n| format!("{{\"n\":{n},\"ts\":{}}}\n", 1_704_067_200 + n)).collect();
    assert_eq!(place.append(lines.as_bytes(), &[]).code, 0);
    place
}

fn numbers(lines: &[String]) -> Vec<u64> {
    lines
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["n"].as_u64().expect("a number"))
        .collect()
}

#[test]
fn ranges_of_seqs_and_times_in_both_directions() {
    let place = log_of(100);
    const NONE: [u64; 0] = [];
    let range = |more: &[&str]| numbers(&place.cat(more));
    assert_eq!(range(&[]), (0..100).collect::<Vec<_>>());
    assert_eq!(range(&["--seq", "10..13"]), [10, 11, 12]);
    assert_eq!(range(&["--seq", "98.."]), [98, 99]);
    assert_eq!(range(&["--seq", "..2"]), [0, 1]);
    assert_eq!(range(&["--seq", "7"]), [7]);
    assert_eq!(range(&["--seq", "500.."]), NONE);
    assert_eq!(range(&["--limit", "3"]), [0, 1, 2]);
    assert_eq!(range(&["--limit", "0"]), NONE);
    assert_eq!(range(&["--reverse", "--limit", "2"]), [99, 98]);
    assert_eq!(range(&["--reverse", "--seq", "10..13"]), [12, 11, 10]);
    assert_eq!(range(&["--since", "2024-01-01T00:01:38Z"]), [98, 99]);
    assert_eq!(range(&["--since", "2024-01-01T01:01:38+01:00"]), [98, 99]);
    assert_eq!(range(&["--until", "1704067202"]), [0, 1]);
    assert_eq!(range(&["--since", "1704067205000", "--until", "2024-01-01 00:00:07"]), [5, 6]);
    assert_eq!(range(&["--since", "-2h"]), NONE);
    assert_eq!(range(&["--until", "-2h"]).len(), 100);
    assert_eq!(range(&["--until", "2024-01-01"]), NONE);

    assert_eq!(place.run("cat", &["--since", "whenever"]).code, 2);
    assert_eq!(place.run("cat", &["--seq", "9..3"]).code, 2);
}

#[test]
fn named_fields_alone_in_the_order_of_the_record() {
    let place = log_of(3);
    assert_eq!(place.cat(&["--field", "n"]), [r#"{"n":0}"#, r#"{"n":1}"#, r#"{"n":2}"#]);
    assert_eq!(place.cat(&["--field", "ts", "--field", "n", "--limit", "1"]), [r#"{"n":0,"ts":1704067200}"#]);
    assert_eq!(place.cat(&["--field", "x", "--seq", "1"]), ["{}"]);
}

#[test]
fn get_prints_in_the_order_asked_for_and_names_what_is_missing() {
    let place = log_of(10);
    let got = place.run("get", &["7", "0", "7", "9"]);
    assert_eq!(got.code, 0);
    assert_eq!(numbers(&got.lines()), [7, 0, 7, 9]);

    let got = place.run("get", &["3", "10", "99", "4"]);
    assert_eq!(got.code, 1);
    assert_eq!(numbers(&got.lines()), [3, 4]);
    assert!(got.stderr.contains("no record 10, 99") && got.stderr.contains("holds seqs 0 to 9"), "{}", got.stderr);

    let meta = place.run("get", &["3", "--meta"]).lines();
    assert_eq!(meta, [r#"{"_seq":3,"_time":"2024-01-01T00:00:03.000000Z","record":{"n":3,"ts":1704067203}}"#]);
    assert_eq!(place.run("get", &[]).code, 2);
    assert_eq!(place.run("get", &["x"]).code, 2);
}

#[test]
fn tail_prints_the_last_records() {
    let place = log_of(25);
    assert_eq!(numbers(&place.run("tail", &[]).lines()), (15..25).collect::<Vec<_>>());
    assert_eq!(numbers(&place.run("tail", &["-n", "2"]).lines()), [23, 24]);
    assert_eq!(numbers(&place.run("tail", &["-n", "100"]).lines()).len(), 25);
}

#[test]
#[cfg(unix)]
fn tail_follows_a_log_that_other_processes_write() {
    let place = log_of(3);
    let mut child = annals(["tail", &place.log, "-f", "-n", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut next = || numbers(&[lines.next().expect("a line").expect("UTF-8")])[0];
    assert_eq!(next(), 2);
    for n in 3..6 {
        assert_eq!(place.append(format!("{{\"n\":{n}}}\n").as_bytes(), &[]).code, 0);
        assert_eq!(next(), n);
    }
    // Sealing moves the records to other files under the follower.
    assert_eq!(place.run("seal", &[]).code, 0);
    assert_eq!(place.append(b"{\"n\":6}\n", &[]).code, 0);
    assert_eq!(next(), 6);

    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill").success());
    let ended: Run = child.wait_with_output().expect("ends").into();
    assert_eq!(ended.code, 130, "{}", ended.stderr);
}

#[test]
#[cfg(unix)]
fn tail_ends_when_its_reader_goes_away_even_if_no_record_comes() {
    let place = log_of(3);
    let mut child =
        annals(["tail", &place.log, "-f"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut [0; 10]).expect("ten bytes");
    drop(stdout);
    let ended: Run = child.wait_with_output().expect("ends").into();
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
}

#[test]
fn a_closed_pipe_ends_quietly() {
    // More than any pipe buffers.
    let place = log_of(100_000);
    for command in [&["cat"][..], &["tail", "-n", "100000"], &["tail", "-f", "-n", "100000"]] {
        let mut child = annals([command[0], &place.log])
            .args(&command[1..])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("runs");
        let mut stdout = child.stdout.take().expect("a pipe");
        stdout.read_exact(&mut [0; 10]).expect("ten bytes");
        drop(stdout);
        let ended: Run = child.wait_with_output().expect("ends").into();
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{command:?}");
    }
}

#[test]
fn what_is_no_log_is_told_with_what_to_do() {
    let place = Place::new();
    for command in ["cat", "tail", "info", "verify", "seal"] {
        let refused = place.run(command, &[]);
        assert_eq!(refused.code, 1, "{command}");
        assert!(refused.stderr.contains(&place.log), "{command}: {}", refused.stderr);
    }
    assert!(!place.path("log").exists(), "reading creates nothing");
}

#[test]
fn reading_writes_nothing() {
    let place = log_of(1000);
    let listing = || {
        let mut files: Vec<_> = std::fs::read_dir(&place.log)
            .expect("listed")
            .map(|entry| {
                let entry = entry.expect("an entry");
                let bytes =
                    if entry.path().is_file() { std::fs::read(entry.path()).expect("read") } else { Vec::new() };
                (entry.file_name(), bytes)
            })
            .collect();
        files.sort();
        files
    };
    let before = listing();
    for (command, more) in [("cat", &[][..]), ("get", &["5"]), ("tail", &[]), ("info", &[]), ("verify", &[])] {
        assert_eq!(place.run(command, more).code, 0);
    }
    assert!(before == listing());
}

#[test]
fn a_full_disk_under_stdout_is_a_failure_and_no_panic() {
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    let place = log_of(10);
    let output = annals(["cat", &place.log]).stdout(full).stderr(Stdio::piped()).output().expect("runs");
    let ended: Run = output.into();
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("cannot write to standard output"), "{}", ended.stderr);
}

#[test]
fn records_wait_for_nobody() {
    // A follower sees a record while the writer's input is still open.
    let place = log_of(1);
    let mut writer = annals(["append", &place.log]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("runs");
    let mut follower = annals(["tail", &place.log, "-f", "-n", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("runs");
    let mut input = writer.stdin.take().expect("a pipe");
    // The follower begins at the end it finds: what comes before it looked is not for it.
    std::thread::sleep(std::time::Duration::from_millis(500));
    input.write_all(b"{\"n\":41}\n").expect("written");
    let mut line = String::new();
    BufReader::new(follower.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    assert_eq!(line, "{\"n\":41}\n");
    drop(input);
    assert!(writer.wait().expect("ends").success());
    follower.kill().expect("killed");
    follower.wait().expect("ends");
}
