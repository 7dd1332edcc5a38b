//! One test for each way of being damaged.

use super::fixture::{Sealed, columns, dictionary, maps, records, small_blocks, small_columns};
use crate::sealed::BlockBuf;

/// One of rows, and one of columns.
fn both() -> [Sealed; 2] {
    let maps = maps(0, 64);
    let columns = columns(&maps);
    let sealed = [
        Sealed::new(records(0, 64), Some(&dictionary()), &small_blocks()),
        Sealed::new(maps, Some(&columns), &small_columns()),
    ];
    assert_eq!(codecs(&sealed[0]), [1]);
    assert_eq!(codecs(&sealed[1]), [4]);
    sealed
}

/// The codecs of the blocks.
fn codecs(sealed: &Sealed) -> Vec<u8> {
    let bytes = sealed.bytes();
    let mut codecs: Vec<u8> = blocks(sealed).into_iter().map(|(block, _)| bytes[block.start + 4]).collect();
    codecs.dedup();
    codecs
}

/// The blocks of `sealed`: where each lies, and its records.
fn blocks(sealed: &Sealed) -> Vec<(std::ops::Range<usize>, std::ops::Range<u64>)> {
    let file = sealed.open().unwrap();
    let table = file.table().unwrap();
    table.0.iter().map(|e| (e.offset as usize..e.offset as usize + e.span as usize, e.first_seq..e.end_seq())).collect()
}

/// Every byte, flipped in several ways: verify names the file, records outside the block that holds the byte are all
/// read, and those in it are read rightly or reported.
#[test]
fn every_byte_costs_at_most_the_records_of_its_block() {
    for sealed in both() {
        let (good, blocks) = (sealed.bytes(), blocks(&sealed));
        assert!(blocks.len() >= 4);
        for at in 0..good.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] ^= flip;
                sealed.put(bad);
                let file = sealed.open().unwrap_or_else(|error| panic!("byte {at} ^ {flip:#x}: {error}"));
                let lost = blocks.iter().find(|(bytes, _)| bytes.contains(&at)).map_or(0..0, |(_, seqs)| seqs.clone());
                for (record, read) in sealed.records.iter().zip(sealed.readable(&file)) {
                    assert!(read || lost.contains(&record.seq), "byte {at} ^ {flip:#x} costs record {}", record.seq);
                }
                let damage = sealed.damage(&file);
                assert!(!damage.is_empty(), "byte {at} ^ {flip:#x} goes unnoticed");
                if !lost.is_empty() {
                    let told = damage.iter().any(|d| d.first_seq == Some(lost.start) && d.end_seq == Some(lost.end));
                    assert!(told, "byte {at}: {damage:?} doesn't name the records {lost:?}");
                }
            }
        }
    }
}

/// The same for readers that go by block numbers, forwards.
#[test]
fn a_damaged_block_does_not_stop_a_scan() {
    for sealed in both() {
        let (good, blocks) = (sealed.bytes(), blocks(&sealed));
        for (lost, (bytes, _)) in blocks.iter().enumerate() {
            let mut bad = good.clone();
            bad[bytes.end - 1] ^= 1;
            sealed.put(bad);
            let (file, mut buffer) = (sealed.open().unwrap(), BlockBuf::new());
            for (n, (_, seqs)) in blocks.iter().enumerate() {
                assert_eq!(file.read_block(n, &mut buffer).is_ok(), n != lost);
                assert_eq!(buffer.len() as u64, if n == lost { 0 } else { seqs.end - seqs.start });
            }
        }
    }
}

#[test]
fn every_length_it_may_be_cut_to_leaves_the_whole_blocks_before_the_cut() {
    for sealed in both() {
        let (good, blocks) = (sealed.bytes(), blocks(&sealed));
        for len in 0..good.len() {
            sealed.put(good[..len].to_vec());
            let Ok(file) = sealed.open() else {
                assert!(len < annals_index::HEADER_BYTES, "cut to {len} bytes");
                continue;
            };
            assert!(file.footer_damage().is_some());
            let whole = blocks.iter().rfind(|(bytes, _)| bytes.end <= len).map_or(0, |(_, seqs)| seqs.end);
            for (record, read) in sealed.records.iter().zip(sealed.readable(&file)) {
                assert_eq!(read, record.seq < whole, "cut to {len} bytes, record {}", record.seq);
            }
            assert!(!sealed.damage(&file).is_empty());
        }
    }
}

#[test]
fn bytes_after_the_end_are_noticed_and_cost_nothing() {
    for sealed in both() {
        for extra in [1, 100, 10_000] {
            let mut bad = sealed.bytes();
            bad.resize(bad.len() + extra, 0);
            sealed.put(bad);
            let file = sealed.open().unwrap();
            assert!(sealed.readable(&file).iter().all(|read| *read));
            assert!(!sealed.damage(&file).is_empty());
        }
    }
}

#[test]
fn a_run_of_zeros_anywhere_costs_the_blocks_it_touches() {
    for sealed in both() {
        let (good, blocks) = (sealed.bytes(), blocks(&sealed));
        for at in (0..good.len()).step_by(13) {
            let zeros = at..(at + 512).min(good.len());
            let mut bad = good.clone();
            bad[zeros.clone()].fill(0);
            sealed.put(bad);
            let Ok(file) = sealed.open() else { panic!("512 zeros from byte {at} on") };
            for (record, read) in sealed.records.iter().zip(sealed.readable(&file)) {
                let (bytes, _) = blocks.iter().find(|(_, seqs)| seqs.contains(&record.seq)).unwrap();
                let touched = bytes.start < zeros.end && zeros.start < bytes.end;
                assert!(read || touched, "512 zeros from byte {at} on cost record {}", record.seq);
            }
            assert!(!sealed.damage(&file).is_empty());
        }
    }
}

