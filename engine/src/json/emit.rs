//! Writing MessagePack, each value in its smallest encoding, when the size of a container is known only at its end.

use crate::msgpack::EXT_JSON_TOKEN;
use rmp::Marker;

/// The largest header a string is given.
const STR_HEADER_BYTES_MAX: usize = 5;

/// Appends MessagePack to a buffer.
///
/// Every container gets a header of one byte at first. The few that need a larger one are kept in a list, and
/// [`Emitter::finish`] makes room for all of them in one pass, so that the work stays linear however they nest.
pub(super) struct Emitter<'o> {
    out: &'o mut Vec<u8>,
    large: Vec<LargeContainer>,
}

/// A container whose one-byte header is too small.
struct LargeContainer {
    header: usize,
    count: u32,
    kind: Container,
}

/// The two kinds of container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    Array,
    Map,
}

/// A string under construction: where its reserved header begins.
pub(super) struct OpenStr(usize);

impl<'o> Emitter<'o> {
    pub(super) fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, large: Vec::new() }
    }

    pub(super) fn nil(&mut self) {
        self.out.push(Marker::Null.to_u8());
    }

    pub(super) fn bool(&mut self, value: bool) {
        self.out.push(if value { Marker::True } else { Marker::False }.to_u8());
    }

    #[inline]
    pub(super) fn uint(&mut self, value: u64) {
        match value {
            0..=0x7F => self.out.push(value as u8),
            0x80..=0xFF => self.marked(Marker::U8, [value as u8]),
            0x100..=0xFFFF => self.marked(Marker::U16, (value as u16).to_be_bytes()),
            0x1_0000..=0xFFFF_FFFF => self.marked(Marker::U32, (value as u32).to_be_bytes()),
            _ => self.marked(Marker::U64, value.to_be_bytes()),
        }
    }

    /// A negative integer.
    pub(super) fn sint(&mut self, value: i64) {
        if value >= -32 {
            self.out.push(value as u8);
        } else if let Ok(value) = i8::try_from(value) {
            self.marked(Marker::I8, value.to_be_bytes());
        } else if let Ok(value) = i16::try_from(value) {
            self.marked(Marker::I16, value.to_be_bytes());
        } else if let Ok(value) = i32::try_from(value) {
            self.marked(Marker::I32, value.to_be_bytes());
        } else {
            self.marked(Marker::I64, value.to_be_bytes());
        }
    }

    pub(super) fn f64(&mut self, value: f64) {
        self.marked(Marker::F64, value.to_be_bytes());
    }

    /// A string whose text is at hand; `text` is UTF-8.
    #[inline]
    pub(super) fn str(&mut self, text: &[u8]) {
        if text.len() < 32 {
            self.out.push(Marker::FixStr(text.len() as u8).to_u8());
        } else {
            let (header, bytes) = str_header(text.len());
            self.out.extend_from_slice(&header[..bytes]);
        }
        self.out.extend_from_slice(text);
    }

    /// Begins a string that comes in pieces.
    pub(super) fn open_str(&mut self) -> OpenStr {
        let open = OpenStr(self.out.len());
        self.out.extend_from_slice(&[0; STR_HEADER_BYTES_MAX]);
        open
    }

    #[inline]
    pub(super) fn str_piece(&mut self, text: &[u8]) {
        self.out.extend_from_slice(text);
    }

    pub(super) fn str_char(&mut self, char: char) {
        match u8::try_from(char) {
            Ok(ascii) if ascii.is_ascii() => self.out.push(ascii),
            _ => self.out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }

    pub(super) fn close_str(&mut self, OpenStr(start): OpenStr) {
        let text = start + STR_HEADER_BYTES_MAX;
        let (header, bytes) = str_header(self.out.len() - text);
        self.out.copy_within(text.., start + bytes);
        self.out.truncate(self.out.len() - (STR_HEADER_BYTES_MAX - bytes));
        self.out[start..start + bytes].copy_from_slice(&header[..bytes]);
    }

    /// Takes back what was written of a string.
    pub(super) fn abandon_str(&mut self, OpenStr(start): OpenStr) {
        self.out.truncate(start);
    }

    /// A JSON token that MessagePack has no type for.
    pub(super) fn json_token(&mut self, token: &[u8]) {
        match token.len() {
            1 => self.out.push(Marker::FixExt1.to_u8()),
            2 => self.out.push(Marker::FixExt2.to_u8()),
            4 => self.out.push(Marker::FixExt4.to_u8()),
            8 => self.out.push(Marker::FixExt8.to_u8()),
            16 => self.out.push(Marker::FixExt16.to_u8()),
            len @ 0..=0xFF => self.marked(Marker::Ext8, [len as u8]),
            len @ 0x100..=0xFFFF => self.marked(Marker::Ext16, (len as u16).to_be_bytes()),
            len => self.marked(Marker::Ext32, (len as u32).to_be_bytes()),
        }
        self.out.push(EXT_JSON_TOKEN as u8);
        self.out.extend_from_slice(token);
    }

    /// Begins a container; its elements follow, then [`Emitter::close`] with what this returned.
    pub(super) fn open(&mut self) -> usize {
        self.out.push(0);
        self.out.len() - 1
    }

    pub(super) fn close(&mut self, header: usize, kind: Container, count: u32) {
        match count {
            0..=15 => self.out[header] = small_marker(kind, count as u8).to_u8(),
            _ => self.large.push(LargeContainer { header, count, kind }),
        }
    }

    /// Gives the large containers their headers. Nothing written before is MessagePack until then.
    pub(super) fn finish(self) {
        let Self { out, mut large } = self;
        large.sort_unstable_by_key(|container| container.header);
        let mut room: usize = large.iter().map(|container| large_header_bytes(container.count) - 1).sum();
        let mut end = out.len();
        out.resize(end + room, 0);
        // From the last to the first: each stretch of elements moves once, to where it stays.
        for &LargeContainer { header, count, kind } in large.iter().rev() {
            out.copy_within(header + 1..end, header + 1 + room);
            end = header;
            room -= large_header_bytes(count) - 1;
            write_large_header(&mut out[header + room..], kind, count);
        }
    }

    #[inline]
    fn marked<const N: usize>(&mut self, marker: Marker, bytes: [u8; N]) {
        self.out.push(marker.to_u8());
        self.out.extend_from_slice(&bytes);
    }
}

