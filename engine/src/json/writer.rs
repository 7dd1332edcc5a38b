//! MessagePack to compact JSON text, tagged forms included.

use super::{number, string};
use crate::msgpack::{DEPTH_MAX, EXT_JSON_TOKEN, MsgPackError, Reader, Token};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Appends one MessagePack value to `out` as compact JSON text, without white space or line end.
///
/// What [`to_msgpack`](super::to_msgpack) took comes out as it was. What JSON has no syntax for prints in a tagged
/// form, specified in docs/format.md, "JSON"; a reader of the text can't tell it from an object that was spelled so.
///
/// # Errors
/// `value` is not exactly one well-formed MessagePack value of at most [`DEPTH_MAX`] levels. `out` is then as it was.
///
/// # Example
/// ```
/// let mut text = Vec::new();
/// annals::json::to_json(&[0x82, 0xA1, b'a', 0x01, 0xA1, b'b', 0xC4, 0x01, 0xFF], &mut text)?;
/// assert_eq!(text, br#"{"a":1,"b":{"$binary":"/w=="}}"#);
/// # Ok::<(), annals::msgpack::MsgPackError>(())
/// ```
pub fn to_json(value: &[u8], out: &mut Vec<u8>) -> Result<(), MsgPackError> {
    let start = out.len();
    append_value(value, out).inspect_err(|_| out.truncate(start))
}

/// Almost no map has a key that is not a string, so the first attempt assumes that none has. The second knows which
/// have, in advance: the work is linear however such maps nest.
fn append_value(value: &[u8], out: &mut Vec<u8>) -> Result<(), MsgPackError> {
    let start = out.len();
    match (Writer { reader: Reader::new(value), odd_maps: None, out }).document() {
        Ok(()) => Ok(()),
        Err(Stop::Malformed(error)) => Err(error),
        Err(Stop::OddKey) => {
            out.truncate(start);
            let odd_maps = Some(odd_maps(value)?);
            (Writer { reader: Reader::new(value), odd_maps, out }).document().map_err(|stop| match stop {
                Stop::Malformed(error) => error,
                // Not reached: every map with such a key is in the list.
                Stop::OddKey => MsgPackError::NotAMap,
            })
        }
    }
}

/// Why the writer stopped.
enum Stop {
    Malformed(MsgPackError),
    /// A map has a key that is not a string, and nobody has said so.
    OddKey,
}

impl From<MsgPackError> for Stop {
    fn from(error: MsgPackError) -> Self {
        Self::Malformed(error)
    }
}

struct Writer<'a, 'o> {
    reader: Reader<'a>,
    /// Where the maps begin that have keys other than strings, in ascending order, once that is known.
    odd_maps: Option<Vec<usize>>,
    out: &'o mut Vec<u8>,
}

impl Writer<'_, '_> {
    fn document(&mut self) -> Result<(), Stop> {
        self.value(0)?;
        Ok(self.reader.finish()?)
    }

    /// The next value, inside `depth` levels of containers.
    fn value(&mut self, depth: usize) -> Result<(), Stop> {
        let offset = self.reader.offset();
        match self.reader.token()? {
            Token::Nil => self.out.extend_from_slice(b"null"),
            Token::Bool(true) => self.out.extend_from_slice(b"true"),
            Token::Bool(false) => self.out.extend_from_slice(b"false"),
            Token::UInt(value) => self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
            Token::Int(value) => self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
            Token::F32(value) => self.float(value.into()),
            Token::F64(value) => self.float(value),
            Token::Str(text) => string::write(text, self.out),
            Token::Bin(bytes) => self.binary(bytes),
            Token::Ext(kind, bytes) => self.extension(kind, bytes),
            Token::Array(_) | Token::Map(_) if depth == DEPTH_MAX => {
                return Err(MsgPackError::TooDeep { offset }.into());
            }
            Token::Array(count) => self.array(count, depth + 1)?,
            Token::Map(count) if self.is_odd(offset) => self.odd_map(count, depth + 1)?,
            Token::Map(count) => self.map(count, depth + 1)?,
        }
        Ok(())
    }

