//! A sealed segment that was changed at will, with and without its checksums repaired.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&mode, changes)) = input.split_first() else { return };
    let (name, mut bytes) = common::file(".seg");
    common::change(&mut bytes, changes);
    if mode & 1 == 1 {
        common::repair_sealed(&mut bytes);
    }
    common::exercise(&common::disk(&name, &bytes), mode & 1 == 1);
});
