//! What is sealed is read back, whatever it is.

use super::fixture::{Owned, SHAPE, Sealed, columns, dictionary, frontier, maps, records, small_blocks, small_columns};
use crate::error::Error;
use crate::merkle::{NODE_LEAVES, leaf_hash};
use crate::sealed::{BlockBuf, Comparison, SealOptions};
use crate::{Incarnation, Timestamp};
use proptest::prelude::*;

/// Reads it all back in every way there is.
fn check(sealed: &Sealed) {
    let file = sealed.open().unwrap();
    assert!(sealed.readable(&file).iter().all(|read| *read));
    assert_eq!(sealed.damage(&file), vec![]);
    assert!(file.footer_damage().is_none());
    assert_eq!(file.summary(), &sealed.summary.summary);
    assert_eq!(file.file_bytes(), sealed.summary.file_bytes);

    let mut comparison = Comparison::new(&file);
    sealed.records.iter().for_each(|record| comparison.next(&record.stored()).unwrap());
    comparison.finish().unwrap();

    let (mut buffer, mut backwards) = (BlockBuf::new(), Vec::new());
    for n in (0..file.block_count().unwrap()).rev() {
        file.read_block(n, &mut buffer).unwrap();
        let seqs = Sealed::block_seqs(&file, n);
        assert_eq!((seqs.end, buffer.len() as u64), (buffer.end_seq(), seqs.end - seqs.start));
        assert_eq!((file.block_of(seqs.start).unwrap(), file.block_of(seqs.end - 1).unwrap()), (n, n));
        backwards.extend(buffer.iter().rev().map(|record| record.seq));
    }
    assert!(backwards.into_iter().eq(file.seqs().rev()));
}

#[test]
fn records_come_back_with_and_without_a_dictionary() {
    for dictionary in [None, Some(dictionary())] {
        let sealed = Sealed::new(records(0, 300), dictionary.as_deref(), &small_blocks());
        assert!(sealed.summary.blocks > 10);
        check(&sealed);
    }
}

#[test]
fn records_come_back_by_column() {
    let all = maps(0, 300);
    let columns = columns(&all[..100]);
    let sealed = Sealed::new(all, Some(&columns), &small_columns());
    assert!(sealed.summary.blocks > 10);
    check(&sealed);
}

/// In any order: each is read alone, and all of a block when a second one of it is asked for.
#[test]
fn records_of_columns_are_read_one_by_one_and_together() {
    let sealed = Sealed::new(maps(0, 100), Some(&columns(&maps(0, 100))), &small_columns());
    let (file, mut buffer) = (sealed.open().unwrap(), BlockBuf::new());
    for seq in (0..100).map(|n| n * 37 % 100) {
        file.seek(seq, &mut buffer).unwrap();
        let record = sealed.records[seq as usize].stored();
        assert_eq!((buffer.get(seq), buffer.has(seq)), (Some(record), true));
        let other = buffer.seqs().start + (seq + 1) % 10;
        assert_eq!((buffer.get(other), buffer.has(other)), (None, false));
        file.complete(&mut buffer).unwrap();
        let all = buffer.iter().map(|record| record.seq);
        assert!(all.eq(buffer.seqs()) && buffer.has(other));
    }
}

#[test]
fn what_columns_cannot_hold_or_make_no_smaller_stays_rows() {
    let columns = columns(&maps(0, 100));
    let mut all = maps(0, 100);
    let mut state = 1u64;
    for byte in all[40..].iter_mut().flat_map(|record| &mut record.body) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *byte = (state >> 56) as u8;
    }
    check(&Sealed::new(all, Some(&columns), &small_columns()));
    let mut large = maps(0, 20);
    large[7].body = vec![7; crate::record::RECORD_BYTES_MAX];
    check(&Sealed::new(large, Some(&columns), &small_columns()));
    check(&Sealed::new(Vec::new(), Some(&columns), &small_columns()));
    check(&Sealed::new(maps(0, 300), None, &small_columns()));
}

#[test]
fn a_segment_without_records_and_one_with_one() {
    check(&Sealed::new(Vec::new(), None, &SealOptions::default()));
    check(&Sealed::new(records(1_000, 1), None, &SealOptions::default()));
}

#[test]
fn a_record_larger_than_a_block_has_one_of_its_own() {
    let mut all = records(10, 20);
    all[7].body = (0..3_000_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    all[8].body = vec![7; crate::record::RECORD_BYTES_MAX];
    let sealed = Sealed::new(all, None, &SealOptions::default());
    check(&sealed);
    let file = sealed.open().unwrap();
    assert_eq!(Sealed::block_seqs(&file, file.block_of(17).unwrap()), 17..18);
}

#[test]
fn negative_and_extreme_timestamps() {
    let mut all = records(0, 100);
    for (i, time) in [i64::MIN, i64::MAX, -1, 0, i64::MAX, i64::MIN, i64::MIN, 1].into_iter().enumerate() {
        all[i * 11].time = time;
    }
    let sealed = Sealed::new(all, None, &small_blocks());
    check(&sealed);
    assert_eq!(sealed.open().unwrap().time_range(), Some(Timestamp::MIN..=Timestamp::MAX));
}

#[test]
fn a_time_window_names_every_block_that_has_records_of_it() {
    let sealed = Sealed::new(records(0, 500), None, &small_blocks());
    let (file, mut buffer) = (sealed.open().unwrap(), BlockBuf::new());
    for from in (-30_000_000i64..500_000_000).step_by(7_654_321) {
        let window = Timestamp::from_micros(from)..=Timestamp::from_micros(from + 3_000_000);
        let named: Vec<usize> = file.blocks_in(window.clone()).unwrap().collect();
        for n in 0..file.block_count().unwrap() {
            file.read_block(n, &mut buffer).unwrap();
            let has = buffer.iter().any(|record| window.contains(&record.timestamp));
            assert!(!has || named.contains(&n));
        }
        assert!(named.len() < 5);
    }
}

#[test]
fn what_is_not_compressible_is_stored_as_it_is() {
    let mut all = records(0, 50);
    let mut state = 1u64;
    for byte in all.iter_mut().flat_map(|record| &mut record.body) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *byte = (state >> 56) as u8;
    }
    let sealed = Sealed::new(all, None, &small_blocks());
    check(&sealed);
}

