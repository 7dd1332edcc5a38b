//! The identity file, the head and the lock, changed at will.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&mode, changes)) = input.split_first() else { return };
    let (name, mut bytes) = common::file(["identity", "head", "lock"][usize::from(mode >> 1) % 3]);
    common::change(&mut bytes, changes);
    if mode & 1 == 1 && name == "identity" {
        common::repair_header(&mut bytes, 0);
        common::repair_header(&mut bytes, common::HEADER_BYTES);
    }
    common::exercise(&common::disk(&name, &bytes), false);
});
