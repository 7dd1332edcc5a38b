//! Benchmarks of Annals.
#![forbid(unsafe_code)]
