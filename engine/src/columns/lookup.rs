//! Finding the entry of a value in a column.

use super::dictionary::Dictionary;
use super::entry::{Entry, Part, Print};
use super::hash::Map;
use super::keys;
use super::text::{Piece, Token};

/// How to find the entry of a value in a column.
#[derive(Default)]
pub(super) struct Lookup {
    pub(super) literals: Map<Vec<u8>, u32>,
    /// Shapes and texts, by their keys.
    pub(super) patterns: Map<Vec<u8>, u32>,
    pub(super) scales: Vec<(u8, u32)>,
    pub(super) int: Option<u32>,
    pub(super) float: Option<u32>,
    pub(super) word: Option<u32>,
    pub(super) lines: Option<u32>,
    /// The entry for maps with keys in any order, and the numbers of the keys.
    pub(super) map: Option<u32>,
    pub(super) known: Map<Vec<u8>, u32>,
}

impl Lookup {
    pub(super) fn add(&mut self, dictionary: &Dictionary, code: u32, entry: &Entry) {
        let mut key = Vec::new();
        match entry {
            Entry::Literal(span) => {
                self.literals.entry(dictionary.span(*span).to_vec()).or_insert(code);
                return;
            }
            Entry::Shape(parts) => {
                for (span, _) in parts {
                    key.extend_from_slice(dictionary.span(*span));
                    keys::end_of_shape_part(&mut key);
                }
            }
            Entry::Text(parts) => {
                if let [Part::Slot(Print::Word, _)] = parts[..] {
                    self.word = self.word.or(Some(code));
                    return;
                }
                let piece = |part: &Part, text: &mut Vec<u8>| {
                    let from = text.len();
                    let token = match part {
                        Part::Literal(span) => {
                            text.extend_from_slice(dictionary.span(*span));
                            Token::Literal
                        }
                        Part::Slot(print, _) => print.token(),
                        Part::Ref(column) => Token::Ref(*column),
                    };
                    (token, from, text.len())
                };
                let mut text = Vec::new();
                let pieces: Vec<Piece> = parts.iter().map(|part| piece(part, &mut text)).collect();
                keys::of_text(&text, &pieces, &mut key);
            }
            Entry::Map { known, .. } => {
                self.map = self.map.or(Some(code));
                for (number, (span, _)) in (0..).zip(known) {
                    self.known.entry(dictionary.span(*span).to_vec()).or_insert(number);
                }
            }
            Entry::Lines { .. } => self.lines = self.lines.or(Some(code)),
            Entry::Int(_) => self.int = self.int.or(Some(code)),
            Entry::Decimal { scale, .. } => self.scales.push((*scale, code)),
            Entry::Float(_) => self.float = self.float.or(Some(code)),
        }
        if !key.is_empty() {
            self.patterns.entry(key).or_insert(code);
        }
    }
}
