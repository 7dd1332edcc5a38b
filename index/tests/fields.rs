//! Field indexes: every record with a value is found; whatever is wrong with the bytes, they are refused or harmless.

use annals_index::{
    Binding, Bytes, FieldPage, FieldsBinding, FieldsBuilder, FieldsReader, FileHeader, FileKind, KeptPages, Records,
    SPECIFIC_BYTES, term_hash,
};
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

fn binding(records: u32) -> FieldsBinding {
    let segment =
        Binding { log_id: [1; 16], base_seq: 1_000, ordinal: 7, source_file_id: [2; 16], source_bytes: 9_000 };
    FieldsBinding { segment, source_crc: 77, records }
}

fn header(id: u8) -> FileHeader {
    FileHeader {
        kind: FileKind::Fields,
        compatible: 0,
        incompatible: 0,
        log_id: [0; 16],
        file_id: [id; 16],
        base_seq: 0,
        ordinal: 0,
        created_us: 5,
        specific: [0; SPECIFIC_BYTES],
    }
}

fn path(name: &str) -> Vec<String> {
    name.split('.').map(str::to_owned).collect()
}

/// The index of these values of each record, by field.
fn build(fields: &[Vec<Vec<u64>>]) -> Vec<u8> {
    let records = fields.first().map_or(0, Vec::len);
    let mut builder = FieldsBuilder::new((0..fields.len()).map(|n| path(&format!("field.{n}"))));
    for record in 0..records {
        builder.begin_record();
        for (number, field) in fields.iter().enumerate() {
            field[record].iter().for_each(|value| builder.push(number, term_hash(&value.to_le_bytes())));
        }
    }
    builder.finish(&header(9), &binding(records as u32)).unwrap()
}

fn found(index: &FieldsReader<Bytes>, field: usize, values: &[u64]) -> BTreeSet<u32> {
    let hashes: Vec<u64> = values.iter().map(|value| term_hash(&value.to_le_bytes())).collect();
    let records = index.find(field, &hashes).unwrap();
    let mut all = BTreeSet::new();
    let mut next = records.next(0);
    while let Some(record) = next {
        all.insert(record);
        next = records.next(record + 1);
    }
    assert_eq!(records.len(), all.len());
    all
}

/// Unique values, a few values for all, and anything between; records without any, and with several.
fn field(records: usize) -> impl Strategy<Value = Vec<Vec<u64>>> {
    let values =
        |range: std::ops::Range<u64>, most| prop::collection::vec(prop::collection::vec(range, 0..most), records);
    prop_oneof![
        Just((0..records as u64).map(|n| vec![n * 7]).collect()),
        values(0..4, 3),
        values(0..40, 4),
        values(0..u64::MAX, 2),
    ]
}

fn fields() -> impl Strategy<Value = Vec<Vec<Vec<u64>>>> {
    (0..1_500usize).prop_flat_map(|records| prop::collection::vec(field(records), 1..4))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_record_with_a_value_is_found_and_few_others(fields in fields(), more in prop::collection::vec(any::<u64>(), 20)) {
        let records = fields[0].len() as u32;
        let bytes = build(&fields);
        let index = FieldsReader::open(Bytes::Read(bytes), &binding(records)).unwrap();
        for (number, field) in fields.iter().enumerate() {
            prop_assert_eq!(index.field(&path(&format!("field.{number}"))), Some(number));
            let mut holders: BTreeMap<u64, BTreeSet<u32>> = more.iter().map(|value| (*value, BTreeSet::new())).collect();
            for (record, values) in field.iter().enumerate() {
                values.iter().for_each(|value| _ = holders.entry(*value).or_default().insert(record as u32));
            }
            let mut wrong = 0;
            for (value, expected) in &holders {
                let found = found(&index, number, &[*value]);
                prop_assert!(found.is_superset(expected));
                wrong += found.len() - expected.len();
            }
            prop_assert!(wrong <= 3 + holders.len() / 200, "{} of {}", wrong, holders.len());
            let values: Vec<u64> = holders.keys().copied().collect();
            let all: BTreeSet<u32> = holders.values().flatten().copied().collect();
            prop_assert!(found(&index, number, &values).is_superset(&all));
        }
    }

    #[test]
    fn hostile_bytes_end_in_an_error_or_an_answer(
        at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>(), rest in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = build(&[(0..60u64).map(|n| vec![n % 3]).collect(), (0..60u64).map(|n| vec![n]).collect()]);
        *at.get_mut(&mut bytes) = byte;
        bytes.truncate(cut.index(bytes.len()) + 1);
        bytes.extend(rest);
        if let Ok(index) = FieldsReader::open(Bytes::Read(bytes), &binding(60)) {
            for value in 0..60u64 {
                let _ = index.find(0, &[term_hash(&value.to_le_bytes())]);
                let _ = index.find(1, &[term_hash(&value.to_le_bytes())]);
            }
        }
    }
}

