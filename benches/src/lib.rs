//! Benchmarks of Annals: seeded workloads, and programs that measure.
#![forbid(unsafe_code)]

pub mod workload;
