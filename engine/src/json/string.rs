//! JSON strings: where the plain stretches end, what an escape stands for, and how text is written back.

use hifijson::escape::Lex as _;
use hifijson::{Read as _, SliceLexer};

/// How many bytes at the start of `bytes` can stand in a JSON string as they are: up to the first quote, backslash or
/// control character, or all of them. Eight bytes at a time (Mycroft's zero-byte test; the lowest hit is exact).
#[inline]
pub(super) fn plain_len(bytes: &[u8]) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return index * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    words.len() * 8 + tail.iter().position(|&byte| is_special(byte)).unwrap_or(tail.len())
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..=0x1F)
}

/// The high bit of the lowest special byte, and perhaps of bytes above it.
#[inline]
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let below_space = word.wrapping_sub(ONES * 0x20) & !word;
    let is_quote = quote.wrapping_sub(ONES) & !quote;
    let is_backslash = backslash.wrapping_sub(ONES) & !backslash;
    (below_space | is_quote | is_backslash) & HIGH
}

/// What an escape sequence stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escaped {
    Char(char),
    /// Half of a surrogate pair without its other half: no character, but JSON's grammar allows it.
    LoneSurrogate(u16),
}

/// Reads an escape sequence whose backslash was taken. `None` if it is none; the lexer is then somewhere inside it.
pub(super) fn escaped(lexer: &mut SliceLexer<'_>) -> Option<Escaped> {
    let kind = lexer.take_next()?;
    if kind != b'u' {
        return lexer.escape(kind).ok().map(Escaped::Char);
    }
    let unit = lexer.hex::<u16>().ok()?;
    if let Some(char) = char::from_u32(unit.into()) {
        return Some(Escaped::Char(char));
    }
    // Only the two halves together are a character. A bad escape after this one is found when its turn comes.
    let mut ahead = SliceLexer::new(lexer.as_slice());
    if ahead.strip_prefix(b"\\u")
        && let Ok(low) = ahead.hex::<u16>()
        && let Some(Ok(char)) = char::decode_utf16([unit, low]).next()
    {
        *lexer = ahead;
        return Some(Escaped::Char(char));
    }
    Some(Escaped::LoneSurrogate(unit))
}

/// Appends `text` as a JSON string, escaping only what has to be.
pub(super) fn write(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let plain = plain_len(rest);
        out.extend_from_slice(&rest[..plain]);
        match rest.get(plain) {
            None => break,
            Some(&byte) => write_escape(byte, out),
        }
        rest = &rest[plain + 1..];
    }
    out.push(b'"');
}

/// The canonical token of a string with lone surrogates: escapes only where they have to be, hex digits in lower case,
/// so that equal strings have equal tokens. `token` begins at its opening quote and was lexed before.
pub(super) fn canonical_token(token: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    let mut lexer = SliceLexer::new(token);
    lexer.take_next();
    loop {
        let rest = lexer.as_slice();
        let plain = plain_len(rest);
        out.extend_from_slice(&rest[..plain]);
        lexer = SliceLexer::new(&rest[plain..]);
        match lexer.take_next() {
            Some(b'\\') => match escaped(&mut lexer) {
                Some(Escaped::Char(char)) => write_char(char, &mut out),
                Some(Escaped::LoneSurrogate(unit)) => write_unit(unit, &mut out),
                None => break,
            },
            _ => break,
        }
    }
    out.push(b'"');
    out
}

/// Whether `token` is one JSON string with its quotes, and nothing else.
pub(super) fn is_token(token: &[u8]) -> bool {
    let Some((b'"', rest)) = token.split_first() else { return false };
    if std::str::from_utf8(rest).is_err() {
        return false;
    }
    let mut lexer = SliceLexer::new(rest);
    loop {
        let rest = lexer.as_slice();
        lexer = SliceLexer::new(&rest[plain_len(rest)..]);
        match lexer.take_next() {
            Some(b'"') => return lexer.as_slice().is_empty(),
            Some(b'\\') if escaped(&mut lexer).is_some() => {}
            _ => return false,
        }
    }
}

fn write_char(char: char, out: &mut Vec<u8>) {
    match u8::try_from(char) {
        Ok(byte) if is_special(byte) => write_escape(byte, out),
        _ => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    let letter = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x09 => b't',
        0x0A => b'n',
        0x0C => b'f',
        0x0D => b'r',
        _ => return write_unit(byte.into(), out),
    };
    out.extend_from_slice(&[b'\\', letter]);
}

fn write_unit(unit: u16, out: &mut Vec<u8>) {
    const HEX: [u8; 16] = *b"0123456789abcdef";
    let digit = |shift: u32| HEX[usize::from(unit >> shift & 0xF)];
    out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
}
