//! Moments: read from records, given on the command line, and printed. docs/cli.md, "Times", states the rules.

mod argument;
mod field;
mod print;
mod value;

pub(crate) use argument::{parse_age, parse_moment, parse_span};
pub(crate) use field::{TimeSource, find_path};
pub(crate) use print::Rfc3339;
