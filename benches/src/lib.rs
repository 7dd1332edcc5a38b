//! Benchmarks of Annals: seeded workloads, contenders, and programs that measure.
//!
//! `docs/benchmarks.md` of the repository says how to run them and how to read what they print.
#![forbid(unsafe_code)]

pub mod compare;
pub mod contenders;
pub mod items;
pub mod scratch;
pub mod soak;
pub mod system;
pub mod workload;

/// What can go wrong while measuring: anything, and the person who measures reads it.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Shorthand.
pub type Result<T, E = Error> = std::result::Result<T, E>;