    fn array(&mut self, count: u32, depth: usize) -> Result<(), Stop> {
        self.out.push(b'[');
        for index in 0..count {
            if index > 0 {
                self.out.push(b',');
            }
            self.value(depth)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn map(&mut self, count: u32, depth: usize) -> Result<(), Stop> {
        self.out.push(b'{');
        for index in 0..count {
            if index > 0 {
                self.out.push(b',');
            }
            match self.reader.token()? {
                Token::Str(key) => string::write(key, self.out),
                token if is_key(token) => self.extension_token(token),
                _ => return Err(Stop::OddKey),
            }
            self.out.push(b':');
            self.value(depth)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn odd_map(&mut self, count: u32, depth: usize) -> Result<(), Stop> {
        self.out.extend_from_slice(b"{\"$map\":[");
        for index in 0..count {
            if index > 0 {
                self.out.push(b',');
            }
            self.out.push(b'[');
            self.value(depth)?;
            self.out.push(b',');
            self.value(depth)?;
            self.out.push(b']');
        }
        self.out.extend_from_slice(b"]}");
        Ok(())
    }

    fn is_odd(&self, map_offset: usize) -> bool {
        self.odd_maps.as_ref().is_some_and(|offsets| offsets.binary_search(&map_offset).is_ok())
    }

    /// The shortest decimal that reads back as the same double. It always has a point or an exponent, so that it stays
    /// a float.
    fn float(&mut self, value: f64) {
        if value.is_finite() {
            self.out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
            return;
        }
        let name = match value {
            f64::INFINITY => "Infinity",
            f64::NEG_INFINITY => "-Infinity",
            _ => "NaN",
        };
        self.out.extend_from_slice(b"{\"$float\":\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\"}");
    }

    fn binary(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(b"{\"$binary\":\"");
        self.out.extend_from_slice(BASE64.encode(bytes).as_bytes());
        self.out.extend_from_slice(b"\"}");
    }

    fn extension_token(&mut self, token: Token<'_>) {
        if let Token::Ext(kind, bytes) = token {
            self.extension(kind, bytes);
        }
    }

    fn extension(&mut self, kind: i8, bytes: &[u8]) {
        if kind == EXT_JSON_TOKEN && (number::is_token(bytes) || string::is_token(bytes)) {
            self.out.extend_from_slice(bytes);
            return;
        }
        self.out.extend_from_slice(b"{\"$ext\":[");
        self.out.extend_from_slice(itoa::Buffer::new().format(kind).as_bytes());
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(BASE64.encode(bytes).as_bytes());
        self.out.extend_from_slice(b"\"]}");
    }
}

/// Whether JSON has this token as a key.
fn is_key(token: Token<'_>) -> bool {
    match token {
        Token::Str(_) => true,
        Token::Ext(kind, bytes) => kind == EXT_JSON_TOKEN && string::is_token(bytes),
        _ => false,
    }
}

/// Where the maps begin that have a key which is not a string, in ascending order.
fn odd_maps(value: &[u8]) -> Result<Vec<usize>, MsgPackError> {
    let mut found = Vec::new();
    collect_odd_maps(&mut Reader::new(value), 0, &mut found)?;
    found.sort_unstable();
    Ok(found)
}

fn collect_odd_maps(reader: &mut Reader<'_>, depth: usize, found: &mut Vec<usize>) -> Result<(), MsgPackError> {
    let offset = reader.offset();
    match reader.token()? {
        Token::Array(_) | Token::Map(_) if depth == DEPTH_MAX => return Err(MsgPackError::TooDeep { offset }),
        Token::Array(count) => {
            for _ in 0..count {
                collect_odd_maps(reader, depth + 1, found)?;
            }
        }
        Token::Map(count) => {
            let mut is_odd = false;
            for _ in 0..count {
                is_odd |= !is_key(reader.clone().token()?);
                collect_odd_maps(reader, depth + 1, found)?;
                collect_odd_maps(reader, depth + 1, found)?;
            }
            if is_odd {
                found.push(offset);
            }
        }
        _ => {}
    }
    Ok(())
}
