//! The footer of a sealed file: sections, directory, trailer and dictionary on their own, and a whole file with
//! another footer behind sound blocks, in a log.

use crate::draw::{Draw, damage};
use crate::fixture::{SEED, disk, exercise, fixture};
use crate::forge::{
    HEADER_BYTES, Salt, TRAILER_BYTES, dictionary, directory, signed_varint, trailer, u32_at, u64_at, varint,
};
use annals::codecs::sealed;

const FILE_ID: [u8; 16] = *b"of a sealed file";
const TAGS: [&[u8; 4]; 10] = [b"BLKS", b"MERK", b"SRCS", b"RUNS", b"SUMM", b"NODE", b"SHAP", b"DICT", b"STAT", b"SUMM"];
const DICTIONARY_BYTES_MAX: usize = 1 << 20;

pub(crate) fn case(input: &[u8]) {
    let mut draw = Draw::new(input);
    match draw.byte() % 32 {
        0..=15 => one_section(&mut draw),
        16..=21 => the_end(&mut draw),
        22..=29 => one_dictionary(&mut draw),
        _ => whole(&mut draw),
    }
}

fn one_section(draw: &mut Draw<'_>) {
    let tag = draw.choose(&TAGS);
    let base_seq = draw.choose(&[0, 3, 1 << 40, (1 << 63) - 3]);
    let from = 128;
    let to = draw.choose(&[10_000, 1 << 40, u64::MAX]);
    let mut bytes = content(draw, tag, base_seq);
    damage(draw, &mut bytes);
    if let Some(again) = sealed::section(*tag, &bytes, base_seq, from, to) {
        assert_eq!(bytes, again);
    }
}

/// A section's bytes, as docs/format.md has them or nearly.
fn content(draw: &mut Draw<'_>, tag: &[u8; 4], base_seq: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let count = draw.below(9);
    match tag {
        b"BLKS" => {
            varint(&mut out, count as u64);
            for _ in 0..count {
                varint(&mut out, 52 + draw.number() % 5_000);
                varint(&mut out, 1 + draw.number() % 400);
                signed_varint(&mut out, draw.number() as i64);
                varint(&mut out, draw.number());
            }
        }
        b"RUNS" => {
            for n in 0..count as u64 {
                out.extend((base_seq + n).to_le_bytes());
                out.extend([draw.byte(); 16]);
            }
        }
        b"SUMM" => {
            let records = draw.number();
            let numbers = [records, base_seq.wrapping_add(records), draw.number(), draw.number(), draw.number()];
            out.extend(numbers.into_iter().flat_map(u64::to_le_bytes));
        }
        b"MERK" => {
            let (_, file) = fixture().file(".seg");
            out.extend(section_of(file, b"MERK"));
        }
        b"SRCS" | b"NODE" => out.resize(count * 32, draw.byte()),
        _ => out.extend(draw.bytes(200)),
    }
    out
}

/// The bytes of a section of a sound sealed file.
fn section_of(file: &[u8], tag: &[u8; 4]) -> Vec<u8> {
    let sections = sections(file);
    sections.into_iter().find(|(own, ..)| own == tag).map_or_else(Vec::new, |(.., bytes)| bytes)
}

fn sections(file: &[u8]) -> Vec<([u8; 4], u64, Vec<u8>)> {
    let trailer = file.len() - TRAILER_BYTES;
    let at = u64_at(file, trailer + 136) as usize;
    let entries = file[at..at + u32_at(file, trailer + 144)].chunks_exact(24);
    let section = |entry: &[u8]| {
        let (offset, len) = (u64_at(entry, 8), u64_at(entry, 16));
        let bytes = file[offset as usize..(offset + len) as usize].to_vec();
        (*entry.first_chunk().expect("24 bytes"), offset, bytes)
    };
    entries.map(section).collect()
}