/// Keeps every page.
#[derive(Default)]
struct All(RefCell<HashMap<u64, Arc<FieldPage>>>);

impl KeptPages for All {
    fn get(&self, number: u64) -> Option<Arc<FieldPage>> {
        self.0.borrow().get(&number).cloned()
    }

    fn keep(&self, number: u64, page: &Arc<FieldPage>) {
        assert!(self.0.borrow_mut().insert(number, Arc::clone(page)).is_none(), "page {number} was kept already");
    }
}

/// Counts the reads, and has nothing any more from some moment on.
struct Counted<'a> {
    bytes: Bytes,
    reads: &'a Cell<u32>,
    is_gone: &'a Cell<bool>,
}

impl annals_index::ReadAt for Counted<'_> {
    fn len(&self) -> std::io::Result<u64> {
        annals_index::ReadAt::len(&self.bytes)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.reads.set(self.reads.get() + 1);
        match self.is_gone.get() {
            true => Err(std::io::ErrorKind::UnexpectedEof.into()),
            false => self.bytes.read_at(buffer, offset),
        }
    }
}

#[test]
fn pages_that_are_kept_are_not_read_again() {
    const RECORDS: u64 = 5_000;
    let fields: Vec<Vec<Vec<u64>>> = [3, 7].map(|by| (0..RECORDS).map(|n| vec![n * by]).collect()).into();
    let (reads, is_gone, kept) = (Cell::new(0), Cell::new(false), All::default());
    let source = Counted { bytes: Bytes::Read(build(&fields)), reads: &reads, is_gone: &is_gone };
    let index = FieldsReader::open(source, &binding(RECORDS as u32)).unwrap();
    assert_eq!(index.file_id(), [9; 16]);
    let each = |ask: &dyn Fn(usize, u64) -> Records| -> Vec<Vec<u32>> {
        let hashes =
            |number: usize| fields[number].iter().map(move |values| (number, term_hash(&values[0].to_le_bytes())));
        let all = |records: Records| (0..RECORDS as u32).filter(|n| records.contains(*n)).collect();
        hashes(0).chain(hashes(1)).map(|(number, hash)| all(ask(number, hash))).collect()
    };
    let with = |number: usize, hash: u64| index.find_with(number, &[hash], &kept).unwrap();
    let right = each(&|number, hash| index.find(number, &[hash]).unwrap());

    reads.set(0);
    assert_eq!(each(&with), right);
    let pages = kept.0.borrow().len();
    assert_eq!(reads.get() as usize, pages, "each page is read once");
    assert!((8..=12).contains(&pages), "{pages} pages of about a thousand values each");
    let bytes: usize = kept.0.borrow().values().map(|page| page.bytes()).sum();
    assert!((3 * 2 * RECORDS as usize..6 * 2 * RECORDS as usize).contains(&bytes), "{bytes} bytes");

    // They were checked when they were read, and are right whatever becomes of the file.
    is_gone.set(true);
    assert_eq!(each(&with), right);
    assert!(index.find(0, &[term_hash(&0u64.to_le_bytes())]).is_err());
}

