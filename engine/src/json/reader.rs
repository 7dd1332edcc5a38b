//! JSON text to MessagePack, straight from the lexer: no tree in between.

use super::emit::{Container, Emitter};
use super::error::{Found, JsonError};
use super::number;
use super::string::{self, Escaped};
use crate::msgpack::DEPTH_MAX;
use hifijson::num::Lex as _;
use hifijson::token::Lex as _;
use hifijson::{Read as _, SliceLexer};

/// Appends one JSON object to `out` as a MessagePack map that [`to_json`](super::to_json) gives back without loss.
///
/// `text` is exactly one object in strict [RFC 8259](https://www.rfc-editor.org/rfc/rfc8259) grammar, in UTF-8, with
/// white space around it allowed. How each value is represented is specified in docs/format.md, "JSON".
///
/// # Errors
/// The first thing that is wrong with `text`, and where. `out` is then as it was.
///
/// # Example
/// ```
/// let mut body = Vec::new();
/// annals::json::to_msgpack(br#"{"a": [1, null]}"#, &mut body)?;
/// assert_eq!(body, [0x81, 0xA1, b'a', 0x92, 0x01, 0xC0]);
///
/// let error = annals::json::to_msgpack(br#"{"a": 1 "b": 2}"#, &mut body).unwrap_err();
/// assert_eq!(error.to_string(), "byte 8: expected ',' or '}', found '\"'");
/// # Ok::<(), annals::json::JsonError>(())
/// ```
pub fn to_msgpack(text: &[u8], out: &mut Vec<u8>) -> Result<(), JsonError> {
    let start = out.len();
    append_object(text, out).inspect_err(|_| out.truncate(start))
}

fn append_object(text: &[u8], out: &mut Vec<u8>) -> Result<(), JsonError> {
    if text.starts_with(b"\xEF\xBB\xBF") {
        return Err(JsonError::ByteOrderMark);
    }
    if u32::try_from(text.len()).is_err() {
        return Err(JsonError::TooLarge { len: text.len() });
    }
    let text = std::str::from_utf8(text).map_err(|error| JsonError::NotUtf8 { offset: error.valid_up_to() })?;
    out.reserve(text.len());
    let mut reader = Reader { text, lexer: SliceLexer::new(text.as_bytes()), emitter: Emitter::new(out) };
    reader.document()?;
    reader.emitter.finish();
    Ok(())
}

struct Reader<'a, 'o> {
    text: &'a str,
    lexer: SliceLexer<'a>,
    emitter: Emitter<'o>,
}

