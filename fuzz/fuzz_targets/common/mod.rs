//! A log with one file changed: what is returned from it was appended, and nothing panics.
#![allow(dead_code, reason = "each target uses a part of it")]

use annals::storage::sim::SimDisk;
use annals::{Background, Error, Options, Reader, RecordBuf, ScanRange};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Where in every file its random id stands, which all of its checksums are combined with: docs/format.md.
pub const FILE_ID: std::ops::Range<usize> = 48..64;
pub const HEADER_BYTES: usize = 128;

pub fn options() -> Options {
    Options::new().background(Background::Manual).segment_bytes(64 << 10)
}

/// The files of a small log with a sealed segment, and its records.
pub fn log() -> &'static (Vec<(String, Vec<u8>)>, Vec<RecordBuf>) {
    static LOG: OnceLock<(Vec<(String, Vec<u8>)>, Vec<RecordBuf>)> = OnceLock::new();
    LOG.get_or_init(|| {
        let disk = SimDisk::new(1);
        let log = options().open_or_create_on(disk.storage()).expect("an empty disk takes a log");
        for n in 0..30 {
            log.append(&BTreeMap::from([("n", format!("{n}").repeat(500))])).expect("append");
        }
        log.seal().expect("seal");
        for n in 0..3 {
            log.append(&BTreeMap::from([("n", n)])).expect("append");
        }
        let records = log.reader().scan(ScanRange::all()).expect("scan").map(|record| record.expect("sound")).collect();
        let files = disk.files().into_iter().map(|(name, _)| {
            let mut bytes = disk.read(&name).expect("listed");
            if name.ends_with(".log") {
                bytes.truncate(12 << 10);
            }
            (name, bytes)
        });
        (files.collect(), records)
    })
}

pub fn file(ending: &str) -> (String, Vec<u8>) {
    log().0.iter().find(|(name, _)| name.ends_with(ending)).expect("the log has one").clone()
}

/// Applies `changes` to `bytes`, of which each takes four: where, as two, how, and a value.
pub fn change(bytes: &mut Vec<u8>, changes: &[u8]) {
    for change in changes.chunks_exact(4) {
        if bytes.is_empty() {
            return;
        }
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
        match change[2] % 5 {
            0 => bytes[at] = change[3],
            1 => bytes[at] ^= change[3],
            2 => bytes.truncate(at + 1),
            3 => drop(bytes.splice(at..at, std::iter::repeat_n(change[3], usize::from(change[3]) % 9))),
            _ => bytes[at] = bytes[at].wrapping_add(change[3]),
        }
    }
}

/// A disk with `bytes` in place of those of `name`.
pub fn disk(name: &str, bytes: &[u8]) -> SimDisk {
    let disk = SimDisk::new(2);
    for (file, original) in &log().0 {
        disk.replace(file, if file == name { bytes } else { original });
    }
    disk
}

/// Reads, verifies, opens and appends. With `forged`, checksums were repaired, so that bodies may be others; seqs stay
/// in order all the same.
pub fn exercise(disk: &SimDisk, forged: bool) {
    let records = &log().1;
    let reader = match Reader::open_on(disk.storage()) {
        Ok(reader) => reader,
        Err(Error::Damaged(_) | Error::Unsupported { .. } | Error::NotALog { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    for range in [ScanRange::all(), ScanRange::all().reverse()] {
        let mut scan = reader.scan(range).expect("a scan begins");
        let mut steps = 0;
        loop {
            steps += 1;
            assert!(steps < 100_000, "a scan that does not end");
            match scan.advance() {
                Ok(Some(record)) => {
                    assert!(forged || records.get(record.seq() as usize) == Some(&record.to_owned()));
                }
                Ok(None) => break,
                Err(Error::Damaged(_)) => {}
                Err(Error::Unsupported { .. }) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    match reader.verify(&mut |_| ()) {
        Ok(_) | Err(Error::Unsupported { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    match options().open_or_create_on(disk.storage()) {
        Ok(log) => match log.append(&BTreeMap::from([("n", 1)])) {
            Ok(seq) => assert_eq!(log.get(seq).expect("sound").expect("there").seq(), seq),
            Err(Error::TooLarge { .. }) => {}
            Err(error) => panic!("{error}"),
        },
        Err(Error::Damaged(_) | Error::Unsupported { .. } | Error::TooLarge { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

fn put(bytes: &mut [u8], at: usize, crc: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&crc.to_le_bytes());
    }
}

fn salt(bytes: &[u8]) -> u32 {
    bytes.get(FILE_ID).map_or(0, crc32fast::hash)
}

/// Makes the checksum of the file header at `at` right.
pub fn repair_header(bytes: &mut [u8], at: usize) {
    if let Some(header) = bytes.get(at..at + HEADER_BYTES - 4) {
        let crc = crc32fast::hash(header);
        put(bytes, at + HEADER_BYTES - 4, crc);
    }
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..at + 4).and_then(|b| b.first_chunk().copied()).map_or(0, |b| u32::from_le_bytes(b) as usize)
}

/// Makes the checksums of a sealed file's blocks, sections, directory and trailer right, as far as they can be found.
pub fn repair_sealed(bytes: &mut [u8]) {
    repair_header(bytes, 0);
    let salt = salt(bytes);
    let len = bytes.len();
    let Some(trailer) = len.checked_sub(164) else { return };
    for at in 0..trailer {
        if bytes[at..].starts_with(b"\xA7blk") {
            let run = usize::from(bytes.get(at + 5).copied().unwrap_or(0) & 1) * 16;
            let stored = u32_at(bytes, at + 8);
            let Some(payload) = bytes.get(at + 52 + run..at + 52 + run + stored) else { continue };
            let crc = crc32fast::hash(payload) ^ salt;
            put(bytes, at + 44, crc);
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(&bytes[at..at + 48]);
            hasher.update(&bytes[at + 52..at + 52 + run]);
            put(bytes, at + 48, hasher.finalize() ^ salt);
        }
    }
    let directory = u32_at(bytes, trailer + 136);
    let directory_len = u32_at(bytes, trailer + 144);
    let end = directory.saturating_add(directory_len);
    for entry in (directory..end.min(trailer)).step_by(24) {
        let (at, section_len) = (u32_at(bytes, entry + 8), u32_at(bytes, entry + 16));
        if let Some(section) = bytes.get(at..at.saturating_add(section_len)) {
            let crc = crc32fast::hash(section) ^ salt;
            put(bytes, entry + 4, crc);
        }
    }
    if let Some(found) = bytes.get(directory..end) {
        let crc = crc32fast::hash(found) ^ salt;
        put(bytes, trailer + 148, crc);
    }
    bytes[trailer + 152..trailer + 160].copy_from_slice(&(len as u64).to_le_bytes());
    let crc = crc32fast::hash(&bytes[trailer + 128..trailer + 160]) ^ salt;
    put(bytes, trailer + 160, crc);
    repair_header(bytes, trailer);
}

/// Makes the checksum at the end of an index right.
pub fn repair_index(bytes: &mut [u8]) {
    repair_header(bytes, 0);
    let salt = salt(bytes);
    if let Some(at) = bytes.len().checked_sub(4).filter(|at| *at >= HEADER_BYTES) {
        let crc = crc32fast::hash(&bytes[..at]) ^ salt;
        put(bytes, at, crc);
    }
}
