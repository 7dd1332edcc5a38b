//! Frames and blocks put where others belong: of the same segment, of another one, of another log. Their own checksums
//! hold; that they are in the wrong place has to be noticed.

mod attack;

use attack::{Fixture, SEED, in_parallel, read_after, write_after};
use std::ops::Range;

/// Where the frames of a raw segment, or the blocks of a sealed one, stand.
fn pieces(name: &str, bytes: &[u8]) -> Vec<Range<usize>> {
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let mut pieces = Vec::new();
    if name.ends_with(".log") {
        let mut at = 8_192;
        while bytes.get(at..at + 4) == Some(b"aFrm") {
            let end = at + (72 + number(at + 8)).next_multiple_of(8);
            pieces.push(at..end);
            at = end;
        }
    } else if name.ends_with(".seg") {
        // The first block stands where the file header says.
        let mut at = number(88);
        while bytes.get(at..at + 4) == Some(b"\xA7blk") {
            let header = if bytes[at + 5] & 1 == 1 { 68 } else { 52 };
            let end = at + header + number(at + 8);
            pieces.push(at..end);
            at = end;
        }
    }
    pieces
}

/// `bytes` with `piece` in the place of what stands at `at`: as much of it as fits.
fn with_piece(bytes: &[u8], at: &Range<usize>, piece: &[u8]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    let len = piece.len().min(at.len());
    changed[at.start..at.start + len].copy_from_slice(&piece[..len]);
    changed
}

fn check(fixture: &Fixture, sources: &[&Fixture]) {
    let mut cases = Vec::new();
    for (name, bytes) in &fixture.files {
        for at in pieces(name, bytes) {
            for (nth, source) in sources.iter().enumerate() {
                for (from, other) in &source.files {
                    for piece in pieces(from, other) {
                        let changed = with_piece(bytes, &at, &other[piece.clone()]);
                        if changed != *bytes {
                            let what = format!("{name} at {at:?} gets {from} of {nth} at {piece:?}");
                            cases.push((name.clone(), changed, what));
                        }
                    }
                }
            }
        }
    }
    assert!(cases.len() > 40, "{} cases", cases.len());
    in_parallel("swapped", &cases, |(name, changed, what)| {
        for seed in [SEED, SEED + 1] {
            let context = format!("{what}, disk {seed}");
            let seen = read_after(&fixture.disk(seed, name, changed), &fixture.records, &context);
            let superseded = fixture.superseded_from(name).is_some();
            assert!(superseded || !seen.verified.damage.is_empty(), "{context}: verify finds nothing");
        }
        write_after(&fixture.disk(SEED + 2, name, changed), &fixture.records, &format!("writing: {what}"));
    });
}

#[test]
fn a_frame_or_block_in_anothers_place_is_noticed() {
    let small = Fixture::small(1);
    check(&small, &[&small]);
}

#[test]
fn a_frame_or_block_of_another_log_is_noticed() {
    check(&Fixture::small(1), &[&Fixture::small_on(77, 2), &Fixture::small_on(78, 1)]);
}

#[test]
fn blocks_of_a_segment_that_change_places_are_noticed() {
    let fixture = Fixture::with_dictionary(1);
    let name = &fixture.names(".seg")[0];
    let bytes = fixture.file(name);
    let blocks = pieces(name, bytes);
    assert!(blocks.len() > 10);
    let pairs: Vec<_> = (1..blocks.len()).map(|n| (n - 1, n)).collect();
    in_parallel("blocks", &pairs, |&(a, b)| {
        // Both are there, whole, in each other's place: only the seqs in their headers tell.
        let (first, second) = (&blocks[a], &blocks[b]);
        let changed =
            [&bytes[..first.start], &bytes[second.clone()], &bytes[first.clone()], &bytes[second.end..]].concat();
        let context = format!("blocks {a} and {b} have changed places");
        let seen = read_after(&fixture.disk(SEED + 1, name, &changed), &fixture.records, &context);
        assert!(!seen.verified.damage.is_empty(), "{context}: verify finds nothing");
    });
}
