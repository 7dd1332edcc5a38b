//! Dictionaries and blocks that are damaged or made up: an error, or some records, within bounds.

use super::bodies::records;
use super::round_trip::{decompress, encode, options, samples};
use crate::columns::{Block, Dictionary, Plan, learn};
use proptest::prelude::*;

/// The most that a block gives here.
const LIMIT: usize = 1 << 20;

/// Reads a block in all ways.
fn read(dictionary: &Dictionary, payload: &[u8], rows: u32) {
    let mut block = Block::default();
    if block.open(dictionary, payload, rows, &mut decompress).is_err() {
        assert_eq!(block.rows(), 0);
        return;
    }
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    let all = block.bodies(dictionary, LIMIT, &mut out, &mut ends);
    assert!(out.len() <= 3 * LIMIT);
    for row in 0..rows.min(50) as usize {
        let mut own = Vec::new();
        let one = block.body(dictionary, row, LIMIT, &mut own);
        let _ = (block.time(row), block.meta(row));
        if all.is_ok() {
            let from = row.checked_sub(1).map_or(0, |before| ends[before] as usize);
            assert_eq!((one, &own[..]), (Ok(()), &out[from..ends[row] as usize]));
        }
    }
    let plan = Plan::new(dictionary, &crate::msgpack::Fields::new(["a"]));
    let _ = block.all_fields(dictionary, &plan, LIMIT, &mut Vec::new(), &mut Vec::new());
    let _ = block.fields(dictionary, &plan, 0, LIMIT, &mut Vec::new());
}

/// A block that isn't compressed, so that what is changed in it is what is decoded.
fn plain(payload: &[u8]) -> Vec<u8> {
    let mut fields = crate::fields::Fields(&payload[1..]);
    let len = fields.varint().unwrap() as usize;
    let stored = fields.take(len).unwrap();
    let mut plain = Vec::new();
    match payload[0] {
        1 => decompress(stored, &mut plain).unwrap(),
        _ => plain.extend_from_slice(stored),
    }
    let mut out = vec![0];
    crate::fields::put_varint(&mut out, plain.len() as u64);
    out.extend(plain);
    out.extend_from_slice(fields.0);
    out
}

fn change(bytes: &mut Vec<u8>, edits: &[(prop::sample::Index, u8, u8)]) {
    for (index, byte, kind) in edits {
        if bytes.is_empty() {
            return;
        }
        let at = index.index(bytes.len());
        match kind % 8 {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, *byte),
            2 => bytes[at] = bytes[at].wrapping_add(1),
            _ => bytes[at] = *byte,
        }
    }
}

fn edits() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, u8)>> {
    proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<u8>()), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_damaged_block_gives_an_error_or_records(records in records(20), edits in edits(), rows in 0u32..100) {
        let Some(dictionary) = learn(&samples(&records), &options()) else { return Ok(()) };
        let mut payload = plain(&encode(&dictionary, &records, b"key"));
        read(&dictionary, &payload, records.len() as u32);
        change(&mut payload, &edits);
        read(&dictionary, &payload, records.len() as u32);
        read(&dictionary, &payload, rows);
        read(&dictionary, &payload, u32::MAX);
    }

    #[test]
    fn a_damaged_dictionary_is_refused_or_gives_an_error_or_records(records in records(20), edits in edits()) {
        let Some(dictionary) = learn(&samples(&records), &options()) else { return Ok(()) };
        let payload = encode(&dictionary, &records, b"key");
        let mut bytes = dictionary.encode();
        change(&mut bytes, &edits);
        if let Some(dictionary) = Dictionary::decode(&bytes) {
            read(&dictionary, &payload, records.len() as u32);
        }
    }

    #[test]
    fn any_bytes_give_no_panic(dictionary: Vec<u8>, payload: Vec<u8>, rows in 0u32..70_000) {
        if let Some(dictionary) = Dictionary::decode(&[&[1, 1], &dictionary[..]].concat()) {
            read(&dictionary, &payload, rows);
        }
    }
}

#[test]
fn a_block_that_claims_billions_of_records_in_a_few_bytes_is_refused() {
    let records: Vec<(i64, Vec<u8>)> = (0..20).map(|_| (0, vec![0x81, 0xA1, b'a', 1])).collect();
    let dictionary = learn(&samples(&records), &options());
    if let Some(dictionary) = dictionary {
        let payload = encode(&dictionary, &records, b"");
        assert!(Block::default().open(&dictionary, &payload, u32::MAX, &mut decompress).is_err());
    }
}
