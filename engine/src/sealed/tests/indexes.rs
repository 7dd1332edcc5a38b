//! An index that is missing, stale, foreign, damaged or lying costs time and no answer.

use super::fixture::{LOG, Sealed, records, small_blocks};
use crate::sealed::index::build_index;
use annals_index::{Binding, FileHeader, FileKind, IndexBuilder, SPECIFIC_BYTES};

fn sealed() -> Sealed {
    Sealed::new(records(1_000, 400), None, &small_blocks())
}

fn index_of(sealed: &Sealed) -> Vec<u8> {
    build_index(&*sealed.disk, &sealed.open().unwrap()).unwrap()
}

/// Opens `sealed` with `index` beside it, and reads all of it. Returns whether the index was used to the end.
fn used(sealed: &Sealed, index: Vec<u8>) -> bool {
    sealed.disk.put(&sealed.name.index().to_string(), index);
    let file = sealed.open().unwrap();
    assert!(sealed.readable(&file).iter().all(|read| *read));
    assert!(file.seek(999, &mut crate::sealed::BlockBuf::new()).is_err());
    assert!(file.seek(1_400, &mut crate::sealed::BlockBuf::new()).is_err());
    file.index().is_some()
}

#[test]
fn a_sound_index_is_used() {
    let sealed = sealed();
    sealed.disk.put(&sealed.name.index().to_string(), index_of(&sealed));
    let file = sealed.open().unwrap();
    assert!(sealed.readable(&file).iter().all(|read| *read));
    assert!(file.index().is_some());
}

#[test]
fn without_an_index_answers_are_the_same() {
    let sealed = sealed();
    let file = sealed.open().unwrap();
    assert!(sealed.readable(&file).iter().all(|read| *read));
    assert!(file.index().is_none());
}

#[test]
fn every_damaged_byte_and_every_length() {
    let sealed = Sealed::new(records(1_000, 60), None, &small_blocks());
    let good = index_of(&sealed);
    let all_read = |bytes: &[u8]| {
        sealed.disk.put(&sealed.name.index().to_string(), bytes.to_vec());
        let file = sealed.open().unwrap();
        assert!(sealed.readable(&file).iter().all(|read| *read));
        assert!(file.index().is_none());
    };
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x41;
        all_read(&bad);
        all_read(&good[..at]);
    }
    all_read(&[&good[..], &[0]].concat());
}

#[test]
fn the_index_of_another_file_of_the_same_name() {
    let other = Sealed::with_id(records(1_000, 400), None, &small_blocks(), 4);
    assert!(!used(&sealed(), index_of(&other)));
}

#[test]
fn the_index_of_another_log() {
    let sealed = sealed();
    let index = lying(&sealed, |binding| binding.log_id[3] ^= 1, |_| {});
    assert!(!used(&sealed, index));
}

/// An index with every checksum right, made from blocks that `change` has changed.
fn lying(
    sealed: &Sealed,
    rebind: impl FnOnce(&mut Binding),
    change: impl FnOnce(&mut Vec<(u64, u32, u64, u64)>),
) -> Vec<u8> {
    let file = sealed.open().unwrap();
    let mut binding = Binding {
        log_id: LOG.0,
        base_seq: 1_000,
        ordinal: 5,
        source_file_id: file.file_id().0,
        source_bytes: file.file_bytes(),
    };
    rebind(&mut binding);
    let header = FileHeader {
        kind: FileKind::Index,
        compatible: 0,
        incompatible: 0,
        log_id: LOG.0,
        file_id: [1; 16],
        base_seq: 0,
        ordinal: 0,
        created_us: 0,
        specific: [0; SPECIFIC_BYTES],
    };
    let mut blocks: Vec<_> =
        file.table().unwrap().0.iter().map(|e| (e.first_seq, e.count, e.offset, u64::from(e.span))).collect();
    change(&mut blocks);
    let mut builder = IndexBuilder::new(&header, &binding);
    for (first_seq, count, offset, bytes) in blocks {
        builder.push(first_seq, count, offset, bytes).unwrap();
    }
    builder.finish()
}

#[test]
fn an_index_that_lies_about_places() {
    let sealed = sealed();
    // All blocks one byte further on.
    assert!(!used(&sealed, lying(&sealed, |_| {}, |blocks| blocks.iter_mut().for_each(|block| block.2 += 1))));
    // All of it one block.
    let one = |blocks: &mut Vec<(u64, u32, u64, u64)>| {
        let bytes = blocks.iter().map(|block| block.3).sum();
        *blocks = vec![(1_000, 400, blocks[0].2, bytes)];
    };
    assert!(!used(&sealed, lying(&sealed, |_| {}, one)));
    // Other counts.
    let shifted = |blocks: &mut Vec<(u64, u32, u64, u64)>| {
        blocks[0].1 += 1;
        blocks[1].0 += 1;
        blocks[1].1 -= 1;
    };
    assert!(!used(&sealed, lying(&sealed, |_| {}, shifted)));
}

#[test]
fn an_index_that_leaves_records_out_hides_none() {
    let sealed = sealed();
    let index = lying(&sealed, |_| {}, |blocks| blocks.truncate(2));
    used(&sealed, index);
}
