//! Appends at a steady rate for a long time, beside readers and sealing. `docs/benchmarks.md`, "The soak".

use std::process::ExitCode;

fn main() -> ExitCode {
    annals_bench::soak::main()
}