fn the_end(draw: &mut Draw<'_>) {
    let salt = Salt::of(&FILE_ID);
    let drawn = (0..draw.below(9)).map(|_| (*draw.choose(&TAGS), draw.number(), draw.bytes(3).to_vec()));
    let mut entries = directory(&drawn.collect::<Vec<_>>(), salt);
    damage(draw, &mut entries);
    let at = draw.number();
    if let Some(again) = sealed::directory(&entries, at) {
        assert_eq!(entries, again);
    }
    let mut end = trailer(&[0; HEADER_BYTES], at.min(1 << 60), &entries, salt);
    let len = u64_at(&end, 152);
    let decoded = sealed::trailer(end.first_chunk().expect("its length"), FILE_ID, len);
    assert_eq!(decoded.is_ok(), at >= HEADER_BYTES as u64);
    damage(draw, &mut end);
    end.resize(TRAILER_BYTES, 0);
    let crc = salt.crc(&end[128..160]).to_le_bytes();
    end[160..].copy_from_slice(&crc);
    let end = end.first_chunk().expect("its length");
    if let Ok(again) = sealed::trailer(end, FILE_ID, u64_at(end, 152)) {
        assert_eq!(*end, again);
    }
}

fn one_dictionary(draw: &mut Draw<'_>) {
    let salt = Salt::of(&FILE_ID);
    let mut plain = draw.bytes(400).to_vec();
    if draw.one_in(3) {
        // What claims to be a trained dictionary.
        plain.splice(0..0, [0x37, 0xa4, 0x30, 0xec]);
    }
    if draw.one_in(8) {
        plain.resize(plain.len() + draw.below(4 << 20), 7);
    }
    let mut stored = zstd::bulk::compress(&plain, 1).expect("zstd compresses anything");
    let mut told = plain.len() as u32;
    let damaged = draw.one_in(3) && damage(draw, &mut stored);
    if draw.one_in(4) {
        told = draw.number() as u32;
    }
    let copy = dictionary(told, &stored, salt);
    match sealed::dictionary(&copy, FILE_ID) {
        Ok((found, _)) => {
            assert!(found.len() <= DICTIONARY_BYTES_MAX && found.len() == told as usize);
            assert!(damaged || found == plain);
        }
        Err(detail) => {
            assert!(damaged || told as usize != plain.len() || plain.len() > DICTIONARY_BYTES_MAX, "{detail}")
        }
    }
}

/// Sound blocks and a footer that says anything: no record is another than was appended.
fn whole(draw: &mut Draw<'_>) {
    let fixture = fixture();
    let (name, file) = fixture.file(".seg");
    let salt = Salt::in_file(file);
    let mut found = sections(file);
    let mut bytes = file[..found[0].1 as usize].to_vec();
    for _ in 0..1 + draw.below(3) {
        let n = draw.below(found.len());
        match draw.byte() % 5 {
            0 => drop(found.remove(n)),
            1 => found[n].0 = *draw.choose(&TAGS),
            2 => {
                let tag = found[n].0;
                found[n].2 = content(draw, &tag, 0);
            }
            _ => drop(damage(draw, &mut found[n].2)),
        }
        if found.is_empty() {
            break;
        }
    }
    for section in &mut found {
        section.1 = bytes.len() as u64;
        bytes.extend(&section.2);
    }
    let mut entries = directory(&found, salt);
    if draw.one_in(3) {
        damage(draw, &mut entries);
    }
    let end = trailer(&bytes, bytes.len() as u64, &entries, salt);
    bytes.extend(entries);
    bytes.extend(end);
    let files = fixture
        .files
        .iter()
        .map(|(other, original)| (other.as_str(), if other == name { &bytes[..] } else { &original[..] }));
    exercise(&disk(SEED + draw.below(2) as u64, files), &|record| {
        // The footer may tell of another incarnation, and of more records than there are.
        let known = fixture.records.get(record.seq() as usize);
        known.is_some_and(|known| known.body() == record.body() && known.timestamp() == record.timestamp())
    });
}