#[test]
fn every_flipped_bit_is_refused_or_harmless() {
    let fields = [(0..60u64).map(|n| vec![n % 3]).collect(), (0..60u64).map(|n| vec![n * n]).collect::<Vec<_>>()];
    let good = build(&fields);
    let answers = |bytes: Vec<u8>| -> Option<Vec<BTreeSet<u32>>> {
        let index = FieldsReader::open(Bytes::Read(bytes), &binding(60)).ok()?;
        let mut all = Vec::new();
        for (number, value) in (0..3u64).map(|value| (0, value)).chain((0..60).map(|value| (1, value * value))) {
            let records = index.find(number, &[term_hash(&value.to_le_bytes())]).ok()?;
            all.push((0..60).filter(|record| records.contains(*record)).collect());
        }
        index.verify().ok()?;
        Some(all)
    };
    let unverified_is_right = |bytes: Vec<u8>, right: &Vec<BTreeSet<u32>>| {
        let Ok(index) = FieldsReader::open(Bytes::Read(bytes), &binding(60)) else { return true };
        let values = (0..3u64).map(|value| (0, value)).chain((0..60).map(|value| (1, value * value)));
        values.zip(right).all(|((number, value), right)| {
            let found = index.find(number, &[term_hash(&value.to_le_bytes())]);
            found.is_ok_and(|found| (0..60).filter(|record| found.contains(*record)).eq(right.iter().copied()))
                || index.verify().is_err()
        })
    };
    let right = answers(good.clone()).unwrap();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(unverified_is_right(bad.clone(), &right), "bit {bit}");
        assert!(answers(bad).is_none_or(|answers| answers == right), "bit {bit}");
    }
    for len in 0..good.len() {
        assert!(answers(good[..len].to_vec()).is_none(), "{len} bytes");
    }
    assert!(answers([&good[..], &[0]].concat()).is_none());
}

#[test]
fn an_index_of_anything_else_is_refused() {
    let bytes = build(&[vec![vec![1], vec![2]]]);
    let open = |binding| FieldsReader::open(Bytes::Read(bytes.clone()), &binding).map(|_| ());
    open(binding(2)).unwrap();
    let foreign: [fn(&mut FieldsBinding); 7] = [
        |binding| binding.segment.log_id[0] ^= 1,
        |binding| binding.segment.base_seq += 1,
        |binding| binding.segment.ordinal += 1,
        |binding| binding.segment.source_file_id[0] ^= 1,
        |binding| binding.segment.source_bytes += 1,
        |binding| binding.source_crc += 1,
        |binding| binding.records += 1,
    ];
    for change in foreign {
        let mut other = binding(2);
        change(&mut other);
        assert!(open(other).is_err_and(|error| error.to_string().contains("of another segment")));
    }
}

#[test]
fn sizes_are_those_that_were_promised() {
    const RECORDS: u64 = 80_000;
    let bytes = |value: &dyn Fn(u64) -> u64| {
        build(&[(0..RECORDS).map(|n| vec![value(n)]).collect()]).len() as f64 / RECORDS as f64
    };
    let unique = bytes(&|n| n * 3);
    let four = bytes(&|n| (n * n % 17) % 4);
    let runs = bytes(&|n| n / 20_000);
    let actors = bytes(&|n| term_hash(&n.to_le_bytes()) % 5_000);
    assert!(unique <= 4.0, "{unique}");
    assert!(four <= 0.6, "{four}");
    assert!(runs <= 0.03, "{runs}");
    assert!(actors <= 4.0, "{actors}");
    println!("bytes a record: unique {unique:.3}, four {four:.3}, runs {runs:.3}, 5,000 actors {actors:.3}");
}

#[test]
fn a_field_with_too_many_values_is_left_out() {
    let mut builder = FieldsBuilder::new([path("many"), path("one")]);
    builder.begin_record();
    (0..1_100_000u64).for_each(|value| builder.push(0, value));
    builder.push(1, 5);
    let index = builder.finish(&header(1), &binding(1)).unwrap();
    let index = FieldsReader::open(Bytes::Read(index), &binding(1)).unwrap();
    assert_eq!((index.field(&path("many")), index.field(&path("one"))), (None, Some(1)));
    assert_eq!(index.fields().map(|(_, usable)| usable).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn another_number_of_records_makes_no_index() {
    assert!(FieldsBuilder::new([path("a")]).finish(&header(1), &binding(3)).is_err());
    let empty = FieldsBuilder::new([path("a")]).finish(&header(1), &binding(0)).unwrap();
    let index = FieldsReader::open(Bytes::Read(empty), &binding(0)).unwrap();
    assert!(index.find(0, &[1, 2]).unwrap().is_empty());
}

/// A file with holes: bytes at its front, and zeros up to a length that costs nothing. Notes the largest read.
struct Sparse<'a> {
    front: Vec<u8>,
    len: u64,
    largest: &'a Cell<usize>,
}

impl annals_index::ReadAt for Sparse<'_> {
    fn len(&self) -> std::io::Result<u64> {
        Ok(self.len)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.largest.set(self.largest.get().max(buffer.len()));
        buffer.fill(0);
        let from = self.front.get(offset as usize..).unwrap_or_default();
        let len = from.len().min(buffer.len());
        buffer[..len].copy_from_slice(&from[..len]);
        Ok(())
    }
}

