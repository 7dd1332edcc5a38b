//! A target that must fail: if it doesn't within seconds, the fuzzer is not looking.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let mut body = Vec::new();
    if annals::json::to_msgpack(text, &mut body).is_ok() && body.len() > 4 {
        panic!("the canary is dead, as it has to be");
    }
});