fn small_marker(kind: Container, count: u8) -> Marker {
    match kind {
        Container::Array => Marker::FixArray(count),
        Container::Map => Marker::FixMap(count),
    }
}

fn write_large_header(at: &mut [u8], kind: Container, count: u32) {
    let short = u16::try_from(count).ok();
    let marker = match (kind, short) {
        (Container::Array, Some(_)) => Marker::Array16,
        (Container::Array, None) => Marker::Array32,
        (Container::Map, Some(_)) => Marker::Map16,
        (Container::Map, None) => Marker::Map32,
    };
    at[0] = marker.to_u8();
    match short {
        Some(count) => at[1..3].copy_from_slice(&count.to_be_bytes()),
        None => at[1..5].copy_from_slice(&count.to_be_bytes()),
    }
}

fn large_header_bytes(count: u32) -> usize {
    if count <= 0xFFFF { 3 } else { 5 }
}

/// The smallest header for a string of `len` bytes, and how many bytes of it count.
fn str_header(len: usize) -> ([u8; STR_HEADER_BYTES_MAX], usize) {
    let [a, b, c, d] = (len as u32).to_be_bytes();
    match len {
        0..=31 => ([Marker::FixStr(len as u8).to_u8(), 0, 0, 0, 0], 1),
        32..=0xFF => ([Marker::Str8.to_u8(), d, 0, 0, 0], 2),
        0x100..=0xFFFF => ([Marker::Str16.to_u8(), c, d, 0, 0], 3),
        _ => ([Marker::Str32.to_u8(), a, b, c, d], 5),
    }
}
