//! Blocks and pages that are kept.

use super::fixture::{columns, dictionary, maps, records, small_blocks, small_columns};
use crate::FileId;
use crate::meter::CacheMeter;
use crate::sealed::BlockBuf;
use crate::sealed::cache::BlockCache;
use crate::sealed::kept::KeptBlock;
use crate::sealed::tests::fixture::Sealed;
use annals_index::{
    Binding, Bytes, FieldPage, FieldsBinding, FieldsBuilder, FieldsReader, FileHeader, FileKind, KeptPages,
    SPECIFIC_BYTES,
};
use std::cell::RefCell;
use std::sync::Arc;

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

/// Takes the page that was read last.
#[derive(Default)]
struct Last(RefCell<Option<Arc<FieldPage>>>);

impl KeptPages for Last {
    fn get(&self, _: u64) -> Option<Arc<FieldPage>> {
        None
    }

    fn keep(&self, _: u64, page: &Arc<FieldPage>) {
        *self.0.borrow_mut() = Some(Arc::clone(page));
    }
}

/// A page of a thousand values.
fn page() -> Arc<FieldPage> {
    let segment = Binding { log_id: [1; 16], base_seq: 0, ordinal: 1, source_file_id: [2; 16], source_bytes: 9 };
    let binding = FieldsBinding { segment, source_crc: 3, records: 1_000 };
    let header = FileHeader {
        kind: FileKind::Fields,
        compatible: 0,
        incompatible: 0,
        log_id: [1; 16],
        file_id: [3; 16],
        base_seq: 0,
        ordinal: 1,
        created_us: 5,
        specific: [0; SPECIFIC_BYTES],
    };
    let mut builder = FieldsBuilder::new([vec!["n".to_owned()]]);
    for n in 0..1_000u64 {
        builder.begin_record();
        builder.push(0, n << 54);
    }
    let bytes = Bytes::Read(builder.finish(&header, &binding).unwrap());
    let last = Last::default();
    FieldsReader::open(bytes, &binding).unwrap().find_with(0, &[7], &last).unwrap();
    last.0.take().unwrap()
}

#[test]
fn blocks_and_pages_share_the_memory() {
    let (sealed, page) = (&both()[0], page());
    assert!((3_000..6_000).contains(&page.bytes()), "{} bytes", page.bytes());
    let (file, mut buffer) = (sealed.open().unwrap(), BlockBuf::new());
    let (blocks, pages) = (FileId([1; 16]), FileId([2; 16]));
    for bytes in [1_000, 100_000, 1_000_000] {
        let cache = BlockCache::new(bytes, CacheMeter::new("")).unwrap();
        let mut kept = 0;
        for n in 0..1_000u64 {
            file.read_block(n as usize % file.block_count().unwrap(), &mut buffer).unwrap();
            cache.keep(blocks, n, KeptBlock::take(&mut buffer).unwrap());
            cache.keep_page(pages, n, Arc::clone(&page));
            assert!(cache.bytes() <= bytes, "{n}: {}", cache.bytes());
            assert_eq!(cache.page(pages, n).is_some(), bytes > 1_000, "{n}");
            assert!(cache.page(blocks, n).is_none(), "a block is no page");
            kept += u32::from(n > 0 && cache.page(pages, n - 1).is_some_and(|kept| Arc::ptr_eq(&kept, &page)));
        }
        assert!(bytes == 1_000 || kept > 500, "{kept} of those before");
    }
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
