//! What the values of one column have in common, and which of it is worth an entry.

use super::entry::Print;
use super::hash::Map;
use super::keys::{self, Children};
use super::learn::Instance;
use super::numbers::{Numbers, scale_of};
use super::text::{self, DIGITS_MAX, Mentions, Piece, Token};
use crate::msgpack::{Reader, Token as Scalar};

/// Most patterns of a column; of records, most shapes.
const PATTERNS_MAX: usize = 250;
const SHAPES_MAX: usize = 2_000;

/// Most parts of a text with a pattern.
const PARTS_MAX: usize = 250;

/// About how many bytes tell a block of one slot or column.
const HEAD_BYTES: f64 = 3.0;

/// Most literals of a column.
const LITERALS_MAX: usize = 60_000;

/// Finds the texts of a record that its others may refer to.
pub(super) type FindMentions<'f> = dyn FnMut(u32, &mut Mentions) + 'f;

/// What a value becomes, as far as the columns below it are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    Shape,
    Map,
    Lines,
    Other,
}

/// A pattern: its key, and what else its entry needs.
pub(super) enum Kind<'s, 'a> {
    Shape(&'s [u8], &'a [u8]),
    Text(&'s [u8], Vec<Print>),
}

/// Which entries a column gets.
#[derive(Debug, Default)]
pub(super) struct Plan<'p> {
    pub(super) patterns: Vec<usize>,
    pub(super) int: bool,
    pub(super) scale: Option<u8>,
    pub(super) float: bool,
    pub(super) lines: bool,
    /// The keys of maps that have them in any order.
    pub(super) known: Vec<&'p [u8]>,
    pub(super) word: bool,
    pub(super) literals: Vec<usize>,
}

/// A value that occurs, perhaps often.
struct Distinct<'a> {
    first: Instance<'a>,
    count: u32,
    form: Form,
    is_literal: bool,
}

/// What a value is, if it isn't a literal.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Pattern(usize),
    Int,
    Double,
    Map,
    /// A string without a pattern: of several lines, or of one.
    Lines,
    Word,
    Raw,
}

/// What values with the same pattern have in common.
struct Pattern<'a> {
    key: Vec<u8>,
    example: &'a [u8],
    is_shape: bool,
    /// Values in all, and those that are no literals.
    count: u32,
    left: u32,
    bytes: u64,
    numbers: Vec<Numbers>,
    /// Bits that its other parts take.
    other_bits: f64,
    is_kept: bool,
}

/// The values of a column.
pub(super) struct Survey<'a> {
    is_root: bool,
    is_text: bool,
    index: Map<&'a [u8], u32>,
    distinct: Vec<Distinct<'a>>,
    /// Which of the distinct ones each value is.
    of: Vec<u32>,
    patterns: Vec<Pattern<'a>>,
    ints: Numbers,
}

/// About how many bits a string or value takes that is only compressed.
fn raw_bits(bytes: usize) -> f64 {
    12.0 + 4.0 * bytes as f64
}

/// About how many bits a literal takes in the dictionary.
fn literal_bits(bytes: usize) -> f64 {
    8.0 * (2.0 + 0.35 * bytes as f64)
}

fn code_bits(all: usize, own: u32) -> f64 {
    (all as f64 / f64::from(own.max(1))).log2()
}

impl<'a> Survey<'a> {
    pub(super) fn new(is_root: bool, is_text: bool) -> Self {
        Self {
            is_root,
            is_text,
            index: Map::default(),
            distinct: Vec::new(),
            of: Vec::new(),
            patterns: Vec::new(),
            ints: Numbers::new(),
        }
    }

    /// Adds a value.
    pub(super) fn count(&mut self, instance: Instance<'a>) {
        let next = self.distinct.len() as u32;
        let n = *self.index.entry(instance.bytes).or_insert(next);
        if n == next {
            self.distinct.push(Distinct { first: instance, count: 0, form: Form::Raw, is_literal: false });
        }
        self.distinct[n as usize].count += 1;
        self.of.push(n);
    }

