//! The zstd dictionary of a sealed file: training it, and the two copies of it. docs/format.md, "Dictionary".

use super::SealOptions;
use super::bytes::{Fields, Salt};
use crate::options::Codec;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use zstd::bulk::Compressor;
use zstd::zstd_safe::DDict;

/// Largest dictionary, in bytes.
pub(crate) const DICTIONARY_BYTES_MAX: usize = 1 << 20;

/// Largest dictionary of columns, in bytes.
pub(crate) const COLUMNS_BYTES_MAX: usize = 4 << 20;

/// Largest dictionary of a kind, in bytes.
pub(super) fn bytes_max(codec: Codec) -> usize {
    match codec {
        Codec::Rows => DICTIONARY_BYTES_MAX,
        Codec::Columns => COLUMNS_BYTES_MAX,
    }
}

/// Fewest bytes of records for which a dictionary is tried.
pub(crate) const TRAINING_BYTES_MIN: u64 = 256 << 10;

/// Bytes of the header before a copy.
pub(crate) const COPY_HEADER_BYTES: usize = HEADER_CRC_AT + 4;

const MAGIC_ROWS: [u8; 4] = *b"\xA7dic";
const MAGIC_COLUMNS: [u8; 4] = *b"\xA7col";
const PLAIN_LEN_AT: usize = MAGIC_ROWS.len();
const STORED_LEN_AT: usize = PLAIN_LEN_AT + 4;
const PAYLOAD_CRC_AT: usize = STORED_LEN_AT + 4;
const HEADER_CRC_AT: usize = PAYLOAD_CRC_AT + 4;
const _: () = assert!(COPY_HEADER_BYTES == 20);

/// What a trained dictionary begins with (RFC 8878, section 5).
const TRAINED_MAGIC: [u8; 4] = [0x37, 0xa4, 0x30, 0xec];

/// The level at which the dictionary itself is compressed.
const STORED_LEVEL: i32 = 12;

/// A copy of the dictionary `plain`, for blocks of this codec, as it stands in a file.
pub(crate) fn encode_copy(codec: Codec, plain: &[u8], salt: Salt) -> std::io::Result<Vec<u8>> {
    let stored = zstd::bulk::compress(plain, STORED_LEVEL)?;
    let mut out = Vec::with_capacity(COPY_HEADER_BYTES + stored.len());
    out.extend(if codec == Codec::Rows { MAGIC_ROWS } else { MAGIC_COLUMNS });
    out.extend((plain.len() as u32).to_le_bytes());
    out.extend((stored.len() as u32).to_le_bytes());
    out.extend(salt.crc(&stored).to_le_bytes());
    let crc = salt.crc(&out);
    out.extend(crc.to_le_bytes());
    out.extend(stored);
    Ok(out)
}

/// The codec and the lengths in the header of a copy, plain and stored, or what is wrong with it.
pub(crate) fn decode_header(bytes: &[u8], salt: Salt) -> Result<(Codec, usize, usize), &'static str> {
    let header = bytes.first_chunk::<COPY_HEADER_BYTES>().ok_or("the dictionary's header is cut")?;
    let codec = match header[..PLAIN_LEN_AT] {
        _ if header[..PLAIN_LEN_AT] == MAGIC_ROWS => Codec::Rows,
        _ if header[..PLAIN_LEN_AT] == MAGIC_COLUMNS => Codec::Columns,
        _ => return Err("no dictionary begins here"),
    };
    if salt.crc(&header[..HEADER_CRC_AT]).to_le_bytes() != header[HEADER_CRC_AT..] {
        return Err("the dictionary's header doesn't match its checksum");
    }
    let mut fields = Fields(&header[PLAIN_LEN_AT..]);
    let (Some(plain), Some(stored)) = (fields.u32(), fields.u32()) else {
        return Err("the dictionary's header is cut");
    };
    match plain as usize <= bytes_max(codec) && stored as usize <= 2 * bytes_max(codec) {
        true => Ok((codec, plain as usize, stored as usize)),
        false => Err("the dictionary is larger than this version reads"),
    }
}

