//! An index of drawn blocks, damaged behind its checksum: what it answers lies in the segment, and agrees with itself.

use crate::draw::{Draw, damage};
use crate::forge::repair_index;
use annals_index::{Binding, Bytes, FileHeader, FileKind, IndexBuilder, IndexReader, SPECIFIC_BYTES};

pub(crate) fn case(input: &[u8]) {
    let mut draw = Draw::new(input);
    let base_seq = draw.choose(&[0, 5, 1 << 40, (1 << 63) - 40_000]);
    let binding = Binding {
        log_id: [1; 16],
        base_seq,
        ordinal: 3,
        source_file_id: [2; 16],
        source_bytes: draw.choose(&[1 << 20, 1 << 30, u64::MAX]),
    };
    let header = FileHeader {
        kind: FileKind::Index,
        compatible: 0,
        incompatible: 0,
        log_id: binding.log_id,
        file_id: [draw.byte(); 16],
        base_seq,
        ordinal: binding.ordinal,
        created_us: 0,
        specific: [0; SPECIFIC_BYTES],
    };
    let mut builder = IndexBuilder::new(&header, &binding);
    let mut blocks = Vec::new();
    let (mut seq, mut offset) = (base_seq, 128);
    for _ in 0..draw.below(12) {
        let (count, bytes) = (1 + draw.below(400) as u32, 60 + draw.below(4_000) as u64);
        builder.push(seq, count, offset, bytes).expect("blocks follow each other");
        blocks.push((seq, count, offset, bytes));
        (seq, offset) = (seq + u64::from(count), offset + bytes);
    }
    let mut bytes = builder.finish();
    let damaged = draw.one_in(2) && damage(&mut draw, &mut bytes);
    if !draw.one_in(8) {
        repair_index(&mut bytes);
    }
    let len = bytes.len();
    let found = IndexReader::new(Bytes::Read(bytes), &binding);
    let Ok(index) = found else {
        assert!(damaged, "{found:?}");
        return;
    };
    let records = u64::from(index.records());
    // A table that is believed is there, entry for entry.
    assert!(index.blocks() as usize * 12 <= len && records / 128 * 4 <= len as u64);
    let mut at = base_seq;
    for number in 0..index.blocks() {
        let block = index.block(number).expect("it is one of them");
        assert_eq!((block.number, block.first_seq), (number, at));
        assert!(block.offset.checked_add(block.bytes).is_some_and(|end| end <= binding.source_bytes));
        at += u64::from(block.count);
    }
    assert_eq!(at, base_seq + records);
    let asked = (0..8).map(|_| base_seq.saturating_add(draw.number() % (records + 3)));
    for seq in asked.chain([base_seq, at, at.saturating_sub(1), base_seq.saturating_sub(1), u64::MAX]) {
        let found = index.find(seq);
        if let Some(block) = found {
            assert!((block.first_seq..block.first_seq + u64::from(block.count)).contains(&seq));
            assert_eq!(index.block(block.number), found);
        }
        let naive = blocks.iter().find(|(first, count, ..)| (*first..first + u64::from(*count)).contains(&seq));
        if !damaged {
            assert_eq!(found.map(|b| (b.first_seq, b.count, b.offset, b.bytes)), naive.copied());
        }
    }
}
