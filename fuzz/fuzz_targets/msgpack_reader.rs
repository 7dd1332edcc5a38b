//! Bytes that claim to be a record body: what is accepted is read by an independent decoder too, and has a text.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    if annals::msgpack::validate_body(body).is_ok() {
        let mut rest = body;
        let value = rmpv::decode::read_value_ref_with_max_depth(&mut rest, 1_024).expect("what is valid is read");
        assert!(rest.is_empty() && matches!(value, rmpv::ValueRef::Map(_)));
        annals::json::to_json(body, &mut Vec::new()).expect("a body has a text");
    }
});
