//! `stats`: what is printed of groups, for people and for programs.

mod support;

use serde_json::{Value, json};
use support::Place;

/// Sixty records of three kinds, a second apart, every fifth without a kind.
fn log() -> Place {
    let place = Place::new();
    let line = |n: u64| {
        let kind = if n.is_multiple_of(5) { String::new() } else { format!(r#","kind":"k,{}""#, n % 3) };
        format!("{{\"ts\":{},\"ms\":{n}{kind}}}\n", 1_704_067_200 + n)
    };
    assert_eq!(place.append((0..60).map(line).collect::<String>().as_bytes(), &[]).code, 0);
    assert_eq!(place.run("seal", &[]).code, 0);
    place
}

fn groups(place: &Place, arguments: &[&str]) -> Vec<Value> {
    let run = place.run("stats", arguments);
    assert_eq!(run.code, 0, "{}", run.stderr);
    run.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn groups_by_a_field() {
    let place = log();
    for _ in 0..2 {
        let found = groups(&place, &["--by", "kind", "--of", "ms", "--where", "ms < 30"]);
        let told: Vec<_> = found.iter().map(|group| (&group["by"], group["records"].as_u64().unwrap())).collect();
        let (none, zero) = (json!({}), json!({"kind": "k,0"}));
        let (one, two) = (json!({"kind": "k,1"}), json!({"kind": "k,2"}));
        assert_eq!(told, [(&zero, 8), (&one, 8), (&two, 8), (&none, 6)]);
        // 3, 6, 9, 12, 18, 21, 24, 27
        let expected = json!({"values":8,"numbers":8,"distinct":8,"sum":120,"avg":15.0,"min":3,"max":27,
            "p50":12,"p90":27,"p95":27,"p99":27,"inexact":[]});
        assert_eq!(found[0]["of"]["ms"], expected);
    }
}

#[test]
fn buckets_of_time_and_rates() {
    let place = log();
    let found = groups(&place, &["--every", "30s"]);
    let told: Vec<_> = found.iter().map(|group| (&group["time"], &group["records"], &group["per_second"])).collect();
    let (first, second, thirty, one) =
        (json!("2024-01-01T00:00:00.000000Z"), json!("2024-01-01T00:00:30.000000Z"), json!(30), json!(1.0));
    assert_eq!(told, [(&first, &thirty, &one), (&second, &thirty, &one)]);
    let run = place.run("stats", &["--every", "1 month"]);
    assert_eq!(run.code, 2, "{}", run.stderr);
}

#[test]
fn tables_and_csv() {
    let place = log();
    let csv = place.run("stats", &["--by", "kind", "--of", "ms", "--show", "sum,p99", "--format", "csv"]);
    let lines = csv.lines();
    assert_eq!(lines[0], "kind,records,per_second,ms sum,ms p99,ms inexact");
    assert!(lines[1].starts_with("\"k,0\",16,0.27"), "{}", lines[1]);
    assert!(lines[4].starts_with(",12,0.20"), "{}", lines[4]);
    let table = place.run("stats", &["--by", "kind", "--of", "ms", "--show", "sum", "--format", "table"]).lines();
    assert!(table.iter().any(|line| line.contains("(missing)") && line.contains("330")), "{table:#?}");
}

#[test]
fn explain_tells_what_was_kept() {
    let place = log();
    let explain = || place.run("stats", &["--by", "kind", "--explain"]).report();
    let first = explain();
    assert_eq!(
        (&first["segments_in_range"], &first["segments_kept"], &first["segments_stored"]),
        (&json!(1), &json!(0), &json!(1))
    );
    let again = explain();
    assert_eq!((&again["segments_kept"], &again["records_examined"]), (&json!(1), &json!(0)));
    let without = place.run("stats", &["--by", "kind", "--explain", "--no-keep"]).report();
    assert_eq!(without["records_examined"], 60);
}

#[test]
fn too_many_groups_are_told() {
    let place = log();
    let run = place.run("stats", &["--by", "ms", "--groups-max", "10"]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("more than 10 groups"), "{}", run.stderr);
}