/// Most bytes that are read at once, of a segment of a few records.
const READ_BYTES_MAX: usize = 16 << 20;

const DIRECTORY_AT: usize = 128;
/// Where in the directory of one field `field.0` the length of the lists stands, and the offsets of the pages.
const LISTS_LEN_AT: usize = DIRECTORY_AT + 4 + 1 + (2 + 5) + (2 + 1) + 2 + 8;
const PAGES_AT: usize = LISTS_LEN_AT + 8 + 4;

fn crc_of_part(field: u32, part: u64, bytes: &[u8]) -> [u8; 4] {
    let part = [&field.to_le_bytes()[..], &part.to_le_bytes(), bytes].concat();
    (crc32fast::hash(&part) ^ crc32fast::hash(&[9; 16])).to_le_bytes()
}

/// The index of one value that 60 records have, of which `change` changes the directory, with checksums that are right.
fn forged(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = build(&[vec![vec![1]; 60]]);
    change(&mut bytes);
    let end = PAGES_AT + 2 * 4;
    let crc = crc_of_part(u32::MAX, 0, &bytes[DIRECTORY_AT..end]);
    bytes[end..end + 4].copy_from_slice(&crc);
    bytes
}

#[test]
fn a_file_with_holes_takes_no_memory_by_the_lengths_it_claims() {
    const HUGE: u64 = 3 << 30;
    let largest = Cell::new(0);
    let ask = |front: Vec<u8>, len| {
        let index = FieldsReader::open(Sparse { front, len, largest: &largest }, &binding(60))?;
        index.verify().and(index.find(0, &[term_hash(&1u64.to_le_bytes())]).map(|found| found.len()))
    };
    let good = forged(|_| ());
    let len = good.len() as u64;
    assert_eq!(ask(good.clone(), len).unwrap(), 60, "what is forged here is right but for what is changed");

    let mut header = FileHeader::decode(&good, FileKind::Fields).unwrap();
    header.specific[28..32].copy_from_slice(&(HUGE as u32).to_le_bytes());
    let directory = [&header.encode()[..], &good[DIRECTORY_AT..]].concat();
    assert!(ask(directory, HUGE + 128).is_err());

    let page = forged(|bytes| bytes[PAGES_AT + 4..PAGES_AT + 8].copy_from_slice(&(HUGE as u32).to_le_bytes()));
    let pages_at = u64::from_le_bytes(page[LISTS_LEN_AT - 8..LISTS_LEN_AT].try_into().unwrap());
    let lists_len = u64::from_le_bytes(page[LISTS_LEN_AT..LISTS_LEN_AT + 8].try_into().unwrap());
    assert!(ask(page, (pages_at + HUGE).next_multiple_of(16) + lists_len).is_err());

    let list = forged(|bytes| {
        let list_at = bytes.len() - lists_len as usize;
        bytes[LISTS_LEN_AT..LISTS_LEN_AT + 8].copy_from_slice(&(32 + HUGE).to_le_bytes());
        bytes[list_at + 12..list_at + 16].copy_from_slice(&(HUGE as u32).to_le_bytes());
        let crc = crc_of_part(0, 0, &bytes[list_at..list_at + 28]);
        bytes[list_at + 28..list_at + 32].copy_from_slice(&crc);
    });
    assert!(ask(list, len - lists_len + 32 + HUGE).is_err());
    assert!(largest.get() <= READ_BYTES_MAX, "{} bytes at once", largest.get());

    let mut header = FileHeader::decode(&good, FileKind::Fields).unwrap();
    header.specific[24..28].copy_from_slice(&u32::MAX.to_le_bytes());
    let many = [&header.encode()[..], &good[DIRECTORY_AT..]].concat();
    let refused = FieldsReader::open(Bytes::Read(many), &binding(u32::MAX)).map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("more records"), "{refused}");
}

#[test]
fn a_field_whose_hashes_crowd_in_one_page_is_left_out() {
    let mut builder = FieldsBuilder::new([path("crowded"), path("one")]);
    for record in 0..500_000u64 {
        builder.begin_record();
        (0..5).for_each(|value| builder.push(0, record << 8 | value));
        builder.push(1, term_hash(&record.to_le_bytes()));
    }
    let index = builder.finish(&header(1), &binding(500_000)).unwrap();
    let index = FieldsReader::open(Bytes::Read(index), &binding(500_000)).unwrap();
    assert_eq!((index.field(&path("crowded")), index.field(&path("one"))), (None, Some(1)));
}
