//! Why a line is not the JSON object it should be, in words an operator can act on.

use crate::msgpack::DEPTH_MAX;
use std::fmt;

/// Why a line is not one JSON object. Offsets count bytes from 0 at the start of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// Something else than the grammar of [RFC 8259](https://www.rfc-editor.org/rfc/rfc8259) allows here.
    #[error("byte {offset}: expected {expected}, found {found}")]
    Unexpected {
        /// Where it is.
        offset: usize,
        /// What would have been right.
        expected: &'static str,
        /// What is there.
        found: Found,
    },
    /// A string that the line ends in the middle of.
    #[error("byte {offset}: the string that begins here has no closing quote")]
    UnterminatedString {
        /// Where the string's opening quote is.
        offset: usize,
    },
    /// A control character inside a string; JSON wants it escaped.
    #[error("byte {offset}: control character 0x{byte:02x} in a string has to be escaped (\\u{byte:04x})")]
    ControlCharacter {
        /// Where it is.
        offset: usize,
        /// The character.
        byte: u8,
    },
    /// A backslash that begins none of JSON's escape sequences.
    #[error(
        "byte {offset}: not an escape sequence; JSON has \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\u with four hex digits"
    )]
    BadEscape {
        /// Where the backslash is.
        offset: usize,
    },
    /// Bytes that are not UTF-8.
    #[error("byte {offset}: not UTF-8; JSON text has to be UTF-8")]
    NotUtf8 {
        /// The first byte that is wrong.
        offset: usize,
    },
    /// A byte order mark before the object.
    #[error("byte 0: the text begins with a byte order mark (EF BB BF); save or convert it as UTF-8 without one")]
    ByteOrderMark,
    /// Objects and arrays nested deeper than [`DEPTH_MAX`].
    #[error("byte {offset}: nested deeper than {DEPTH_MAX} levels")]
    TooDeep {
        /// Where the level too many begins.
        offset: usize,
    },
    /// More text than MessagePack's 32-bit lengths are sure to hold.
    #[error("{len} bytes of JSON are more than a record can hold")]
    TooLarge {
        /// Length of the text in bytes.
        len: usize,
    },
}

impl JsonError {
    /// Where in the line it went wrong, in bytes from 0.
    pub fn offset(&self) -> usize {
        match *self {
            Self::Unexpected { offset, .. }
            | Self::UnterminatedString { offset }
            | Self::ControlCharacter { offset, .. }
            | Self::BadEscape { offset }
            | Self::NotUtf8 { offset }
            | Self::TooDeep { offset } => offset,
            Self::ByteOrderMark | Self::TooLarge { .. } => 0,
        }
    }
}

/// What stands where something else was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The text ends here.
    End,
    /// A character.
    Char(char),
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => f.write_str("the end of the line"),
            Self::Char('\'') => f.write_str("\"'\""),
            Self::Char('"') => f.write_str("'\"'"),
            Self::Char(char) => write!(f, "{char:?}"),
        }
    }
}