#[test]
fn the_tree_goes_on_from_segment_to_segment() {
    let sealed = Sealed::new(records(1_000, 700), None, &small_blocks());
    let (mut tree, mut nodes) = (frontier(1_000), Vec::new());
    for record in &sealed.records {
        nodes.extend(tree.push(leaf_hash(&super::fixture::LOG, &record.stored())));
    }
    let file = sealed.open().unwrap();
    let ends = file.merkle().unwrap();
    assert_eq!((ends.start, &ends.end), (frontier(1_000), &tree));
    assert_eq!(sealed.summary.root, tree.root());
    assert_eq!(file.nodes().unwrap(), (1_000 / NODE_LEAVES, nodes));
    let verified = file.verify(Some(&frontier(1_000)), &mut |damage| panic!("{damage}")).unwrap();
    assert_eq!(verified.end, Some(tree));
}

#[test]
fn a_segment_after_another_tree_is_found_out() {
    let sealed = Sealed::new(records(1_000, 300), None, &small_blocks());
    let mut other = frontier(999);
    other.push([77; 32]);
    let mut found = Vec::new();
    sealed.open().unwrap().verify(Some(&other), &mut |damage| found.push(damage)).unwrap();
    assert!(!found.is_empty());
}

#[test]
fn sources_runs_and_shape_are_kept() {
    let sealed = Sealed::new(records(40, 100), None, &small_blocks());
    let file = sealed.open().unwrap();
    assert_eq!(file.shape().unwrap(), SHAPE);
    assert_eq!(file.sources().unwrap()[0].ordinal, 2);
    let run = |n| Some(Incarnation([n; 16]));
    assert_eq!(file.runs().unwrap().0, vec![(40, run(1)), (90, run(2))]);
    assert_eq!((file.runs().unwrap().of(89), file.runs().unwrap().of(139)), (run(1), run(2)));
}

#[test]
fn a_gap_and_a_record_beyond_the_limits_are_refused() {
    use crate::sealed::SealedWriter;
    use crate::storage::Storage;
    let disk = super::fixture::Memory::default();
    let file = disk.create("x").unwrap();
    let header = super::fixture::header(0, 1);
    let options = SealOptions::default();
    let mut writer = SealedWriter::create(&*file, "x".into(), &header, None, frontier(0), &options).unwrap();
    let record = |seq, key: usize, body: usize| Owned { seq, run: 1, time: 0, key: vec![1; key], body: vec![1; body] };
    assert!(matches!(writer.push(&record(1, 0, 1).stored()), Err(Error::Damaged(_))));
    assert!(matches!(writer.push(&record(0, 1_025, 1).stored()), Err(Error::TooLarge { .. })));
    assert!(matches!(writer.push(&record(0, 1, 16 << 20).stored()), Err(Error::TooLarge { .. })));
    writer.push(&record(0, 1_024, 1).stored()).unwrap();
    assert!(SealedWriter::create(&*file, "x".into(), &header, None, frontier(1), &options).is_err());
}

#[test]
fn a_comparison_finds_one_changed_record_one_missing_and_one_too_many() {
    let sealed = Sealed::new(records(0, 60), None, &small_blocks());
    let file = sealed.open().unwrap();
    let mut changed = sealed.records.clone();
    changed[30].time += 1;
    let mut comparison = Comparison::new(&file);
    let errors = changed.iter().map_while(|record| comparison.next(&record.stored()).ok()).count();
    assert_eq!(errors, 30);

    let mut comparison = Comparison::new(&file);
    sealed.records[..59].iter().for_each(|record| comparison.next(&record.stored()).unwrap());
    assert!(comparison.finish().is_err());

    let mut comparison = Comparison::new(&file);
    sealed.records.iter().for_each(|record| comparison.next(&record.stored()).unwrap());
    assert!(comparison.next(&sealed.records[0].stored()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_records_come_back(
        parts in proptest::collection::vec(
            (any::<bool>(), any::<i64>(), proptest::collection::vec(any::<u8>(), 0..20),
             proptest::collection::vec(any::<u8>(), 0..400)), 0..200),
        block_bytes in 1usize..3_000,
        with_dictionary: bool,
    ) {
        let mut run = 1;
        let all = parts.into_iter().enumerate().map(|(i, (same, time, key, body))| {
            run += u8::from(!same && i % 13 == 0);
            Owned { seq: 500 + i as u64, run, time, key, body }
        });
        let options = SealOptions { block_bytes, ..SealOptions::default() };
        let all: Vec<Owned> = all.collect();
        check(&Sealed::new(all.clone(), with_dictionary.then(dictionary).as_deref(), &options));
        check(&Sealed::new(all, Some(&columns(&maps(0, 60))), &small_columns()));
    }
}