    /// Finds out what each distinct value is. `find`, if there is any, finds the texts of a record that its others may
    /// refer to.
    pub(super) fn classify(&mut self, mut find: Option<&mut FindMentions<'_>>) {
        let mut refs = Mentions::default();
        let mut known: Map<Vec<u8>, usize> = Map::default();
        let (mut key, mut children, mut pieces) = (Vec::new(), Children::new(), Vec::new());
        for n in 0..self.distinct.len() {
            let Distinct { first, count, .. } = self.distinct[n];
            let text = match self.is_text {
                true => Some(first.bytes),
                false => keys::text_of(first.bytes),
            };
            let form = if let Some(text) = text {
                if let Some(find) = &mut find {
                    find(first.record, &mut refs);
                }
                text::pieces(text, find.is_some().then_some(&refs), &mut pieces);
                keys::of_text(text, &pieces, &mut key);
                let pattern = self.pattern_of(&mut known, &key, first.bytes, false);
                self.patterns[pattern].add_text(text, &pieces);
                Form::Pattern(pattern)
            } else if keys::of_shape(first.bytes, &mut key, &mut children).is_some() {
                let pattern = self.pattern_of(&mut known, &key, first.bytes, true);
                let own = &mut self.patterns[pattern];
                own.other_bits += 4.0 + 5.0 * leaves(first.bytes) as f64;
                Form::Pattern(pattern)
            } else if let Some(integer) = keys::integer_of(first.bytes) {
                self.ints.add(integer);
                Form::Int
            } else if keys::double_of(first.bytes).is_some() {
                Form::Double
            } else {
                Form::Raw
            };
            if let Form::Pattern(pattern) = form {
                let own = &mut self.patterns[pattern];
                own.count += count;
                own.left += 1;
                own.bytes += first.bytes.len() as u64;
            }
            self.distinct[n].form = form;
        }
    }

    fn pattern_of(&mut self, known: &mut Map<Vec<u8>, usize>, key: &[u8], example: &'a [u8], is_shape: bool) -> usize {
        if let Some(pattern) = known.get(key) {
            return *pattern;
        }
        known.insert(key.to_vec(), self.patterns.len());
        self.patterns.push(Pattern {
            key: key.to_vec(),
            example,
            is_shape,
            count: 0,
            left: 0,
            bytes: 0,
            numbers: Vec::new(),
            other_bits: 0.0,
            is_kept: false,
        });
        self.patterns.len() - 1
    }

