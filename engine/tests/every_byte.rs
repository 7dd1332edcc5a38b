//! Every byte of every file of a log, changed; every length it can be cut to; files put in each other's place. Never a
//! wrong record, never a panic, nothing lost without a word, and all else still readable.
//!
//! `ANNALS_CASES` is how many cases at least, each at every byte of one log after the other; without it every so many bytes
//! of one log are looked at. `ANNALS_SEED` says in which log and where to begin.

mod attack;

use annals::{Error, Reader};
use attack::{Fixture, SEED, in_parallel, options, read_after, read_everything, write_after};
use std::collections::BTreeSet;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
}

fn seed() -> u64 {
    number("ANNALS_SEED").unwrap_or(42)
}

/// Runs `work` on as many of the `cases` of one fixture after the other as are wanted, or on one in `stride`, and says how
/// many that were.
fn run_cases<T: Sync>(
    (row, unit): (&str, &str),
    stride: usize,
    make: impl Fn(u64) -> Fixture,
    cases: impl Fn(&Fixture) -> Vec<T>,
    work: impl Fn(&Fixture, &T) + Sync,
    case: impl Fn(&T) -> String,
) {
    let (wanted, mut done) = (number("ANNALS_CASES"), 0u64);
    for salt in seed().. {
        let fixture = make(salt);
        let mut all = cases(&fixture);
        if wanted.is_none() {
            all = all.into_iter().skip(salt as usize % stride).step_by(stride).collect();
        }
        in_parallel(&all, |item| work(&fixture, item), |item| format!("{salt} {}", case(item)));
        done += all.len() as u64;
        if wanted.is_none_or(|wanted| done >= wanted) || row.ends_with("dictionaries") {
            break;
        }
    }
    println!("trust: {row}: {done} {unit}, 0 failures, seed {}", seed());
}

/// Where in which file which value is XORed.
type Flip = (String, usize, u8);

fn flips(fixture: &Fixture) -> Vec<Flip> {
    let mut flips = Vec::new();
    for (name, bytes) in &fixture.files {
        for (at, &byte) in bytes.iter().enumerate() {
            // One bit, each in its turn; all of them; and what makes the byte zero.
            let zero = if byte == 0 { 0x55 } else { byte };
            flips.extend([(name.clone(), at, 1 << (at % 8)), (name.clone(), at, 0xff), (name.clone(), at, zero)]);
        }
    }
    flips
}

fn flip_text((name, at, value): &Flip) -> String {
    format!("{name} {at} {value}")
}

/// Repeats the case that a failure has named, if one is named.
#[test]
fn repeat() {
    let Ok(case) = std::env::var("ANNALS_REPLAY") else { return };
    let parts: Vec<_> = case.split(' ').collect();
    let number = |index: usize| parts[index].parse::<u64>().unwrap();
    match parts[..] {
        [_, "dictionary", name, _, _] => {
            check_flip(&Fixture::with_dictionary(number(0)), &(name.to_owned(), number(3) as usize, number(4) as u8));
        }
        [_, name, _, _] => {
            check_flip(&Fixture::small(number(0)), &(name.to_owned(), number(2) as usize, number(3) as u8));
        }
        [_, name, _] => check_cut(&Fixture::small(number(0)), &(name.to_owned(), number(2) as usize)),
        _ => panic!("{case} is no case"),
    }
}

/// Whether nothing in the log depends on the file.
fn is_derived(name: &str) -> bool {
    name == "lock" || name == "head" || name.ends_with(".idx")
}

