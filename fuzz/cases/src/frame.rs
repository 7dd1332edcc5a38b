//! A raw segment of drawn frames, then damaged: what the scanner and the readers behind it make of it.

use crate::draw::{Draw, contains, damage, encode};
use crate::forge::{DATA_START, Frame, Salt, entry, entry_of, repair_frame};
use annals::codecs::Row;
use annals::codecs::raw::{Segment, entry as decode_entry, frame_header, segment};
use rmpv::Value;
use std::collections::BTreeMap;

const FILE_ID: [u8; 16] = *b"a random file id";
const FRAME_BYTES_MAX: usize = 64 << 20;

/// What was drawn.
struct Drawn {
    bytes: Vec<u8>,
    base_seq: u64,
    /// What was written, by seq.
    written: BTreeMap<u64, Row>,
    /// The seqs of what was written of dropped records.
    drops: Vec<u64>,
    damaged: bool,
}

fn draw_segment(input: &[u8]) -> Drawn {
    let mut draw = Draw::new(input);
    let salt = Salt::of(&FILE_ID);
    let base_seq = draw.choose(&[0, 0, 1_000, 1 << 32, (1 << 63) - 9]);
    let mut bytes = vec![0; DATA_START];
    let mut written = BTreeMap::new();
    let mut damaged = false;
    let (mut seq, mut frames) = (base_seq, Vec::new());
    for _ in 0..draw.below(7) {
        let at = bytes.len();
        let kind = draw.choose(&[1, 1, 1, 1, 2, 3, 4]);
        let incarnation = [draw.byte() % 3; 16];
        let watermark = seq - (draw.byte() as u64 % 4).min(seq);
        let mut frame = Frame { kind, first_seq: seq, count: 0, watermark, incarnation, times: (0, 0) };
        let payload = match kind {
            1 => data(&mut draw, &mut frame, salt, &mut written),
            2 => vec![0; draw.below(40)],
            _ => Vec::new(),
        };
        let mut encoded = frame.around(&payload);
        // Fields of the frame that lie, with right checksums over them.
        if draw.one_in(4) && damage(&mut draw, &mut encoded) {
            damaged = true;
        }
        frames.push(at);
        bytes.extend(encoded);
        repair_frame(&mut bytes, at, salt);
        seq += u64::from(frame.count);
        if draw.one_in(8) {
            damaged = true;
            // A hole that records may have been lost in, or that a lying frame says were.
            seq = seq.saturating_add(draw.number() % 300).min(1 << 63);
            bytes.extend(draw.bytes(80));
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
        if !bytes.len().is_multiple_of(8) {
            damaged = true;
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
    }
    let mut drops = Vec::new();
    while seq < 1 << 63 && draw.one_in(3) {
        frames.push(bytes.len());
        bytes.extend(told_of_drops(&mut draw, seq));
        repair_frame(&mut bytes, *frames.last().expect("it was pushed"), salt);
        drops.push(seq);
        seq += 1;
    }
    bytes.resize(bytes.len() + draw.choose(&[0, 8, 13, 600]), 0);
    if draw.one_in(3) {
        let mut data = bytes.split_off(DATA_START);
        damaged |= damage(&mut draw, &mut data);
        bytes.extend(data);
        if draw.one_in(2) {
            frames.iter().for_each(|&at| repair_frame(&mut bytes, at, salt));
        }
    }
    damaged |= written.keys().any(|seq| *seq >= 1 << 63);
    Drawn { bytes, base_seq, written, drops, damaged }
}

fn data(draw: &mut Draw<'_>, frame: &mut Frame, salt: Salt, written: &mut BTreeMap<u64, Row>) -> Vec<u8> {
    let mut payload = Vec::new();
    frame.count = 1 + draw.below(6) as u32;
    frame.times = (i64::MAX, i64::MIN);
    for seq in (frame.first_seq..).take(frame.count as usize) {
        let (time, key, body) = (draw.number() as i64, draw.bytes(9), draw.body());
        frame.times = (frame.times.0.min(time), frame.times.1.max(time));
        payload.extend(entry(seq, time, key, &body, salt));
        written.insert(seq, (seq, time, key.to_vec(), body));
    }
    payload
}

/// A frame that tells of dropped records.
fn told_of_drops(draw: &mut Draw<'_>, seq: u64) -> Vec<u8> {
    let (since, until) = (i64::from(draw.byte()), 300 + i64::from(draw.byte()));
    let numbers = [
        ("records", 1 + draw.number() % 9),
        ("bytes", draw.number()),
        ("since", since as u64),
        ("until", until as u64),
    ];
    let mut pairs = vec![("limit".into(), Value::from(draw.choose(&["rate", "queue"])))];
    pairs.extend(numbers.map(|(name, value)| (name.into(), value.into())));
    let payload = entry_of(4, seq, until, b"", &encode(&Value::Map(pairs)), Salt(0));
    let times = (until, until);
    Frame { kind: 1, first_seq: seq, count: 1, watermark: 0, incarnation: [1; 16], times }.around(&payload)
}

pub(crate) fn case(input: &[u8]) {
    let drawn = draw_segment(input);
    let found = segment(drawn.bytes.clone(), FILE_ID, drawn.base_seq).expect("memory can be read");
    check(&drawn, &found);
}

fn check(drawn: &Drawn, found: &Segment) {
    let len = drawn.bytes.len() as u64;
    let mut pieces: Vec<(u64, u64)> = found.frames.iter().map(|(at, _, _, bytes)| (*at, at + bytes)).collect();
    pieces.extend(found.bad.iter().map(|(from, to, ..)| (*from, *to)));
    pieces.sort_unstable();
    assert!(pieces.iter().all(|(from, to)| *from >= DATA_START as u64 && from % 8 == 0 && from < to && *to <= len));
    assert!(pieces.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{pieces:?}");
    for (at, ..) in &found.frames {
        let header = drawn.bytes[*at as usize..].first_chunk().expect("an intact frame is in the file");
        assert_eq!(frame_header(header, FILE_ID).as_ref(), Ok(header));
    }
    assert!(found.frames.windows(2).all(|pair| pair[0].1 + u64::from(pair[0].2) <= pair[1].1));
    assert!(found.frames.iter().all(|(.., bytes)| *bytes <= FRAME_BYTES_MAX as u64));
    let readable = (found.records.len() + found.drops.len()) as u64;
    assert_eq!(readable, found.frames.iter().map(|frame| u64::from(frame.2)).sum::<u64>());
    assert!(found.records.windows(2).all(|pair| pair[0].0 < pair[1].0));
    for record in &found.records {
        // What is returned was in the file, and nothing that was written is returned as another.
        let data = &drawn.bytes[DATA_START..];
        assert!(contains(data, &record.3) && contains(data, &record.2));
        assert!(drawn.damaged || drawn.written.get(&record.0) == Some(record));
    }
    if !drawn.damaged {
        assert_eq!(found.bad, []);
        assert_eq!(found.records.len(), drawn.written.len());
        assert_eq!(found.drops, drawn.drops);
        let (_, record) = drawn.written.iter().next().unzip();
        if let Some(record) = record {
            let at = found.frames.iter().find(|frame| frame.2 > 0).expect("it has records").0 as usize + 72;
            let (decoded, again) = decode_entry(&drawn.bytes[at..], record.0, FILE_ID).expect("it was read");
            assert_eq!(&decoded, record);
            assert_eq!(again, drawn.bytes[at..at + again.len()]);
        }
    }
}

/// As [`case`], and fails where two writers have left records behind checksums: the fuzzer has to find that.
pub(crate) fn canary(input: &[u8]) {
    let drawn = draw_segment(input);
    let found = segment(drawn.bytes.clone(), FILE_ID, drawn.base_seq).expect("memory can be read");
    let records = found.records.len();
    assert!(!(found.frames.len() > 2 && records > 3 && found.closed), "the canary is dead, as it has to be");
}
