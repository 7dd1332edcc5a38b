//! File headers, the identity file made of two of them, the head, and names of segments.

use crate::draw::{Draw, damage};
use crate::forge::{HEADER_BYTES, header, repair_head, repair_header};
use annals::codecs::{head, segment_name};
use annals::storage::sim::SimDisk;
use annals::{Error, Reader};
use annals_index::FileHeader;

pub(crate) fn case(input: &[u8]) {
    let mut draw = Draw::new(input);
    match draw.byte() % 4 {
        0 => one_header(&mut draw),
        1 => identity(&mut draw),
        2 => a_head(&mut draw),
        _ => name(&mut draw),
    }
}

fn ids(draw: &mut Draw<'_>) -> [[u8; 16]; 2] {
    [[draw.byte() % 4; 16], [draw.byte(); 16]]
}

fn one_header(draw: &mut Draw<'_>) {
    let kind = draw.choose(&[b"IDNT", b"RAW ", b"SEAL", b"INDX"]);
    let (ids, base_seq, ordinal) = (ids(draw), draw.number(), draw.number());
    let specific = draw.bytes(36);
    let mut bytes = header(kind, ids, base_seq, ordinal, specific);
    let decoded = FileHeader::decode_any(&bytes).expect("it was written by the page of the format");
    assert_eq!((decoded.base_seq, decoded.ordinal), (base_seq, ordinal));
    damage(draw, &mut bytes);
    if !draw.one_in(8) {
        repair_header(&mut bytes, 0);
    }
    if let Ok(decoded) = FileHeader::decode_any(&bytes) {
        assert_eq!(decoded.encode()[..], bytes[..HEADER_BYTES]);
    }
}

fn identity(draw: &mut Draw<'_>) {
    let mut bytes = Vec::new();
    let mut ids_of = Vec::new();
    for at in [0, HEADER_BYTES] {
        let ids = ids(draw);
        bytes.extend(header(b"IDNT", ids, 0, 0, &[]));
        ids_of.push(ids[0]);
        damage(draw, &mut bytes);
        if !draw.one_in(8) {
            repair_header(&mut bytes, 0);
            repair_header(&mut bytes, at);
        }
    }
    let disk = SimDisk::new(1);
    disk.replace("identity", &bytes);
    match Reader::open_on(disk.storage()) {
        Ok(reader) => {
            // The id that one of its copies says, and of the first that is sound.
            let copies = [&bytes[..], bytes.get(HEADER_BYTES..).unwrap_or_default()];
            let mut sound = copies.iter().filter_map(|copy| FileHeader::decode_any(copy).ok());
            let id = sound.next().expect("one copy is sound").log_id;
            assert!(reader.id().to_string().starts_with(&format!("{:02x}", id[0])), "{}", reader.id());
            assert_eq!((reader.first_seq(), reader.end_seq()), (0, 0));
        }
        Err(Error::Damaged(_) | Error::Unsupported { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

fn a_head(draw: &mut Draw<'_>) {
    let mut bytes = b"aHed".to_vec();
    bytes.extend([draw.byte() % 2, 0, 0, 0]);
    for _ in 0..3 {
        bytes.extend(draw.number().to_le_bytes());
    }
    bytes.resize(72, draw.byte());
    bytes[64..68].fill(0);
    repair_head(&mut bytes);
    assert!(head(bytes.first_chunk().expect("72 bytes")).is_some());
    damage(draw, &mut bytes);
    if !draw.one_in(8) {
        repair_head(&mut bytes);
    }
    if let Some(bytes) = bytes.first_chunk()
        && let Some(again) = head(bytes)
    {
        assert_eq!(*bytes, again);
    }
}

fn name(draw: &mut Draw<'_>) {
    let ending = draw.choose(&["log", "seg", "idx", "tmp", ""]);
    let (base_seq, ordinal) = (draw.number(), draw.number());
    let mut text = format!("{base_seq:020}-{ordinal:010}.{ending}").into_bytes();
    if draw.one_in(2) {
        damage(draw, &mut text);
    } else {
        let is_name = ["log", "seg", "idx"].contains(&ending) && base_seq <= 1 << 63 && ordinal < 1 << 63;
        assert_eq!(segment_name(std::str::from_utf8(&text).expect("digits")).is_some(), is_name);
    }
    if let Ok(text) = std::str::from_utf8(&text)
        && let Some(again) = segment_name(text)
    {
        assert_eq!(text, again);
        assert!(!text.contains('/'));
    }
}
