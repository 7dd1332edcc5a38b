//! A field index of drawn values, damaged behind its checksums: it is refused, or its answers lie in the segment. An undamaged
//! one names every record with a value, and few others.

use crate::draw::{Draw, damage};
use crate::forge::{Salt, repair_fields};
use annals_index::{
    Binding, Bytes, FieldsBinding, FieldsBuilder, FieldsReader, FileHeader, FileKind, Records, SPECIFIC_BYTES,
    term_hash,
};
use std::collections::BTreeMap;

/// The records that have a value, by its hash.
type Holders = BTreeMap<u64, Vec<u32>>;

pub(crate) fn case(input: &[u8]) {
    let mut draw = Draw::new(input);
    let records = draw.choose(&[0, 1, 31, 60, 200, 1_500]);
    let fields: Vec<Holders> = (0..draw.below(4)).map(|_| holders(&mut draw, records)).collect();
    let mut bytes = build(&fields, records, draw.byte());
    let is_damaged = draw.one_in(2) && change(&mut draw, &mut bytes);
    if is_damaged && !draw.one_in(8) {
        repair_fields(&mut bytes);
    }
    let index = match FieldsReader::open(Bytes::Read(bytes), &binding(records)) {
        Ok(index) => index,
        Err(error) => {
            assert!(is_damaged, "{error}");
            return;
        }
    };
    let verified = index.verify();
    assert!(is_damaged || verified.is_ok(), "{verified:?}");
    for number in 0..fields.len() + 1 {
        let known = fields.get(number).into_iter().flat_map(|holders| holders.keys().copied());
        let mut hashes: Vec<u64> = known.take(40).chain([0, u64::MAX, draw.number()]).collect();
        hashes.sort_unstable();
        let asked = Asked { index: &index, records, holders: fields.get(number).filter(|_| !is_damaged), number };
        let wrong: usize = hashes.iter().map(|hash| asked.ask(&[*hash])).sum();
        assert!(wrong <= 3, "{wrong} records are named without reason");
        asked.ask(&hashes);
    }
}

/// A field that is asked about.
struct Asked<'a> {
    index: &'a FieldsReader<Bytes>,
    records: u32,
    /// What has to be found, if nothing is damaged.
    holders: Option<&'a Holders>,
    number: usize,
}

impl Asked<'_> {
    /// Asks for all of `hashes`. Returns how many records are named that have none of them, if nothing is damaged.
    fn ask(&self, hashes: &[u64]) -> usize {
        let found = match self.index.find(self.number, hashes) {
            Ok(found) => all(&found, self.records),
            Err(error) => {
                assert!(self.holders.is_none(), "{error}");
                return 0;
            }
        };
        let Some(holders) = self.holders else { return 0 };
        let mut expected: Vec<u32> = hashes.iter().filter_map(|hash| holders.get(hash)).flatten().copied().collect();
        expected.sort_unstable();
        expected.dedup();
        assert!(expected.iter().all(|record| found.contains(record)), "{found:?} lacks some of {expected:?}");
        found.len() - expected.len()
    }
}

/// The records of a set, which are some of `of`, both ways.
fn all(records: &Records, of: u32) -> Vec<u32> {
    let mut found = Vec::new();
    while let Some(record) = records.next(found.last().map_or(0, |last| last + 1)) {
        assert!(record < of, "record {record} of {of}");
        found.push(record);
    }
    let mut at = Some(u32::MAX);
    for record in found.iter().rev() {
        assert_eq!(at.and_then(|at| records.previous(at)), Some(*record));
        at = record.checked_sub(1);
    }
    assert_eq!(records.len(), found.len());
    found
}

/// Values of all records, of one kind: unique ones, some that many have, runs, or drawn ones.
fn holders(draw: &mut Draw<'_>, records: u32) -> Holders {
    let (kind, of) = (draw.byte() % 5, 1 + draw.byte() as u32);
    let mut holders = Holders::new();
    for record in 0..records {
        let value = match kind {
            0 => Some(record * 7),
            1 => Some(record % of),
            2 => Some(record / of),
            3 => record.is_multiple_of(of).then_some(3),
            _ => (!draw.is_empty()).then(|| draw.byte().into()),
        };
        if let Some(value) = value {
            holders.entry(term_hash(&value.to_le_bytes())).or_default().push(record);
        }
    }
    holders
}

fn binding(records: u32) -> FieldsBinding {
    let segment = Binding { log_id: [1; 16], base_seq: 7, ordinal: 3, source_file_id: [2; 16], source_bytes: 9_000 };
    FieldsBinding { segment, source_crc: 77, records }
}

fn build(fields: &[Holders], records: u32, id: u8) -> Vec<u8> {
    let path = |n| vec!["field".to_owned(), format!("{n}")];
    let mut builder = FieldsBuilder::new((0..fields.len()).map(path));
    let mut of_record = vec![Vec::new(); records as usize];
    for (number, holders) in fields.iter().enumerate() {
        for (hash, own) in holders {
            own.iter().for_each(|record| of_record[*record as usize].push((number, *hash)));
        }
    }
    for values in of_record {
        builder.begin_record();
        values.into_iter().for_each(|(number, hash)| builder.push(number, hash));
    }
    let header = FileHeader {
        kind: FileKind::Fields,
        compatible: 0,
        incompatible: 0,
        log_id: [0; 16],
        file_id: [id; 16],
        base_seq: 0,
        ordinal: 0,
        created_us: 5,
        specific: [0; SPECIFIC_BYTES],
    };
    let bytes = builder.finish(&header, &binding(records)).expect("so many records are told of");
    // The repair knows its checksums as the page of the format does.
    let mut repaired = bytes.clone();
    repair_fields(&mut repaired);
    assert!(repaired == bytes, "salt {:08x}", Salt::in_file(&bytes).0);
    bytes
}

/// Damage in the header, the directory, or a page or list.
fn change(draw: &mut Draw<'_>, bytes: &mut Vec<u8>) -> bool {
    let at = match draw.byte() % 4 {
        0 => 0,
        1 => bytes.len().min(128),
        _ => draw.below(bytes.len() + 1),
    };
    let before = bytes.clone();
    let mut part = bytes.split_off(at);
    let mut window: Vec<u8> = part.drain(..part.len().min(draw.choose(&[48, 200, 4_096]))).collect();
    damage(draw, &mut window);
    bytes.extend(window);
    bytes.extend(part);
    *bytes != before
}
