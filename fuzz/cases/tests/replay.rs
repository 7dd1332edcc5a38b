//! Every committed input of every target, and a few thousand drawn from a seed, on stable.
//!
//! `ANNALS_CASES` (default 200) says how many are drawn for each target, `ANNALS_SEED` (default 42) from what;
//! `ANNALS_INPUT` (`target/file`) is the one committed input to run, `ANNALS_TARGET` the one target.

use annals_fuzz_cases::{TARGETS, run};
use std::path::Path;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// SplitMix64 (Steele et al. 2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The input drawn from `seed`.
fn drawn(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let len = next(&mut state) % 600;
    (0..len).map(|_| (next(&mut state) >> 56) as u8).collect()
}

/// Runs `input`. `again`, pasted into a shell, does so again.
fn replay(target: &'static str, input: &[u8], again: &str) -> Result<(), String> {
    let outcome = std::panic::catch_unwind(|| run(target, input));
    outcome.map_err(|_| {
        format!("{again} cargo test --manifest-path fuzz/Cargo.toml -p annals-fuzz-cases --all-features --test replay")
    })
}

/// The targets to run.
fn targets() -> impl Iterator<Item = &'static str> {
    let only = std::env::var("ANNALS_TARGET").ok();
    TARGETS.iter().map(|(target, _)| *target).filter(move |target| only.as_ref().is_none_or(|only| only == target))
}

/// Of every target the first failure.
fn all_pass(outcomes: Vec<Result<(), String>>) {
    let failed: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn every_committed_input_passes() {
    let only = std::env::var("ANNALS_INPUT").ok();
    let of = |target: &'static str| {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target);
        let mut count = 0;
        for entry in std::fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display())) {
            let path = entry.unwrap().path();
            if only.as_ref().is_none_or(|only| path.ends_with(only)) {
                let name = format!("{target}/{}", path.file_name().unwrap().to_string_lossy());
                replay(target, &std::fs::read(&path).unwrap(), &format!("ANNALS_INPUT={name}"))?;
                count += 1;
            }
        }
        assert!(count > 0 || only.is_some(), "{target} has no inputs");
        println!("{target}: {count} inputs");
        Ok(())
    };
    all_pass(targets().map(of).collect());
}

#[test]
fn every_drawn_input_passes() {
    let (cases, seed) = (number("ANNALS_CASES", 200), number("ANNALS_SEED", 42));
    let of = |target: &'static str| {
        // The costly ones open logs.
        let cases =
            if matches!(target, "catalog" | "directory" | "model" | "parquet") { cases.div_ceil(8) } else { cases };
        for seed in seed..seed.wrapping_add(cases) {
            replay(target, &drawn(seed), &format!("ANNALS_CASES=1 ANNALS_SEED={seed}"))?;
        }
        println!("{target}: {cases} drawn inputs");
        Ok(())
    };
    all_pass(targets().map(of).collect());
}
