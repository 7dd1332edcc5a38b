//! Lines of JSON as the program takes them in: cut, converted, appended to a log, read back, printed.

#[path = "../../../cli/src/input/lines.rs"]
#[allow(dead_code, unreachable_pub, reason = "the program uses more of it")]
mod lines;

use crate::draw::Draw;
use crate::fixture::options;
use annals::json::{to_json, to_msgpack};
use annals::storage::sim::SimDisk;
use annals::{Batch, ScanRange, Timestamp};
use lines::{Cut, cut, lines, trim_line_end};
use std::io::Read;

/// A stream that arrives in pieces.
struct Pieces<'a> {
    bytes: &'a [u8],
    piece: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = self.piece.min(buffer.len()).min(self.bytes.len());
        buffer[..len].copy_from_slice(&self.bytes[..len]);
        self.bytes = &self.bytes[len..];
        Ok(len)
    }
}

pub(crate) fn case(input: &[u8]) {
    let mut draw = Draw::new(input);
    let (piece, is_live, appends) = (1 + draw.below(40), draw.one_in(2), draw.one_in(4));
    let mut text = Vec::new();
    for _ in 0..draw.below(5) {
        to_json(&draw.body(), &mut text).expect("a body has a text");
        text.extend(draw.choose(&[&b"\n"[..], b"\r\n", b"\n\n", b" \n"]));
    }
    text.extend(draw.rest());

    let mut whole = Vec::new();
    let mut bodies = Vec::new();
    cut(&mut Pieces { bytes: &text, piece }, is_live, &mut |cut| {
        let Cut::Lines(bytes) = cut else { panic!("no line is so long") };
        for line in lines(&bytes) {
            let line = trim_line_end(line);
            assert!(!line.contains(&b'\n'));
            let mut body = Vec::new();
            if to_msgpack(line, &mut body).is_ok() {
                bodies.push(body);
            }
        }
        whole.extend(bytes);
        true
    })
    .expect("memory can be read");
    assert_eq!(whole, text);
    assert_eq!(
        lines(&text).filter(|line| to_msgpack(trim_line_end(line), &mut Vec::new()).is_ok()).count(),
        bodies.len()
    );
    if appends && !bodies.is_empty() {
        come_back(&bodies);
    }
}

/// What was appended is what is read, and its text is the same record again.
fn come_back(bodies: &[Vec<u8>]) {
    let log = options().open_or_create_on(SimDisk::new(1).storage()).expect("an empty disk takes a log");
    let mut batch = Batch::new();
    for (body, n) in bodies.iter().zip(0..) {
        batch.push_raw(Some(Timestamp::from_micros(n)), body).expect("JSON becomes a body");
    }
    log.append_batch(&mut batch).expect("there is space");
    let mut read = log.reader().scan(ScanRange::all()).expect("a scan begins");
    for body in bodies {
        let record = read.advance().expect("sound").expect("there");
        assert_eq!(record.body(), body);
        let (mut text, mut again) = (Vec::new(), Vec::new());
        record.to_json(&mut text).expect("a body has a text");
        to_msgpack(&text, &mut again).expect("the text is JSON");
        assert_eq!(&again, body);
    }
    assert!(read.advance().expect("sound").is_none());
}