/// The dictionary in `bytes`, which are one copy with its header and nothing else; or what is wrong with them.
pub(crate) fn decode_copy(bytes: &[u8], salt: Salt) -> Result<(Codec, Vec<u8>), &'static str> {
    let (codec, plain_len, stored_len) = decode_header(bytes, salt)?;
    let stored = &bytes[COPY_HEADER_BYTES..];
    if stored.len() != stored_len {
        return Err("the dictionary has another length than its header tells");
    }
    if salt.crc(stored).to_le_bytes() != bytes[PAYLOAD_CRC_AT..HEADER_CRC_AT] {
        return Err("the dictionary doesn't match its checksum");
    }
    match zstd::bulk::decompress(stored, plain_len) {
        Ok(plain) if plain.len() == plain_len => Ok((codec, plain)),
        _ => Err("the dictionary doesn't decompress to the length its header tells"),
    }
}

/// A dictionary for what `samples` were taken from, which has `body_bytes` bytes of bodies in all. `None` if it would
/// cost more than it saves, or if there is too little to learn from.
///
/// `samples` are bodies of records spread evenly over it, in the order of the log;
/// [`SealOptions::sample_bytes`] of them are enough. A trained
/// dictionary and one of plain records are tried, since training does badly on large records that repeat each other,
/// and plain records on all else.
///
/// `earlier`, the dictionary of the segment before, is kept while it is nearly as good: segments that share a dictionary
/// share its memory, and random reads over many of them find it in the processor's cache.
pub(crate) fn train_dictionary<'s>(
    samples: &[&'s [u8]],
    body_bytes: u64,
    options: &SealOptions,
    earlier: Option<Vec<u8>>,
) -> Option<Vec<u8>> {
    let max_bytes = options.dictionary_bytes.min(DICTIONARY_BYTES_MAX);
    if max_bytes == 0 || body_bytes < TRAINING_BYTES_MIN {
        return None;
    }
    // What a dictionary is tried on is not what it was made of: it would look better than the one before by what it
    // knows by heart.
    let part = |held_out| move |(n, sample): (usize, &&'s [u8])| ((n % 3 == 1) == held_out).then_some(*sample);
    let learned: Vec<&[u8]> = samples.iter().enumerate().filter_map(part(false)).collect();
    let held_out: Vec<&[u8]> = samples.iter().enumerate().filter_map(part(true)).collect();
    let used = bounded(&learned, max_bytes.saturating_mul(options.samples_per_dictionary));
    let trained = zstd::dict::from_samples(&used, max_bytes).ok();
    let mut plain = bounded(&learned, max_bytes).concat();
    plain.truncate(max_bytes);
    // zstd takes what begins with its own magic number for a trained dictionary; no body does (docs/format.md).
    let plain = Some(plain).filter(|plain| plain.len() > 8 && !plain.starts_with(&TRAINED_MAGIC));
    let trial = Trial::new(&held_out, body_bytes, options)?;
    let tried =
        trained.into_iter().chain(plain).filter_map(|dictionary| Some((trial.bytes_with(&dictionary)?, dictionary)));
    let best = tried.min_by_key(|(bytes, _)| *bytes);
    let kept = earlier.and_then(|dictionary| Some((trial.bytes_with(&dictionary)?, dictionary)));
    match (kept, best) {
        (Some((bytes, dictionary)), Some((best_bytes, _))) if bytes * 100 <= best_bytes * KEPT_PERCENT => {
            Some(dictionary)
        }
        (Some((_, dictionary)), None) => Some(dictionary),
        (_, best) => best.map(|(_, dictionary)| dictionary),
    }
}

/// A dictionary ready for use. Files with the same dictionary share one in memory, for as long as any of them is open.
pub(super) fn digested(plain: &[u8]) -> Option<Arc<DDict<'static>>> {
    static SHARED: Mutex<Vec<(Vec<u8>, Weak<DDict<'static>>)>> = Mutex::new(Vec::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.retain(|(_, dictionary)| dictionary.strong_count() > 0);
    if let Some(found) = shared.iter().find(|(bytes, _)| bytes == plain).and_then(|(_, weak)| weak.upgrade()) {
        return Some(found);
    }
    let dictionary = Arc::new(DDict::try_create(plain)?);
    shared.push((plain.to_vec(), Arc::downgrade(&dictionary)));
    Some(dictionary)
}

/// An earlier dictionary is kept while a segment takes at most this much of what it takes with the best new one.
const KEPT_PERCENT: u128 = 102;

/// Samples of about `bytes_max` bytes in all, evenly out of `samples`.
fn bounded<'a>(samples: &[&'a [u8]], bytes_max: usize) -> Vec<&'a [u8]> {
    let total: usize = samples.iter().map(|sample| sample.len()).sum();
    let step = total.div_ceil(bytes_max.max(1)).max(1);
    samples.iter().copied().step_by(step).collect()
}

