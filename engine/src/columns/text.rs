//! Taking strings apart: what stays the same in many of them, and the numbers, hashes, ids and times between.

use super::time::TimeFormat;

/// Most digits of a number: its value, with a digit before it, fits an `i64`.
pub(super) const DIGITS_MAX: usize = 17;

/// Most hex digits that are kept as a number; longer runs are kept as bytes.
pub(super) const HEX_NUMBER_MAX: usize = 15;

/// Most hex digits of one part.
const HEX_MAX: usize = 255;

/// What a part of a string is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// Text that is the same wherever the pattern occurs.
    Literal,
    /// Decimal digits.
    Digits,
    /// Hex digits without leading zeros.
    Hex { upper: bool },
    /// Hex digits, so many.
    FixedHex { digits: u8, upper: bool },
    /// 32 hex digits with hyphens after 8, 12, 16 and 20.
    Uuid { upper: bool },
    /// A moment.
    Time(TimeFormat),
    /// A word of letters and digits without a pattern.
    Word,
    /// The text of this column in the same record.
    Ref(u32),
}

/// A part of a string: what it is, and where it lies.
pub(super) type Piece = (Token, usize, usize);

/// The texts of a record that may stand in its other texts.
#[derive(Debug)]
pub(super) struct Mentions {
    bytes: Vec<u8>,
    /// The column of each text, where it lies in `bytes`, and the next with the same beginning.
    texts: Vec<(u32, usize, usize, u16)>,
    heads: [u16; 256],
}

const NONE: u16 = u16::MAX;

impl Default for Mentions {
    fn default() -> Self {
        Self { bytes: Vec::new(), texts: Vec::new(), heads: [NONE; 256] }
    }
}

impl Mentions {
    /// Shorter texts stand in others by chance.
    const BYTES_MIN: usize = 4;

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.texts.clear();
        self.heads = [NONE; 256];
    }

    /// Adds the text of `column`; only the first of a column counts.
    pub(super) fn add(&mut self, column: u32, text: &[u8]) {
        let is_there = self.texts.iter().any(|known| known.0 == column);
        if text.len() < Self::BYTES_MIN || is_there || self.texts.len() >= usize::from(NONE) {
            return;
        }
        let at = self.bytes.len();
        self.bytes.extend_from_slice(text);
        let head = &mut self.heads[Self::bucket(text)];
        self.texts.push((column, at, at + text.len(), *head));
        *head = (self.texts.len() - 1) as u16;
    }

    fn bucket(text: &[u8]) -> usize {
        let first = text.first_chunk::<4>().copied().unwrap_or_default();
        (u32::from_le_bytes(first).wrapping_mul(0x9E37_79B1) >> 24) as usize
    }

    /// The longest text that `text` goes on with at `at` and that ends where a word does.
    fn longest(&self, text: &[u8], at: usize) -> Option<(u32, usize)> {
        let rest = &text[at..];
        if rest.len() < Self::BYTES_MIN {
            return None;
        }
        let (mut best, mut next) = (None, self.heads[Self::bucket(rest)]);
        while next != NONE {
            let (column, from, to, after) = self.texts[usize::from(next)];
            let own = &self.bytes[from..to];
            let longer = best.is_none_or(|(other, len)| own.len() > len || (own.len() == len && column < other));
            if longer && rest.starts_with(own) && ends_word(rest, own.len()) {
                best = Some((column, own.len()));
            }
            next = after;
        }
        best
    }
}

fn ends_word(text: &[u8], at: usize) -> bool {
    !(text[at - 1].is_ascii_alphanumeric() && text.get(at).is_some_and(u8::is_ascii_alphanumeric))
}

/// Takes `text` apart, in place of what is in `out`.
pub(super) fn pieces(text: &[u8], refs: Option<&Mentions>, out: &mut Vec<Piece>) {
    out.clear();
    let (mut at, mut literal) = (0, 0);
    while at < text.len() {
        if let Some((column, len)) = refs.and_then(|refs| refs.longest(text, at)) {
            put(out, &mut literal, (Token::Ref(column), at, at + len));
            at += len;
        } else if text[at].is_ascii_alphanumeric() {
            at = word(text, at, &mut literal, out);
        } else {
            at += 1;
        }
    }
    if literal < text.len() {
        out.push((Token::Literal, literal, text.len()));
    }
}

/// Adds a piece after the literal text before it.
fn put(out: &mut Vec<Piece>, literal: &mut usize, piece: Piece) {
    if *literal < piece.1 {
        out.push((Token::Literal, *literal, piece.1));
    }
    *literal = piece.2;
    out.push(piece);
}

/// Takes the word at `at` apart; returns where it ends.
fn word(text: &[u8], at: usize, literal: &mut usize, out: &mut Vec<Piece>) -> usize {
    let rest = &text[at..];
    let len = rest.iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(rest.len());
    let own = &rest[..len];
    if own.iter().all(|byte| !byte.is_ascii_digit()) && len != 8 {
        return at + len;
    }
    if len == 4
        && let Some((format, bytes)) = TimeFormat::find(rest)
    {
        put(out, literal, (Token::Time(format), at, at + bytes));
        return at + bytes;
    }
    if len == 8
        && let Some(upper) = uuid(rest)
    {
        put(out, literal, (Token::Uuid { upper }, at, at + 36));
        return at + 36;
    }
    if own.iter().all(u8::is_ascii_digit) && len <= DIGITS_MAX {
        put(out, literal, (Token::Digits, at, at + len));
        return at + len;
    }
    if let Some(digits) = own.strip_prefix(b"0x").filter(|digits| !digits.is_empty())
        && let Some(upper) = hex_case(digits)
        && digits.len() <= HEX_MAX
    {
        let token = match digits.len() <= HEX_NUMBER_MAX && (digits[0] != b'0' || digits.len() == 1) {
            true => Token::Hex { upper },
            false => Token::FixedHex { digits: digits.len() as u8, upper },
        };
        put(out, literal, (token, at + 2, at + len));
        return at + len;
    }
    if (8..=HEX_MAX).contains(&len)
        && own.iter().any(u8::is_ascii_digit)
        && let Some(upper) = hex_case(own)
    {
        put(out, literal, (Token::FixedHex { digits: len as u8, upper }, at, at + len));
        return at + len;
    }
    mixed(own, at, literal, out);
    at + len
}

