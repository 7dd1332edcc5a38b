//! A block of drawn records, its payload and header damaged behind right checksums.

use crate::draw::{Draw, contains, damage};
use crate::forge::{Salt, repair_block, signed_varint, varint};
use annals::codecs::Row;
use annals::codecs::sealed::block;

const FILE_ID: [u8; 16] = *b"of a sealed file";
/// A dictionary is content that blocks may refer to.
const DICTIONARY: &[u8] =
    b"{\"user\":\"ada\",\"action\":\"login\",\"request\":\"0123456789abcdef\",\"agent\":\"Mozilla/5.0\"}";

pub(crate) fn case(input: &[u8]) {
    let mut draw = Draw::new(input);
    let (rows, has_meta) = rows(&mut draw);
    let mut plain = payload(&rows, has_meta);
    let sound = plain.clone();
    let mut damaged = draw.one_in(3) && damage(&mut draw, &mut plain);
    if draw.one_in(16) {
        // Far more than it takes in the file.
        plain.resize(plain.len() + draw.below(1 << 21), draw.byte());
        damaged = true;
    }
    let dictionary = draw.one_in(12).then_some(DICTIONARY);
    let (codec, mut stored) = match dictionary.is_some() || draw.one_in(3) {
        true => (1, compress(&plain, dictionary)),
        false => (2, plain.clone()),
    };
    damaged |= draw.one_in(6) && damage(&mut draw, &mut stored);
    let times = rows.iter().map(|row| row.1);
    let mut bytes = b"\xA7blk".to_vec();
    let run = draw.one_in(2);
    bytes.extend([codec, u8::from(run), 0, 0]);
    bytes.extend((stored.len() as u32).to_le_bytes());
    bytes.extend((plain.len() as u32).to_le_bytes());
    bytes.extend(rows.first().map_or(5, |row| row.0).to_le_bytes());
    bytes.extend((rows.len() as u32).to_le_bytes());
    bytes.extend(times.clone().min().unwrap_or(0).to_le_bytes());
    bytes.extend(times.max().unwrap_or(0).to_le_bytes());
    bytes.extend([0; 8]);
    if draw.one_in(3) {
        let mut header = bytes.split_off(4);
        let len = header.len();
        damaged |= damage(&mut draw, &mut header);
        header.resize(len, 0);
        bytes.extend(header);
    }
    if run {
        bytes.extend([3; 16]);
    }
    bytes.extend(&stored);
    repair_block(&mut bytes, 0, Salt::of(&FILE_ID));

    let found = block(&bytes, FILE_ID, dictionary);
    if !damaged {
        let found = found.expect("nothing was damaged");
        assert_eq!(found.records, rows);
        assert_eq!((&found.plain, &found.plain_again), (&sound, &sound));
    } else if let Ok(found) = found {
        assert_eq!(bytes[..found.header.len()], found.header);
        let (mut end, mut seq) = (0, None);
        for (at, _, key, body) in &found.records {
            assert!(seq.is_none_or(|seq| seq + 1 == *at));
            assert!(found.plain.len() > 4_096 || contains(&found.plain, body) && contains(&found.plain, key));
            (end, seq) = (end + key.len() + body.len(), Some(*at));
        }
        assert!(end < found.plain.len());
        // Encoding what was read gives something that reads the same.
        assert!(found.plain_again.len() <= found.plain.len());
    }
}

fn rows(draw: &mut Draw<'_>) -> (Vec<Row>, bool) {
    let first = draw.choose(&[0, 7, 1 << 33, (1 << 63) - 70]);
    let mut has_meta = false;
    let count = 1 + draw.below(12) as u64;
    let rows = (0..count).map(|n| {
        let key = if draw.one_in(5) { draw.bytes(12).to_vec() } else { Vec::new() };
        has_meta |= !key.is_empty();
        (first + n, draw.number() as i64, key, draw.body())
    });
    (rows.collect(), has_meta)
}

/// The rows as docs/format.md has them.
fn payload(rows: &[Row], has_meta: bool) -> Vec<u8> {
    let mut out = vec![u8::from(has_meta)];
    rows.iter().for_each(|row| varint(&mut out, row.3.len() as u64));
    let mut last = 0i64;
    for row in rows {
        signed_varint(&mut out, row.1.wrapping_sub(last));
        last = row.1;
    }
    if has_meta {
        for row in rows {
            out.extend([1, 0]);
            varint(&mut out, row.2.len() as u64);
        }
        rows.iter().for_each(|row| out.extend(&row.2));
    }
    rows.iter().for_each(|row| out.extend(&row.3));
    out
}

fn compress(plain: &[u8], dictionary: Option<&[u8]>) -> Vec<u8> {
    thread_local! {
        static PLAIN: std::cell::RefCell<zstd::bulk::Compressor<'static>> =
            zstd::bulk::Compressor::new(1).expect("zstd is there").into();
        static WITH: std::cell::RefCell<zstd::bulk::Compressor<'static>> =
            zstd::bulk::Compressor::with_dictionary(1, DICTIONARY).expect("zstd is there").into();
    }
    let compressor = if dictionary.is_some() { &WITH } else { &PLAIN };
    compressor.with_borrow_mut(|compressor| compressor.compress(plain)).expect("zstd compresses anything")
}
