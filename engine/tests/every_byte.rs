//! Every byte of every file of a log, changed; every length it can be cut to; files put in each other's place. Never a
//! wrong record, never a panic, nothing lost without a word, and all else still readable.
//!
//! By default every 13th byte of a small log and every 97th of a larger one. With `ANNALS_CASES` every byte, and on with
//! other logs until so many changes and lengths were tried; `ANNALS_SEED` is the first of them. A failure names its log.

mod attack;

use annals::{Error, Reader};
use attack::{
    Fixture, Random, SEED, cases, first_salt, in_parallel, options, read_after, read_everything, write_after,
};
use std::collections::BTreeSet;

/// Where in which file which value is XORed.
type Flip = (String, usize, u8);

fn flips(fixture: &Fixture, stride: usize) -> Vec<Flip> {
    let mut flips = Vec::new();
    for (name, bytes) in &fixture.files {
        for at in (0..bytes.len()).step_by(stride) {
            // One bit, each in its turn; all of them; some of them.
            let some = Random(at as u64).below(255) as u8 + 1;
            flips.extend([1 << (at % 8), 0xff, some].map(|value| (name.clone(), at, value)));
        }
    }
    flips
}

/// Every length that a file can be cut to.
fn cuts(fixture: &Fixture, stride: usize) -> Vec<(String, usize)> {
    let lengths = |bytes: &[u8]| (0..bytes.len()).step_by(stride);
    let of_file = |(name, bytes): &(String, Vec<u8>)| lengths(bytes).map(|len| (name.clone(), len)).collect::<Vec<_>>();
    fixture.files.iter().flat_map(of_file).collect()
}

/// Whether nothing in the log depends on the file.
fn is_derived(name: &str) -> bool {
    name == "lock" || name == "head" || name.ends_with(".idx")
}

fn check_flip(fixture: &Fixture, (name, at, value): &Flip) {
    let mut bytes = fixture.file(name).to_vec();
    bytes[*at] ^= value;
    // docs/format.md, "What is harmless".
    let unused = *name == fixture.active && *at >= fixture.data_end(name)
        || name.ends_with(".log") && fixture.superseded_from(name).is_some_and(|from| *at >= from);
    let all = fixture.records.len() as u64;
    // On a machine that has been restarted, and on one that has not, where the head is believed.
    for seed in [SEED, SEED + 1] {
        let context = format!("{name}, byte {at} ^ {value:#04x}, disk {seed}");
        let seen = read_after(&fixture.disk(seed, name, &bytes), &fixture.records, &context);
        let mut lost = seen.lost;
        // Where nothing tells how many records there were, as many are missing as there can have been.
        let uncounted = lost.split_off(&all);
        assert!(uncounted.is_empty() || uncounted.len() < 200 && !lost.is_empty(), "{context}: {uncounted:?}");
        lost.extend(seen.end_seq..all);
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
    if value.count_ones() > 1 {
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
    assert_eq!((count(".seg"), count(".idx"), count(".log"), names.len()), (2, 2, 2, 10), "{names:?}");
}

/// One log with every kind of file in it, and one that recovery has put in order.
#[test]
fn every_changed_byte_of_a_small_log_is_found_or_healed_or_harmless() {
    let mut tried = 0;
    let (stride, asked) = (if cases().is_some() { 1 } else { 13 }, cases().unwrap_or(0));
    let kinds = [("small", Fixture::small as fn(u64) -> Fixture), ("recovered", Fixture::recovered)];
    let logs = (first_salt()..).flat_map(|salt| kinds.map(|(kind, make)| (kind, salt, make)));
    // Both kinds at least.
    for (n, (kind, salt, make)) in logs.enumerate() {
        if n >= kinds.len() && tried >= asked {
            break;
        }
        let fixture = make(salt);
        let flips = flips(&fixture, stride);
        in_parallel(&format!("{kind}, salt {salt}"), &flips, |flip| check_flip(&fixture, flip));
        let cuts = cuts(&fixture, stride);
        in_parallel(&format!("{kind}, salt {salt}"), &cuts, |cut| check_cut(&fixture, cut));
        tried += flips.len() + cuts.len();
    }
    println!("trust: every byte: {tried} changes, 0 failures, seed {}", first_salt());
    let peak = attack::peak_mib();
    println!("peak memory {peak} MiB, {} threads", attack::threads());
    assert!(peak <= 64 * attack::threads() as u64, "{peak} MiB");
}

#[test]
fn changed_bytes_of_a_segment_with_a_dictionary_cost_one_block_at_most() {
    let fixture = Fixture::with_dictionary(1);
    let flips: Vec<_> = flips(&fixture, 97).into_iter().filter(|(name, ..)| name.ends_with(".seg")).collect();
    in_parallel("with a dictionary", &flips, |flip| check_flip(&fixture, flip));
}

/// A file that was cut anywhere loses only what was cut.
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
        } else if seed == SEED && fixture.same_boot {
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
