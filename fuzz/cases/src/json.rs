//! JSON text → MessagePack → JSON → MessagePack: the second body equals the first, and so does the second text.

use crate::draw::Draw;
use annals::json::{to_json, to_msgpack};

pub(crate) fn case(input: &[u8]) {
    check(input);
    // The same bytes as the inside of an object: few inputs begin and end as one.
    if !input.starts_with(b"{") {
        check(&[b"{\"a\":", input, b"}"].concat());
        check(&[b"{\"", input, b"\":1}"].concat());
    }
    let mut draw = Draw::new(input);
    let mut text = Vec::new();
    to_json(&draw.body(), &mut text).expect("a body has a text");
    check(&text);
}

fn check(text: &[u8]) {
    let mut body = Vec::new();
    if to_msgpack(text, &mut body).is_err() {
        return;
    }
    annals::msgpack::validate_body(&body).expect("what was converted is a body");
    let (mut printed, mut again, mut printed_again) = (Vec::new(), Vec::new(), Vec::new());
    to_json(&body, &mut printed).expect("a body has a text");
    to_msgpack(&printed, &mut again).expect("the text is JSON");
    assert_eq!(body, again);
    to_json(&again, &mut printed_again).expect("a body has a text");
    assert_eq!(printed, printed_again);
    assert!(body.len() <= 9 * text.len() + 9, "{} bytes of {}", body.len(), text.len());
}
