//! A record inside a frame's payload: a header with a checksum of its own, the key, the body. docs/format.md, "Entry".
//!
//! A record so can be read and checked without the rest of its batch, and the frame's payload checksum covers the
//! entries' checksums only: every byte is hashed once.

use crate::checksum::Salt;
use crate::record::{KEY_BYTES_MAX, RECORD_BYTES_MAX, RecordKind, StoredRecord};
use crate::{Incarnation, Timestamp};

/// Bytes of an entry's header.
pub(crate) const ENTRY_HEADER_BYTES: usize = 20;
/// Largest entry.
pub(crate) const ENTRY_BYTES_MAX: usize = ENTRY_HEADER_BYTES + RECORD_BYTES_MAX;

const CRC_AT: usize = 0;
const LEN_AT: usize = CRC_AT + 4;
const KIND_AT: usize = LEN_AT + 4;
const FLAGS_AT: usize = KIND_AT + 1;
const KEY_LEN_AT: usize = FLAGS_AT + 1;
const TIMESTAMP_AT: usize = KEY_LEN_AT + 2;
const _: () = assert!(TIMESTAMP_AT + 8 == ENTRY_HEADER_BYTES);

/// Why bytes are not an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryError {
    /// The entry's length can't be right.
    BadLength,
    /// The entry doesn't match its checksum.
    BadChecksum,
    /// A kind or flag of record that this version doesn't know.
    Unknown,
}

impl std::fmt::Display for EntryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::BadLength => "an entry of impossible length",
            Self::BadChecksum => "an entry that does not match its checksum",
            Self::Unknown => "an entry of a kind that only newer versions know",
        })
    }
}

/// Begins an entry at the end of `out`, to be completed by [`set_len`] and [`checksum_all`] once its body has
/// been written behind it. Returns where it begins.
pub(crate) fn begin(out: &mut Vec<u8>, timestamp: Timestamp, key: &[u8]) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    out.push(RecordKind::User as u8);
    out.push(0);
    out.extend_from_slice(&(key.len() as u16).to_le_bytes());
    out.extend_from_slice(&timestamp.as_micros().to_le_bytes());
    out.extend_from_slice(key);
    start
}

/// Makes the one entry that `entry` holds one of another kind; its checksum is to be computed afterwards.
pub(crate) fn set_kind(entry: &mut [u8], kind: RecordKind) {
    entry[KIND_AT] = kind as u8;
}

/// Writes the length of the one entry that `entry` holds into its header. The caller has checked the limits.
pub(crate) fn set_len(entry: &mut [u8]) {
    let len = entry.len() as u32;
    entry[LEN_AT..KIND_AT].copy_from_slice(&len.to_le_bytes());
}

/// Changes the timestamp of the entry at the start of `bytes`; its checksum is to be computed afterwards.
pub(crate) fn set_timestamp(bytes: &mut [u8], timestamp: Timestamp) {
    bytes[TIMESTAMP_AT..ENTRY_HEADER_BYTES].copy_from_slice(&timestamp.as_micros().to_le_bytes());
}

/// Computes the plain checksums of all entries in `payload`, which [`place`] then makes those of a file.
pub(crate) fn checksum_all(payload: &mut [u8]) {
    let mut rest = payload;
    while rest.len() >= ENTRY_HEADER_BYTES {
        let len = u32::from_le_bytes(array(rest, LEN_AT)) as usize;
        let (entry, next) = rest.split_at_mut(len);
        let crc = crc32fast::hash(&entry[LEN_AT..]);
        entry[CRC_AT..LEN_AT].copy_from_slice(&crc.to_le_bytes());
        rest = next;
    }
}

/// Turns the plain checksums of the entries in `payload`, whose first seq is `first_seq`, into those of one file, and
/// returns the payload's checksum. `from` is the file the entries were placed in before, if any. `each` is told where
/// every entry begins.
pub(crate) fn place(
    payload: &mut [u8],
    first_seq: u64,
    from: Option<Salt>,
    to: Salt,
    mut each: impl FnMut(usize),
) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    let (mut at, mut seq) = (0, first_seq);
    while let Some(header) = payload.get_mut(at..at + ENTRY_HEADER_BYTES) {
        let placed = u32::from_le_bytes(array(header, CRC_AT));
        // Salting is XOR: undoing it is doing it again.
        let plain = from.map_or(placed, |from| from.salted_for(seq, placed));
        let crc = to.salted_for(seq, plain).to_le_bytes();
        header[CRC_AT..LEN_AT].copy_from_slice(&crc);
        hasher.update(&crc);
        each(at);
        at += u32::from_le_bytes(array(header, LEN_AT)) as usize;
        seq += 1;
    }
    to.salted(hasher.finalize())
}

/// The length and the checksum in the entry header at the start of `bytes`.
pub(crate) fn peek(bytes: &[u8]) -> Result<(usize, u32), EntryError> {
    let header = bytes.get(..ENTRY_HEADER_BYTES).ok_or(EntryError::BadLength)?;
    let len = u32::from_le_bytes(array(header, LEN_AT)) as usize;
    let key_len = u16::from_le_bytes(array(header, KEY_LEN_AT)) as usize;
    if len > ENTRY_BYTES_MAX || key_len > KEY_BYTES_MAX || len < ENTRY_HEADER_BYTES + key_len {
        return Err(EntryError::BadLength);
    }
    Ok((len, u32::from_le_bytes(array(header, CRC_AT))))
}

