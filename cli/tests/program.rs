//! The program's outside: help, exit codes, completions, manual, formats.

mod support;

use support::{Place, annals, run};

const COMMANDS: [&str; 13] = [
    "append",
    "get",
    "cat",
    "tail",
    "info",
    "verify",
    "repair",
    "seal",
    "export",
    "inspect",
    "demo",
    "completions",
    "man",
];

#[test]
fn every_help_text_lists_the_exit_codes() {
    let help = run(&mut annals(["--help"]));
    assert_eq!(help.code, 0);
    let text = String::from_utf8(help.stdout).expect("UTF-8");
    for command in COMMANDS {
        assert!(text.contains(&format!("\n  {command} ")), "{command} in {text}");
        let help = run(&mut annals([command, "--help"]));
        let text = String::from_utf8(help.stdout).expect("UTF-8");
        assert!(help.code == 0 && text.contains("Exit codes:") && text.contains("integrity failure"), "{text}");
    }
    assert!(text.contains("bad input") && text.contains("130"), "{text}");
}

#[test]
fn usage_errors_have_a_code_of_their_own() {
    for args in [&[][..], &["frobnicate"], &["cat"], &["cat", "log", "--nonsense"], &["get", "log", "-1"]] {
        let refused = run(&mut annals(args));
        assert_eq!(refused.code, 2, "{args:?}: {}", refused.stderr);
        assert!(refused.stdout.is_empty() && !refused.stderr.is_empty());
    }
    assert_eq!(run(&mut annals(["--version"])).code, 0);
}

#[test]
fn completions_and_manual_pages_cover_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&mut annals(["completions", shell]));
        let text = String::from_utf8(script.stdout).expect("UTF-8");
        assert!(script.code == 0 && COMMANDS.iter().all(|command| text.contains(command)), "{shell}");
    }
    let page = run(&mut annals(["man"]));
    let text = String::from_utf8(page.stdout).expect("UTF-8");
    assert!(page.code == 0 && text.contains(".TH annals 1") && text.contains("Exit codes"), "{text}");
    let page = run(&mut annals(["man", "append"]));
    assert!(String::from_utf8_lossy(&page.stdout).contains("strict"));
    assert_eq!(run(&mut annals(["man", "frobnicate"])).code, 2);

    let place = Place::new();
    let dir = place.path("man");
    assert_eq!(run(&mut annals(["man", "--dir", dir.to_str().expect("UTF-8")])).code, 0);
    for command in COMMANDS {
        assert!(dir.join(format!("annals-{command}.1")).exists(), "{command}");
    }
}

#[test]
fn reports_are_json_where_nobody_watches_and_a_table_where_asked() {
    let place = Place::new();
    assert_eq!(place.append(b"{\"n\":1}\n", &[]).code, 0);
    for command in ["info", "verify", "seal"] {
        let json = place.run(command, &[]);
        assert!(json.lines().len() > 1, "{command}: indented");
        json.report();
        let ndjson = place.run(command, &["--output", "ndjson"]);
        assert_eq!(ndjson.lines().len(), 1, "{command}");
        ndjson.report();
        let table = place.run(command, &["--output", "table"]);
        assert!(serde_json::from_slice::<serde_json::Value>(&table.stdout).is_err(), "{command}");
        assert!(!table.stdout.contains(&0x1B), "{command}: no colours where nobody watches");
    }
}
