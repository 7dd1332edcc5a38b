//! The zstd dictionary of a sealed file: training it, and the two copies of it. docs/format.md, "Dictionary".

use super::SealOptions;
use super::bytes::{Fields, Salt};

/// Largest dictionary, in bytes.
pub(crate) const DICTIONARY_BYTES_MAX: usize = 1 << 20;

/// Fewest bytes of records for which a dictionary is tried.
pub(crate) const TRAINING_BYTES_MIN: u64 = 256 << 10;

/// Bytes of the header before a copy.
pub(crate) const COPY_HEADER_BYTES: usize = HEADER_CRC_AT + 4;

const MAGIC: [u8; 4] = *b"\xA7dic";
const PLAIN_LEN_AT: usize = MAGIC.len();
const STORED_LEN_AT: usize = PLAIN_LEN_AT + 4;
const PAYLOAD_CRC_AT: usize = STORED_LEN_AT + 4;
const HEADER_CRC_AT: usize = PAYLOAD_CRC_AT + 4;
const _: () = assert!(COPY_HEADER_BYTES == 20);

/// The level at which the dictionary itself is compressed.
const STORED_LEVEL: i32 = 19;

/// A copy of the dictionary `plain` as it stands in a file.
pub(crate) fn encode_copy(plain: &[u8], salt: Salt) -> std::io::Result<Vec<u8>> {
    let stored = zstd::bulk::compress(plain, STORED_LEVEL)?;
    let mut out = Vec::with_capacity(COPY_HEADER_BYTES + stored.len());
    out.extend(MAGIC);
    out.extend((plain.len() as u32).to_le_bytes());
    out.extend((stored.len() as u32).to_le_bytes());
    out.extend(salt.crc(&stored).to_le_bytes());
    let crc = salt.crc(&out);
    out.extend(crc.to_le_bytes());
    out.extend(stored);
    Ok(out)
}

/// The lengths in the header of a copy, plain and stored, or what is wrong with it.
pub(crate) fn decode_header(bytes: &[u8], salt: Salt) -> Result<(usize, usize), &'static str> {
    let header = bytes.first_chunk::<COPY_HEADER_BYTES>().ok_or("the dictionary's header is cut")?;
    if header[..PLAIN_LEN_AT] != MAGIC {
        return Err("no dictionary begins here");
    }
    if salt.crc(&header[..HEADER_CRC_AT]).to_le_bytes() != header[HEADER_CRC_AT..] {
        return Err("the dictionary's header doesn't match its checksum");
    }
    let mut fields = Fields(&header[PLAIN_LEN_AT..]);
    let (Some(plain), Some(stored)) = (fields.u32(), fields.u32()) else {
        return Err("the dictionary's header is cut");
    };
    match plain as usize <= DICTIONARY_BYTES_MAX && stored as usize <= 2 * DICTIONARY_BYTES_MAX {
        true => Ok((plain as usize, stored as usize)),
        false => Err("the dictionary is larger than this version reads"),
    }
}

/// The dictionary in `bytes`, which are one copy with its header and nothing else; or what is wrong with them.
pub(crate) fn decode_copy(bytes: &[u8], salt: Salt) -> Result<Vec<u8>, &'static str> {
    let (plain_len, stored_len) = decode_header(bytes, salt)?;
    let stored = &bytes[COPY_HEADER_BYTES..];
    if stored.len() != stored_len {
        return Err("the dictionary has another length than its header tells");
    }
    if salt.crc(stored).to_le_bytes() != bytes[PAYLOAD_CRC_AT..HEADER_CRC_AT] {
        return Err("the dictionary doesn't match its checksum");
    }
    match zstd::bulk::decompress(stored, plain_len) {
        Ok(plain) if plain.len() == plain_len => Ok(plain),
        _ => Err("the dictionary doesn't decompress to the length its header tells"),
    }
}

