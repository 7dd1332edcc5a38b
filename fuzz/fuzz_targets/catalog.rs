//! Hands inputs to the target `catalog` of `annals-fuzz-cases`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| annals_fuzz_cases::run("catalog", input));
