//! Drawing numbers, bytes and MessagePack values from the bytes of an input. An input that has ended gives zeros.

use arbitrary::Unstructured;
use rmpv::Value;

/// Where a case's choices come from.
pub(crate) struct Draw<'a>(Unstructured<'a>);

impl<'a> Draw<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self(Unstructured::new(input))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or(0)
    }

    /// Whether one choice out of `of` fell.
    pub(crate) fn one_in(&mut self, of: u8) -> bool {
        // An input that has ended never chooses what is rare.
        !self.is_empty() && self.byte() % of == of - 1
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        match bound {
            0..=256 => usize::from(self.byte()) % bound,
            257..=65_536 => usize::from(u16::from_le_bytes([self.byte(), self.byte()])) % bound,
            _ => (self.word() % bound as u64) as usize,
        }
    }

    /// Eight bytes.
    fn word(&mut self) -> u64 {
        self.0.arbitrary().unwrap_or(0)
    }

    /// A number near a bound of some type, a small one, or any.
    pub(crate) fn number(&mut self) -> u64 {
        const BOUNDS: [u64; 13] =
            [0, 1, 0x7f, 0x80, 0xff, 0xffff, 1 << 24, 64 << 20, 0x7fff_ffff, 0xffff_ffff, 1 << 53, 1 << 63, u64::MAX];
        match self.byte() {
            choice @ 0..=127 => u64::from(choice),
            choice @ 128..=191 => {
                let bound = BOUNDS[usize::from(choice) % BOUNDS.len()];
                bound.wrapping_add(u64::from(self.byte() % 5)).wrapping_sub(2)
            }
            192..=223 => u64::from(u16::from_le_bytes([self.byte(), self.byte()])),
            _ => self.word(),
        }
    }

    /// At most `max` bytes, as they stand in the input.
    pub(crate) fn bytes(&mut self, max: usize) -> &'a [u8] {
        let len = self.below(max + 1).min(self.0.len());
        self.0.bytes(len).unwrap_or(&[])
    }

    /// All bytes that are left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        let len = self.0.len();
        self.0.bytes(len).unwrap_or(&[])
    }

    pub(crate) fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// A record: a map with few keys, so that records meet at the same paths.
    pub(crate) fn record(&mut self) -> Value {
        let pairs = self.below(5);
        Value::Map((0..pairs).map(|_| (self.key(), self.value(0))).collect())
    }

    /// The encoding of a record.
    pub(crate) fn body(&mut self) -> Vec<u8> {
        encode(&self.record())
    }

    fn key(&mut self) -> Value {
        match self.byte() % 24 {
            choice @ 0..=15 => {
                let names = ["a", "b", "A", "ab", "", "n", "time", "_seq", "_time", "_extra", "a_2", "k", "id", "é"];
                names[usize::from(choice) % names.len()].into()
            }
            16..=20 => String::from_utf8_lossy(self.bytes(8)).as_ref().into(),
            21 => Value::from(self.number()),
            22 => Value::Ext(0x4A, br#""\ud800""#.to_vec()),
            _ => Value::Binary(self.bytes(4).to_vec()),
        }
    }

    fn value(&mut self, depth: u8) -> Value {
        const DEPTH_MAX: u8 = 6;
        match self.byte() % if depth < DEPTH_MAX { 20 } else { 15 } {
            0 => Value::Nil,
            1 => Value::Boolean(self.one_in(2)),
            2 | 3 => Value::from(self.number()),
            4 => Value::from(self.number() as i64),
            5 => Value::from(self.byte() as i8),
            6 => Value::F64(f64::from_bits(self.number())),
            7 => Value::F64(self.number() as i32 as f64 / 8.0),
            8 => Value::F32(f32::from_bits(self.number() as u32)),
            9 | 10 => String::from_utf8_lossy(self.bytes(24)).as_ref().into(),
            11 => Value::Binary(self.bytes(24).to_vec()),
            12 => {
                let tokens: [&[u8]; 6] =
                    [b"1e999", b"-0", br#""\ud800""#, b"0.10000000000000000000001", b"nonsense", b""];
                Value::Ext(0x4A, self.choose(&tokens).to_vec())
            }
            13 => Value::Ext(self.byte() as i8, self.bytes(20).to_vec()),
            14 => "2024-05-01T10:00:00Z".into(),
            15 | 16 => Value::Array((0..self.below(5)).map(|_| self.value(depth + 1)).collect()),
            17 => {
                let count = self.below(4);
                Value::Array((0..count).map(|_| Value::from(i64::from(self.byte()) - 99)).collect())
            }
            _ => {
                let pairs = self.below(4);
                Value::Map((0..pairs).map(|_| (self.key(), self.value(depth + 1))).collect())
            }
        }
    }
}

/// The MessagePack bytes of `value`.
pub(crate) fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    rmpv::encode::write_value(&mut out, value).expect("writing to memory");
    out
}

/// Changes bytes of `bytes` as `draw` says; returns whether anything was done.
pub(crate) fn damage(draw: &mut Draw<'_>, bytes: &mut Vec<u8>) -> bool {
    let edits = draw.below(8);
    let before = bytes.clone();
    for _ in 0..edits.saturating_sub(3) {
        if bytes.is_empty() {
            break;
        }
        let at = draw.below(bytes.len());
        match draw.byte() % 7 {
            0 | 1 => bytes[at] = draw.byte(),
            2 => bytes[at] ^= 1 << (draw.byte() % 8),
            3 => {
                let number = draw.number().to_le_bytes();
                let len = draw.choose(&[2, 4, 8]).min(bytes.len() - at);
                bytes[at..at + len].copy_from_slice(&number[..len]);
            }
            4 => bytes.truncate(at),
            5 => drop(bytes.splice(at..at, draw.bytes(16).iter().copied())),
            _ => {
                let to = draw.below(bytes.len());
                let copied = bytes[at..bytes.len().min(at + 32)].to_vec();
                let len = copied.len().min(bytes.len() - to);
                bytes[to..to + len].copy_from_slice(&copied[..len]);
            }
        }
    }
    *bytes != before
}

/// Whether `part` stands anywhere in `whole`.
pub(crate) fn contains(whole: &[u8], part: &[u8]) -> bool {
    part.is_empty() || whole.windows(part.len()).any(|window| window == part)
}
