//! Records by column: any bodies come back, and a dictionary or a block that is damaged gives an error or records, within
//! bounds.

use crate::draw::{Draw, damage};
use annals::codecs::columns::{decode, encode};

/// The most that a damaged block may give.
const LIMIT: usize = 1 << 20;

pub(crate) fn case(input: &[u8]) {
    let mut draw = Draw::new(input);
    let count = 1 + draw.below(24);
    let mut records: Vec<(i64, Vec<u8>)> = Vec::new();
    for _ in 0..count {
        let body = match draw.byte() % 8 {
            0 if !records.is_empty() => records[draw.below(records.len())].1.clone(),
            1 => draw.bytes(40).to_vec(),
            2 => {
                let mut body = draw.body();
                damage(&mut draw, &mut body);
                body
            }
            _ => draw.body(),
        };
        records.push((draw.number() as i64, body));
    }
    // What occurs once is no part of a dictionary.
    let again = records.clone();
    (0..draw.below(4)).for_each(|_| records.extend(again.iter().cloned()));
    let Some(mut encoded) = encode(&records) else { return };
    let rows = records.len() as u32;
    assert!(decode(&encoded, rows, usize::MAX).expect("nothing was damaged") == records);
    // Not compressed, so that what is changed is what is decoded.
    if encoded.1[0] == 1 && draw.one_in(2) {
        plain(&mut encoded.1, encoded.2);
        assert!(decode(&encoded, rows, usize::MAX).expect("nothing was damaged") == records);
    }
    match draw.byte() % 3 {
        0 => drop(damage(&mut draw, &mut encoded.0)),
        1 => drop(damage(&mut draw, &mut encoded.1)),
        _ => {
            damage(&mut draw, &mut encoded.0);
            damage(&mut draw, &mut encoded.1);
        }
    }
    let rows = if draw.one_in(4) { draw.number() as u32 } else { rows };
    if let Ok(found) = decode(&encoded, rows, LIMIT) {
        assert_eq!(found.len(), rows as usize);
        assert!(found.iter().map(|(_, body)| body.len()).sum::<usize>() <= 3 * LIMIT);
    }
}

/// Puts the plain bytes of the compressed part in its place.
fn plain(payload: &mut Vec<u8>, plain_len: u32) {
    let (mut at, mut len, mut shift) = (1, 0usize, 0);
    loop {
        len |= usize::from(payload[at] & 0x7F) << shift;
        shift += 7;
        at += 1;
        if payload[at - 1] < 0x80 {
            break;
        }
    }
    let plain = zstd::bulk::decompress(&payload[at..at + len], plain_len as usize).expect("it was compressed");
    let mut out = vec![0];
    crate::forge::varint(&mut out, plain.len() as u64);
    out.extend(plain);
    out.extend_from_slice(&payload[at + len..]);
    *payload = out;
}
