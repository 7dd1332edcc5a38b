//! JSON text → MessagePack → JSON → MessagePack: the second body equals the first, and nothing panics on the way.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let mut body = Vec::new();
    if annals::json::to_msgpack(text, &mut body).is_ok() {
        annals::msgpack::validate_body(&body).expect("what was converted is a body");
        let (mut again, mut text) = (Vec::new(), Vec::new());
        annals::json::to_json(&body, &mut text).expect("a body has a text");
        annals::json::to_msgpack(&text, &mut again).expect("the text is JSON");
        assert_eq!(body, again);
    }
    // The same bytes as MessagePack that nobody has checked.
    let _ = annals::json::to_json(text, &mut Vec::new());
});
