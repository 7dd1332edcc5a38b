//! Blocks that are kept.

use super::fixture::{columns, dictionary, maps, records, small_blocks, small_columns};
use crate::FileId;
use crate::meter::CacheMeter;
use crate::sealed::BlockBuf;
use crate::sealed::cache::BlockCache;
use crate::sealed::kept::KeptBlock;
use crate::sealed::tests::fixture::Sealed;

fn both() -> [Sealed; 2] {
    let maps = maps(0, 64);
    let columns = columns(&maps);
    [
        Sealed::new(records(0, 64), Some(&dictionary()), &small_blocks()),
        Sealed::new(maps, Some(&columns), &small_columns()),
    ]
}

#[test]
fn a_kept_block_has_the_records_of_the_block() {
    for sealed in both() {
        let (file, mut buffer) = (sealed.open().unwrap(), BlockBuf::new());
        for record in &sealed.records {
            file.seek_all(record.seq, &mut buffer).unwrap();
            let (first_seq, end_seq) = (buffer.seqs().start, buffer.end_seq());
            let kept = KeptBlock::take(&mut buffer).unwrap();
            assert_eq!(kept.get(record.seq), Some(record.stored()));
            for seq in first_seq.saturating_sub(2)..end_seq + 2 {
                let is_inside = (first_seq..end_seq).contains(&seq);
                assert_eq!((kept.contains(seq), kept.get(seq).is_some()), (is_inside, is_inside));
            }
            assert!(!buffer.contains(record.seq));
        }
    }
}

#[test]
fn a_block_of_which_one_record_was_read_is_not_kept() {
    let sealed = &both()[1];
    let (file, mut buffer) = (sealed.open().unwrap(), BlockBuf::new());
    file.seek(7, &mut buffer).unwrap();
    assert!(KeptBlock::take(&mut buffer).is_none());
    assert_eq!(buffer.get(7), Some(sealed.records[7].stored()));
}

#[test]
fn memory_is_bounded() {
    let sealed = &both()[0];
    let (file, mut buffer) = (sealed.open().unwrap(), BlockBuf::new());
    for bytes in [1_000, 100_000, 1_000_000] {
        let cache = BlockCache::new(bytes, CacheMeter::new("")).unwrap();
        for n in 0..3_000u64 {
            file.read_block(n as usize % file.block_count().unwrap(), &mut buffer).unwrap();
            let kept = cache.keep(FileId([1; 16]), n, KeptBlock::take(&mut buffer).unwrap());
            assert!(kept.block().is_some());
            assert!(cache.bytes() <= bytes, "{n}: {}", cache.bytes());
        }
        // Blocks are small here: there are places for no more.
        assert!(bytes < 100_000 || cache.bytes() > 10_000);
    }
    assert!(BlockCache::new(0, CacheMeter::new("")).is_none());
}

#[test]
fn asks_are_counted() {
    let cache = BlockCache::new(1 << 20, CacheMeter::new("")).unwrap();
    let (one, other) = (FileId([1; 16]), FileId([2; 16]));
    for asks in 1..20 {
        assert_eq!(cache.note_asked(one, 7), asks.min(7));
    }
    assert_eq!(cache.note_asked(other, 7), 1);
    // Others take its place.
    (0..10_000).for_each(|offset| assert!(cache.note_asked(other, offset) <= 2));
    assert_eq!(cache.note_asked(one, 7), 1);
    assert!(cache.get(one, 7).is_none());
}
