//! Files made by an enemy, with every checksum right.

use super::fixture::{Sealed, header, records, small_blocks};
use crate::error::Error;
use crate::sealed::block::{BLOCK_HEADER_BYTES_MAX, BlockHeader};
use crate::sealed::bytes::{Salt, put_varint};
use crate::sealed::codec::BlockBuf;
use crate::sealed::layout::{Directory, TRAILER_BYTES, Tag, Trailer};
use crate::sealed::rows::Rows;
use proptest::prelude::*;

fn salt() -> Salt {
    Salt::of(&header(0, 3))
}

fn sealed() -> Sealed {
    Sealed::new(records(0, 64), None, &small_blocks())
}

/// Puts another first block in place of the real one, at its length, with `change` made to its header.
fn with_first_block(sealed: &Sealed, payload: &[u8], change: impl FnOnce(&mut BlockHeader)) {
    let mut bytes = sealed.bytes();
    let mut block = BlockHeader::decode(&bytes[128..], salt()).unwrap();
    let at = 128 + BLOCK_HEADER_BYTES_MAX;
    assert!(payload.len() <= block.stored_len as usize);
    let stored = at + block.stored_len as usize;
    bytes[at..at + payload.len()].copy_from_slice(payload);
    block.payload_crc = salt().crc(&bytes[at..stored]);
    change(&mut block);
    let mut encoded = Vec::new();
    block.encode(salt(), &mut encoded);
    bytes[128..128 + encoded.len()].copy_from_slice(&encoded);
    sealed.put(bytes);
}

/// All other records are read, and verify finds the block.
fn only_the_first_block_is_lost(sealed: &Sealed) {
    let file = sealed.open().unwrap();
    let lost = Sealed::block_seqs(&file, 0);
    for (record, read) in sealed.records.iter().zip(sealed.readable(&file)) {
        assert_eq!(read, !lost.contains(&record.seq));
    }
    assert!(!sealed.damage(&file).is_empty());
}

#[test]
fn a_decompression_bomb_is_refused() {
    let sealed = sealed();
    let bomb = zstd::bulk::compress(&vec![0; 8 << 20], 19).unwrap();
    let room = BlockHeader::decode(&sealed.bytes()[128..], salt()).unwrap().stored_len as usize;
    assert!(bomb.len() > room, "the smallest bomb has its own file below");
    for size in [70_000usize, 300_000] {
        let bomb = zstd::bulk::compress(&vec![0; size], 19).unwrap();
        with_first_block(&sealed, &bomb, |_| {});
        only_the_first_block_is_lost(&sealed);
    }
}

#[test]
fn a_bomb_writes_no_more_than_its_header_tells() {
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 3).unwrap();
    let mut block = BlockHeader {
        codec: 1,
        stored_len: bomb.len() as u32,
        plain_len: 1_000,
        first_seq: 0,
        count: 1,
        time_min: 0,
        time_max: 0,
        payload_crc: salt().crc(&bomb),
        run: None,
    };
    for plain_len in [1_000, 16 << 20, u32::MAX] {
        block.plain_len = plain_len;
        let mut buffer = BlockBuf::new();
        let mut stored = Vec::new();
        block.encode(salt(), &mut stored);
        stored.extend(&bomb);
        let checked = buffer.check(&stored, salt()).unwrap();
        buffer.decode(&stored, checked, None, crate::Incarnation([1; 16]), None).unwrap_err();
        assert!(buffer.plain.capacity() < 17 << 20);
        assert_eq!(buffer.len(), 0);
    }
}

#[test]
fn a_block_that_tells_wrong_lengths_is_refused() {
    let sealed = sealed();
    for plain_len in [0, 1, 500, 5_000, 16 << 20, u32::MAX] {
        with_first_block(&sealed, &[], |block| block.plain_len = plain_len);
        only_the_first_block_is_lost(&sealed);
    }
}

#[test]
fn a_block_that_tells_other_records_than_the_table_is_refused() {
    let sealed = sealed();
    let changes: [fn(&mut BlockHeader); 4] =
        [|b| b.first_seq += 1, |b| b.count += 1, |b| b.count = u32::MAX, |b| b.first_seq = 1 << 40];
    for change in changes {
        with_first_block(&sealed, &[], change);
        only_the_first_block_is_lost(&sealed);
    }
}