impl Reader<'_, '_> {
    fn document(&mut self) -> Result<(), JsonError> {
        match self.lexer.ws_peek() {
            Some(b'{') => self.object(1)?,
            _ => return Err(self.unexpected("a JSON object ('{')")),
        }
        match self.lexer.ws_peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end of the line after the object")),
        }
    }

    /// The value that the lexer stands at, inside `depth` levels of containers.
    fn value(&mut self, depth: usize) -> Result<(), JsonError> {
        match self.lexer.ws_peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b't' | b'f' | b'n') => self.literal(),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), JsonError> {
        let header = self.open(depth)?;
        let mut count = 0;
        if self.lexer.ws_peek() == Some(b'}') {
            self.lexer.take_next();
            self.emitter.close(header, Container::Map, count);
            return Ok(());
        }
        loop {
            match self.lexer.ws_peek() {
                Some(b'"') => self.string()?,
                _ if count == 0 => return Err(self.unexpected("a key in quotes or '}'")),
                _ => return Err(self.unexpected("a key in quotes after ','")),
            }
            match self.lexer.ws_peek() {
                Some(b':') => self.lexer.take_next(),
                _ => return Err(self.unexpected("':' after the key")),
            };
            self.value(depth)?;
            count += 1;
            if self.ends(b'}', "',' or '}'")? {
                break;
            }
        }
        self.emitter.close(header, Container::Map, count);
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), JsonError> {
        let header = self.open(depth)?;
        let mut count = 0;
        if self.lexer.ws_peek() == Some(b']') {
            self.lexer.take_next();
            self.emitter.close(header, Container::Array, count);
            return Ok(());
        }
        loop {
            self.value(depth)?;
            count += 1;
            if self.ends(b']', "',' or ']'")? {
                break;
            }
        }
        self.emitter.close(header, Container::Array, count);
        Ok(())
    }

    fn open(&mut self, depth: usize) -> Result<usize, JsonError> {
        if depth > DEPTH_MAX {
            return Err(JsonError::TooDeep { offset: self.offset() });
        }
        self.lexer.take_next();
        Ok(self.emitter.open())
    }

    /// Whether the container ends after the element just read, or goes on after a comma.
    #[inline]
    fn ends(&mut self, end: u8, expected: &'static str) -> Result<bool, JsonError> {
        match self.lexer.ws_peek() {
            Some(byte) if byte == end || byte == b',' => {
                self.lexer.take_next();
                Ok(byte == end)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    fn literal(&mut self) -> Result<(), JsonError> {
        let start = self.offset();
        match self.lexer.null_or_bool() {
            Some(None) => self.emitter.nil(),
            Some(Some(value)) => self.emitter.bool(value),
            None => return Err(self.unexpected_at(start, "a value (true, false or null are spelled so)")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.offset();
        let Ok(parts) = self.lexer.num_ignore().validate() else {
            return Err(self.unexpected("a digit"));
        };
        if self.lexer.peek_next().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(self.unexpected("no digit after a leading zero"));
        }
        number::emit(&self.text[start..self.offset()], &parts, &mut self.emitter);
        Ok(())
    }

    #[inline]
    fn string(&mut self) -> Result<(), JsonError> {
        let rest = &self.lexer.as_slice()[1..];
        let plain = string::plain_len(rest);
        if rest.get(plain) == Some(&b'"') {
            self.emitter.str(&rest[..plain]);
            self.lexer = SliceLexer::new(&rest[plain + 1..]);
            return Ok(());
        }
        self.string_with_escapes()
    }

    fn string_with_escapes(&mut self) -> Result<(), JsonError> {
        let start = self.offset();
        let open = self.emitter.open_str();
        let mut is_text = true;
        self.lexer.take_next();
        loop {
            let rest = self.lexer.as_slice();
            let plain = string::plain_len(rest);
            self.emitter.str_piece(&rest[..plain]);
            self.lexer = SliceLexer::new(&rest[plain..]);
            let offset = self.offset();
            match self.lexer.take_next() {
                Some(b'"') => break,
                Some(b'\\') => match string::escaped(&mut self.lexer) {
                    Some(Escaped::Char(char)) => self.emitter.str_char(char),
                    Some(Escaped::LoneSurrogate(_)) => is_text = false,
                    None => return Err(JsonError::BadEscape { offset }),
                },
                Some(byte) => return Err(JsonError::ControlCharacter { offset, byte }),
                None => return Err(JsonError::UnterminatedString { offset: start }),
            }
        }
        if is_text {
            self.emitter.close_str(open);
        } else {
            self.emitter.abandon_str(open);
            let token = &self.text.as_bytes()[start..self.offset()];
            self.emitter.json_token(&string::canonical_token(token));
        }
        Ok(())
    }

    fn offset(&self) -> usize {
        self.text.len() - self.lexer.as_slice().len()
    }

    #[cold]
    fn unexpected(&self, expected: &'static str) -> JsonError {
        self.unexpected_at(self.offset(), expected)
    }

    #[cold]
    fn unexpected_at(&self, offset: usize, expected: &'static str) -> JsonError {
        let found = self.text.get(offset..).and_then(|rest| rest.chars().next()).map_or(Found::End, Found::Char);
        JsonError::Unexpected { offset, expected, found }
    }
}