/// The footer and a block's header: the table is lost, and the walk has to find the next block by searching.
#[test]
fn a_block_header_and_the_whole_footer_together() {
    for sealed in both() {
        let (good, blocks) = (sealed.bytes(), blocks(&sealed));
        for (lost, (bytes, _)) in blocks.iter().enumerate() {
            let mut bad = good[..blocks.last().unwrap().0.end].to_vec();
            bad[bytes.start + 9] ^= 4;
            sealed.put(bad);
            let file = sealed.open().unwrap();
            let read = sealed.readable(&file);
            // A run is told in the header of its first block, and the lost block may have been that.
            for (n, (_, seqs)) in blocks.iter().enumerate() {
                let same_run = (seqs.start < 32) == (blocks[lost].1.start < 32);
                for seq in seqs.clone() {
                    assert_eq!(read[seq as usize], n < lost || !same_run, "block {lost}, record {seq}");
                }
            }
        }
    }
}

#[test]
fn the_second_dictionary_is_found_without_the_directory() {
    for sealed in both() {
        let mut bad = sealed.bytes();
        bad[annals_index::HEADER_BYTES + 40] ^= 1;
        let end = bad.len() - 10;
        bad[end] ^= 1;
        sealed.put(bad);
        let file = sealed.open().unwrap();
        assert!(sealed.readable(&file).iter().all(|read| *read));
        assert!(sealed.damage(&file).len() >= 2);
    }
}

#[test]
fn both_copies_of_the_header_are_too_many() {
    for sealed in both() {
        let mut bad = sealed.bytes();
        bad[20] ^= 1;
        let copy = bad.len() - 150;
        bad[copy] ^= 1;
        sealed.put(bad);
        assert!(sealed.open().unwrap_err().is_damage());
    }
}

#[test]
fn a_block_of_another_file_is_not_taken_for_one_of_this() {
    let ours = Sealed::with_id(records(0, 64), None, &small_blocks(), 1);
    let theirs = Sealed::with_id(records(0, 64), None, &small_blocks(), 2);
    let (good, other) = (ours.bytes(), theirs.bytes());
    assert_eq!(good.len(), other.len());
    for (bytes, seqs) in blocks(&ours) {
        let mut bad = good.clone();
        bad[bytes.clone()].copy_from_slice(&other[bytes]);
        ours.put(bad);
        let file = ours.open().unwrap();
        for (record, read) in ours.records.iter().zip(ours.readable(&file)) {
            assert_eq!(read, !seqs.contains(&record.seq));
        }
        assert!(!ours.damage(&file).is_empty());
    }
}

#[test]
fn two_blocks_of_one_file_in_each_others_place_are_not_taken() {
    let mut all = records(0, 64);
    // Blocks of one length: records that don't differ but in their seqs.
    all.iter_mut().for_each(|record| {
        (record.run, record.time) = (1, 5);
        record.key.clear();
        record.body = b"\x81\xa1a\x01the same in every record, whatever its place".to_vec();
    });
    let sealed = Sealed::new(all, None, &small_blocks());
    let (mut bad, blocks) = (sealed.bytes(), blocks(&sealed));
    let (one, two) = (blocks[1].clone(), blocks[2].clone());
    assert_eq!(one.0.len(), two.0.len());
    let bytes = bad[one.0.clone()].to_vec();
    bad.copy_within(two.0.clone(), one.0.start);
    bad[two.0].copy_from_slice(&bytes);
    sealed.put(bad);
    let file = sealed.open().unwrap();
    for (record, read) in sealed.records.iter().zip(sealed.readable(&file)) {
        assert_eq!(read, !(one.1.contains(&record.seq) || two.1.contains(&record.seq)));
    }
    assert!(!sealed.damage(&file).is_empty());
}

#[test]
fn a_file_of_another_log_or_under_another_name_is_refused() {
    for sealed in both() {
        let mut header = super::fixture::header(0, 3);
        let bytes = sealed.bytes();
        header.specific.copy_from_slice(&bytes[88..124]);
        let changes: [fn(&mut annals_index::FileHeader); 3] =
            [|h| h.log_id[0] ^= 1, |h| h.ordinal += 1, |h| h.base_seq += 1];
        for change in changes {
            let mut other = header.clone();
            change(&mut other);
            let mut bad = bytes.clone();
            let copy = bad.len() - super::super::layout::TRAILER_BYTES;
            bad[..128].copy_from_slice(&other.encode());
            bad[copy..copy + 128].copy_from_slice(&other.encode());
            sealed.put(bad);
            assert!(sealed.open().unwrap_err().is_damage());
        }
    }
}

#[test]
fn a_file_of_a_newer_version_is_told_apart_from_damage() {
    for sealed in both() {
        let mut bad = sealed.bytes();
        let copy = bad.len() - super::super::layout::TRAILER_BYTES;
        for at in [0, copy] {
            bad[at + 12] = 9;
            let crc = crc32fast::hash(&bad[at..at + 124]);
            bad[at + 124..at + 128].copy_from_slice(&crc.to_le_bytes());
        }
        sealed.put(bad);
        assert!(matches!(sealed.open(), Err(crate::Error::Unsupported { .. })));
    }
}
