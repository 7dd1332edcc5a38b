//! The program `annals`.
#![forbid(unsafe_code)]
fn main() {}