    /// Which entries the column gets, with at most `room` bytes of literals, for so many blocks. A pattern is only taken
    /// if `accept` says so.
    pub(super) fn decide(
        &mut self,
        room: usize,
        blocks: usize,
        accept: &mut dyn FnMut(&Kind<'_, 'a>) -> bool,
    ) -> Plan<'a> {
        let mut plan = Plan::default();
        self.choose_literals(room, &mut plan);
        self.choose_patterns(blocks, &mut plan, accept);
        let mut doubles = Vec::new();
        for own in self.distinct.iter_mut().filter(|own| !own.is_literal) {
            match own.form {
                Form::Pattern(pattern) if self.patterns[pattern].is_kept => {}
                Form::Pattern(pattern) if self.patterns[pattern].is_shape => own.form = Form::Raw,
                Form::Pattern(_) => {
                    let lines = own.first.bytes.iter().filter(|byte| **byte == b'\n').count();
                    own.form = if lines > 1 && !self.is_text { Form::Lines } else { Form::Word };
                    plan.lines |= own.form == Form::Lines;
                    plan.word |= own.form == Form::Word && !self.is_text;
                }
                Form::Int => plan.int = true,
                Form::Double => doubles.extend(keys::double_of(own.first.bytes)),
                Form::Raw | Form::Map | Form::Lines | Form::Word => {}
            }
        }
        (plan.scale, plan.float) = scale_of(&doubles);
        plan.known = self.maps();
        plan
    }

    /// The keys of the maps that no shape was kept for, if they are worth an entry. Those maps are no longer raw then.
    fn maps(&mut self) -> Vec<&'a [u8]> {
        /// Fewer are left raw.
        const MAPS_MIN: u32 = 8;
        let (mut key, mut children) = (Vec::new(), Children::new());
        let (mut counts, mut order, mut maps) = (Map::<&[u8], u32>::default(), Vec::new(), 0);
        let is_map = |own: &Distinct<'_>| {
            own.form == Form::Raw && !own.is_literal && matches!(own.first.bytes.first(), Some(0x80..=0x8F | 0xDE))
        };
        for own in self.distinct.iter().filter(|own| is_map(own)) {
            if keys::of_shape(own.first.bytes, &mut key, &mut children).is_none() {
                continue;
            }
            maps += own.count;
            for (range, _) in &children {
                let bytes = &own.first.bytes[range.clone()];
                let count = counts.entry(bytes).or_insert(0);
                if *count == 0 {
                    order.push(bytes);
                }
                *count += own.count;
            }
        }
        if maps < MAPS_MIN {
            return Vec::new();
        }
        order.retain(|bytes| counts[bytes] > 2);
        order.sort_by_key(|bytes| std::cmp::Reverse(counts[bytes]));
        order.truncate(PARTS_MAX);
        let known: Map<&[u8], ()> = order.iter().map(|bytes| (*bytes, ())).collect();
        for own in self.distinct.iter_mut().filter(|own| is_map(own)) {
            let bytes = own.first.bytes;
            if keys::of_shape(bytes, &mut key, &mut children).is_some()
                && keys::has_smallest_map_head(bytes, children.len())
                && children.iter().all(|(range, _)| known.contains_key(&bytes[range.clone()]))
            {
                own.form = Form::Map;
            }
        }
        order
    }

    fn choose_literals(&mut self, room: usize, plan: &mut Plan<'a>) {
        let all = self.of.len();
        let pattern_bits: Vec<f64> = self.patterns.iter().map(Pattern::bits).collect();
        let mut gains: Vec<(f64, usize)> = Vec::new();
        for (n, own) in self.distinct.iter().enumerate().filter(|(_, own)| own.count > 1) {
            let raw = raw_bits(own.first.bytes.len());
            let other = match own.form {
                Form::Pattern(pattern) if self.patterns[pattern].left < 4 && !self.patterns[pattern].is_shape => raw,
                Form::Pattern(pattern) => raw.min(pattern_bits[pattern] + code_bits(all, self.patterns[pattern].count)),
                Form::Int => self.ints.bits(),
                Form::Double => 24.0,
                _ => raw,
            };
            let gain = f64::from(own.count) * (other - code_bits(all, own.count)) - literal_bits(own.first.bytes.len());
            if gain > 0.0 {
                gains.push((gain, n));
            }
        }
        // The best for their bytes, as long as there is room.
        let value = |(gain, n): &(f64, usize)| gain / (8 + self.distinct[*n].first.bytes.len()) as f64;
        gains.sort_by(|a, b| value(b).total_cmp(&value(a)));
        let mut used = 0;
        for (_, n) in gains {
            used += self.distinct[n].first.bytes.len();
            if used <= room && plan.literals.len() < LITERALS_MAX {
                self.distinct[n].is_literal = true;
                plan.literals.push(n);
            }
        }
        plan.literals.sort_by_key(|n| (std::cmp::Reverse(self.distinct[*n].count), *n));
    }

    fn choose_patterns(&mut self, blocks: usize, plan: &mut Plan<'a>, accept: &mut dyn FnMut(&Kind<'_, 'a>) -> bool) {
        for pattern in &mut self.patterns {
            pattern.left = 0;
        }
        for own in self.distinct.iter().filter(|own| !own.is_literal) {
            if let Form::Pattern(pattern) = own.form {
                self.patterns[pattern].left += own.count;
            }
        }
        let (all, is_root) = (self.of.len(), self.is_root);
        for (n, pattern) in self.patterns.iter_mut().enumerate().filter(|(_, pattern)| pattern.left > 0) {
            let distinct = f64::from(pattern.count.max(1));
            let bytes = pattern.bytes as f64 / distinct;
            let (left, parts) = (f64::from(pattern.left), pattern.parts() as f64);
            // What tells of its slots or columns in each block where it occurs.
            let heads = 8.0 * HEAD_BYTES * parts * left.min(blocks as f64);
            let own = left * (pattern.bits() + code_bits(all, pattern.left)) + heads;
            let cost = literal_bits(pattern.literal_bytes()) + 8.0 * 2.0 * parts;
            let raw = left * raw_bits(bytes as usize);
            let often = 4;
            let fits = pattern.is_shape || pattern.parts() <= PARTS_MAX;
            pattern.is_kept = pattern.left >= often && fits && (own + cost < raw || is_root);
            if pattern.is_kept {
                plan.patterns.push(n);
            }
        }
        plan.patterns.sort_by_key(|n| (std::cmp::Reverse(self.patterns[*n].left), *n));
        let most = if is_root { SHAPES_MAX } else { PATTERNS_MAX };
        let mut taken = 0;
        let candidates = std::mem::take(&mut plan.patterns);
        plan.patterns.extend(candidates.into_iter().filter(|n| {
            let is_taken = taken < most && accept(&self.pattern(*n));
            taken += usize::from(is_taken);
            self.patterns[*n].is_kept = is_taken;
            is_taken
        }));
    }

    /// What the entry of a pattern needs.
    pub(super) fn pattern(&self, n: usize) -> Kind<'_, 'a> {
        let own = &self.patterns[n];
        match own.is_shape {
            true => Kind::Shape(&own.key, own.example),
            false => {
                let digits = own.numbers.iter().filter(|numbers| numbers.is_decimal).map(Numbers::print);
                Kind::Text(&own.key, digits.collect())
            }
        }
    }

    /// The bytes of a distinct value.
    pub(super) fn bytes(&self, n: usize) -> &'a [u8] {
        self.distinct[n].first.bytes
    }

    /// What the value that was counted as number `n` becomes.
    pub(super) fn value(&self, n: usize) -> Value {
        let own = &self.distinct[self.of[n] as usize];
        match own.form {
            _ if own.is_literal => Value::Other,
            Form::Pattern(pattern) if self.patterns[pattern].is_shape => Value::Shape,
            Form::Map => Value::Map,
            Form::Lines => Value::Lines,
            _ => Value::Other,
        }
    }
}

