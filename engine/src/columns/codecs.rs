//! The columns codec for fuzz targets: see `crate::codecs`.

use super::{Block, Dictionary, Encoder, LearnOptions, Meta, Sample, learn};

/// A dictionary and a block: the dictionary's plain bytes, the payload, bytes of its compressed part when it is plain.
pub type Encoded = (Vec<u8>, Vec<u8>, u32);

/// Records by column: their timestamps and bodies. `None` if there is nothing to learn from them.
pub fn encode(records: &[(i64, Vec<u8>)]) -> Option<Encoded> {
    let samples: Vec<Sample<'_>> = records.iter().map(|(time, body)| Sample { time: *time, body }).collect();
    let options = LearnOptions { block_records: 8, literal_bytes: 1 << 16, content_bytes: 0, level: 1 };
    let dictionary = learn(&samples, &options)?;
    let mut encoder = Encoder::new(&dictionary, options.level).ok()?;
    let meta = Meta { kind: super::KIND_USER, flags: 0, key: &[] };
    samples.iter().for_each(|sample| encoder.push(sample.time, &meta, sample.body));
    let mut payload = Vec::new();
    let plain_len = encoder.finish(&mut payload).ok()?;
    Some((dictionary.encode(), payload, plain_len))
}

/// The records of a block: all at once, after one by one gave the same.
///
/// # Errors
/// What the decoder says.
///
/// # Panics
/// If the records are others when they are read one by one.
pub fn decode(encoded: &Encoded, rows: u32, limit: usize) -> Result<Vec<(i64, Vec<u8>)>, String> {
    let (plain, payload, plain_len) = encoded;
    let dictionary = Dictionary::decode(plain).ok_or("no dictionary")?;
    assert!(dictionary.encode() == *plain || plain.len() > dictionary.encode().len(), "encoding it again");
    let mut decompress = |stored: &[u8], out: &mut Vec<u8>| {
        *out = zstd::bulk::decompress(stored, *plain_len as usize).ok()?;
        Some(())
    };
    let mut block = Block::default();
    block.open(&dictionary, payload, rows, &mut decompress)?;
    let (mut bodies, mut ends) = (Vec::new(), Vec::new());
    let all = block.bodies(&dictionary, limit, &mut bodies, &mut ends);
    let mut records = Vec::new();
    let mut from = 0;
    for (row, end) in ends.iter().enumerate() {
        records.push((block.time(row)?, bodies[from..*end as usize].to_vec()));
        from = *end as usize;
    }
    // A new one, which knows nothing of the others yet.
    let mut one = Block::default();
    for (row, (_, body)) in records.iter().enumerate().take(64) {
        one.open(&dictionary, payload, rows, &mut decompress)?;
        let mut again = Vec::new();
        assert_eq!(one.body(&dictionary, row, limit, &mut again), Ok(()));
        assert!(again == *body, "record {row} is another on its own");
    }
    all.map(|()| records).map_err(str::to_owned)
}
