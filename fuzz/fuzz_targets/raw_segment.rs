//! A log whose raw segment was changed at will, headers' checksums repaired: reading, verifying and opening it for
//! writing never panic, and never return a record that was not appended.
#![no_main]

use annals::storage::sim::SimDisk;
use annals::{Background, Error, Options, Reader, ScanRange};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;

/// Where frames begin, and how long their headers are: docs/format.md.
const DATA_START: usize = 8192;
const FRAME_HEADER_BYTES: usize = 72;
const FILE_ID: std::ops::Range<usize> = 48..64;

fuzz_target!(|changes: &[u8]| {
    let options = Options::new().background(Background::Manual).segment_bytes(64 << 10);
    let disk = SimDisk::new(1);
    let log = options.open_or_create_on(disk.storage()).expect("an empty disk takes a log");
    for n in 0..6 {
        log.append(&BTreeMap::from([("n", n)])).expect("append");
    }
    let name = disk.files().into_iter().map(|(name, _)| name).find(|name| name.ends_with(".log")).expect("a segment");
    let after = disk.crash(annals::storage::sim::Loss::Nothing, 1);
    let mut bytes = after.read(&name).expect("the segment is there");
    bytes.truncate(DATA_START + 2048);
    for change in changes.chunks_exact(3) {
        let at = DATA_START + (usize::from(change[0]) << 3 | usize::from(change[1] & 7)) % 1024;
        bytes[at] = change[2];
    }
    repair(&mut bytes);
    after.replace(&name, &bytes);

    let reader = Reader::open_on(after.storage()).expect("the identity is sound");
    let mut scan = reader.scan(ScanRange::all()).expect("a scan begins");
    loop {
        match scan.advance() {
            Ok(Some(record)) => drop(record.to_owned()),
            Ok(None) => break,
            Err(Error::Damaged(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    reader.verify(&mut |_| ()).expect("damage is reported, not returned");
    drop(options.open_or_create_on(after.storage()).expect("a damaged log opens"));
});

/// Makes the checksum of every frame header right again, so that what is behind it is reached.
fn repair(bytes: &mut [u8]) {
    let salt = crc32fast::hash(&bytes[FILE_ID]);
    for at in (DATA_START..bytes.len() - FRAME_HEADER_BYTES).step_by(8) {
        if bytes[at..].starts_with(b"aFrm") {
            let (header, crc) = bytes[at..at + FRAME_HEADER_BYTES].split_at_mut(FRAME_HEADER_BYTES - 4);
            crc.copy_from_slice(&(crc32fast::hash(header) ^ salt).to_le_bytes());
        }
    }
}
