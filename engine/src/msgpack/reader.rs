//! The pull reader: one token at a time, borrowed from the slice.

use super::{DEPTH_MAX, MsgPackError};
use rmp::Marker;

/// One MessagePack token. Arrays and maps announce how many elements or pairs follow as tokens of their own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Token<'a> {
    /// nil
    Nil,
    /// A boolean.
    Bool(bool),
    /// An integer that is not negative, from either family of integer markers.
    UInt(u64),
    /// A negative integer.
    Int(i64),
    /// A 32-bit float.
    F32(f32),
    /// A 64-bit float.
    F64(f64),
    /// A string, checked to be UTF-8.
    Str(&'a str),
    /// Binary data.
    Bin(&'a [u8]),
    /// An array of so many values, which follow.
    Array(u32),
    /// A map of so many pairs, which follow as key, value, key, value.
    Map(u32),
    /// An extension value: its type and its bytes.
    Ext(i8, &'a [u8]),
}

/// Maps and arrays that are nested less deep are skipped without a table of what is owed at each level.
const SHALLOW_LEVELS: u32 = 3;

/// Reads tokens from a slice. Never reads past its end and never allocates.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// A reader that has read the first `offset` bytes.
    pub(super) fn at(bytes: &'a [u8], offset: usize) -> Self {
        Self { bytes, offset }
    }

    /// How many bytes have been read.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The bytes from here to where `later` stands, which has read on from here.
    pub(crate) fn until(&self, later: &Self) -> &'a [u8] {
        self.bytes.get(self.offset..later.offset).unwrap_or_default()
    }

    /// Whether the next value is a map. `false` at the end of the bytes.
    pub fn peek_is_map(&self) -> bool {
        self.bytes.get(self.offset).is_some_and(|&byte| matches!(byte, 0x80..=0x8F | 0xDE | 0xDF))
    }

    /// Reads past `encoded` if that is what comes next: one or more whole values, as somebody encoded them.
    #[inline]
    pub fn skip_if(&mut self, encoded: &[u8]) -> bool {
        let comes = self.bytes[self.offset..].starts_with(encoded);
        if comes {
            self.offset += encoded.len();
        }
        comes
    }

    /// Reads the next token.
    ///
    /// # Errors
    /// [`MsgPackError::Truncated`], [`MsgPackError::ReservedMarker`] or [`MsgPackError::NotUtf8`]; the reader then
    /// stays where it was.
    pub fn token(&mut self) -> Result<Token<'a>, MsgPackError> {
        let start = self.offset;
        self.token_at().inspect_err(|_| self.offset = start)
    }

    /// Reads past one whole value and returns its bytes.
    ///
    /// # Errors
    /// As [`Reader::token`], and [`MsgPackError::TooDeep`].
    pub fn skip_value(&mut self) -> Result<&'a [u8], MsgPackError> {
        let start = self.offset;
        if self.skip_plain() || self.skip_shallow(SHALLOW_LEVELS) {
            return Ok(&self.bytes[start..self.offset]);
        }
        self.skip_nested()
    }

    /// Skips a small map or array that has only plain values, or such maps and arrays, nested for so many levels more; of
    /// anything else skips nothing.
    fn skip_shallow(&mut self, levels: u32) -> bool {
        let start = self.offset;
        let values = match self.bytes.get(start) {
            Some(marker @ 0x80..=0x8F) => 2 * (marker & 0x0F),
            Some(marker @ 0x90..=0x9F) => marker & 0x0F,
            _ => return false,
        };
        self.offset += 1;
        for _ in 0..values {
            if !self.skip_plain() && (levels == 0 || !self.skip_shallow(levels - 1)) {
                self.offset = start;
                return false;
            }
        }
        true
    }

    /// As [`Reader::skip_value`], of what may have values in it.
    fn skip_nested(&mut self) -> Result<&'a [u8], MsgPackError> {
        let start = self.offset;
        // Values still owed at each open level; a map owes two for each pair.
        let mut owed = [0u64; DEPTH_MAX];
        let mut depth = 0;
        loop {
            let token_offset = self.offset;
            let children = match self.skip_plain() {
                true => None,
                false => match self.token()? {
                    Token::Array(len) => Some(u64::from(len)),
                    Token::Map(len) => Some(2 * u64::from(len)),
                    _ => None,
                },
            };
            if let Some(children) = children {
                if depth == DEPTH_MAX {
                    return Err(MsgPackError::TooDeep { offset: token_offset });
                }
                owed[depth] = children;
                depth += 1;
            }
            while depth > 0 && owed[depth - 1] == 0 {
                depth -= 1;
            }
            match depth {
                0 => return Ok(&self.bytes[start..self.offset]),
                _ => owed[depth - 1] -= 1,
            }
        }
    }

    /// Checks that nothing follows what was read.
    ///
    /// # Errors
    /// [`MsgPackError::TrailingBytes`].
    pub fn finish(&self) -> Result<(), MsgPackError> {
        match self.bytes.len() - self.offset {
            0 => Ok(()),
            extra => Err(MsgPackError::TrailingBytes { offset: self.offset, extra }),
        }
    }

    /// Skips a number, a boolean, nil or a short string in ASCII, which most values are. Whatever else comes next, or is
    /// wrong, is left to [`Reader::token`].
    #[inline(always)]
    fn skip_plain(&mut self) -> bool {
        let rest = &self.bytes[self.offset..];
        let Some(&marker) = rest.first() else { return false };
        let (header, text) = match marker {
            0x00..=0x7F | 0xE0..=0xFF | 0xC0 | 0xC2 | 0xC3 => (1, 0),
            0xCC | 0xD0 => (2, 0),
            0xCD | 0xD1 => (3, 0),
            0xCA | 0xCE | 0xD2 => (5, 0),
            0xCB | 0xCF | 0xD3 => (9, 0),
            0xA0..=0xBF => (1, usize::from(marker - 0xA0)),
            0xD9 => (2, rest.get(1).map_or(0, |&len| len.into())),
            _ => return false,
        };
        let is_plain = rest.get(header..header + text).is_some_and(<[u8]>::is_ascii);
        self.offset += if is_plain { header + text } else { 0 };
        is_plain
    }

    fn token_at(&mut self) -> Result<Token<'a>, MsgPackError> {
        let start = self.offset;
        let token = match Marker::from_u8(self.array::<1>(start)?[0]) {
            Marker::Null => Token::Nil,
            Marker::True => Token::Bool(true),
            Marker::False => Token::Bool(false),
            Marker::FixPos(value) => Token::UInt(value.into()),
            Marker::FixNeg(value) => Token::Int(value.into()),
            Marker::U8 => Token::UInt(self.array::<1>(start)?[0].into()),
            Marker::U16 => Token::UInt(u16::from_be_bytes(self.array(start)?).into()),
            Marker::U32 => Token::UInt(u32::from_be_bytes(self.array(start)?).into()),
            Marker::U64 => Token::UInt(u64::from_be_bytes(self.array(start)?)),
            Marker::I8 => signed(i8::from_be_bytes(self.array(start)?).into()),
            Marker::I16 => signed(i16::from_be_bytes(self.array(start)?).into()),
            Marker::I32 => signed(i32::from_be_bytes(self.array(start)?).into()),
            Marker::I64 => signed(i64::from_be_bytes(self.array(start)?)),
            Marker::F32 => Token::F32(f32::from_be_bytes(self.array(start)?)),
            Marker::F64 => Token::F64(f64::from_be_bytes(self.array(start)?)),
            Marker::FixStr(len) => self.str(start, len.into())?,
            Marker::Str8 => {
                let len = self.len8(start)?;
                self.str(start, len)?
            }
            Marker::Str16 => {
                let len = self.len16(start)?;
                self.str(start, len)?
            }
            Marker::Str32 => {
                let len = self.len32(start)?;
                self.str(start, len)?
            }
            Marker::Bin8 => {
                let len = self.len8(start)?;
                Token::Bin(self.take(start, len)?)
            }
            Marker::Bin16 => {
                let len = self.len16(start)?;
                Token::Bin(self.take(start, len)?)
            }
            Marker::Bin32 => {
                let len = self.len32(start)?;
                Token::Bin(self.take(start, len)?)
            }
            Marker::FixArray(len) => Token::Array(self.elements(start, len.into(), 1)?),
            Marker::Array16 => {
                let len = self.len16(start)?;
                Token::Array(self.elements(start, len, 1)?)
            }
            Marker::Array32 => {
                let len = self.len32(start)?;
                Token::Array(self.elements(start, len, 1)?)
            }
            Marker::FixMap(len) => Token::Map(self.elements(start, len.into(), 2)?),
            Marker::Map16 => {
                let len = self.len16(start)?;
                Token::Map(self.elements(start, len, 2)?)
            }
            Marker::Map32 => {
                let len = self.len32(start)?;
                Token::Map(self.elements(start, len, 2)?)
            }
            Marker::FixExt1 => self.ext(start, 1)?,
            Marker::FixExt2 => self.ext(start, 2)?,
            Marker::FixExt4 => self.ext(start, 4)?,
            Marker::FixExt8 => self.ext(start, 8)?,
            Marker::FixExt16 => self.ext(start, 16)?,
            Marker::Ext8 => {
                let len = self.len8(start)?;
                self.ext(start, len)?
            }
            Marker::Ext16 => {
                let len = self.len16(start)?;
                self.ext(start, len)?
            }
            Marker::Ext32 => {
                let len = self.len32(start)?;
                self.ext(start, len)?
            }
            Marker::Reserved => return Err(MsgPackError::ReservedMarker { offset: start }),
        };
        Ok(token)
    }

    fn take(&mut self, start: usize, len: usize) -> Result<&'a [u8], MsgPackError> {
        let end = self.offset.checked_add(len).ok_or(MsgPackError::Truncated { offset: start })?;
        let taken = self.bytes.get(self.offset..end).ok_or(MsgPackError::Truncated { offset: start })?;
        self.offset = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, start: usize) -> Result<[u8; N], MsgPackError> {
        let taken = self.take(start, N)?;
        Ok(std::array::from_fn(|i| taken[i]))
    }

    fn len8(&mut self, start: usize) -> Result<usize, MsgPackError> {
        Ok(self.array::<1>(start)?[0].into())
    }

    fn len16(&mut self, start: usize) -> Result<usize, MsgPackError> {
        Ok(u16::from_be_bytes(self.array(start)?).into())
    }

    fn len32(&mut self, start: usize) -> Result<usize, MsgPackError> {
        usize::try_from(u32::from_be_bytes(self.array(start)?)).map_err(|_| MsgPackError::Truncated { offset: start })
    }

    /// A count of elements that need at least `bytes_each` bytes apiece, checked against the bytes that are left.
    fn elements(&self, start: usize, count: usize, bytes_each: usize) -> Result<u32, MsgPackError> {
        if count > (self.bytes.len() - self.offset) / bytes_each {
            return Err(MsgPackError::Truncated { offset: start });
        }
        u32::try_from(count).map_err(|_| MsgPackError::Truncated { offset: start })
    }

    fn str(&mut self, start: usize, len: usize) -> Result<Token<'a>, MsgPackError> {
        let bytes = self.take(start, len)?;
        std::str::from_utf8(bytes).map(Token::Str).map_err(|_| MsgPackError::NotUtf8 { offset: start })
    }

    fn ext(&mut self, start: usize, len: usize) -> Result<Token<'a>, MsgPackError> {
        let kind = i8::from_be_bytes(self.array(start)?);
        Ok(Token::Ext(kind, self.take(start, len)?))
    }
}

/// One value, one token: an integer that is not negative is [`Token::UInt`] whichever marker wrote it.
fn signed<'a>(value: i64) -> Token<'a> {
    u64::try_from(value).map_or(Token::Int(value), Token::UInt)
}
