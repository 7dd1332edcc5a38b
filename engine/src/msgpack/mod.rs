//! Reading MessagePack without trusting it: a pull reader over a slice, and the check every record body passes.
//!
//! Everything here is pure. Nothing allocates, whatever a length field claims: a string, array or map that could not
//! fit in the bytes that are really there is an error before anything is built from it.

mod fields;
mod reader;

pub(crate) use fields::Fields;
pub use reader::{Reader, Token};

/// Deepest nesting of arrays and maps in a record body; the body's own map is level 1.
pub const DEPTH_MAX: usize = 128;

/// The extension type that carries a JSON token MessagePack has no type for (see docs/format.md, "JSON").
pub const EXT_JSON_TOKEN: i8 = 0x4A;

/// Why bytes are not a MessagePack value this log accepts. Offsets count from the start of the slice that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MsgPackError {
    /// The bytes end inside a value, or a length claims more than is left.
    #[error("MessagePack ends inside a value that begins at byte {offset}")]
    Truncated {
        /// Where the value begins.
        offset: usize,
    },
    /// The marker byte 0xC1, which MessagePack never uses.
    #[error("byte 0xC1 at {offset} is not a MessagePack marker")]
    ReservedMarker {
        /// Where the marker is.
        offset: usize,
    },
    /// A string that is not UTF-8.
    #[error("the MessagePack string at byte {offset} is not UTF-8")]
    NotUtf8 {
        /// Where the string begins.
        offset: usize,
    },
    /// Arrays and maps nested deeper than [`DEPTH_MAX`].
    #[error("MessagePack nests deeper than {DEPTH_MAX} levels at byte {offset}")]
    TooDeep {
        /// Where the level too many begins.
        offset: usize,
    },
    /// The value is complete, and bytes follow it.
    #[error("{extra} bytes follow the MessagePack value that ends at byte {offset}")]
    TrailingBytes {
        /// Where the value ends.
        offset: usize,
        /// How many bytes follow.
        extra: usize,
    },
    /// A record body has to be a map.
    #[error("a record body has to be a MessagePack map")]
    NotAMap,
}

/// Checks that `body` is exactly one well-formed MessagePack map, nested at most [`DEPTH_MAX`] levels.
///
/// # Errors
/// The first thing found wrong, with its offset in `body`.
pub fn validate_body(body: &[u8]) -> Result<(), MsgPackError> {
    let mut reader = Reader::new(body);
    match reader.peek_is_map() {
        true => {}
        false if body.is_empty() => return Err(MsgPackError::Truncated { offset: 0 }),
        false => return Err(MsgPackError::NotAMap),
    }
    reader.skip_value()?;
    reader.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_a_map_and_nothing_else() {
        assert_eq!(validate_body(&[0x80]), Ok(()));
        assert_eq!(validate_body(&[0x81, 0xA1, b'a', 0x01]), Ok(()));
        assert_eq!(validate_body(&[]), Err(MsgPackError::Truncated { offset: 0 }));
        assert_eq!(validate_body(&[0x90]), Err(MsgPackError::NotAMap));
        assert_eq!(validate_body(&[0xC0]), Err(MsgPackError::NotAMap));
        assert_eq!(validate_body(&[0x80, 0x00]), Err(MsgPackError::TrailingBytes { offset: 1, extra: 1 }));
    }

    #[test]
    fn a_claimed_length_beyond_the_bytes_is_truncation() {
        // map32 of 2^32-1 entries, array32 of 2^32-1, str32 and bin32 of 4 GiB, each in a few bytes.
        assert!(validate_body(&[0xDF, 0xFF, 0xFF, 0xFF, 0xFF]).is_err());
        for marker in [0xDD, 0xDB, 0xC6, 0xC9] {
            let body = [0x81, 0xA1, b'a', marker, 0xFF, 0xFF, 0xFF, 0xFF];
            assert_eq!(validate_body(&body), Err(MsgPackError::Truncated { offset: 3 }), "{marker:#x}");
        }
    }

    #[test]
    fn depth_is_capped_without_recursion() {
        let nested = |levels: usize| {
            let mut body = vec![0x81, 0xA1, b'a'];
            body.extend(std::iter::repeat_n(0x91, levels - 1));
            body.push(0xC0);
            body
        };
        assert_eq!(validate_body(&nested(DEPTH_MAX)), Ok(()));
        assert!(matches!(validate_body(&nested(DEPTH_MAX + 1)), Err(MsgPackError::TooDeep { .. })));
        assert!(matches!(validate_body(&nested(1_000_000)), Err(MsgPackError::TooDeep { .. })));
    }

    #[test]
    fn every_single_marker_byte_is_handled() {
        for marker in 0..=255u8 {
            let _ = validate_body(&[0x81, 0xA0, marker]);
            let _ = validate_body(&[marker]);
        }
        assert_eq!(validate_body(&[0x81, 0xA0, 0xC1]), Err(MsgPackError::ReservedMarker { offset: 2 }));
        assert_eq!(validate_body(&[0x81, 0xA1, 0xFF, 0xC0]), Err(MsgPackError::NotUtf8 { offset: 1 }));
    }
}
