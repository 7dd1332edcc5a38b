//! Shapes: hostile encodings, and those of drawn records, merged in every place.

use crate::draw::{Draw, damage};
use annals::shape::Shape;

fn encoded(shape: &Shape) -> Vec<u8> {
    let mut out = Vec::new();
    shape.encode(&mut out);
    out
}

pub(crate) fn case(input: &[u8]) {
    let mut draw = Draw::new(input);
    if draw.one_in(3) {
        return hostile(draw.rest());
    }
    let bodies: Vec<_> = (0..draw.below(7)).map(|_| draw.body()).collect();
    let of = |bodies: &[Vec<u8>]| {
        let mut shape = Shape::new();
        bodies.iter().for_each(|body| shape.observe(body).expect("a body"));
        shape
    };
    // Merging says what one pass over all records says, wherever they are divided.
    let whole = of(&bodies);
    assert_eq!(whole.records(), bodies.len() as u64);
    for at in 0..=bodies.len() {
        let mut merged = of(&bodies[..at]);
        merged.merge(&of(&bodies[at..]));
        assert_eq!(encoded(&merged), encoded(&whole));
    }
    let mut bytes = encoded(&whole);
    assert_eq!(Shape::decode(&bytes).as_ref(), Ok(&whole));
    damage(&mut draw, &mut bytes);
    hostile(&bytes);
    let mut body = draw.body();
    damage(&mut draw, &mut body);
    let _ = Shape::new().observe(&body);
}

fn hostile(bytes: &[u8]) {
    if let Ok(shape) = Shape::decode(bytes) {
        // Equal shapes have equal bytes.
        assert_eq!(encoded(&shape), bytes);
        let mut merged = Shape::new();
        merged.merge(&shape);
        assert_eq!(encoded(&merged), bytes);
        merged.merge(&shape);
        assert_eq!(Shape::decode(&encoded(&merged)).as_ref(), Ok(&merged));
    }
}