#[test]
fn a_block_of_an_unknown_codec_is_unsupported_and_not_damaged() {
    let sealed = sealed();
    with_first_block(&sealed, &[], |block| block.codec = 77);
    let file = sealed.open().unwrap();
    let mut buffer = BlockBuf::new();
    assert!(matches!(file.seek(0, &mut buffer), Err(Error::Unsupported { .. })));
    assert!(file.seek(63, &mut buffer).is_ok());
    assert!(!sealed.damage(&file).is_empty());
}

#[test]
fn a_block_that_lies_about_its_timestamps_is_reported() {
    let sealed = sealed();
    with_first_block(&sealed, &[], |block| block.time_max += 1);
    assert!(!sealed.damage(&sealed.open().unwrap()).is_empty());
}

/// Another directory in place of the real one, with all checksums right.
fn with_directory(sealed: &Sealed, change: impl FnOnce(&mut Directory)) {
    let bytes = sealed.bytes();
    let tail: &[u8; TRAILER_BYTES] = bytes.last_chunk().unwrap();
    let trailer = Trailer::decode(tail, salt(), bytes.len() as u64).unwrap();
    let at = trailer.directory_at as usize;
    let mut directory = Directory::decode(&bytes[at..at + trailer.directory_len as usize], at as u64).unwrap();
    change(&mut directory);
    end_with(sealed, &bytes[..at], &directory.encode());
}

/// `front`, then `directory`, then a trailer for them.
fn end_with(sealed: &Sealed, front: &[u8], directory: &[u8]) {
    let header = annals_index::FileHeader::decode_any(&sealed.bytes()).unwrap();
    let mut bytes = front.to_vec();
    bytes.extend(directory);
    let trailer = Trailer {
        directory_at: front.len() as u64,
        directory_len: directory.len() as u32,
        directory_crc: salt().crc(directory),
        file_len: (bytes.len() + TRAILER_BYTES) as u64,
    };
    bytes.extend(trailer.encode(&header, salt()));
    sealed.put(bytes);
}

/// Whatever the file says: no record is wrong, and verify isn't content.
fn no_record_is_wrong(sealed: &Sealed) -> usize {
    let file = sealed.open().unwrap();
    assert!(!sealed.damage(&file).is_empty());
    let _ = (file.merkle(), file.nodes(), file.shape(), file.sources(), file.block_count());
    sealed.readable(&file).into_iter().filter(|read| *read).count()
}

#[test]
fn a_directory_that_leaves_the_file_is_not_followed() {
    for section in 0..7 {
        for (offset, len) in [(u64::MAX, 1), (128, u64::MAX), (0, 10), (1 << 20, 1 << 30), (127, 1)] {
            let sealed = sealed();
            with_directory(&sealed, |directory| {
                (directory.0[section].offset, directory.0[section].len) = (offset, len);
            });
            assert_eq!(no_record_is_wrong(&sealed), 64);
        }
    }
}

#[test]
fn sections_that_lie_over_each_other_or_leave_a_hole_are_reported() {
    let sealed1 = sealed();
    with_directory(&sealed1, |directory| directory.0[0].len -= 1);
    no_record_is_wrong(&sealed1);
    let sealed2 = sealed();
    with_directory(&sealed2, |directory| directory.0[3] = directory.0[4]);
    no_record_is_wrong(&sealed2);
    let sealed3 = sealed();
    with_directory(&sealed3, |directory| directory.0.truncate(6));
    assert_eq!(no_record_is_wrong(&sealed3), 64);
    let sealed4 = sealed();
    with_directory(&sealed4, |directory| directory.0.clear());
    assert_eq!(no_record_is_wrong(&sealed4), 64);
}

#[test]
fn an_unknown_section_is_skipped() {
    let sealed = sealed();
    let bytes = sealed.bytes();
    let tail: &[u8; TRAILER_BYTES] = bytes.last_chunk().unwrap();
    let trailer = Trailer::decode(tail, salt(), bytes.len() as u64).unwrap();
    let at = trailer.directory_at as usize;
    let mut directory = Directory::decode(&bytes[at..at + trailer.directory_len as usize], at as u64).unwrap();
    let statistics = b"what a later version knows";
    directory.0.push(crate::sealed::layout::Section {
        tag: Tag(*b"STAT"),
        crc: salt().crc(statistics),
        offset: at as u64,
        len: statistics.len() as u64,
    });
    end_with(&sealed, &[&bytes[..at], &statistics[..]].concat(), &directory.encode());
    let file = sealed.open().unwrap();
    assert_eq!(sealed.damage(&file), vec![]);
    assert!(sealed.readable(&file).iter().all(|read| *read));
}

