//! `annals append`: inputs, times, bad lines, and how it ends.

mod support;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use support::{Place, annals, run};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("compressed");
    encoder.finish().expect("compressed")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).expect("compressed")
}

#[test]
fn compression_is_told_by_content_and_members_may_follow_each_other() {
    let place = Place::new();
    let skippable = [&[0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    let inputs = [
        place.file("plain.gz", b"{\"n\":0}\n"),
        place.file("zip.txt", &[gzip(b"{\"n\":1}\n{\"n\":"), gzip(b"2}\n")].concat()),
        place.file("std.ndjson", &[skippable, zstd(b"{\"n\":3}\n{\"n\""), zstd(b":4}")].concat()),
        place.file("bom.ndjson", b"\xEF\xBB\xBF{\"n\":5}\n"),
    ];
    let inputs: Vec<_> = inputs.iter().map(String::as_str).collect();
    let appended = place.append(b"", &inputs);
    assert_eq!(appended.code, 0, "{}", appended.stderr);
    let numbers: Vec<_> = (0..6).map(|n| format!("{{\"n\":{n}}}")).collect();
    assert_eq!(place.cat(&[]), numbers);

    for compressed in [gzip(b"{\"n\":6}\n"), zstd(b"{\"n\":7}\n")] {
        assert_eq!(place.append(&compressed, &["-"]).code, 0, "from standard input");
    }
    assert_eq!(place.cat(&["--seq", "6.."]), ["{\"n\":6}", "{\"n\":7}"]);
}

#[test]
fn compressed_input_that_is_cut_off_is_bad_input_that_names_the_file() {
    let lines: String =
        (0..20_000).map(|n| format!("{{\"n\":{n},\"h\":{}}}\n", n * 2_654_435_761_u64 % 1_000_003)).collect();
    for (name, whole) in [("cut.gz", gzip(lines.as_bytes())), ("cut.zst", zstd(lines.as_bytes()))] {
        let place = Place::new();
        let cut = place.file(name, &whole[..whole.len() / 2]);
        let appended = place.append(b"", &[&cut]);
        assert_eq!(appended.code, 4, "{}", appended.stderr);
        assert!(appended.stderr.contains(name) && appended.stderr.contains("ends too early"), "{}", appended.stderr);
        // The whole lines before the end were appended.
        let kept = place.cat(&[]);
        assert!(!kept.is_empty());
        assert_eq!(appended.report()["records"], kept.len());
        assert!(lines.lines().zip(&kept).all(|(line, kept)| line == kept));
    }
    let place = Place::new();
    let mut garbled = zstd(lines.as_bytes());
    garbled[20..60].fill(0xA5);
    let appended = place.append(b"", &[&place.file("garbled.zst", &garbled)]);
    assert_eq!(appended.code, 4, "{}", appended.stderr);
}

#[test]
fn blank_lines_line_ends_and_a_missing_last_one() {
    let place = Place::new();
    let appended = place.append(b"{\"a\":1}\r\n\n  \t\r\n{\"a\":2}\n\n{\"a\":3}", &[]);
    let report = appended.report();
    assert_eq!((appended.code, &report["lines"], &report["blank_lines"]), (0, &json!(6), &json!(3)));
    assert_eq!(place.cat(&[]), [r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":3}"#]);
}

#[test]
fn empty_input_makes_an_empty_log() {
    let place = Place::new();
    let appended = place.append(b"", &[]);
    assert_eq!((appended.code, &appended.report()["records"]), (0, &json!(0)));
    assert_eq!(place.cat(&[]), Vec::<String>::new());
    assert_eq!(place.run("tail", &[]).stdout, b"");
    assert_eq!(place.run("seal", &[]).code, 0);
    assert_eq!(place.run("verify", &[]).report()["sound"], json!(true));
    assert_eq!(place.run("info", &[]).report()["end_seq"], json!(0));
    let missing = place.run("get", &["0"]);
    assert!(missing.code == 1 && missing.stderr.contains("is empty"), "{}", missing.stderr);
}

#[test]
fn a_bad_line_stops_the_ingest_and_everything_before_it_is_kept() {
    let bad: [(&[u8], &str); 7] = [
        (b"{\"a\":}", "byte"),
        (b"[1]", "object"),
        (b"7", "object"),
        (b"{\"a\":1} x", "byte"),
        (b"{\"a\":\"\xFF\"}", "UTF-8"),
        (b"{\"a\":1", "byte"),
        (b"\x00", "byte"),
    ];
    for (line, reason) in bad {
        let place = Place::new();
        let input = [b"{\"n\":0}\n\n{\"n\":1}\n", line, b"\n{\"n\":2}\n"].concat();
        let file = place.file("events.ndjson", &input);
        let appended = place.append(b"", &[&file]);
        assert_eq!(appended.code, 4, "{}", appended.stderr);
        assert!(appended.stderr.contains("events.ndjson, line 4: "), "{}", appended.stderr);
        assert!(appended.stderr.contains(reason), "{reason}: {}", appended.stderr);
        let report = appended.report();
        assert_eq!((&report["complete"], &report["synced"]), (&json!(false), &json!(true)));
        assert_eq!(place.cat(&[]), ["{\"n\":0}", "{\"n\":1}"]);
    }
}

#[test]
fn rejects_get_the_bytes_of_bad_lines_and_the_ingest_goes_on() {
    let place = Place::new();
    let rejects = place.path("rejects");
    let rejects_arg = rejects.to_str().expect("UTF-8");
    let appended =
        place.append(b"{\"n\":0}\nnot json\r\n{\"n\":1}\n\"\xFF\xFE\"\n{\"n\":2}\n{", &["--rejects", rejects_arg]);
    assert_eq!(appended.code, 0, "{}", appended.stderr);
    let report = appended.report();
    assert_eq!((&report["records"], &report["rejected_lines"]), (&json!(3), &json!(3)));
    assert!(appended.stderr.contains("standard input, line 2: "), "{}", appended.stderr);
    assert_eq!(std::fs::read(&rejects).expect("read"), b"not json\r\n\"\xFF\xFE\"\n{\n");
    assert_eq!(place.cat(&[]), ["{\"n\":0}", "{\"n\":1}", "{\"n\":2}"]);

    // Another run adds to the file.
    assert_eq!(place.append(b"again\n", &["--rejects", rejects_arg]).code, 0);
    assert!(std::fs::read(&rejects).expect("read").ends_with(b"{\nagain\n"));
}

#[test]
fn a_line_beyond_the_limit_is_bad_and_goes_to_the_rejects_whole() {
    let limit = 16 << 20;
    let long = format!("{{\"long\":\"{}\"}}", "x".repeat(2 * limit));
    let fits = format!("{{\"n\":\"{}\"}}", "y".repeat(limit - 8));
    assert_eq!(fits.len(), limit);
    let too_long_by_one = format!("{fits} ");
    let input = format!("{{\"n\":0}}\n{long}\n{fits}\n{too_long_by_one}\n{{\"n\":1}}\n");
    let place = Place::new();
    let stopped = place.append(input.as_bytes(), &[]);
    assert_eq!(stopped.code, 4);
    assert!(stopped.stderr.contains("line 2: the line is longer than 16,777,216 bytes"), "{}", stopped.stderr);
    assert_eq!(place.cat(&[]).len(), 1);

    let place = Place::new();
    let rejects = place.path("rejects");
    let appended = place.append(input.as_bytes(), &["--rejects", rejects.to_str().expect("UTF-8")]);
    assert_eq!((appended.code, &appended.report()["records"]), (0, &json!(3)), "{}", appended.stderr);
    assert_eq!(place.cat(&[])[1], fits);
    assert!(std::fs::read(&rejects).expect("read") == format!("{long}\n{too_long_by_one}\n").into_bytes());
}

#[test]
fn times_come_from_the_common_names_or_the_named_field_or_the_clock() {
    let place = Place::new();
    let input = concat!(
        r#"{"@timestamp":"2024-03-09T16:00:00.123456Z"}"#,
        "\n",
        r#"{"ts":1710000000.25,"time":"1999-01-01T00:00:00Z"}"#,
        "\n",
        r#"{"time":0.035}"#,
        "\n",
        r#"{"a":{"when":"2024-03-09 18:00:00+02:00"}}"#,
        "\n",
    );
    let report = place.append(input.as_bytes(), &[]).report();
    assert_eq!(report["time_fields"], json!({"@timestamp": 1, "ts": 1}));
    assert_eq!(report["time_of_ingest"], json!(2));
    let report = place.append(input.as_bytes(), &["--time-field", "a.when"]).report();
    assert_eq!((&report["time_fields"], &report["time_of_ingest"]), (&json!({"a.when": 1}), &json!(3)));

    let meta = place.cat(&["--meta"]);
    assert!(
        meta[0].starts_with(r#"{"_seq":0,"_time":"2024-03-09T16:00:00.123456Z","record":{"@timestamp""#),
        "{}",
        meta[0]
    );
    assert!(meta[1].starts_with(r#"{"_seq":1,"_time":"2024-03-09T16:00:00.250000Z","record":{"ts""#), "{}", meta[1]);
    assert!(meta[7].starts_with(r#"{"_seq":7,"_time":"2024-03-09T16:00:00.000000Z","record":{"a""#), "{}", meta[7]);
    let now: serde_json::Value = serde_json::from_str(&meta[2]).expect("JSON");
    assert!(now["_time"].as_str().expect("text") > "2025", "the clock's time: {now}");
}

#[test]
fn strict_time_makes_a_record_without_one_a_bad_line() {
    let place = Place::new();
    let input = b"{\"ts\":\"2024-01-01T00:00:00Z\"}\n{\"ts\":\"soon\"}\n";
    let stopped = place.append(input, &["--strict-time"]);
    assert_eq!(stopped.code, 4);
    assert!(stopped.stderr.contains("line 2: no usable time"), "{}", stopped.stderr);
    assert_eq!(place.cat(&[]).len(), 1);
    let stopped = place.append(input, &["--strict-time", "--time-field", "when"]);
    assert!(stopped.code == 4 && stopped.stderr.contains("line 1: no usable time in the field when"));
}

#[test]
fn every_durability_and_batch_size_appends_the_same() {
    let lines: Vec<_> = (0..50).map(|n| format!("{{\"n\":{n}}}")).collect();
    for durability in ["durable", "written", "buffered"] {
        for batch in ["1", "7", "1000"] {
            let place = Place::new();
            let more = ["--durability", durability, "--batch", batch];
            assert_eq!(place.append(lines.join("\n").as_bytes(), &more).code, 0);
            assert_eq!(place.cat(&[]), lines, "{durability} {batch}");
        }
    }
}

#[test]
fn many_small_segments_hold_the_same() {
    let place = Place::new();
    let lines: Vec<_> = (0..4000).map(|n| format!("{{\"n\":{n},\"pad\":\"{}\"}}", "p".repeat(100))).collect();
    let appended = place.append(lines.join("\n").as_bytes(), &["--segment-bytes", "64K", "--batch", "100"]);
    assert_eq!(appended.code, 0, "{}", appended.stderr);
    assert_eq!(place.cat(&[]), lines);
    assert!(place.run("info", &[]).report()["segments"].as_array().expect("segments").len() > 3);
    assert_eq!(place.run("seal", &[]).code, 0);
    assert_eq!(place.cat(&[]), lines);
    assert_eq!(place.run("verify", &[]).report()["records"], json!(4000));
}

#[test]
fn a_second_writer_is_refused_and_readers_are_not() {
    let place = Place::new();
    let mut first = annals(["append", &place.log]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("runs");
    let mut input = first.stdin.take().expect("a pipe");
    input.write_all(b"{\"n\":0}\n").expect("written");
    // The record becomes visible although the input goes on: a live input is not held back for a full batch.
    wait_for(|| place.run("cat", &[]).stdout == b"{\"n\":0}\n");

    let second = place.append(b"{\"n\":1}\n", &[]);
    assert_eq!(second.code, 1);
    assert!(second.stderr.contains("open for writing by"), "{}", second.stderr);
    assert_eq!(place.run("seal", &[]).code, 1);

    drop(input);
    assert!(first.wait().expect("ends").success());
    assert_eq!(place.append(b"{\"n\":1}\n", &[]).code, 0);
    assert_eq!(place.cat(&[]).len(), 2);
}

#[test]
#[cfg(unix)]
fn an_interrupt_leaves_a_clean_log() {
    let place = Place::new();
    let mut child = annals(["append", &place.log, "--output", "ndjson"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(b"{\"n\":0}\n{\"n\":1}\n{\"n\":").expect("written");
    wait_for(|| place.run("cat", &[]).lines().len() == 2);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill").success());
    let ended: support::Run = child.wait_with_output().expect("ends").into();
    assert_eq!(ended.code, 130, "{}", ended.stderr);
    let report = ended.report();
    assert_eq!(
        (&report["records"], &report["synced"], &report["stopped"]),
        (&json!(2), &json!(true), &json!("interrupted"))
    );
    // Nothing was left to recover.
    assert_eq!(place.append(b"", &[]).report()["recovery"], json!(null));
    drop(input);
}

#[test]
fn wrong_arguments_are_told_before_anything_is_created() {
    let place = Place::new();
    let missing = place.append(b"", &["/does/not/exist.ndjson"]);
    assert!(missing.code == 1 && missing.stderr.contains("/does/not/exist.ndjson"), "{}", missing.stderr);
    assert_eq!(place.append(b"", &["-", "-"]).code, 2);
    assert_eq!(place.append(b"", &["--batch", "0"]).code, 2);
    assert_eq!(place.append(b"", &["--segment-bytes", "1K"]).code, 2);
    let dir = place.append(b"", &[place.dir.path().to_str().expect("UTF-8")]);
    assert!(dir.code == 1 && dir.stderr.contains("is a directory"), "{}", dir.stderr);
    assert!(!place.path("log").exists());

    let occupied = Place::new();
    std::fs::create_dir(&occupied.log).expect("created");
    std::fs::write(occupied.path("log/notes.txt"), b"mine").expect("written");
    let refused = occupied.append(b"{}", &[]);
    assert!(refused.code == 1 && refused.stderr.contains("notes.txt"), "{}", refused.stderr);
}

#[test]
fn the_summary_is_text_on_stderr_unless_json_is_asked_for() {
    let place = Place::new();
    let file = place.file("one.ndjson", b"{\"ts\":\"2024-01-01T00:00:00Z\"}\n");
    let text = run(annals(["append", &place.log, &file]).stdin(Stdio::null()));
    assert_eq!(text.stdout, b"");
    assert!(
        text.stderr.contains("appended 1 record to ") && text.stderr.contains("times from: ts 1"),
        "{}",
        text.stderr
    );
}

fn wait_for(condition: impl Fn() -> bool) {
    for _ in 0..200 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it didn't happen within 10 s");
}

#[test]
fn lines_whose_keys_are_in_the_log_are_skipped() {
    let place = Place::new();
    let once = ["--once-key", "detail.id"];
    let first =
        place.append(b"{\"detail\":{\"id\":\"a\"}}\n{\"detail\":{\"id\":7}}\n{\"detail\":{\"id\":\"a\"}}\n", &once);
    assert_eq!((first.code, &first.report()["records"], &first.report()["known_keys"]), (0, &2.into(), &1.into()));
    let again = place.append(b"{\"detail\":{\"id\":7}}\n{\"detail\":{\"id\":8}}\n", &once);
    assert_eq!((&again.report()["first_seq"], &again.report()["known_keys"]), (&2.into(), &1.into()), "{again:?}");
    let bad = place.append(b"{\"detail\":{\"id\":9}}\n{\"detail\":{}}\n", &once);
    assert_eq!(bad.code, 4);
    assert!(bad.stderr.contains("line 2") && bad.stderr.contains("detail.id"), "{}", bad.stderr);
    assert_eq!(place.cat(&[]).len(), 4);
}

#[test]
fn the_preset_for_storage_takes_less_space_and_holds_the_same() {
    let line =
        |n: u32| format!("{{\"request\":\"{:064x}\",\"status\":\"done\",\"n\":{n}}}", u64::from(n) * 0x9E37_79B9);
    let lines: Vec<_> = (0..4000).map(line).collect();
    let bytes = ["default", "throughput", "latency", "storage"].map(|preset| {
        let place = Place::new();
        assert_eq!(place.append(lines.join("\n").as_bytes(), &["--preset", preset]).code, 0);
        assert_eq!(place.run("seal", &["--preset", preset]).code, 0);
        assert_eq!(place.cat(&[]), lines, "{preset}");
        place.run("info", &[]).report()["bytes"].as_u64().expect("bytes")
    });
    assert!(bytes[3] < bytes[0] * 9 / 10, "{bytes:?}");
}

#[test]
fn what_is_beyond_the_rate_waits_or_is_dropped_and_told() {
    let lines: String = (0..600).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let waits = Place::new();
    let appended = waits.append(lines.as_bytes(), &["--rate-limit", "2000", "--batch", "100"]);
    assert_eq!(appended.code, 0, "{}", appended.stderr);
    assert_eq!((waits.cat(&[]).len(), appended.report().get("dropped_records")), (600, None));

    let drops = Place::new();
    let appended = drops.append(lines.as_bytes(), &["--rate-limit", "100", "--on-limit", "drop"]);
    assert_eq!(appended.code, 0, "{}", appended.stderr);
    let (report, dropped) = (appended.report(), appended.report()["dropped_records"].as_u64().expect("counted"));
    assert!(dropped >= 100, "{report}");
    assert_eq!(report["records"].as_u64().expect("counted") + dropped, 600);
    let cat = drops.run("cat", &[]);
    assert_eq!((cat.code, cat.lines().len() as u64), (0, 600 - dropped));
    assert!(cat.stderr.contains("records were dropped") && cat.stderr.contains("the rate limit"), "{}", cat.stderr);
    for command in ["verify", "info"] {
        let told = drops.run(command, &["--output", "table"]);
        assert_eq!(told.code, 0, "{}", told.stderr);
        let text = String::from_utf8_lossy(&told.stdout).into_owned();
        assert!(text.contains(&format!("{dropped} records")), "{command}: {text}");
    }

    let keyed = drops.append(b"{\"n\":1}", &["--rate-limit", "1", "--on-limit", "drop", "--once-key", "n"]);
    assert_eq!(keyed.code, 2, "{}", keyed.stderr);
    assert_eq!(drops.append(b"", &["--on-limit", "drop"]).code, 2);
}
