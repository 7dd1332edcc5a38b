//! Compares Annals with other ways to keep events. `compare run --out DIR`, `compare list`; see docs/benchmarks.md.

use std::process::ExitCode;

fn main() -> ExitCode {
    annals_bench::compare::main(&annals_bench::contenders::all())
}