/// Other bytes in place of a section, with all checksums right.
fn with_section(sealed: &Sealed, tag: Tag, replacement: &[u8]) {
    let bytes = sealed.bytes();
    let tail: &[u8; TRAILER_BYTES] = bytes.last_chunk().unwrap();
    let trailer = Trailer::decode(tail, salt(), bytes.len() as u64).unwrap();
    let end = trailer.directory_at as usize;
    let mut directory = Directory::decode(&bytes[end..end + trailer.directory_len as usize], end as u64).unwrap();
    let mut front = bytes[..directory.0[0].offset as usize].to_vec();
    for section in &mut directory.0 {
        let own = &bytes[section.offset as usize..(section.offset + section.len) as usize];
        let own = if section.tag == tag { replacement } else { own };
        (section.offset, section.len, section.crc) = (front.len() as u64, own.len() as u64, salt().crc(own));
        front.extend(own);
    }
    end_with(sealed, &front, &directory.encode());
}

#[test]
fn sections_with_lying_contents_give_no_wrong_record() {
    let huge_counts = [255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
    for tag in [Tag::NODES, Tag::BLOCKS, Tag::MERKLE, Tag::SOURCES, Tag::RUNS, Tag::SUMMARY] {
        for bytes in [&huge_counts[..], &[0], &[0; 40], &[255; 200], &[1; 33]] {
            let sealed = sealed();
            with_section(&sealed, tag, bytes);
            no_record_is_wrong(&sealed);
        }
    }
}

#[test]
fn a_block_table_with_other_blocks_gives_no_wrong_record() {
    let sealed = sealed();
    let mut table = sealed.open().unwrap().table().unwrap().clone();
    table.0.swap(0, 1);
    let mut bytes = Vec::new();
    table.encode(&mut bytes);
    with_section(&sealed, Tag::BLOCKS, &bytes);
    no_record_is_wrong(&sealed);
}

#[test]
fn a_summary_that_tells_of_more_records_gives_errors_for_them() {
    let sealed = sealed();
    let mut summary = sealed.summary.summary;
    (summary.records, summary.end_seq) = (1 << 40, 1 << 40);
    with_section(&sealed, Tag::SUMMARY, &summary.encode());
    assert_eq!(no_record_is_wrong(&sealed), 64);
    assert!(sealed.open().unwrap().seek(1 << 39, &mut BlockBuf::new()).unwrap_err().is_damage());
}

#[test]
fn rows_whose_lengths_overflow_are_refused() {
    let mut rows = Rows::default();
    let mut plain = vec![0];
    (0..2).for_each(|_| put_varint(&mut plain, u64::MAX));
    plain.extend([0; 20]);
    assert!(rows.parse(&plain, 2).is_err());
    assert!(rows.parse(&plain, u32::MAX).is_err());
    assert!(rows.parse(&[], 0).is_err());
    assert!(rows.parse(&[2, 0, 0], 1).is_err());
}

#[test]
fn a_block_with_more_records_than_any_may_have_takes_no_memory_for_them() {
    let count = 1 << 16;
    let mut rows = Rows::default();
    let mut plain = vec![1; 1 + count];
    plain[0] = 0;
    plain.resize(1 + 2 * count, 0);
    plain.resize(1 + 3 * count, 0x80);
    assert_eq!(rows.parse(&plain, count as u32), Ok(()));
    plain.insert(1, 1);
    plain.extend([0, 0x80]);
    assert!(rows.parse(&plain, count as u32 + 1).is_err());
}

proptest! {
    #[test]
    fn hostile_rows_are_refused_or_stay_within_their_payload(plain: Vec<u8>, meta: bool, count in 0u32..20) {
        let mut plain = plain;
        if let Some(flags) = plain.first_mut() {
            *flags = u8::from(meta);
        }
        let mut rows = Rows::default();
        if rows.parse(&plain, count).is_ok() {
            let records: Vec<_> = (0..count as usize)
                .map(|n| rows.get(&plain, n, 7, crate::Incarnation([0; 16])).unwrap())
                .collect();
            let bytes: usize = records.iter().map(|record| record.key.len() + record.body.len()).sum();
            prop_assert!(bytes < plain.len());
        }
    }

    #[test]
    fn hostile_ends_never_panic(bytes in proptest::collection::vec(any::<u8>(), 1..600)) {
        let sealed = sealed();
        let mut file = sealed.bytes();
        let keep = file.len() - bytes.len().min(400);
        file.truncate(keep);
        file.extend(bytes);
        // What has been put back as it was is no damage.
        prop_assume!(file != sealed.bytes());
        sealed.put(file);
        no_record_is_wrong(&sealed);
    }
}
