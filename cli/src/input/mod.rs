//! Input streams: NDJSON from files or stdin, decompressed by content, cut into lines with bounded memory.
//!
//! A thread reads, decompresses and cuts at line ends ([`spawn`]); who appends receives [`Piece`]s and never waits on a
//! read without being able to do something else.

mod lines;
mod source;
mod stream;

pub(crate) use lines::{LINE_BYTES_MAX, lines, trim_line_end};
pub(crate) use source::Source;
pub(crate) use stream::{Piece, spawn};