fn check_flip(fixture: &Fixture, (name, at, value): &Flip) {
    let mut bytes = fixture.file(name).to_vec();
    bytes[*at] ^= value;
    let unused = *name == fixture.active && *at >= fixture.data_end(name);
    let all = fixture.records.len() as u64;
    // On a machine that has been restarted, and on one that has not, where the head is believed.
    for seed in [SEED, SEED + 1] {
        let context = format!("{name}, byte {at} ^ {value:#04x}, disk {seed}");
        let seen = read_after(&fixture.disk(seed, name, &bytes), &fixture.records, &context);
        let mut lost = seen.lost;
        lost.extend(seen.end_seq..all);
        assert!(seen.end_seq <= all, "{context}: {} records", seen.end_seq);
        let damage = &seen.verified.damage;
        if is_derived(name) || unused {
            assert!(lost.is_empty(), "{context}: {lost:?}");
        } else {
            assert!(!damage.is_empty(), "{context}: verify finds nothing");
        }
        for damage in damage {
            assert_eq!(damage.path, format!("sim:/{name}"), "{context}: {damage}");
            // Where the frame, block or section begins that the byte belongs to.
            let offset = damage.offset as usize;
            assert!(offset <= at + 8 && at - offset.min(*at) < 8_192, "{context}: {damage}");
        }
        // What is lost stood together.
        if let (Some(first), Some(last)) = (lost.first(), lost.last()) {
            assert!((last - first) < fixture.groups_max as u64, "{context}: {lost:?}");
            assert!(name.ends_with(".log") || name.ends_with(".seg"), "{context}: {lost:?}");
        }
    }
    if !value.is_power_of_two() {
        // A writer sees what a reader sees; one change of each byte is enough.
        return;
    }
    let context = format!("writing after {name}, byte {at} ^ {value:#04x}");
    let lost = write_after(&fixture.disk(SEED + 2, name, &bytes), &fixture.records, &context);
    if let (Some(first), Some(last)) = (lost.first(), lost.last()) {
        assert!((last - first) < fixture.groups_max as u64, "{context}: {lost:?}");
    }
}

#[test]
fn nothing_is_wrong_before_anything_is_changed() {
    for fixture in [Fixture::small(1), Fixture::with_dictionary(1)] {
        for seed in [SEED, SEED + 1] {
            let seen = read_after(&fixture.disk(seed, "", &[]), &fixture.records, "as it is");
            assert_eq!((seen.lost.len(), seen.end_seq as usize), (0, fixture.records.len()));
            assert_eq!((seen.verified.damage, seen.verified.indexes), (vec![], Vec::<String>::new()));
        }
        assert!(write_after(&fixture.disk(SEED + 2, "", &[]), &fixture.records, "as it is").is_empty());
    }
    let names: Vec<_> = Fixture::small(1).files.into_iter().map(|(name, _)| name).collect();
    let count = |ending: &str| names.iter().filter(|name| name.ends_with(ending)).count();
    assert_eq!((count(".seg"), count(".idx"), count(".log"), names.len()), (2, 2, 2, 9), "{names:?}");
}

#[test]
fn every_changed_byte_of_a_small_log_is_found_or_healed_or_harmless() {
    run_cases(("every byte", "changes"), 13, Fixture::small, flips, check_flip, flip_text);
}

#[test]
fn changed_bytes_of_a_segment_with_a_dictionary_cost_one_block_at_most() {
    let flips = |fixture: &Fixture| {
        let all = flips(fixture).into_iter().filter(|(name, ..)| name.ends_with(".seg"));
        // Reading this log takes a hundred times as long: one in so many, and as often fewer of them, whatever is wanted.
        let fewer = number("ANNALS_CASES").map_or(usize::MAX, |wanted| (wanted / 200 + 1) as usize);
        all.step_by(89).take(fewer).collect::<Vec<_>>()
    };
    let text = |flip: &Flip| format!("dictionary {}", flip_text(flip));
    let row = ("every byte, with dictionaries", "changes");
    run_cases(row, 17, Fixture::with_dictionary, flips, check_flip, text);
}

#[test]
fn a_file_that_was_cut_anywhere_loses_only_what_was_cut() {
    let cuts = |fixture: &Fixture| {
        let lens =
            |(name, bytes): &(String, Vec<u8>)| (0..bytes.len()).map(|len| (name.clone(), len)).collect::<Vec<_>>();
        fixture.files.iter().flat_map(lens).collect::<Vec<_>>()
    };
    let text = |(name, len): &(String, usize)| format!("{name} {len}");
    run_cases(("every truncation length", "lengths"), 13, Fixture::small, cuts, check_cut, text);
}

