//! The text of conditions. The grammar is in docs/query.md.

use super::condition::{Comparison, Condition};
use super::number::Number;
use super::path::FieldPath;
use super::value::{Inner, Value};

/// Longest text of a condition, in bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 1 << 20;

/// Deepest nesting of conditions.
pub(crate) const DEPTH_MAX: usize = 64;

const KEYWORDS: [&str; 9] = ["and", "or", "not", "in", "prefix", "exists", "true", "false", "null"];

/// What is wrong with a condition or a path, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {detail}")]
pub struct ConditionError {
    /// Which character of the text, from 1.
    pub column: usize,
    /// What is wrong there.
    pub detail: String,
}

impl ConditionError {
    pub(super) fn new(column: usize, detail: impl Into<String>) -> Self {
        Self { column, detail: detail.into() }
    }
}

type Parsed<T> = Result<T, ConditionError>;

/// The condition that `text` spells.
pub(super) fn condition(text: &str) -> Parsed<Condition> {
    let mut parser = Parser::new(text)?;
    let condition = parser.any_of(0)?;
    parser.expect_end("`and`, `or` or the end")?;
    Ok(condition)
}

/// The path that `text` spells.
pub(super) fn path(text: &str) -> Parsed<FieldPath> {
    let mut parser = Parser::new(text)?;
    let path = parser.path()?;
    parser.expect_end("a dot or the end")?;
    Ok(path)
}

/// Whether `key` needs no quotes.
pub(super) fn is_bare(key: &str) -> bool {
    key.starts_with(is_key_start) && key.chars().all(is_key_part) && !KEYWORDS.contains(&key)
}

fn is_key_start(character: char) -> bool {
    character.is_alphabetic() || "_@$".contains(character)
}

fn is_key_part(character: char) -> bool {
    is_key_start(character) || character.is_numeric() || character == '-'
}