/// A few blocks to try dictionaries on.
struct Trial<'a> {
    blocks: Vec<Vec<u8>>,
    without_bytes: usize,
    body_bytes: u64,
    options: &'a SealOptions,
}

impl<'a> Trial<'a> {
    const BLOCKS: usize = 16;

    fn new(samples: &[&[u8]], body_bytes: u64, options: &'a SealOptions) -> Option<Self> {
        let parts = samples.chunks(samples.len().div_ceil(Self::BLOCKS).max(1));
        let blocks: Vec<Vec<u8>> = parts.map(|part| first_block(part, options.block_bytes)).collect();
        let mut compressor = Compressor::new(options.level).ok()?;
        let without_bytes = compressed_bytes(&mut compressor, &blocks)?;
        Some(Self { blocks, without_bytes, body_bytes, options })
    }

    /// The bytes that everything takes with `dictionary`, its two copies included; `None` unless it saves twice the
    /// bytes of those.
    fn bytes_with(&self, dictionary: &[u8]) -> Option<u128> {
        let mut compressor = Compressor::with_dictionary(self.options.level, dictionary).ok()?;
        let tried: usize = self.blocks.iter().map(Vec::len).sum();
        let in_all = |bytes: usize| bytes as u128 * u128::from(self.body_bytes) / (tried as u128).max(1);
        let without = in_all(self.without_bytes);
        let with = in_all(compressed_bytes(&mut compressor, &self.blocks)?);
        // Its size is that of a quick compression: the real one takes longer than the trial.
        let copies = 2 * zstd::bulk::compress(dictionary, self.options.level).ok()?.len() as u128;
        (with + 2 * copies < without).then_some(with + copies)
    }
}

/// Bodies of `part` up to the size of a block.
fn first_block(part: &[&[u8]], block_bytes: usize) -> Vec<u8> {
    let mut block = Vec::new();
    for body in part {
        if !block.is_empty() && block.len() + body.len() > block_bytes {
            break;
        }
        block.extend_from_slice(body);
    }
    block
}

fn compressed_bytes(compressor: &mut Compressor<'_>, blocks: &[Vec<u8>]) -> Option<usize> {
    blocks.iter().map(|block| compressor.compress(block).ok().map(|bytes| bytes.len())).sum()
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
        let dictionary = train_dictionary(&samples, bytes, &options, None).expect("small alike records pay");
        assert!(dictionary.len() <= options.dictionary_bytes);
        assert_eq!(train_dictionary(&samples, 1_000, &options, None), None, "too little to learn from");
        assert_eq!(train_dictionary(&[], bytes, &options, None), None, "no samples");
        let none = SealOptions { dictionary_bytes: 0, ..options };
        assert_eq!(train_dictionary(&samples, bytes, &none, None), None, "switched off");
    }

    #[test]
    fn the_dictionary_before_is_kept_while_it_does_as_well_and_no_longer() {
        let options = SealOptions { block_bytes: 1 << 10, dictionary_bytes: 4 << 10, ..SealOptions::default() };
        let train = |texts: &[Vec<u8>], earlier: Option<Vec<u8>>| {
            let samples: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
            let bytes = texts.iter().map(|text| text.len() as u64).sum();
            train_dictionary(&samples, bytes, &options, earlier).expect("small alike records pay")
        };
        let all = texts(40_000);
        let first = train(&all[..20_000], None);
        assert_ne!(train(&all[20_000..], None), first, "else there is nothing to choose");
        assert_eq!(train(&all[20_000..], Some(first.clone())), first);
        let other: Vec<Vec<u8>> = all[..20_000].iter().map(|text| text.to_ascii_uppercase()).collect();
        assert_ne!(train(&other, Some(first.clone())), first, "these have nothing in common with what it knows");
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
        assert_eq!(train_dictionary(&samples, 400_000, &SealOptions::default(), None), None);
    }
}
