//! What the fuzz targets do, as functions of bytes: libFuzzer calls them through `fuzz_targets/`, and `tests/replay.rs`
//! calls them on stable with the committed corpora.
//!
//! The bytes are drawn from ([`draw`]) and become a file of a log with right checksums, written here by the page of the
//! format alone ([`forge`]), of which some fields are then damaged, with the checksums over them repaired or not. So what
//! stands behind a checksum is reached. Each case checks what has to be true of the outcome, and runs within limits of
//! memory and time ([`limits`]).

mod catalog;
mod columns;
mod condition;
mod directory;
mod draw;
mod fields;
mod fixture;
mod footer;
mod forge;
mod frame;
mod identity;
mod index;
mod json;
mod limits;
mod model;
mod ndjson;
#[cfg(feature = "parquet")]
mod parquet;
mod record;
mod sealed_block;
mod shape;
mod timestamp;

/// A target: its name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets but the canary, which has to fail.
pub const TARGETS: &[Target] = &[
    ("catalog", catalog::case),
    ("columns", columns::case),
    ("condition", condition::case),
    ("directory", directory::case),
    ("fields", fields::case),
    ("footer", footer::case),
    ("frame", frame::case),
    ("identity", identity::case),
    ("index", index::case),
    ("json", json::case),
    ("model", model::case),
    ("ndjson", ndjson::case),
    #[cfg(feature = "parquet")]
    ("parquet", parquet::case),
    ("record", record::case),
    ("sealed_block", sealed_block::case),
    ("shape", shape::case),
    ("timestamp", timestamp::case),
];

/// Runs the target `name` on `input`.
///
/// # Panics
/// If what the target checks is not so, or the case took more than it may.
pub fn run(name: &str, input: &[u8]) {
    let canary: Target = ("canary", frame::canary);
    let target = TARGETS.iter().chain([&canary]).find(|(known, _)| *known == name);
    let (name, case) = target.unwrap_or_else(|| panic!("there is no target {name}"));
    limits::within(name, || case(input));
}
