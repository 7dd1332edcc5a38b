//! An index answers what a walk over the blocks answers, and refuses what is not its own.

use annals_index::{
    Binding, Bytes, FileHeader, FileKind, IndexBuilder, IndexError, IndexReader, RECORDS_MAX, SPECIFIC_BYTES, STRIDE,
};
use proptest::prelude::*;

const BASE: u64 = 10_000;

fn header() -> FileHeader {
    FileHeader {
        kind: FileKind::Index,
        compatible: 0,
        incompatible: 0,
        log_id: [1; 16],
        file_id: [2; 16],
        base_seq: BASE,
        ordinal: 4,
        created_us: 5,
        specific: [0; SPECIFIC_BYTES],
    }
}

fn binding() -> Binding {
    Binding { log_id: [1; 16], base_seq: BASE, ordinal: 4, source_file_id: [3; 16], source_bytes: 1 << 30 }
}

/// A block: first seq, count, offset, bytes.
type Placed = (u64, u32, u64, u64);

/// A way to change what an index is of.
type Change = fn(&mut Binding);

/// The index of blocks with these counts of records and bytes, and where each block lies.
fn build(blocks: &[(u32, u64)]) -> (Vec<u8>, Vec<Placed>) {
    let mut builder = IndexBuilder::new(&header(), &binding());
    let (mut seq, mut offset, mut placed) = (BASE, 128, Vec::new());
    for &(count, bytes) in blocks {
        builder.push(seq, count, offset, bytes).unwrap();
        placed.push((seq, count, offset, bytes));
        (seq, offset) = (seq + u64::from(count), offset + bytes);
    }
    (builder.finish(), placed)
}

fn read(bytes: &[u8]) -> Result<IndexReader, IndexError> {
    IndexReader::new(Bytes::Read(bytes.to_vec()), &binding())
}

/// `bytes` with its whole-file checksum made right again.
fn repaired(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = bytes.len() - 4;
    let crc = crc32fast::hash(&bytes[..at]) ^ crc32fast::hash(&header().file_id);
    bytes[at..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

proptest! {
    #[test]
    fn look_ups_are_those_of_a_walk(
        blocks in proptest::collection::vec((prop_oneof![1u32..4, 1u32..900], 1u64..5_000), 0..80),
    ) {
        let (bytes, placed) = build(&blocks);
        let index = read(&bytes).unwrap();
        let end = placed.last().map_or(BASE, |(seq, count, ..)| seq + u64::from(*count));
        prop_assert_eq!(u64::from(index.records()), end - BASE);
        prop_assert_eq!(index.blocks() as usize, blocks.len());
        for seq in (BASE.saturating_sub(3)..end + 3).chain([0, u64::MAX]) {
            let naive = placed.iter().position(|(first, count, ..)| (*first..first + u64::from(*count)).contains(&seq));
            let found = index.find(seq);
            prop_assert_eq!(found.map(|block| block.number as usize), naive);
            if let (Some(found), Some(n)) = (found, naive) {
                prop_assert_eq!((found.first_seq, found.count, found.offset, found.bytes), placed[n]);
                prop_assert_eq!(index.block(found.number), Some(found));
            }
        }
        prop_assert_eq!(index.block(index.blocks()), None);
    }

    #[test]
    fn hostile_tables_with_sound_checksums_are_refused_or_harmless(
        at in 0usize..10_000, byte: u8, seq: u64, blocks in proptest::collection::vec((1u32..300, 1u64..99), 1..20),
    ) {
        let (mut bytes, _) = build(&blocks);
        let tables = 128..bytes.len() - 4;
        let at = tables.start + at % tables.len();
        bytes[at] = byte;
        if let Ok(index) = read(&repaired(bytes)) {
            index.find(BASE + seq % 7_000);
            index.find(seq);
            for n in 0..=index.blocks() {
                index.block(n);
            }
        }
    }

    #[test]
    fn any_bytes_are_refused_without_harm(bytes: Vec<u8>) {
        prop_assert!(read(&bytes).is_err());
    }
}

#[test]
fn every_damaged_byte_and_every_other_length_is_refused() {
    let (good, _) = build(&[(100, 50), (1, 60), (300, 70)]);
    read(&good).unwrap();
    for at in 0..good.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            assert!(read(&bad).is_err(), "byte {at} ^ {flip:#x}");
        }
        assert!(read(&good[..at]).is_err(), "cut to {at} bytes");
    }
    assert!(read(&[&good[..], &[0]].concat()).is_err());
}

#[test]
fn the_index_of_anything_else_is_foreign() {
    let (bytes, _) = build(&[(100, 50)]);
    let changes: [(&str, Change); 5] = [
        ("log", |b| b.log_id[0] ^= 1),
        ("base seq", |b| b.base_seq += 1),
        ("ordinal", |b| b.ordinal += 1),
        ("segment file", |b| b.source_file_id[15] ^= 1),
        ("segment length", |b| b.source_bytes -= 1),
    ];
    for (what, change) in changes {
        let mut expected = binding();
        change(&mut expected);
        let error = IndexReader::new(Bytes::Read(bytes.clone()), &expected).unwrap_err();
        assert_eq!(error, IndexError::Foreign { what });
    }
}

#[test]
fn counts_beyond_the_file_are_refused_before_they_are_used() {
    let (good, _) = build(&[(100, 50)]);
    // The header's counts: records, blocks, stride; with the header's checksum and the file's made right.
    for (at, what) in [(112, "records"), (116, "blocks"), (120, "stride")] {
        for value in [0, 2, 101, u32::MAX] {
            let mut bad = good.clone();
            bad[at..at + 4].copy_from_slice(&u32::to_le_bytes(value));
            let crc = crc32fast::hash(&bad[..124]);
            bad[124..128].copy_from_slice(&crc.to_le_bytes());
            let records_in_one_slot = what == "records" && value != 0 && u64::from(value) <= STRIDE;
            assert_eq!(read(&repaired(bad)).is_ok(), records_in_one_slot, "{what} = {value}");
        }
    }
}

#[test]
fn gaps_and_blocks_beyond_the_segment_are_not_indexed() {
    let begin = || IndexBuilder::new(&header(), &binding());
    let refused = |result| assert!(matches!(result, Err(IndexError::Unindexable { .. })));
    refused(begin().push(BASE + 1, 1, 128, 1));
    refused(begin().push(BASE, 0, 128, 1));
    refused(begin().push(BASE, 1, 128, 0));
    refused(begin().push(BASE, 1, 128, u64::MAX));
    refused(begin().push(BASE, 1, 1 << 30, 1));
    let mut builder = begin();
    builder.push(BASE, RECORDS_MAX, 128, 10).unwrap();
    let next = BASE + u64::from(RECORDS_MAX);
    refused(builder.push(next, 1, 138, 10));
}
