//! What holds for every source file of the workspace.

use std::fs;
use std::path::{Path, PathBuf};

/// Most lines of a file, its tests left out.
const LINES_MAX: usize = 500;
/// The one file with `unsafe` code.
const UNSAFE: &str = "index/src/bytes.rs";
/// Where the engine and the index touch files.
const FILES_TOUCHED: [&str; 2] = ["engine/src/storage/dir.rs", UNSAFE];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file of the workspace: its path from the root, and its text.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["index", "engine", "export", "cli", "benches"].map(|folder| root().join(folder)).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
                found.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(found.len() > 50, "{} files", found.len());
    found
}

fn is_of_crate(name: &str) -> bool {
    name.contains("/src/")
}

fn is_test(name: &str) -> bool {
    name.contains("/tests/") || name.ends_with("/tests.rs")
}

/// The text up to its tests.
fn without_tests(text: &str) -> &str {
    text.split_once("#[cfg(test)]\nmod tests {").map_or(text, |(code, _)| code)
}

/// The files of which `wrong` is true, but for this one, which names what it looks for.
fn offenders(wrong: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let all = sources().into_iter().filter(|(name, _)| name != "engine/tests/style.rs");
    all.filter(|(name, text)| wrong(name, text)).map(|(name, _)| name).collect()
}

/// Whether code, not a comment, has `word`.
fn has_code(text: &str, word: &str) -> bool {
    text.lines().map(str::trim_start).filter(|line| !line.starts_with("//")).any(|line| line.contains(word))
}

#[test]
fn every_module_says_what_it_is_for() {
    assert_eq!(offenders(|name, text| is_of_crate(name) && !text.starts_with("//!")), [""; 0]);
}

#[test]
fn no_file_is_longer_than_a_full_room() {
    let long = |name: &str, text: &str| !is_test(name) && without_tests(text).lines().count() > LINES_MAX;
    assert_eq!(offenders(long), [""; 0]);
}

#[test]
fn unsafe_code_is_in_one_file() {
    let used = |name: &str, text: &str| name != UNSAFE && (has_code(text, "unsafe {") || has_code(text, "unsafe fn"));
    assert_eq!(offenders(used), [""; 0]);
    for root_file in ["engine/src/lib.rs", "export/src/lib.rs", "cli/src/main.rs"] {
        assert!(fs::read_to_string(root().join(root_file)).unwrap().contains("#![forbid(unsafe_code)]"), "{root_file}");
    }
}

#[test]
fn files_are_touched_in_two_places_only() {
    let touches = |name: &str, text: &str| {
        (name.starts_with("engine/src/") || name.starts_with("index/src/"))
            && !is_test(name)
            && !FILES_TOUCHED.contains(&name)
            && has_code(without_tests(text), "fs::")
    };
    // `rustix::fs` is in dir.rs, too.
    assert_eq!(offenders(touches), [""; 0]);
}

#[test]
fn no_test_is_ignored_without_a_reason() {
    let ignored = |_: &str, text: &str| has_code(text, "#[ignore]");
    assert_eq!(offenders(ignored), [""; 0]);
}

#[test]
fn links_between_the_pages_lead_somewhere() {
    let mut pages = vec![root().join("README.md"), root().join("CONTRIBUTING.md"), root().join("samples/README.md")];
    for folder in ["docs", "docs/decisions"] {
        pages.extend(fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path()));
    }
    let mut broken = Vec::new();
    for page in pages.iter().filter(|page| page.extension().is_some_and(|ending| ending == "md")) {
        let text = fs::read_to_string(page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            if file.contains("://") {
                continue;
            }
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let found = target.exists() && (anchor.is_empty() || has_heading(&target, anchor));
            if !found {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert_eq!(broken, [""; 0]);
}

/// Whether `page` has a heading that an anchor spelled `anchor` leads to.
fn has_heading(page: &Path, anchor: &str) -> bool {
    let slug = |heading: &str| -> String {
        let kept = heading.trim().to_lowercase();
        kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-")
    };
    let text = fs::read_to_string(page).unwrap();
    text.lines().filter(|line| line.starts_with('#')).any(|line| slug(line.trim_start_matches('#')) == anchor)
}