/// What the seq and the file of an entry have contributed to its checksum, if its bytes are sound: see
/// [`Salt::salted_for`].
pub(crate) fn implied(entry: &[u8]) -> Option<u32> {
    let crc = u32::from_le_bytes(array(entry.get(..ENTRY_HEADER_BYTES)?, CRC_AT));
    Some(crc ^ crc32fast::hash(&entry[LEN_AT..]))
}

/// The timestamp in the entry header at the start of `bytes`.
pub(crate) fn timestamp(bytes: &[u8]) -> Option<Timestamp> {
    let header = bytes.get(..ENTRY_HEADER_BYTES)?;
    Some(Timestamp::from_micros(i64::from_le_bytes(array(header, TIMESTAMP_AT))))
}

/// Decodes and checks the entry at the start of `bytes`, which is that of the record `seq`. Returns the record and
/// the entry's length.
pub(crate) fn decode(
    bytes: &[u8],
    seq: u64,
    incarnation: Incarnation,
    salt: Salt,
) -> Result<(StoredRecord<'_>, usize), EntryError> {
    let (len, crc) = peek(bytes)?;
    let entry = bytes.get(..len).ok_or(EntryError::BadLength)?;
    if salt.salted_for(seq, crc32fast::hash(&entry[LEN_AT..])) != crc {
        return Err(EntryError::BadChecksum);
    }
    let kind = RecordKind::of_entry(entry[KIND_AT]).ok_or(EntryError::Unknown)?;
    if entry[FLAGS_AT] != 0 {
        return Err(EntryError::Unknown);
    }
    let key_len = u16::from_le_bytes(array(entry, KEY_LEN_AT)) as usize;
    let (key, body) = entry[ENTRY_HEADER_BYTES..].split_at(key_len);
    let timestamp = Timestamp::from_micros(i64::from_le_bytes(array(entry, TIMESTAMP_AT)));
    Ok((StoredRecord { seq, incarnation, kind, flags: 0, timestamp, key, body }, len))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes[at + i])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FileId;
    use proptest::prelude::*;

    fn salt(id: u8) -> Salt {
        Salt::of(FileId([id; 16]))
    }

    fn entry(seq: u64, key: &[u8], body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let start = begin(&mut out, Timestamp::from_micros(-7), key);
        out.extend_from_slice(body);
        set_len(&mut out[start..]);
        checksum_all(&mut out);
        place(&mut out, seq, None, salt(1), |_| ());
        out
    }

    #[test]
    fn an_entry_comes_back_as_it_was_written() {
        let bytes = entry(9, b"key", &[0x80]);
        let (record, len) = decode(&bytes, 9, Incarnation([2; 16]), salt(1)).unwrap();
        assert_eq!((record.key, record.body, len), (&b"key"[..], &[0x80][..], bytes.len()));
        assert_eq!((record.seq, record.timestamp.as_micros()), (9, -7));
    }

    proptest! {
        #[test]
        fn any_entries_come_back_one_after_the_other(
            entries in prop::collection::vec(
                (any::<i64>(), prop::collection::vec(any::<u8>(), 0..40), prop::collection::vec(any::<u8>(), 0..90)),
                1..9,
            ),
            first_seq in 0..1u64 << 62,
        ) {
            let mut payload = Vec::new();
            for (time, key, body) in &entries {
                let start = begin(&mut payload, Timestamp::from_micros(*time), key);
                payload.extend_from_slice(body);
                set_len(&mut payload[start..]);
            }
            checksum_all(&mut payload);
            place(&mut payload, first_seq, None, salt(1), |_| ());
            let mut rest = &payload[..];
            for (seq, (time, key, body)) in (first_seq..).zip(&entries) {
                let (record, len) = decode(rest, seq, Incarnation([2; 16]), salt(1)).unwrap();
                let expected = (seq, Timestamp::from_micros(*time), &key[..], &body[..]);
                prop_assert_eq!((record.seq, record.timestamp, record.key, record.body), expected);
                rest = &rest[len..];
            }
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let good = entry(9, b"k", &[0x81, 0xA1, b'a', 1]);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bad, 9, Incarnation([2; 16]), salt(1)).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn an_entry_of_another_seq_or_file_does_not_check() {
        let bytes = entry(9, b"", &[0x80]);
        let incarnation = Incarnation([2; 16]);
        assert_eq!(decode(&bytes, 10, incarnation, salt(1)), Err(EntryError::BadChecksum));
        assert_eq!(decode(&bytes, 9, incarnation, salt(2)), Err(EntryError::BadChecksum));
    }

    #[test]
    fn a_payload_moves_to_another_file() {
        let mut payload = Vec::new();
        for body in [&[0x80][..], &[0x81, 0xA1, b'a', 1]] {
            let start = begin(&mut payload, Timestamp::from_micros(1), b"");
            payload.extend_from_slice(body);
            set_len(&mut payload[start..]);
        }
        checksum_all(&mut payload);
        let mut direct = payload.clone();
        let direct_crc = place(&mut direct, 5, None, salt(2), |_| ());
        place(&mut payload, 5, None, salt(1), |_| ());
        assert_eq!(place(&mut payload, 5, Some(salt(1)), salt(2), |_| ()), direct_crc);
        assert_eq!(payload, direct);
    }
}