impl Pattern<'_> {
    fn add_text(&mut self, text: &[u8], pieces: &[Piece]) {
        let mut slot = 0;
        for (token, from, to) in pieces {
            let own = &text[*from..*to];
            if matches!(token, Token::Digits | Token::Hex { .. } | Token::Time(_)) {
                if slot == self.numbers.len() {
                    self.numbers.push(Numbers::new());
                }
                match token {
                    Token::Digits => self.numbers[slot].add_digits(own),
                    Token::Time(format) => self.numbers[slot].add(format.parse(own)),
                    _ => self.numbers[slot].add(text::parse_hex_number(own)),
                }
                slot += 1;
            }
            self.other_bits += match token {
                Token::FixedHex { digits, .. } => 4.0 * f64::from(*digits),
                Token::Uuid { .. } => 122.0,
                Token::Word => 8.0 + 6.0 * own.len() as f64,
                Token::Ref(_) => 0.5,
                _ => 0.0,
            };
        }
        debug_assert!(pieces.iter().all(|(token, from, to)| *token != Token::Digits || to - from <= DIGITS_MAX));
    }

    /// About how many bits one takes besides its code.
    fn bits(&self) -> f64 {
        self.numbers.iter().map(Numbers::bits).sum::<f64>() + self.other_bits / f64::from(self.distinct().max(1))
    }

    /// How many distinct values were added: before literals are chosen `left` counts them.
    fn distinct(&self) -> u32 {
        self.numbers.first().map_or(self.left, |numbers| numbers.count)
    }

    fn parts(&self) -> usize {
        self.key.iter().filter(|byte| matches!(byte, 0xFF | 0xC1)).count()
    }

    fn literal_bytes(&self) -> usize {
        self.key.len()
    }
}

/// How many scalars are in `value`.
fn leaves(value: &[u8]) -> usize {
    let (mut reader, mut leaves) = (Reader::new(value), 0);
    while let Ok(token) = reader.token() {
        leaves += usize::from(!matches!(token, Scalar::Map(_) | Scalar::Array(_)));
    }
    leaves
}
