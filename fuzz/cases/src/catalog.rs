//! The catalog of a log, written by docs/format.md alone: what decodes encodes to the same bytes; either of its copies is
//! enough; and whatever it says, no record is returned that was never appended.

use crate::draw::{Draw, damage};
use crate::fixture::{SEED, disk, exercise, fixture, is_refusal};
use crate::forge::{HEADER_BYTES, Salt, header, repair_header, signed_varint, u32_at, varint};
use annals::codecs::catalog;
use annals::{Error, Reader};
use sha2::{Digest, Sha256};

/// Where in the file header the length of the body stands, and its checksum.
const LENGTH_AT: usize = 88;
const CRC_AT: usize = LENGTH_AT + 4;
/// Each copy is filled up to a multiple of this.
const COPY_ALIGN: usize = 4096;
/// Indexed fields, as they are spelled.
const PATHS: [&str; 3] = ["user.name", "status", r#"labels."a b""#];

/// What a catalog was drawn to say.
#[derive(Debug, Default)]
struct Drawn {
    holds: Vec<String>,
    /// The names of holds that were released.
    releases: Vec<String>,
    /// Where each removal ends.
    ends: Vec<u64>,
    body: Vec<u8>,
}

pub(crate) fn case(input: &[u8]) {
    let mut draw = Draw::new(input);
    if !draw.one_in(6) {
        let mut bytes = if draw.one_in(2) { draw.rest().to_vec() } else { drawn(&mut draw).body };
        damage(&mut draw, &mut bytes);
        if let Some(again) = catalog(&bytes) {
            assert_eq!(bytes, again);
        }
        return;
    }
    whole(&mut draw);
}

/// A catalog in a log.
fn whole(draw: &mut Draw<'_>) {
    let drawn = drawn(draw);
    assert_eq!(catalog(&drawn.body).as_deref(), Some(&drawn.body[..]), "{drawn:?}");
    let log_id = fixture().file("identity").1[32..48].try_into().expect("16 bytes");
    let sound = copy(&drawn, log_id, draw.byte());
    let mut copies = [sound.clone(), sound.clone()];
    let mut is_forged = false;
    for copy in &mut copies {
        if draw.one_in(2) {
            let at = draw.choose(&[0, 80, HEADER_BYTES]);
            let mut window = copy[at..].to_vec();
            window.truncate(200);
            let len = window.len();
            damage(draw, &mut window);
            window.resize(len, 0);
            copy[at..at + len].copy_from_slice(&window);
            if draw.one_in(2) {
                repair(copy);
                is_forged |= *copy != sound;
            }
        }
    }
    let damaged = copies.iter().filter(|copy| **copy != sound).count();
    let mut files: Vec<(&str, &[u8])> =
        fixture().files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let both = copies.concat();
    files.push(("catalog", &both));
    let disk = disk(SEED, files);
    match Reader::open_on(disk.storage()) {
        Ok(_) if is_forged => {}
        Ok(reader) => check(&reader, &drawn, damaged),
        Err(error) => assert!(is_refusal(&error) && damaged > 0, "{error}"),
    }
    exercise(&disk, &|record| fixture().records.get(record.seq() as usize) == Some(record));
}

/// What a reader says of a catalog of which so many copies are damaged, and not made to look sound.
fn check(reader: &Reader, drawn: &Drawn, damaged: usize) {
    let holds = reader.holds();
    if damaged == 2 {
        assert!(matches!(holds, Err(Error::Damaged(_) | Error::Unsupported { .. })), "{holds:?}");
        return;
    }
    let names: Vec<String> = holds.expect("a copy is sound").into_iter().map(|hold| hold.name).collect();
    let removals = reader.removals().expect("a copy is sound");
    let releases = reader.releases().expect("a copy is sound");
    assert_eq!(names, drawn.holds);
    assert!(releases.iter().map(|release| &release.hold.name).eq(&drawn.releases), "{releases:?}");
    assert!(removals.iter().map(|removal| removal.end_seq).eq(drawn.ends.iter().copied()), "{removals:?}");
    // Where no segment begins there, records are missing, which verifying tells.
    let first_seq = drawn.ends.last().copied().unwrap_or(0);
    assert!(reader.first_seq() == first_seq || reader.first_seq() > first_seq && ![0, 40, 45].contains(&first_seq));
    let verified = reader.verify(&mut |_| ()).expect("it can be read");
    let told = verified.damage.iter().filter(|damage| damage.path.ends_with("catalog")).count();
    assert_eq!(told > 0, damaged == 1, "{:?}", verified.damage);
}

fn text(out: &mut Vec<u8>, text: &str) {
    varint(out, text.len() as u64);
    out.extend(text.as_bytes());
}

fn node(left: [u8; 32], right: [u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// A frontier of so many leaves: the roots of its perfect subtrees are made up. Its bytes, and its root.
fn frontier(size: u64, made_up: u8) -> (Vec<u8>, [u8; 32]) {
    let roots: Vec<[u8; 32]> = (0..size.count_ones()).map(|n| [made_up.wrapping_add(n as u8); 32]).collect();
    let mut bytes = size.to_le_bytes().to_vec();
    roots.iter().for_each(|root| bytes.extend(root));
    let root = roots.into_iter().rev().reduce(|right, left| node(left, right));
    (bytes, root.unwrap_or_else(|| Sha256::digest([]).into()))
}

/// A body, as the page of the format has it.
fn drawn(draw: &mut Draw<'_>) -> Drawn {
    let mut drawn = Drawn::default();
    let fields = draw.below(PATHS.len() + 1);
    varint(&mut drawn.body, fields as u64);
    PATHS[..fields].iter().for_each(|path| text(&mut drawn.body, path));
    let holds = draw.below(4);
    varint(&mut drawn.body, holds as u64);
    for n in 0..holds {
        drawn.holds.push(hold(draw, &mut drawn.body, n));
    }
    for _ in 0..draw.below(4) {
        // Where segments of the log end, within them, and beyond all that there is.
        let last = drawn.ends.last().copied().unwrap_or(0);
        let end = draw.choose(&[40, 45, 49, 1, 20, 60, 1 << 40]);
        drawn.ends.extend((end > last).then_some(end));
    }
    let made_up = draw.byte();
    let (bytes, root) = frontier(drawn.ends.last().copied().unwrap_or(0), made_up);
    drawn.body.extend(bytes);
    varint(&mut drawn.body, drawn.ends.len() as u64);
    let mut first = 0;
    for (n, &end) in drawn.ends.iter().enumerate() {
        let records = if draw.one_in(4) { 0 } else { end - first };
        for number in [end - first, records, 1, draw.number(), 1] {
            varint(&mut drawn.body, number);
        }
        let times = if records == 0 { [0, 0] } else { [-5, i64::from(draw.byte())] };
        times.into_iter().chain([draw.number() as i64]).for_each(|time| signed_varint(&mut drawn.body, time));
        drawn.body.extend(if n + 1 == drawn.ends.len() { root } else { [draw.byte(); 32] });
        text(&mut drawn.body, "the rules");
        first = end;
    }
    more(draw, &mut drawn, fields == 0);
    drawn
}

/// Adds a hold to a body, and returns its name.
fn hold(draw: &mut Draw<'_>, out: &mut Vec<u8>, n: usize) -> String {
    let name = format!("hold {n}");
    text(out, &name);
    let first = draw.number().min(u64::MAX - 1);
    varint(out, first);
    varint(out, if draw.one_in(2) { first.saturating_add(9) } else { u64::MAX });
    signed_varint(out, draw.number() as i64);
    text(out, "asked");
    name
}

/// Adds what ends only those bodies in which some of it is not 0.
fn more(draw: &mut Draw<'_>, drawn: &mut Drawn, is_without_fields: bool) {
    let says_none = is_without_fields && draw.one_in(2);
    let forgotten = if draw.one_in(3) { draw.number() } else { 0 };
    let releases = draw.below(3);
    if !says_none && forgotten == 0 && releases == 0 {
        return;
    }
    varint(&mut drawn.body, says_none.into());
    varint(&mut drawn.body, forgotten);
    varint(&mut drawn.body, releases as u64);
    for n in 0..releases {
        // A name may be held again after it was released.
        drawn.releases.push(hold(draw, &mut drawn.body, n));
        signed_varint(&mut drawn.body, draw.number() as i64);
        text(&mut drawn.body, "settled");
    }
}

/// A copy of a catalog: its file header, the body, and zeros.
fn copy(drawn: &Drawn, log_id: [u8; 16], id: u8) -> Vec<u8> {
    let base_seq = drawn.ends.last().copied().unwrap_or(0);
    let mut specific = (drawn.body.len() as u32).to_le_bytes().to_vec();
    specific.extend(Salt::of(&[id; 16]).crc(&drawn.body).to_le_bytes());
    let mut out = header(b"CTLG", [log_id, [id; 16]], base_seq, 9, &specific);
    out.extend(&drawn.body);
    out.resize(out.len().next_multiple_of(COPY_ALIGN), 0);
    out
}

/// Makes the checksums of a copy right.
fn repair(copy: &mut [u8]) {
    let len = u32_at(copy, LENGTH_AT);
    if let Some(body) = copy.get(HEADER_BYTES..HEADER_BYTES.saturating_add(len)) {
        let crc = Salt::in_file(copy).crc(body).to_le_bytes();
        copy[CRC_AT..CRC_AT + 4].copy_from_slice(&crc);
    }
    repair_header(copy, 0);
}
