//! What goes in comes out, byte for byte, whatever it is.

use super::bodies::records;
use crate::columns::{Block, Dictionary, Encoder, LearnOptions, Meta, Plan, Sample, learn};
use crate::msgpack::Fields;
use proptest::prelude::*;

pub(super) fn options() -> LearnOptions {
    LearnOptions { block_records: 16, literal_bytes: 1 << 20, content_bytes: 0, level: 1 }
}

pub(super) fn samples(records: &[(i64, Vec<u8>)]) -> Vec<Sample<'_>> {
    records.iter().map(|(time, body)| Sample { time: *time, body }).collect()
}

/// A block of all records.
pub(super) fn encode(dictionary: &Dictionary, records: &[(i64, Vec<u8>)], key: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(dictionary, 1).unwrap();
    for (row, (time, body)) in records.iter().enumerate() {
        let key = if row % 3 == 0 { key } else { &[] };
        encoder.push(*time, &Meta { kind: 1, flags: 0, key }, body);
    }
    let mut payload = Vec::new();
    encoder.finish(&mut payload).unwrap();
    payload
}

pub(super) fn decompress(stored: &[u8], out: &mut Vec<u8>) -> Option<()> {
    *out = zstd::bulk::decompress(stored, 1 << 22).ok()?;
    Some(())
}

fn check(dictionary: &Dictionary, records: &[(i64, Vec<u8>)], key: &[u8]) {
    let payload = encode(dictionary, records, key);
    let mut block = Block::default();
    block.open(dictionary, &payload, records.len() as u32, &mut decompress).unwrap();
    for (row, (time, body)) in records.iter().enumerate().rev() {
        let mut out = Vec::new();
        block.body(dictionary, row, 1 << 24, &mut out).unwrap();
        assert_eq!(&out, body, "record {row} on its own");
        assert_eq!(block.time(row), Ok(*time));
        assert_eq!(block.meta(row).key, if row % 3 == 0 { key } else { &[] });
    }
    let (mut out, mut ends, mut from) = (Vec::new(), Vec::new(), 0);
    block.bodies(dictionary, 1 << 24, &mut out, &mut ends).unwrap();
    for ((_, body), end) in records.iter().zip(&ends) {
        assert_eq!(&out[from..*end as usize], body);
        from = *end as usize;
    }
    assert_eq!((from, ends.len()), (out.len(), records.len()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_records_come_back(records in records(40), key in proptest::collection::vec(any::<u8>(), 0..9)) {
        if let Some(dictionary) = learn(&samples(&records), &options()) {
            let again = Dictionary::decode(&dictionary.encode());
            prop_assert_eq!(again.as_ref(), Some(&dictionary));
            check(&dictionary, &records, &key);
        }
    }

    #[test]
    fn records_come_back_that_the_dictionary_was_not_learned_from(own in records(40), others in records(40)) {
        if let Some(dictionary) = learn(&samples(&own), &options()) {
            check(&dictionary, &others, b"");
        }
    }

    #[test]
    fn named_fields_are_those_of_the_whole_records(records in records(40), others in records(20)) {
        let Some(dictionary) = learn(&samples(&records), &options()) else { return Ok(()) };
        let mut records: Vec<_> = records.into_iter().chain(others).collect();
        records.retain(|(_, body)| crate::msgpack::validate_body(body).is_ok());
        if records.is_empty() {
            return Ok(());
        }
        let payload = encode(&dictionary, &records, b"");
        let mut block = Block::default();
        block.open(&dictionary, &payload, records.len() as u32, &mut decompress).unwrap();
        for names in [&["message", "time"][..], &["a"], &["a", "b", "c", "message"], &["nowhere"], &[]] {
            let fields = Fields::new(names);
            let plan = Plan::new(&dictionary, &fields);
            let (mut all, mut ends, mut from) = (Vec::new(), Vec::new(), 0);
            block.all_fields(&dictionary, &plan, 1 << 24, &mut all, &mut ends).unwrap();
            let (mut one, mut naive) = (Vec::new(), Vec::new());
            for (row, (_, body)) in records.iter().enumerate() {
                let range = fields.project(body, &mut naive).unwrap();
                prop_assert_eq!(&all[from..ends[row] as usize], &naive[range.clone()], "record {}", row);
                from = ends[row] as usize;
                one.clear();
                block.fields(&dictionary, &plan, row, 1 << 24, &mut one).unwrap();
                prop_assert_eq!(&one[..], &naive[range], "record {} on its own", row);
            }
        }
    }
}

#[test]
fn nothing_to_learn_from_gives_no_dictionary() {
    assert!(learn(&[], &options()).is_none());
    let records: Vec<(i64, Vec<u8>)> = (0..20).map(|n| (n, vec![0xC1, n as u8])).collect();
    assert!(learn(&samples(&records), &options()).is_none());
}

#[test]
fn an_encoder_begins_anew_after_each_block() {
    let records: Vec<(i64, Vec<u8>)> = (0..40u8).map(|n| (i64::from(n), vec![0x81, 0xA1, b'a', n])).collect();
    let dictionary = learn(&samples(&records), &options()).unwrap();
    let mut encoder = Encoder::new(&dictionary, 1).unwrap();
    let meta = Meta { kind: 1, flags: 0, key: b"" };
    let mut block = || {
        records.iter().for_each(|(time, body)| encoder.push(*time, &meta, body));
        assert_eq!(encoder.count(), 40);
        let mut payload = Vec::new();
        encoder.finish(&mut payload).unwrap();
        assert_eq!((encoder.count(), encoder.items()), (0, 0));
        payload
    };
    assert_eq!(block(), block());
}
