//! A directory whose files were damaged, removed, renamed, copied and put in each other's place: reading, verifying,
//! opening, sealing and appending return nothing that was never appended, and end.

use crate::draw::{Draw, damage};
use crate::fixture::{SEED, disk, exercise, fixture};
use crate::forge::{repair_head, repair_header, repair_index, repair_raw, repair_sealed};
use std::collections::BTreeMap;

pub(crate) fn case(input: &[u8]) {
    let mut draw = Draw::new(input);
    let fixture = fixture();
    let mut files: BTreeMap<String, Vec<u8>> = fixture.files.iter().cloned().collect();
    let mut forged = false;
    for _ in 0..1 + draw.below(3) {
        let names: Vec<String> = files.keys().cloned().collect();
        if names.is_empty() {
            break;
        }
        let name = names[draw.below(names.len())].clone();
        match draw.byte() % 12 {
            0 => drop(files.remove(&name)),
            1 => {
                // Another name: nothing is believed of a file whose header says otherwise.
                let bytes = files[&name].clone();
                files.insert(other_name(&mut draw), bytes);
            }
            2 => {
                let bytes = files.remove(&name).unwrap_or_default();
                files.insert(other_name(&mut draw), bytes);
            }
            3 => {
                let from = files[&names[draw.below(names.len())]].clone();
                files.insert(name, from);
            }
            4 => drop(files.insert(other_name(&mut draw), draw.bytes(300).to_vec())),
            _ => {
                let bytes = files.get_mut(&name).expect("it is listed");
                change(&mut draw, &name, bytes);
                if !draw.one_in(3) {
                    repair(&name, bytes);
                    forged = true;
                }
            }
        }
    }
    let disk = disk(SEED + draw.below(2) as u64, files.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])));
    exercise(&disk, &|record| forged || fixture.records.get(record.seq() as usize) == Some(record));
}

/// Damage where there is something: most of a raw segment's first pages is zeros.
fn change(draw: &mut Draw<'_>, name: &str, bytes: &mut Vec<u8>) {
    let at = match draw.byte() % 4 {
        0 => 0,
        1 => bytes.len().min(if name.ends_with(".log") { 8192 } else { 128 }),
        2 => bytes.len().saturating_sub(400),
        _ => draw.below(bytes.len() + 1),
    };
    let mut part = bytes.split_off(at);
    let mut window: Vec<u8> = part.drain(..part.len().min(draw.choose(&[64, 400, 4_096]))).collect();
    damage(draw, &mut window);
    bytes.extend(window);
    bytes.extend(part);
}

fn repair(name: &str, bytes: &mut [u8]) {
    match name.rsplit('.').next() {
        Some("log") => repair_raw(bytes),
        Some("seg") => repair_sealed(bytes),
        Some("idx") => repair_index(bytes),
        Some("head") => repair_head(bytes),
        _ => {
            repair_header(bytes, 0);
            repair_header(bytes, 128);
        }
    }
}

fn other_name(draw: &mut Draw<'_>) -> String {
    match draw.byte() % 8 {
        0 => "head".to_owned(),
        1 => "identity".to_owned(),
        2 => "identity.tmp".to_owned(),
        3 => "catalog".to_owned(),
        4 => format!("quarantine/{:020}-{:010}.log.from-{}", draw.number(), draw.number(), draw.number()),
        _ => {
            let ending = draw.choose(&["log", "seg", "idx", "log.tmp"]);
            let base = draw.choose(&[0, 0, 40, 45, 46, 49, 60, u64::MAX >> 1, u64::MAX]);
            format!("{base:020}-{:010}.{ending}", draw.number() % draw.choose(&[12, u64::MAX]))
        }
    }
}