fn check_cut(fixture: &Fixture, (name, len): &(String, usize)) {
    let all = fixture.records.len() as u64;
    let bytes = &fixture.file(name)[..*len];
    let lossless = is_derived(name) || *len >= fixture.data_end(name);
    let active = *name == fixture.active;
    for seed in [SEED, SEED + 1] {
        let context = format!("{name} cut to {len} bytes, disk {seed}");
        let disk = fixture.disk(seed, name, bytes);
        let reader = match Reader::open_on(disk.storage()) {
            Err(Error::Damaged(damage)) if name == "identity" && *len < 128 => {
                assert_eq!(damage.path, "sim:/identity", "{context}");
                continue;
            }
            opened => opened.unwrap_or_else(|error| panic!("{context}: {error}")),
        };
        drop(reader);
        let seen = read_after(&disk, &fixture.records, &context);
        if lossless {
            assert!(seen.lost.is_empty() && seen.end_seq == all, "{context}: {:?}", seen.lost);
        } else if !active {
            // What follows tells that something is missing; but for the final marker, which a crash leaves out too.
            assert!(!seen.verified.damage.is_empty() || seen.lost.is_empty(), "{context}");
            assert_eq!(seen.end_seq, all, "{context}");
        } else if seed == SEED {
            // The head of a machine that has not been restarted tells.
            assert!(seen.end_seq == all, "{context}: {}", seen.end_seq);
        }
    }
    if name == "identity" && *len < 128 {
        let opened = options().open_or_create_on(fixture.disk(SEED + 2, name, bytes).storage());
        assert!(matches!(opened, Err(Error::Damaged(_))), "{name} cut to {len}: {opened:?}");
        return;
    }
    let context = format!("writing after {name} was cut to {len} bytes");
    let disk = fixture.disk(SEED + 2, name, bytes);
    if active && !lossless {
        // Nothing is left that tells how much there was: what is there is returned, and appends go on behind it.
        let log = options().open_or_create_on(disk.storage()).unwrap_or_else(|e| panic!("{context}: {e}"));
        let end = log.next_seq();
        read_everything(&log.reader(), &fixture.records, &context);
        log.append(&std::collections::BTreeMap::from([("a", 1)])).unwrap_or_else(|e| panic!("{context}: {e}"));
        assert!(end <= all, "{context}");
    } else {
        let lost = write_after(&disk, &fixture.records, &context);
        assert!(lost.is_empty() || !lossless, "{context}: {lost:?}");
    }
}

#[test]
fn a_file_of_another_log_is_never_taken_for_ones_own() {
    let (ours, theirs) = (Fixture::small(1), Fixture::small_on(77, 2));
    for (name, bytes) in &theirs.files {
        if name == "lock" || ours.file(name) == bytes.as_slice() {
            continue;
        }
        for seed in [SEED, SEED + 1] {
            let context = format!("another log's {name}, disk {seed}");
            let seen = read_after(&ours.disk(seed, name, bytes), &ours.records, &context);
            if name == "identity" {
                // Nothing is left of the log that it names.
                assert_eq!(seen.lost.len() as u64, seen.end_seq, "{context}");
            }
            if !is_derived(name) {
                assert!(!seen.verified.damage.is_empty(), "{context}");
            }
        }
        if name != "identity" {
            let context = format!("writing beside another log's {name}");
            write_after(&ours.disk(SEED + 2, name, bytes), &ours.records, &context);
        }
    }
}

#[test]
fn a_segment_of_the_same_log_in_anothers_place_is_refused() {
    let fixture = Fixture::small(1);
    for ending in [".log", ".seg", ".idx"] {
        let names = fixture.names(ending);
        for (from, to) in [(0, 1), (1, 0)] {
            let (from, to) = (&names[from], &names[to]);
            for seed in [SEED, SEED + 1] {
                let context = format!("{from} copied over {to}, disk {seed}");
                let seen = read_after(&fixture.disk(seed, to, fixture.file(from)), &fixture.records, &context);
                if ending == ".idx" {
                    assert!(seen.lost.is_empty(), "{context}: {:?}", seen.lost);
                } else {
                    assert!(!seen.verified.damage.is_empty(), "{context}");
                }
            }
            let context = format!("writing after {from} was copied over {to}");
            write_after(&fixture.disk(SEED + 2, to, fixture.file(from)), &fixture.records, &context);
        }
    }
}

#[test]
fn an_old_copy_of_the_active_segment_gives_old_records_and_no_others() {
    let fixture = Fixture::small(1);
    let (stale, stale_end) = &fixture.stale_active;
    let all = fixture.records.len() as u64;
    // The head of a running machine tells that there were more.
    let seen = read_after(&fixture.disk(SEED, &fixture.active, stale), &fixture.records, "stale, head believed");
    assert_eq!(seen.end_seq, all);
    assert_eq!(seen.lost, (*stale_end..all).collect::<BTreeSet<_>>());
    assert!(!seen.verified.damage.is_empty());
    // Otherwise it can't be told from the truth (docs/durability.md).
    let seen = read_after(&fixture.disk(SEED + 1, &fixture.active, stale), &fixture.records, "stale");
    assert_eq!((seen.end_seq, seen.lost.len()), (*stale_end, 0));
}
