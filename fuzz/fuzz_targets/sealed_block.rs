//! Hands inputs to the target `sealed_block` of `annals-fuzz-cases`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| annals_fuzz_cases::run("sealed_block", input));