/// Trains a dictionary on `samples`, bodies of records spread over what is to be sealed, which has `body_bytes` of
/// them in all. `None` if it would cost more bytes than it saves, or if there is too little to learn from.
pub(crate) fn train_dictionary(samples: &[&[u8]], body_bytes: u64, options: &SealOptions) -> Option<Vec<u8>> {
    let max_bytes = options.dictionary_bytes.min(DICTIONARY_BYTES_MAX);
    if max_bytes == 0 || body_bytes < TRAINING_BYTES_MIN {
        return None;
    }
    let used = bounded(samples, max_bytes.saturating_mul(options.samples_per_dictionary));
    let dictionary = zstd::dict::from_samples(&used, max_bytes).ok()?;
    pays(&dictionary, samples, body_bytes, options)?.then_some(dictionary)
}

/// Samples of at most `bytes_max` bytes in all, evenly out of `samples`.
fn bounded<'a>(samples: &[&'a [u8]], bytes_max: usize) -> Vec<&'a [u8]> {
    let total: usize = samples.iter().map(|sample| sample.len()).sum();
    let step = total.div_ceil(bytes_max.max(1)).max(1);
    samples.iter().copied().step_by(step).collect()
}

/// Whether the bytes that `dictionary` saves are more than twice those its two copies take, judged by a few blocks.
fn pays(dictionary: &[u8], samples: &[&[u8]], body_bytes: u64, options: &SealOptions) -> Option<bool> {
    const BLOCKS: usize = 8;
    let mut with = zstd::bulk::Compressor::with_dictionary(options.level, dictionary).ok()?;
    let mut without = zstd::bulk::Compressor::new(options.level).ok()?;
    let (mut tried, mut saved) = (0i64, 0i64);
    for part in samples.chunks(samples.len().div_ceil(BLOCKS).max(1)) {
        let mut block = Vec::new();
        for sample in part {
            if block.len() >= options.block_bytes {
                break;
            }
            block.extend_from_slice(sample);
        }
        tried += block.len() as i64;
        saved += without.compress(&block).ok()?.len() as i64 - with.compress(&block).ok()?.len() as i64;
    }
    let cost = 2 * zstd::bulk::compress(dictionary, STORED_LEVEL).ok()?.len() as i64;
    let saved_in_all = i128::from(saved) * i128::from(body_bytes) / i128::from(tried.max(1));
    Some(saved_in_all > i128::from(cost) * 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(count: u32) -> Vec<Vec<u8>> {
        (0..count)
            .map(|i| {
                format!("{{\"user\":\"u{}\",\"action\":\"login\",\"ok\":{}}}", i * 7919 % 1000, i % 3 == 0).into_bytes()
            })
            .collect()
    }

    #[test]
    fn a_dictionary_is_trained_where_it_pays_and_only_there() {
        let texts = texts(20_000);
        let samples: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        let options = SealOptions { block_bytes: 1 << 10, dictionary_bytes: 4 << 10, ..SealOptions::default() };
        let bytes = texts.iter().map(|text| text.len() as u64).sum();
        let dictionary = train_dictionary(&samples, bytes, &options).expect("small alike records pay");
        assert!(dictionary.len() <= options.dictionary_bytes);
        assert_eq!(train_dictionary(&samples, 1_000, &options), None, "too little to learn from");
        assert_eq!(train_dictionary(&[], bytes, &options), None, "no samples");
        let none = SealOptions { dictionary_bytes: 0, ..options };
        assert_eq!(train_dictionary(&samples, bytes, &none), None, "switched off");
    }

    #[test]
    fn noise_gets_no_dictionary() {
        let mut state = 1u64;
        let noise: Vec<Vec<u8>> = (0..2_000)
            .map(|_| {
                (0..200)
                    .map(|_| {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        (state >> 56) as u8
                    })
                    .collect()
            })
            .collect();
        let samples: Vec<&[u8]> = noise.iter().map(Vec::as_slice).collect();
        assert_eq!(train_dictionary(&samples, 400_000, &SealOptions::default()), None);
    }
}
