//! Hostile shapes, and shapes of hostile bodies: decoding and merging never panic, and what decodes comes back.
#![no_main]

use annals::shape::Shape;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(shape) = Shape::decode(bytes) {
        let mut encoded = Vec::new();
        shape.encode(&mut encoded);
        Shape::decode(&encoded).expect("what was encoded decodes");
        let mut merged = Shape::new();
        merged.merge(&shape);
        merged.merge(&shape);
    }
    let _ = Shape::new().observe(bytes);
});
