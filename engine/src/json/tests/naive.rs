//! The model: JSON text as a list of tokens that are equal exactly if they mean the same. Slow and obvious, and it
//! shares nothing with the code that is tested.

/// A token by its meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    Punctuation(char),
    Word(String),
    /// UTF-16 units, so that lone surrogates have a meaning too.
    Text(Vec<u16>),
    Number {
        is_integer: bool,
        negative: bool,
        /// Without zeros at either end; "" is zero.
        digits: String,
        /// The value is 0.digits times ten to this.
        exponent: i128,
    },
}

/// The tokens of valid JSON text.
pub(super) fn meanings(text: &str) -> Vec<Meaning> {
    let mut chars = text.chars().peekable();
    let mut found = Vec::new();
    while let Some(char) = chars.next() {
        match char {
            ' ' | '\t' | '\r' | '\n' => {}
            '{' | '}' | '[' | ']' | ',' | ':' => found.push(Meaning::Punctuation(char)),
            '"' => {
                let mut units = Vec::new();
                loop {
                    match chars.next().expect("a closing quote") {
                        '"' => break,
                        '\\' => match chars.next().expect("an escape") {
                            'u' => {
                                let hex: String = chars.by_ref().take(4).collect();
                                units.push(u16::from_str_radix(&hex, 16).expect("four hex digits"));
                            }
                            'b' => units.push(8),
                            't' => units.push(9),
                            'n' => units.push(10),
                            'f' => units.push(12),
                            'r' => units.push(13),
                            char => units.push(char as u16),
                        },
                        char => units.extend_from_slice(char.encode_utf16(&mut [0; 2])),
                    }
                }
                found.push(Meaning::Text(units));
            }
            first => {
                let mut token = String::from(first);
                while let Some(char) = chars.next_if(|char| char.is_ascii_alphanumeric() || "+-.".contains(*char)) {
                    token.push(char);
                }
                let is_word = first.is_ascii_alphabetic();
                found.push(if is_word { Meaning::Word(token) } else { number(&token) });
            }
        }
    }
    found
}

/// The exact value of a number token. The exponent has to fit an `i128`.
pub(super) fn number(token: &str) -> Meaning {
    let is_integer = !token.contains(['.', 'e', 'E']);
    let negative = token.starts_with('-');
    let token = token.trim_start_matches('-').to_lowercase();
    let (mantissa, exponent) = token.split_once('e').unwrap_or((&token, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut exponent: i128 = exponent.parse().expect("an exponent");
    exponent += whole.len() as i128;
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0');
    exponent -= (all.len() - significant.len()) as i128;
    let digits = significant.trim_end_matches('0').to_string();
    let exponent = if digits.is_empty() { 0 } else { exponent };
    Meaning::Number { is_integer, negative, digits, exponent }
}

#[test]
fn the_model_tells_numbers_apart_by_value_and_kind_only() {
    assert_eq!(number("100.0"), number("1e2"));
    assert_eq!(number("0.001200"), number("12E-4"));
    assert_eq!(number("0e5"), number("0.0"));
    assert_ne!(number("1"), number("1.0"));
    assert_ne!(number("0.0"), number("-0.0"));
    assert_ne!(number("10"), number("1"));
}
