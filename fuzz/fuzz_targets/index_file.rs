//! An index that was changed at will, with and without its checksum repaired: answers never change.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&mode, changes)) = input.split_first() else { return };
    let (name, mut bytes) = common::file(".idx");
    common::change(&mut bytes, changes);
    if mode & 1 == 1 {
        common::repair_index(&mut bytes);
    }
    let disk = common::disk(&name, &bytes);
    let reader = annals::Reader::open_on(disk.storage()).expect("an index is nothing that a log depends on");
    for record in &common::log().1 {
        assert_eq!(reader.get(record.seq()).expect("sound").as_ref(), Some(record));
    }
    common::exercise(&disk, false);
});