struct Parser<'a> {
    text: &'a str,
    /// Where the next character stands, in bytes.
    at: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Parsed<Self> {
        match text.len() > TEXT_BYTES_MAX {
            true => Err(ConditionError::new(1, "a condition has at most 1 MiB")),
            false => Ok(Self { text, at: 0 }),
        }
    }

    fn any_of(&mut self, depth: usize) -> Parsed<Condition> {
        self.joined(depth, "or", Self::all_of, Condition::Or)
    }

    fn all_of(&mut self, depth: usize) -> Parsed<Condition> {
        self.joined(depth, "and", Self::one, Condition::And)
    }

    fn joined(
        &mut self,
        depth: usize,
        word: &str,
        part: fn(&mut Self, usize) -> Parsed<Condition>,
        join: fn(Vec<Condition>) -> Condition,
    ) -> Parsed<Condition> {
        let first = part(self, depth)?;
        if !self.take_word(word) {
            return Ok(first);
        }
        let mut all = vec![first, part(self, depth)?];
        while self.take_word(word) {
            all.push(part(self, depth)?);
        }
        Ok(join(all))
    }

    fn one(&mut self, depth: usize) -> Parsed<Condition> {
        self.skip_space();
        if depth == DEPTH_MAX {
            return self.fail("conditions nest at most 64 levels deep");
        }
        if self.take_word("not") {
            return Ok(self.one(depth + 1)?.negated());
        }
        if self.take("(") {
            let inner = self.any_of(depth + 1)?;
            self.expect(")", "`and`, `or` or `)`")?;
            return Ok(inner);
        }
        if self.take_word("exists") {
            self.expect("(", "`(` after `exists`")?;
            let path = self.path()?;
            self.expect(")", "`)`")?;
            return Ok(path.exists());
        }
        let path = self.path()?;
        self.comparison(path)
    }

    fn comparison(&mut self, path: FieldPath) -> Parsed<Condition> {
        use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        // The longer ones first.
        for comparison in [LessOrEqual, GreaterOrEqual, NotEqual, Equal, Less, Greater] {
            if self.take(comparison.symbol()) {
                return Ok(Condition::Compare(path, comparison, self.value()?));
            }
        }
        if self.take_word("prefix") {
            self.skip_space();
            return Ok(Condition::Prefix(path, self.string()?));
        }
        if self.take_word("in") {
            self.expect("(", "`(` after `in`")?;
            let mut values = Vec::new();
            if !self.take(")") {
                values.push(self.value()?);
                while self.take(",") {
                    values.push(self.value()?);
                }
                self.expect(")", "`,` or `)`")?;
            }
            return Ok(Condition::In(path, values));
        }
        self.expected("`=`, `!=`, `<`, `<=`, `>`, `>=`, `in` or `prefix` after the path")
    }

    fn path(&mut self) -> Parsed<FieldPath> {
        self.skip_space();
        let start = self.at;
        let mut keys = vec![self.key()?];
        while self.rest().starts_with('.') {
            self.at += 1;
            keys.push(self.key()?);
        }
        FieldPath::new(keys).map_err(|error| ConditionError::new(self.column(start), error.detail))
    }

    fn key(&mut self) -> Parsed<String> {
        if self.rest().starts_with('"') {
            return self.string();
        }
        let word = self.word();
        if word.is_empty() || !word.starts_with(is_key_start) {
            return self.expected(
                "a path: keys joined by dots, quoted if they have other characters than letters, digits, _, -, @, $",
            );
        }
        if KEYWORDS.contains(&word) {
            return self.fail(format!("`{word}` is a word of the language: quote it to name a field"));
        }
        self.at += word.len();
        Ok(word.to_owned())
    }

    fn value(&mut self) -> Parsed<Value> {
        self.skip_space();
        if self.rest().starts_with('"') {
            return Ok(Value::from(self.string()?));
        }
        for (word, value) in [("null", Value::NULL), ("true", Value::from(true)), ("false", Value::from(false))] {
            if self.take_word(word) {
                return Ok(value);
            }
        }
        let is_part = |character: char| character.is_ascii_alphanumeric() || "+-.".contains(character);
        let len = self.rest().find(|character| !is_part(character)).unwrap_or(self.rest().len());
        let token = &self.rest()[..len];
        match Number::of_literal(token.as_bytes()).filter(Number::has_possible_exponent) {
            Some(number) => {
                self.at += len;
                Ok(Value(Inner::Number(number)))
            }
            None => self.expected("a value: a string in double quotes, a number, true, false or null"),
        }
    }

    /// A JSON string.
    fn string(&mut self) -> Parsed<String> {
        if !self.rest().starts_with('"') {
            return self.expected("a string in double quotes");
        }
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            let Some(character) = self.rest().chars().next() else {
                self.at = start;
                return self.fail("the string has no end");
            };
            match character {
                '"' => {
                    self.at += 1;
                    return Ok(text);
                }
                '\\' => text.push(self.escape()?),
                '\0'..='\x1f' => return self.fail("a control character in a string has to be escaped, as in JSON"),
                _ => {
                    self.at += character.len_utf8();
                    text.push(character);
                }
            }
        }
    }

    /// What an escape stands for.
    fn escape(&mut self) -> Parsed<char> {
        let rest = self.rest().as_bytes();
        let plain = |character| Some((2, character));
        let found = match rest.get(1) {
            Some(b'"') => plain('"'),
            Some(b'\\') => plain('\\'),
            Some(b'/') => plain('/'),
            Some(b'b') => plain('\x08'),
            Some(b'f') => plain('\x0c'),
            Some(b'n') => plain('\n'),
            Some(b'r') => plain('\r'),
            Some(b't') => plain('\t'),
            Some(b'u') => unicode(rest),
            _ => None,
        };
        match found {
            Some((len, character)) => {
                self.at += len;
                Ok(character)
            }
            None => self.fail("no escape of JSON, or half of a surrogate pair"),
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// The characters from here on that may be of one word.
    fn word(&self) -> &'a str {
        let rest = self.rest();
        &rest[..rest.find(|character| !is_key_part(character)).unwrap_or(rest.len())]
    }

    fn take(&mut self, symbol: &str) -> bool {
        self.skip_space();
        let comes = self.rest().starts_with(symbol);
        self.at += if comes { symbol.len() } else { 0 };
        comes
    }

    fn take_word(&mut self, word: &str) -> bool {
        self.skip_space();
        let comes = self.word() == word;
        self.at += if comes { word.len() } else { 0 };
        comes
    }

    fn expect(&mut self, symbol: &str, what: &str) -> Parsed<()> {
        if self.take(symbol) { Ok(()) } else { self.expected(what) }
    }

    fn expect_end(&mut self, what: &str) -> Parsed<()> {
        self.skip_space();
        if self.rest().is_empty() { Ok(()) } else { self.expected(what) }
    }

    fn expected<T>(&self, what: &str) -> Parsed<T> {
        let found: String = self.rest().chars().take(20).collect();
        match found.is_empty() {
            true => self.fail(format!("expected {what}, and there is nothing more")),
            false => self.fail(format!("expected {what}, found `{found}`")),
        }
    }

    fn fail<T>(&self, detail: impl Into<String>) -> Parsed<T> {
        Err(ConditionError::new(self.column(self.at), detail))
    }

    fn column(&self, at: usize) -> usize {
        self.text[..at].chars().count() + 1
    }
}

/// The character of `\uXXXX`, or of two that are a surrogate pair, and how long that is.
fn unicode(text: &[u8]) -> Option<(usize, char)> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        let digits = digits.iter().all(u8::is_ascii_hexdigit).then_some(digits)?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let first = unit(0)?;
    if let Some(character) = char::from_u32(first) {
        return Some((6, character));
    }
    let (high, low) = (first.checked_sub(0xD800).filter(|high| *high < 0x400)?, unit(6)?.checked_sub(0xDC00)?);
    char::from_u32(0x10000 + (high << 10) + low).filter(|_| low < 0x400).map(|character| (12, character))
}
