//! JSON text in and out of MessagePack, with nothing lost on the way.
//!
//! [`to_msgpack`] takes one line of NDJSON and writes a record body; [`to_json`] writes the text back: the same keys in
//! the same order (duplicates included), the same types, the same numbers to the last decimal, the same strings. What
//! MessagePack has no type for travels in an extension type, what JSON has no syntax for prints in a tagged form. Both
//! are specified in docs/format.md, "JSON". The lexer underneath is [hifijson](https://docs.rs/hifijson), which interprets
//! neither numbers nor strings and so loses nothing.
//!
//! ```
//! let line = br#"{"user": "ada", "amount": 0.10, "amount": 12345678901234567890123}"#;
//! let mut body = Vec::new();
//! annals::json::to_msgpack(line, &mut body)?;
//!
//! let mut text = Vec::new();
//! annals::json::to_json(&body, &mut text)?;
//! assert_eq!(text, br#"{"user":"ada","amount":0.1,"amount":12345678901234567890123}"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod emit;
mod error;
mod number;
mod reader;
mod string;
#[cfg(test)]
mod tests;
mod writer;

pub use error::{Found, JsonError};
pub use reader::to_msgpack;
pub use writer::to_json;