/// A word of letters and digits: `user0042` has a number in it, `x7Gq2` is a word without a pattern.
fn mixed(own: &[u8], at: usize, literal: &mut usize, out: &mut Vec<Piece>) {
    let changes = own.windows(2).filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit()).count();
    if changes > 1 || own.len() > 4 * DIGITS_MAX {
        put(out, literal, (Token::Word, at, at + own.len()));
        return;
    }
    let from = own.iter().position(u8::is_ascii_digit).unwrap_or(own.len());
    let len = own[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if (1..=DIGITS_MAX).contains(&len) {
        put(out, literal, (Token::Digits, at + from, at + from + len));
    } else if len > 0 {
        put(out, literal, (Token::Word, at, at + own.len()));
    }
}

/// Whether all of `digits` are hex digits of one case: upper case, if it is known.
fn hex_case(digits: &[u8]) -> Option<bool> {
    let lower = digits.iter().any(|byte| matches!(byte, b'a'..=b'f'));
    let upper = digits.iter().any(|byte| matches!(byte, b'A'..=b'F'));
    (digits.iter().all(u8::is_ascii_hexdigit) && !(lower && upper)).then_some(upper)
}

/// Whether `text` begins with a UUID, and then whether it is in upper case.
fn uuid(text: &[u8]) -> Option<bool> {
    let text = text.first_chunk::<36>()?;
    let mut digits = [0; 32];
    if [8, 13, 18, 23].iter().any(|at| text[*at] != b'-') {
        return None;
    }
    for (to, range) in [(0, 0..8), (8, 9..13), (12, 14..18), (16, 19..23), (20, 24..36)] {
        let len = range.len();
        digits[to..to + len].copy_from_slice(&text[range]);
    }
    hex_case(&digits)
}

/// The bytes of hex digits, two digits each; the last alone if their number is odd. Hyphens are left out.
pub(super) fn parse_hex(text: &[u8], out: &mut Vec<u8>) {
    let value = |byte: u8| (byte as char).to_digit(16).unwrap_or(0) as u8;
    let mut digits = text.iter().copied().filter(|byte| *byte != b'-');
    while let Some(high) = digits.next() {
        out.push(match digits.next() {
            Some(low) => value(high) << 4 | value(low),
            None => value(high),
        });
    }
}

/// Prints `digits` hex digits of `bytes`, as [`parse_hex`] read them.
pub(super) fn print_hex(bytes: &[u8], digits: usize, upper: bool, out: &mut Vec<u8>) {
    let table: &[u8; 16] = if upper { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
    for (n, byte) in bytes.iter().enumerate() {
        if 2 * n + 1 < digits {
            out.push(table[usize::from(byte >> 4)]);
        }
        out.push(table[usize::from(byte & 15)]);
    }
}

/// Prints a UUID of these 16 bytes.
pub(super) fn print_uuid(bytes: &[u8], upper: bool, out: &mut Vec<u8>) {
    let mut from = 0;
    for (n, to) in [4, 6, 8, 10, 16].into_iter().enumerate() {
        if n > 0 {
            out.push(b'-');
        }
        print_hex(bytes.get(from..to).unwrap_or_default(), 2 * (to - from), upper, out);
        from = to;
    }
}

/// The value of decimal digits, of which there are at most [`DIGITS_MAX`].
pub(super) fn parse_digits(digits: &[u8]) -> i64 {
    digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'))
}

/// The value of hex digits, of which there are at most [`HEX_NUMBER_MAX`].
pub(super) fn parse_hex_number(digits: &[u8]) -> i64 {
    digits.iter().fold(0, |value, digit| value << 4 | i64::from((*digit as char).to_digit(16).unwrap_or(0)))
}

/// Prints `value` in decimal with leading zeros up to `width` digits. Not for negative numbers.
pub(super) fn print_digits(value: i64, width: usize, out: &mut Vec<u8>) {
    let (mut digits, mut rest, mut at) = ([b'0'; 20], value.max(0) as u64, 20);
    while rest > 0 || at == 20 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits[at.min(20 - width.min(20))..]);
}

/// Prints `value` in hex with leading zeros up to `width` digits.
pub(super) fn print_hex_number(value: i64, width: usize, upper: bool, out: &mut Vec<u8>) {
    let table: &[u8; 16] = if upper { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
    let (mut digits, mut rest, mut at) = ([b'0'; 16], value as u64, 16);
    while rest > 0 || at == 16 {
        at -= 1;
        digits[at] = table[(rest & 15) as usize];
        rest >>= 4;
    }
    out.extend_from_slice(&digits[at.min(16 - width.min(16))..]);
}
